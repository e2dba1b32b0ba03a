"""Options of a download that need settings: a real API server stores what the command line shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.api import Object, admitted, eventually
from tests.e2e.offline import essence, mutated_offline
from tests.e2e.pods import unnamed
from tests.mutation import a_container, initializer, plain_pod


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
    "ephemeral volume": Case(
        plain_pod("s3://models/iris", securityContext={"fsGroup": 1000}),
        {"storageDefaults": {"downloadVolume": {"ephemeral": {"size": "10Gi", "storageClassName": "local"}}}},
    ),
    "pull policy and Secrets": Case(
        plain_pod("s3://models/iris", imagePullSecrets=[{"name": "own"}]),
        {"storageDefaults": {"imagePullPolicy": "Always", "imagePullSecrets": ["mirror", "own"]}},
    ),
    "no CPU limit": Case(plain_pod("s3://models/iris"), {"storageDefaults": {"cpuLimit": "none"}}),
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


def test_a_quota_of_cpu_limits_rejects_a_pod_without_one(installation: Any) -> None:
    namespace = installation.namespace()
    hard = {"limits.cpu": "10"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cpu", "namespace": namespace}}
    admitted(installation.api.apply({**quota, "spec": {"hard": hard}}))
    # The controller manager of a cluster does this.
    status = [{"op": "add", "path": "/status", "value": {"hard": hard, "used": {"limits.cpu": "0"}}}]
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/cpu/status"
    patch = {"content-type": "application/json-patch+json"}
    installation.api.http.patch(path, content=json.dumps(status), headers=patch).raise_for_status()
    limited = {"resources": {"limits": {"cpu": "1"}}}
    pod = unnamed(plain_pod("s3://models/iris", containers=[a_container(**limited)]))
    with installation.configured({"storageDefaults": {"cpuLimit": "none"}}):
        eventually(lambda: "must specify limits.cpu" in installation.api.create_pod(namespace, pod, dryRun="All").text)
        rejected = installation.api.create_pod(namespace, pod)
    assert rejected.status_code == 403
    assert "must specify limits.cpu for: storage-initializer" in rejected.json()["message"]
    assert installation.api.create_pod(namespace, pod).status_code == 201


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
        eventually(lambda: "rejected version" in installation.webhook.readyz())
        assert rejected in installation.webhook.readyz()
