"""Settings: the list of storage containers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.mutation import JsonObject
from webhook.settings.check import check
from webhook.settings.parse import MAX_PROBLEMS, SettingsError, parse
from webhook.settings.storage_containers import MAX_REGEXES

GIT: JsonObject = {
    "name": "git",
    "namespaces": ["team-*", "models"],
    "supportedUriFormats": [{"prefix": "git://"}, {"regex": "^ssh://git@"}],
    "container": {
        "image": "registry.example.com/git-fetch:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["git-fetch", "--depth=1"],
        "env": [
            {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            {"name": "GIT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "git", "key": "token", "optional": True}}},
        ],
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [
            {"name": name, "mountPath": f"/etc/{name}", "readOnly": True}
            for name in ("secret", "config", "claim", "scratch", "csi")
        ],
        "securityContext": {"runAsUser": 1000},
    },
    "volumes": [
        {"name": "secret", "secret": {"secretName": "git", "defaultMode": 292}},
        {"name": "config", "configMap": {"name": "git", "items": [{"key": "a", "path": "b"}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "mirror", "readOnly": True}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "csi", "csi": {"driver": "nfs.csi.example.com", "volumeAttributes": {"server": "nfs"}}},
    ],
}


def _with(path: str, value: Any) -> JsonObject:
    """The storage container with another value at a path; `...` removes it."""
    changed: JsonObject = json.loads(json.dumps(GIT))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = changed
    for part in parents:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return changed


def _problems(*containers: Any) -> str:
    with pytest.raises(SettingsError) as error:
        parse({"storageContainers": list(containers)})
    return str(error.value)


@pytest.mark.parametrize("form", [json.dumps, yaml.safe_dump, list])
def test_a_list_as_text_or_as_objects_is_read(form: Any) -> None:
    settings, warnings = parse({"storageContainers": form([GIT])})
    (found,) = settings.storage_containers
    assert (found.name, found.namespaces) == ("git", ("team-*", "models"))
    assert found.container == {**GIT["container"], "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}}
    assert list(found.volumes) == GIT["volumes"]
    assert warnings == []


@pytest.mark.parametrize("value", [None, "", "[]", "null", []])
def test_nothing_is_no_storage_container(value: Any) -> None:
    assert parse({"storageContainers": value})[0].storage_containers == ()


def test_the_key_may_stand_alone() -> None:
    checked = check(yaml.safe_dump({"storageContainers": [GIT]}))
    assert checked.problems == ()
    effective = yaml.safe_load(checked.effective)["storageContainers"]
    assert effective[0]["container"]["command"] == ["git-fetch", "--depth=1"]
    assert check(yaml.safe_dump({"storageContainers": effective})).problems == ()


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("name", ..., "storageContainers.0.name: is missing"),
        ("name", "A b", "storageContainers.0.name: must be a name"),
        ("container", ..., "storageContainers.0.container: is missing"),
        ("container", {}, "container is empty"),
        ("container.args", ["x"], "container.args: is not supported"),
        ("container.lifecycle", {}, "container.lifecycle: unknown key"),
        ("container.restartPolicy", "Always", "container.restartPolicy: unknown key"),
        ("container.image", "A image", "container.image: must be an image reference"),
        ("container.imagePullPolicy", "Sometimes", "container.imagePullPolicy: must be"),
        ("container.command", "git", "container.command: must be a list"),
        ("container.env.0.name", "a=b", "env.0.name: must be the name of a variable"),
        ("container.env.0.value", 8, "env.0.value: must be a string (use quotes)"),
        ("container.env.1.value", "x", "must not have both value and valueFrom"),
        ("container.env.1.valueFrom.fieldRef", {"fieldPath": "a"}, "must have exactly one of secretKeyRef"),
        ("container.env.1.valueFrom.secretKeyRef.name", "A", "secretKeyRef.name: must be a name"),
        ("container.env.1.valueFrom.secretKeyRef.key", ..., "secretKeyRef.key: is missing"),
        ("container.resources.limits.cpu", "fast", "limits.cpu: must be a quantity"),
        ("container.resources.limits.cpu", "500m", "the cpu request 1 is larger than the cpu limit 500m"),
        ("container.volumeMounts.0.mountPath", "etc", "mountPath: must be an absolute path"),
        ("container.volumeMounts.0.mountPath", "/mnt/models/x", "must not overlap with /mnt/models"),
        ("container.volumeMounts.0.mountPath", "/mnt", "must not overlap with /mnt/models"),
        ("container.volumeMounts.0.name", "other", "names the volume other, which is not in volumes"),
        ("container.volumeMounts.0", ..., "volumes has secret, which container.volumeMounts does not mount"),
        ("container.securityContext", {"runAsUsr": 1}, "securityContext.runAsUsr: unknown key"),
        ("volumes.0", {"name": "secret", "hostPath": {"path": "/"}}, "not hostPath"),
        ("volumes.0", {"name": "secret", "nfs": {"server": "a"}}, "not nfs"),
        ("volumes.0", {"name": "secret"}, "must have exactly one of secret, configMap"),
        ("volumes.0.secret.secretName", ..., "secret.secretName: is missing"),
        ("volumes.0.secret.secretname", "a", "secret.secretname: unknown key"),
        ("volumes.0.name", "kserve-provision-location", "must be another name"),
        ("volumes.1.name", "secret", "volumes has the name secret twice"),
        ("volumes", "a", "volumes: must be a list"),
        ("supportedUriFormats", [], "supportedUriFormats is empty: leave it out for every URI"),
        ("supportedUriFormats.0", {}, "must have either a prefix or a regex"),
        ("supportedUriFormats.0", {"prefix": "a", "regex": "b"}, "must have either a prefix or a regex"),
        ("supportedUriFormats.1.regex", "(", "which is not a valid RE2 pattern"),
        ("supportedUriFormats.1.regex", r"\pL{1000}", "which is not a valid RE2 pattern"),
        ("namespaces", ["A"], "namespaces.0: must be the name or pattern of a namespace"),
        ("namespace", ["a"], "unknown key; did you mean namespaces?"),
    ],
)
def test_a_problem_names_the_place(path: str, value: Any, problem: str) -> None:
    assert problem in _problems(_with(path, value))


def test_names_are_unique() -> None:
    assert "has the name git twice" in _problems(GIT, GIT)


@pytest.mark.parametrize("value", ["a", {"name": "a"}, ["a"], [None], 1, True])
def test_another_value_than_a_list_of_objects_is_rejected(value: Any) -> None:
    with pytest.raises(SettingsError, match="storageContainers: must be a list"):
        parse({"storageContainers": value})


def test_the_number_of_regexes_is_limited() -> None:
    formats = [{"regex": f"^a{number}"} for number in range(MAX_REGEXES + 1)]
    assert parse({"storageContainers": [_with("supportedUriFormats", formats[1:])]})
    assert f"the maximum is {MAX_REGEXES}" in _problems(_with("supportedUriFormats", formats))


def test_the_number_of_problems_is_limited() -> None:
    with pytest.raises(SettingsError) as error:
        parse({"storageContainers": [{"naem": "a"}] * 500})
    assert len(error.value.problems) == MAX_PROBLEMS


def test_a_secret_as_text_is_a_warning_that_does_not_show_it() -> None:
    container = _with("container.env.0", {"name": "HF_TOKEN", "value": "hf_very_secret"})
    _, (warning,) = parse({"storageContainers": [container]})
    assert "HF_TOKEN is text that all can read" in str(warning)
    assert "hf_very_secret" not in str(warning)


def test_a_container_after_one_for_everything_is_a_warning() -> None:
    everything = {"name": "all", "container": {"env": [{"name": "A", "value": "b"}]}}
    assert parse({"storageContainers": [GIT, everything]})[1] == []
    _, (warning,) = parse({"storageContainers": [everything, GIT]})
    assert '"git" is never used' in str(warning)
