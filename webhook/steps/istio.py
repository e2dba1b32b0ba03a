"""The user id of the init container in pods with an Istio sidecar.

Istio CNI redirects traffic before the sidecar proxy starts. It does not redirect processes with the proxy's user id
(Istio documentation: Istio CNI, compatibility with init containers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft, find
from webhook.steps.inputs import Inputs

ISTIO_INIT = "istio-init"
ISTIO_PROXY_UID = 1337
"""The proxy's user id, unless its container sets runAsUser."""

# The maximum of runAsUser in Kubernetes.
_MAX_UID = 2**31 - 1


def run_as_istio_proxy(pod: PodDraft, inputs: Inputs) -> None:
    """Set the init container's runAsUser to the pod's annotation or, with Istio CNI, to the proxy's user id.

    Istio may add its annotations after this webhook ran, so the step also applies to an existing init container.
    An annotation that is not a user id is ignored, with a warning. Raises Denied when Istio's status is invalid.
    """
    container = pod.edit_init_container()
    if container is None:
        return
    annotations = inputs.request.annotations
    uid = _annotated_uid(pod, annotations.get(keys.INITIALIZER_UID))
    if uid is None:
        uid = _proxy_uid(pod.spec, annotations)
    if uid is not None:
        pod.edit_object(container, "securityContext")["runAsUser"] = uid


def _annotated_uid(pod: PodDraft, text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MAX_UID)) and int(digits) <= _MAX_UID:
        return int(digits)
    pod.warnings.append(
        f"annotation {keys.INITIALIZER_UID} {quoted(text)} is not a user id and is ignored: "
        f"use a number from 0 to {_MAX_UID}, or remove it"
    )
    return None


def _proxy_uid(spec: JsonObject, annotations: Mapping[str, str]) -> int | None:
    """The proxy's user id if Istio CNI redirects traffic before the proxy starts, otherwise None."""
    if find(spec.get("initContainers"), ISTIO_INIT) or annotations.get(keys.ISTIO_INTERCEPTION_MODE) != "REDIRECT":
        return None
    containers = {container["name"]: container for container in reversed(spec.get("containers") or ())}
    sidecar = next((name for name in _sidecars(annotations.get(keys.ISTIO_STATUS)) if name in containers), None)
    if sidecar is None:
        return None
    uid = (containers[sidecar].get("securityContext") or {}).get("runAsUser")
    return uid if isinstance(uid, int) else ISTIO_PROXY_UID


def _sidecars(status: str | None) -> list[str]:
    """The sidecar containers in Istio's status. Native sidecars are not included: they start before the download."""
    if status is None:
        return []
    names = _parse_status(status).get("containers") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Denied(f'annotation {keys.ISTIO_STATUS} {quoted(status)}: "containers" must be a list of names')
    return names


def _parse_status(status: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(status)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise Denied(
            f"annotation {keys.ISTIO_STATUS} {quoted(status)} is not a JSON object: only Istio sets it, remove it"
        )
    return parsed
