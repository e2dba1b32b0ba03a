"""Warnings about annotations and labels that are not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutation import a_pod, answer, initializer, kserve_pod, mutated, plain_pod
from webhook import annotations as keys

S3 = "s3://bucket/model"
KUBERNETES_CUTS_AT = 256
FOR_AUTHORS = sorted(key.removeprefix(keys.PREFIX) for key in keys.KNOWN - {keys.ROLLOUT_APPLIED})


def _warning(name: str) -> str:
    (warning,) = answer(plain_pod(S3, annotations={name: "x"}))["warnings"]
    return str(warning)


MISSPELLED = {
    "readyonly": "readonly",
    "readOnly": "readonly",
    "read-only": "readonly",
    "READ_ONLY": "readonly",
    "Readonly": "readonly",
    "mountPath": "mount-path",
    "mount_path": "mount-path",
    "mountpath": "mount-path",
    "mount-pth": "mount-path",
    "mountpth": "mount-path",
    "moutn-path": "mount-path",
    "modelMountPath": "mount-path",
    "url": "uri",
    "URI": "uri",
    "urls": "uris",
    "urii": "uri",
    "storageUri": "uri",
    "storage_uri": "uri",
    "storageURI": "uri",
    "storage-url": "uri",
    "model-uris": "uris",
    "storage-initializer-image": "image",
    "storage-initializer-sourceuri": "uri",
    "container": "containers",
    "contianers": "containers",
    "targetContainers": "containers",
    "pathtype": "path-type",
    "path-types": "path-type",
    "pvcMount": "pvc-mount",
    "cpuRequest": "cpu-request",
    "cpu-limits": "cpu-limit",
    "mem-limit": "memory-limit",
    "memroy-request": "memory-request",
    "ephemeralStorageLimit": "ephemeral-storage-limit",
    "imgae": "image",
    "caches": "cache",
    "rolloutstrategy": "rollout-strategy",
    "progress-deadline-seconds": "progress-deadline",
}

OTHER_NAMES = (
    "secret secret-name secretName storageSecretName uid uuid urn gpu-request gpu-limit request limit path type "
    "mount pvc claim memory cpu image-pull-policy image-pull-secret imagePullPolicy command args model storage name "
    "read readwrite write strategy storage-limit storage-class service-account s3-endpoint region timeout user-id "
    "applied - _ . 0 zzzz rollout-aplied"
).split()


@pytest.mark.parametrize(("name", "meant"), MISSPELLED.items())
def test_a_misspelled_annotation_is_recognized(name: str, meant: str) -> None:
    warning = _warning(keys.PREFIX + name)
    assert warning == (
        f'annotation "{keys.PREFIX}{name}" is unknown and has no effect; did you mean {keys.PREFIX}{meant}?'
    )


@pytest.mark.parametrize("name", [*OTHER_NAMES, "é" * 63, "x" * 10_000])
def test_no_suggestion_is_better_than_a_wrong_one(name: str) -> None:
    assert "did you mean" not in _warning(keys.PREFIX + name)


def _swapped(name: str) -> st.SearchStrategy[str]:
    places = [index for index in range(1, len(name) - 2) if name[index] != name[index + 1]]
    return st.sampled_from(places).map(lambda at: name[:at] + name[at + 1] + name[at] + name[at + 2 :])


def _cased(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(word.capitalize() for word in others)


@given(st.sampled_from(FOR_AUTHORS), st.data())
def test_a_known_name_with_one_fault_is_never_taken_for_another(name: str, data: st.DataObject) -> None:
    faults = [name.upper(), _cased(name), name.replace("-", "_"), name.replace("-", ""), f"model-{name}"]
    if len(name) > len("uris"):
        faults.append(data.draw(_swapped(name)))
    wrong = data.draw(st.sampled_from([fault for fault in faults if keys.PREFIX + fault not in keys.KNOWN]))
    warning = _warning(keys.PREFIX + wrong)
    assert f"did you mean {keys.PREFIX}{name}?" in warning or "did you mean" not in warning
    assert len(warning) <= KUBERNETES_CUTS_AT
    if wrong is not faults[-1]:
        assert "did you mean" in warning


@pytest.mark.parametrize("group", ["serving.kserve.io/", "internal.serving.kserve.io/", "kserve.io/"])
def test_an_annotation_with_a_prefix_of_kserve_is_recognized(group: str) -> None:
    assert (
        f"did you mean {keys.MOUNT_PATH}?"
        in answer(kserve_pod(S3, annotations={group + "mount-path": "x"}))["warnings"][0]
    )
    assert "warnings" not in answer(
        kserve_pod(S3, annotations={group + "deploymentMode": "x", "my-" + group + "uri": "x"})
    )


def test_an_annotation_of_kserve_with_our_prefix_is_recognized() -> None:
    assert f"did you mean {keys.INITIALIZER_UID}?" in _warning(keys.PREFIX + "storage-initializer-uid")


def test_only_the_first_of_many_unknown_annotations_warn() -> None:
    pod = plain_pod(S3, annotations={f"{keys.PREFIX}{index}": "" for index in range(1_000)})
    assert len(answer(pod)["warnings"]) == 16


def test_a_label_that_is_set_as_an_annotation_warns() -> None:
    (warning,) = answer(plain_pod(S3, annotations={keys.INJECT: "disabled"}))["warnings"]
    assert f"annotation {keys.INJECT} has no effect: set it as a label" in warning


@pytest.mark.parametrize("value", ["enabled", "", "Disabled", "false"])
def test_another_value_of_the_label_does_not_disable_injection_and_warns(value: str) -> None:
    pod = plain_pod(S3)
    pod["metadata"]["labels"] = {keys.INJECT + "": value}
    assert initializer(mutated(pod))
    (warning,) = answer(pod)["warnings"]
    assert warning.startswith(f'label {keys.INJECT} "{value}" has no effect')
    assert "disabled" in warning


def test_another_value_of_the_label_warns_on_a_pod_that_requests_no_model() -> None:
    (warning,) = answer(a_pod(labels={keys.INJECT: "enabled"}))["warnings"]
    assert f'label {keys.INJECT} "enabled"' in warning


def test_the_label_that_disables_injection_does_not_warn() -> None:
    response = answer(plain_pod(S3) | {"metadata": {"labels": {keys.INJECT: "disabled"}}})
    assert response["auditAnnotations"]["reason"] == "disabled"
    assert "warnings" not in response


def test_an_unknown_annotation_warns_on_a_pod_that_requests_no_model() -> None:
    skipped = answer(a_pod(annotations={keys.PREFIX + "url": S3}))
    assert skipped["auditAnnotations"]["reason"] == "no-uri"
    assert "did you mean storage.kserve.io/uri?" in skipped["warnings"][0]
