"""Intended differences in the injected containers: security, resources, order, and ClusterStorageContainers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.kserve_corpus.pair import Difference, IntendedDifference, Pair
from tests.kserve_corpus.recorded import INITIALIZER, Case
from webhook import quantity

INJECTED = (INITIALIZER, "modelcar", "modelcar-init")
CONFIDENTIAL = "internal.serving.kserve.io/confidential-"
HUGGING_FACE = {
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "HF_XET_HIGH_PERFORMANCE": "1",
    "HF_XET_NUM_CONCURRENT_RANGE_GETS": "8",
}


def _security_context(pair: Pair, given: Difference) -> bool:
    if given.path[1] not in INJECTED or given.path[2:3] != ("securityContext",) or not given.is_added:
        return False
    field = given.path[3]
    if field == "runAsNonRoot":
        return given.ours is True and _everywhere(pair.case, lambda context: context.get(field) is True)
    if field == "seccompProfile":
        return given.ours == {"type": "RuntimeDefault"} and _everywhere(pair.case, _has_seccomp_profile)
    return bool({"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}.get(field) == given.ours)


def _everywhere(case: Case, condition: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether the pod, or each of its own containers, meets the condition."""
    contexts = [container.get("securityContext") or {} for container in case.own_containers]
    return condition(case.spec.get("securityContext") or {}) or all(map(condition, contexts))


def _has_seccomp_profile(context: dict[str, Any]) -> bool:
    return (context.get("seccompProfile") or {}).get("type") == "RuntimeDefault"


def _quality_of_service(pair: Pair, given: Difference) -> bool:
    if not given.in_initializer("resources", "requests"):
        return False
    limit = pair.ours.get((*given.path[:3], "limits", given.path[4]))
    return given.ours == limit and all(_is_guaranteed(each.get("resources") or {}) for each in pair.case.own_containers)


def _is_guaranteed(resources: dict[str, Any]) -> bool:
    limits = resources.get("limits") or {}
    return {"cpu", "memory"} <= limits.keys() and {**limits, **(resources.get("requests") or {})} == limits


def _name(pair: Pair, given: Difference) -> bool:
    names = {each["spec"]["container"].get("name") for each in pair.case.storage_containers}
    return given.path == ("initContainers", INITIALIZER, "name") and given.ours == INITIALIZER and given.kserve in names


def _user_of_renamed(pair: Pair, given: Difference) -> bool:
    is_renamed = pair.kserve.get(("initContainers", INITIALIZER, "name")) not in (INITIALIZER, None)
    return given.in_initializer("securityContext", "runAsUser") and is_renamed and given.ours in _users(pair)


def _users(pair: Pair) -> set[int]:
    """The user IDs that the annotation and Istio's sidecars ask for."""
    annotated = pair.case.annotations.get("serving.kserve.io/storage-initializer-uid", "").strip()
    contexts = [each.get("securityContext") or {} for each in pair.case.spec["containers"] if "istio" in each["name"]]
    return {int(annotated)} if annotated.isdigit() else {context.get("runAsUser", 1337) for context in contexts}


def _unusable_user(pair: Pair, given: Difference) -> bool:
    annotated = pair.case.annotations.get("serving.kserve.io/storage-initializer-uid", "0").strip()
    is_usable = annotated.isascii() and annotated.isdigit() and int(annotated) < 2**31
    if not given.in_initializer("securityContext", "runAsUser") or is_usable:
        return False
    own = [each for each in pair.case.own_containers if each["name"] == INITIALIZER]
    kept = {(each.get("securityContext") or {}).get("runAsUser") for each in own} or {None}
    return given.ours in kept | _users(pair)


def storage_container_field(pair: Pair, given: Difference) -> bool:
    """Whether the value is that of a ClusterStorageContainer, also in a variable, a mount or the resources."""
    if not given.in_initializer() or given.is_missing:
        return False
    return any(_has(each["spec"]["container"], given.path[2:], given.ours) for each in pair.case.storage_containers)


def _has(container: dict[str, Any], path: tuple[str, ...], value: Any) -> bool:
    if path[0] in ("env", "volumeMounts"):
        return value in (
            {k: v for k, v in item.items() if v not in ("", False)} for item in container.get(path[0]) or ()
        )
    found: Any = container
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found is not None and (quantity.parse(found) if path[0] == "resources" else found) == value


def _fetch(pair: Pair, given: Difference) -> bool:
    if pair.case.image_mode != "fetch":
        return False
    if given.ours == {"name": given.variable, "value": HUGGING_FACE.get(given.variable)}:
        return given.is_added
    if given.is_added and given.variable.startswith("CONFIDENTIAL_"):
        key = given.variable.removeprefix("CONFIDENTIAL_").lower().replace("_", "-")
        value = pair.case.annotations.get(CONFIDENTIAL + key)
        return bool(given.ours == {"name": given.variable, "value": value})
    return storage_container_field(pair, given)


def _resolved_uri(pair: Pair, given: Difference) -> bool:
    return pair.case.uri.startswith("<scheme-placeholder>://") and storage_container_field(pair, given)


DIFFERENCES: tuple[IntendedDifference, ...] = (
    IntendedDifference(
        "Security context",
        "Injected containers meet the Pod Security Standard `restricted`, as far as the pod's own containers do.",
        _security_context,
    ),
    IntendedDifference(
        "QoS class",
        "In a `Guaranteed` pod that reserves as much already, the init container's requests equal its limits.",
        _quality_of_service,
    ),
    IntendedDifference(
        "Name of the init container",
        "A ClusterStorageContainer cannot rename the init container, which KServe then injects twice.",
        _name,
    ),
    IntendedDifference(
        "User ID of a renamed init container",
        "The user ID of the annotation or of Istio's proxy is also set with a ClusterStorageContainer.",
        _user_of_renamed,
    ),
    IntendedDifference(
        "Unusable user ID",
        "`serving.kserve.io/storage-initializer-uid` without a valid user ID is ignored, with a warning.",
        _unusable_user,
    ),
    IntendedDifference(
        "`oci+fetch` is a download",
        "Its init container gets the Hugging Face and confidential variables and its ClusterStorageContainer.",
        _fetch,
    ),
    IntendedDifference(
        "ClusterStorageContainer for a storage spec",
        "If none supports the URI as it is written, one that supports the resolved URI is used.",
        _resolved_uri,
    ),
)
