"""Options of a download that need settings: a real API server stores what the command line shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.api import Object, admitted, eventually
from tests.e2e.offline import essence, mutated_offline
from tests.e2e.pods import unnamed
from tests.mutation import initializer, plain_pod


class Case(NamedTuple):
    pod: Object
    settings: dict[str, Any]


PLUG_IN: dict[str, Any] = {
    "name": "git",
    "namespaces": ["*"],
    "supportedUriFormats": [{"regex": "^git://"}],
    "container": {
        "image": "registry.example.com/git-fetch:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["git-fetch"],
        "env": [{"name": "GIT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "git", "key": "token"}}}],
        "resources": {"limits": {"memory": "4Gi"}},
        "securityContext": {"runAsUser": 1000},
        "volumeMounts": [
            {"name": name, "mountPath": f"/opt/{name}"} for name in ("keys", "config", "mirror", "scratch", "nfs")
        ],
    },
    "volumes": [
        {"name": "keys", "secret": {"secretName": "git", "defaultMode": 292}},
        {"name": "config", "configMap": {"name": "git", "items": [{"key": "a", "path": "b"}]}},
        {"name": "mirror", "persistentVolumeClaim": {"claimName": "mirror"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "nfs", "csi": {"driver": "nfs.csi.example.com", "volumeAttributes": {"server": "nfs"}}},
    ],
}
CASES = {
    "storage container with a plug-in": Case(plain_pod("git://host/m"), {"storageContainers": [PLUG_IN]}),
    "storage container over variables of the pod": Case(
        plain_pod(
            "git://host/m",
            annotations={
                "storage.kserve.io/env": '[{"name": "GIT_TOKEN", "value": ""}, {"name": "GIT_DEPTH", "value": "1"}]'
            },
        ),
        {"storageContainers": [PLUG_IN], "storageDefaults": {"overrides": {"env": ["GIT_*"]}}},
    ),
    "storage container beside a volume of the same name": Case(
        plain_pod("git://host/m", volumes=[{"name": "keys", "emptyDir": {}}]), {"storageContainers": [PLUG_IN]}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_stored_pod_equals_the_command_lines_output(installation: Any, tmp_path: Path, name: str) -> None:
    pod, settings = CASES[name]
    served, elsewhere = installation.namespace(), installation.elsewhere()
    with installation.configured(settings):
        created = admitted(installation.api.create_pod(served, unnamed(pod)))
        config_map = installation.configmap
    (mutated,) = mutated_offline([unnamed(pod)], config_map, "", served, tmp_path)
    expected = admitted(installation.api.create_pod(elsewhere, mutated))
    stored = installation.api.get({**created, "apiVersion": "v1", "kind": "Pod"})
    assert essence(stored) == essence(expected)
    assert initializer(stored)


@pytest.mark.parametrize(
    ("variable", "code", "why"),
    [
        ({"name": "HF_TOKEN", "value": "planted"}, 422, 'variable "HF_TOKEN" is a secret, which must not be text'),
        ({"name": "LD_PRELOAD", "value": "planted"}, 403, 'variable "LD_PRELOAD" is not allowed'),
    ],
)
def test_variables_are_denied_without_their_values(installation: Any, variable: Object, code: int, why: str) -> None:
    pod = plain_pod("hf://org/model", annotations={"storage.kserve.io/env": json.dumps([variable])})
    response = installation.api.create_pod(installation.namespace(), unnamed(pod))
    assert response.status_code == code
    assert why in response.json()["message"]
    assert "planted" not in response.text


def test_invalid_storage_containers_are_named_in_the_readiness(installation: Any) -> None:
    with installation.configured({"storageContainers": [PLUG_IN]}):
        hostile = {**PLUG_IN, "volumes": [{"name": "keys", "hostPath": {"path": "/"}}, *PLUG_IN["volumes"][1:]]}
        installation.configure({"storageContainers": [hostile]})
        rejected = "storageContainers.0.volumes.0: must have exactly one of"
        eventually(lambda: rejected in installation.webhook.readyz())
