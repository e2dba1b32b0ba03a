"""The inputs of a download: all that a pod says and that may decide which bytes its init container gets.

Every field and every environment variable of the init container counts, unless it is listed here with the reason why
it does not decide the bytes. A field that Kubernetes or KServe adds in the future counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from webhook.download.command import STOCK_COMMAND
from webhook.pod.pod import JsonObject, find

IGNORED_FIELDS: Mapping[str, str] = {
    "name": "The webhook always sets the same name.",
    "resources": "They decide how fast the download is.",
    "securityContext": "It decides who owns the files.",
    "imagePullPolicy": "The image's name counts.",
    "terminationMessagePath": "It is about messages.",
    "terminationMessagePolicy": "It is about messages.",
}
"""Fields of the init container that do not decide the bytes, with the reasons."""

_TUNING = "It decides how fast the download is."
_TRUST = "It decides which servers are trusted, not which one is asked, and administrators renew certificates."

IGNORED_VARIABLES: Mapping[str, str] = {
    "HF_HUB_ENABLE_HF_TRANSFER": _TUNING,
    "HF_XET_HIGH_PERFORMANCE": _TUNING,
    "HF_XET_NUM_CONCURRENT_RANGE_GETS": _TUNING,
    "AWS_CA_BUNDLE": _TRUST,
    "AWS_CA_BUNDLE_CONFIGMAP": _TRUST,
    "CA_BUNDLE_CONFIGMAP_NAME": _TRUST,
    "CA_BUNDLE_VOLUME_MOUNT_POINT": _TRUST,
}
"""Environment variables of the init container that do not decide the bytes, with the reasons."""

POD_FIELDS = ("dnsConfig", "dnsPolicy", "hostAliases", "hostNetwork")
"""Fields of the pod's spec that decide which server a host name stands for.

`hostname` and `subdomain` do not count: they name the pod itself, and differ between the pods of a StatefulSet.
"""

_DEFAULT_DNS_POLICY = "ClusterFirst"
"""The API server adds this value before it calls webhooks; in a file or a template it is often left out."""


def download_inputs(
    spec: JsonObject, container: JsonObject, own_image: str, ignored_volumes: Collection[str]
) -> JsonObject:
    """The inputs in a pod's spec and in its finished init container, as JSON values for the cache key.

    The settings' own image and its entry point do not count: an upgrade must not download every model again.
    `ignored_volumes` are the names of volumes that do not decide the bytes, such as those with CA certificates.
    """
    fields = {name: value for name, value in container.items() if value and name not in IGNORED_FIELDS}
    if fields.get("image") == own_image:
        del fields["image"]
    if tuple(fields.get("command") or ()) == STOCK_COMMAND:
        del fields["command"]
    fields["env"] = _variables(container.get("env") or ())
    fields["volumeMounts"] = _mounts(spec, container.get("volumeMounts") or (), ignored_volumes)
    of_pod = {name: spec[name] for name in POD_FIELDS if spec.get(name)}
    if of_pod.get("dnsPolicy") == _DEFAULT_DNS_POLICY:
        del of_pod["dnsPolicy"]
    return fields | of_pod


def _variables(variables: Iterable[JsonObject]) -> list[JsonObject]:
    """The variables that count, as literal values and references, sorted by name."""
    return sorted(
        (variable for variable in variables if variable["name"] not in IGNORED_VARIABLES),
        key=lambda variable: str(variable["name"]),
    )


def _mounts(spec: JsonObject, mounts: Iterable[JsonObject], ignored_volumes: Collection[str]) -> list[JsonObject]:
    """The mounts that count, with the sources of their volumes instead of the volumes' names."""
    counting = (mount for mount in mounts if mount.get("name") not in ignored_volumes)
    found = [{**mount, "name": _source(spec, mount.get("name"))} for mount in counting]
    return sorted(found, key=lambda mount: str(mount.get("mountPath")))


def _source(spec: JsonObject, volume: Any) -> JsonObject:
    found = find(spec.get("volumes"), volume) or {}
    return {kind: source for kind, source in found.items() if kind != "name"}
