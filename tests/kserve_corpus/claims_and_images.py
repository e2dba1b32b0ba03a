"""Intended differences in how claims and images are delivered, and in the URI."""

from __future__ import annotations

import hashlib
import posixpath
from typing import Any

from tests.kserve_corpus.pair import MODEL_PATH, Difference, IntendedDifference, Pair
from tests.kserve_corpus.recorded import INITIALIZER, Case

CLAIM_VOLUME = "kserve-pvc-source"
PULL_SECRET = "kserve-oci-fetch-docker-config"
PULL_SECRET_PATH = "/mnt/oci-fetch-auth"
INJECTED = (INITIALIZER, "modelcar", "modelcar-init")
LOCAL_MODEL = "internal.serving.kserve.io/localmodel"


def _is_read_only(case: Case) -> bool:
    return case.annotations.get("storage.kserve.io/readonly", "").strip().lower() != "false"


def _plain_path(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _without(item: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in fields}


def _claim_mount(case: Case, kserve: dict[str, Any], path: str) -> dict[str, Any]:
    """KServe's mount of a claim, with another path in the claim, and as read-only as this webhook mounts it."""
    changed = {**_without(kserve, "readOnly", "subPath"), "subPath": _plain_path(path), "readOnly": _is_read_only(case)}
    return {key: value for key, value in changed.items() if value}


def _false_in_capitals(pair: Pair, given: Difference) -> bool:
    text = pair.case.annotations.get("storage.kserve.io/readonly", "")
    is_false = text != "false" and not _is_read_only(pair.case)
    return (
        is_false
        and given.is_mount("containers")
        and bool(given.kserve)
        and bool(given.ours == _without(given.kserve, "readOnly"))
    )


def _claim_path(pair: Pair, given: Difference) -> bool:
    is_claim = given.is_mount("containers", MODEL_PATH) and (given.kserve or {}).get("name") == CLAIM_VOLUME
    return is_claim and bool(given.ours == _claim_mount(pair.case, given.kserve, given.kserve.get("subPath", "")))


def _single_file(pair: Pair, given: Difference) -> bool:
    """Two mounts differ: that of KServe's directory, and that of the file."""
    if not given.is_mount("containers"):
        return False
    mounts = (value for path, value in pair.kserve.items() if path[:3] == given.path[:3])
    directory: dict[str, Any] = next((mount for mount in mounts if mount["name"] == CLAIM_VOLUME), {})
    path = directory.get("subPath", "")
    if not path.lower().endswith(pair.case.settings.storage_defaults.single_file):
        return False
    file = posixpath.join(MODEL_PATH, posixpath.basename(path))
    mounted = _claim_mount(pair.case, {**directory, "mountPath": file}, path)
    if given.is_missing:
        return bool(given.kserve == directory) and pair.ours.get((*given.path[:3], file)) == mounted
    return given.path[3] == file and given.is_added and bool(given.ours == mounted)


def _local_model_path(pair: Pair, given: Difference) -> bool:
    """KServe cuts the source URI off as text, and mounts a path that does not exist if it ends in a slash."""
    source = pair.case.annotations.get(f"{LOCAL_MODEL}-sourceuri", "")
    if not given.is_mount("containers", MODEL_PATH) or LOCAL_MODEL not in pair.case.labels or not given.kserve:
        return False
    return source.endswith("/") and bool(given.ours == _claim_mount(pair.case, given.kserve, _cached_path(pair.case)))


def _cached_path(case: Case) -> str:
    source = case.annotations.get(f"{LOCAL_MODEL}-sourceuri", "")
    key = hashlib.sha256(source.encode()).hexdigest()[:16]
    return f"models/{key}/{case.uri.removeprefix(source.rstrip('/'))}"


def _cached_image(pair: Pair, given: Difference) -> bool:
    """KServe runs or fetches the image too, whether or not it mounts the cached claim."""
    case = pair.case
    if LOCAL_MODEL not in case.labels or not case.uri.startswith("oci"):
        return False
    if given.path[1:] == ("order",):
        names = [name for name in given.kserve or () if name not in INJECTED]
        return given.ours in (names, pair.own[given.path])
    if given.is_mount("containers", MODEL_PATH) and given.ours:
        mount = {"name": CLAIM_VOLUME, "mountPath": MODEL_PATH}
        return bool(given.ours == _claim_mount(case, mount, _cached_path(case)))
    is_claim = isinstance(given.kserve, dict) and given.kserve.get("name") == CLAIM_VOLUME
    return given.is_missing and not is_claim


def _has_own_initializer(case: Case) -> bool:
    return any(container["name"] == INITIALIZER for container in case.own_containers)


def _own_initializer(pair: Pair, given: Difference) -> bool:
    if pair.case.image_mode != "fetch" or not _has_own_initializer(pair.case):
        return False
    mounts = given.is_mount("containers", MODEL_PATH) or given.is_mount("initContainers", MODEL_PATH)
    return given.is_missing and (given.path == ("volumes", "mnt-models") or mounts)


def _white_space(pair: Pair, given: Difference) -> bool:
    """Without the white space, a claim is mounted, which KServe downloads."""
    case = pair.case
    if case.written_uri == case.uri:
        return False
    if given.path[2:] == ("args",) and given.ours:
        return bool([given.kserve, given.ours] == [[case.written_uri, MODEL_PATH], [case.uri, MODEL_PATH]])
    if given.is_mount("containers", MODEL_PATH) and (given.kserve or {}).get("name") == CLAIM_VOLUME:
        return bool(given.ours == _claim_mount(case, given.kserve, given.kserve.get("subPath", "").strip()))
    return case.uri.startswith("pvc://") and _is_mounted_instead(case, given)


def _is_mounted_instead(case: Case, given: Difference) -> bool:
    claim, _, path = case.uri.removeprefix("pvc://").partition("/")
    if given.is_mount("containers", MODEL_PATH):
        mounted = {"name": CLAIM_VOLUME, "mountPath": MODEL_PATH, "readOnly": _is_read_only(case), "subPath": path}
        return bool(given.ours == {key: value for key, value in mounted.items() if value})
    if given.path == ("volumes", CLAIM_VOLUME):
        return bool(given.ours == {"name": CLAIM_VOLUME, "persistentVolumeClaim": {"claimName": claim}})
    if given.path == ("initContainers", "order"):
        return bool([name for name in given.kserve if name != INITIALIZER] == given.ours)
    return given.is_missing and (given.in_initializer() or given.path[0] == "volumes")


def _modelcar_link(pair: Pair, given: Difference) -> bool:
    if given.path[2:] != ("args",) or not isinstance(given.kserve, list) or len(given.kserve) != 3:
        return False
    return bool(given.ours == [*given.kserve[:2], str(given.kserve[2]).replace("ln -sf ", "ln -sfn ", 1)])


def _modelcar_check(pair: Pair, given: Difference) -> bool:
    if given.path != ("initContainers", "modelcar-init", "args") or not given.kserve or not given.ours:
        return False
    *shell, command = given.ours
    return given.kserve[:2] == shell == ["sh", "-c"] and "/models" in command and "exit 1" in command


def _read_only_modelcar(pair: Pair, given: Difference) -> bool:
    is_field = given.path[1:] == ("modelcar", "securityContext", "readOnlyRootFilesystem")
    return is_field and given.ours is True and _is_read_only(pair.case)


def _modelcar_user(pair: Pair, given: Difference) -> bool:
    uid = pair.case.settings.storage_initializer.uid_modelcar
    is_field = given.path == ("initContainers", "modelcar-init", "securityContext", "runAsUser")
    return is_field and given.is_added and given.ours == uid


def _modelcar_ids(pair: Pair, given: Difference) -> bool:
    if given.path[1] not in ("modelcar", "modelcar-init") or given.path[2:3] != ("securityContext",):
        return False
    targets = [
        pair.ours.get(("containers", name, *given.path[2:])) for name in ("kserve-container", "worker-container")
    ]
    return given.path[3] in ("runAsUser", "runAsGroup") and given.ours is not None and given.ours in targets


def _modelcar_of_a_job(pair: Pair, given: Difference) -> bool:
    if pair.case.spec.get("restartPolicy", "Always") == "Always":
        return False
    if given.path == ("containers", "order"):
        return bool(given.ours == [name for name in given.kserve or () if name != "modelcar"])
    if given.path == ("initContainers", "order"):
        return bool(given.kserve == [name for name in given.ours or () if name != "modelcar"])
    if given.path == ("containers", "modelcar", "startupProbe") and given.is_added:
        fields = given.ours.keys() == {"exec", "periodSeconds", "failureThreshold"}
        return fields and bool(given.ours["exec"] == {"command": ["test", "-e", MODEL_PATH]})
    return given.path == ("containers", "modelcar", "restartPolicy") and given.ours == "Always"


def _fetch_read_only(pair: Pair, given: Difference) -> bool:
    is_fetched = pair.case.image_mode == "fetch" and given.is_mount("containers", MODEL_PATH) and given.kserve
    return bool(is_fetched) and given.ours == {**given.kserve, "readOnly": True} and _is_read_only(pair.case)


def _unusable_pull_secret(pair: Pair, given: Difference) -> bool:
    names = [each["name"] for each in pair.case.spec.get("imagePullSecrets") or ()]
    if any(".dockerconfigjson" in (pair.case.secret(name).get("data") or {}) for name in names):
        return False
    is_volume = given.path == ("volumes", PULL_SECRET) or given.is_mount("initContainers", PULL_SECRET_PATH)
    return given.is_missing and (is_volume or given.variable == "KSERVE_OCI_DOCKER_CONFIG")


def _taken_volume_name(pair: Pair, given: Difference) -> bool:
    taken = {volume["name"] for volume in pair.case.spec.get("volumes") or ()}
    if pair.case.image_mode != "fetch" or "mnt-models" not in taken:
        return False
    name = next((path[1] for path in pair.ours if path[0] == "volumes" and path[1].startswith("mnt-models-")), "")
    if given.path[0] == "volumes":
        return bool(given.ours == {"name": name, "emptyDir": {}})
    read_only = {"readOnly": True} if given.path[0] == "containers" and _is_read_only(pair.case) else {}
    is_mount = given.is_mount("containers", MODEL_PATH) or given.is_mount("initContainers", MODEL_PATH)
    return is_mount and bool(given.ours == {"name": name, "mountPath": MODEL_PATH, **read_only})


def _storage_uri(pair: Pair, given: Difference) -> bool:
    if given.path[0] != "containers" or given.path[2:] != ("env", "STORAGE_URI") or not given.kserve:
        return False
    is_model_path = given.kserve.get("value") and given.ours == {"name": "STORAGE_URI", "value": MODEL_PATH}
    return bool(is_model_path) and (given.path[1] == "transformer-container" or pair.case.image_mode is not None)


DIFFERENCES: tuple[IntendedDifference, ...] = (
    IntendedDifference(
        "`FALSE`",
        "`readonly: FALSE` is false, and any value that is neither true nor false causes a warning.",
        _false_in_capitals,
    ),
    IntendedDifference(
        "Path in a claim",
        "A `subPath` has no redundant slashes.",
        _claim_path,
    ),
    IntendedDifference(
        "Single file",
        "A file is mounted as a file in the model's directory, where KServe mounts it as the directory.",
        _single_file,
    ),
    IntendedDifference(
        "Path of a cached model",
        "A slash at the end of the cached URI does not change the path in the cache.",
        _local_model_path,
    ),
    IntendedDifference(
        "Cached image",
        "An image that is cached on the node is only mounted from the cache, where KServe also runs or fetches it.",
        _cached_image,
    ),
    IntendedDifference(
        "Init container of the pod",
        "A pod that has an init container `storage-initializer` gets no second download and no volume for it.",
        _own_initializer,
    ),
    IntendedDifference(
        "White space",
        "White space around the URI is ignored.",
        _white_space,
    ),
    IntendedDifference(
        "Link of a modelcar",
        "`ln -n` replaces the link of an earlier start, so that a modelcar can restart.",
        _modelcar_link,
    ),
    IntendedDifference(
        "Check of a modelcar",
        "The modelcar's init container reports in its own words whether the image contains a model.",
        _modelcar_check,
    ),
    IntendedDifference(
        "Read-only modelcar",
        "The modelcar's root file system is read-only, unless `readonly` is `false`.",
        _read_only_modelcar,
    ),
    IntendedDifference(
        "User ID of a modelcar",
        "`uidModelcar` also applies to the modelcar's init container, so that a pod that forbids root can start.",
        _modelcar_user,
    ),
    IntendedDifference(
        "IDs of a modelcar",
        "A modelcar runs with the user and group ID of its target, because only equal IDs can read the model.",
        _modelcar_ids,
    ),
    IntendedDifference(
        "Modelcar of a Job",
        "The modelcar is a native sidecar in pods that complete, because the Job never completes otherwise.",
        _modelcar_of_a_job,
    ),
    IntendedDifference(
        "Read-only `oci+fetch`",
        "A fetched model is mounted read-only, unless `readonly` is `false`.",
        _fetch_read_only,
    ),
    IntendedDifference(
        "Pull secret without a login",
        "`oci+fetch` skips pull secrets that do not exist or have no key `.dockerconfigjson`, with a warning.",
        _unusable_pull_secret,
    ),
    IntendedDifference(
        "Volume name of `oci+fetch`",
        "If the pod has a volume `mnt-models`, the model's volume gets another name.",
        _taken_volume_name,
    ),
    IntendedDifference(
        "`STORAGE_URI`",
        "It is the model's path in every container that gets the model, and for images too.",
        _storage_uri,
    ),
)
