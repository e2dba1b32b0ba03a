"""The user id that lets the download past Istio's redirection, which begins before its proxy runs.

Istio CNI, compatibility with init containers: what runs with the proxy's user id is not redirected to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webhook import annotations as keys
from webhook.errors import Denied, shown
from webhook.pod import JsonObject, PodDraft, find
from webhook.steps.inputs import Inputs

ISTIO_INIT = "istio-init"
ISTIO_PROXY_UID = 1337
"""The proxy's user id, unless its container says otherwise."""

# Kubernetes: runAsUser.
_MAX_UID = 2**31 - 1


def run_as_istio_proxy(pod: PodDraft, inputs: Inputs) -> None:
    """Set the init container's runAsUser to what the pod's annotation says, or with Istio CNI to the proxy's.

    Istio may write its annotations only after a first call, so this holds for an init container that is there already.
    Raises Denied when the annotation is no user id, or Istio's status cannot be read.
    """
    container = pod.edit_init_container()
    if container is None:
        return
    annotations = inputs.request.annotations
    asked = annotations.get(keys.INITIALIZER_UID)
    uid = _user_id(asked) if asked is not None else _proxy_uid(pod.spec, annotations)
    if uid is not None:
        pod.edit_object(container, "securityContext")["runAsUser"] = uid


def _user_id(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or int(digits) > _MAX_UID:
        raise Denied(
            f"annotation {keys.INITIALIZER_UID} {shown(text)} is not a user id: write a number from 0 to {_MAX_UID}"
        )
    return int(digits)


def _proxy_uid(spec: JsonObject, annotations: Mapping[str, str]) -> int | None:
    """The user id of Istio's proxy, when traffic is redirected to it while it does not run yet; else None."""
    if find(spec.get("initContainers"), ISTIO_INIT) or annotations.get(keys.ISTIO_INTERCEPTION_MODE) != "REDIRECT":
        return None
    for name in _sidecars(annotations.get(keys.ISTIO_STATUS)):
        if sidecar := find(spec.get("containers"), name):
            uid = (sidecar.get("securityContext") or {}).get("runAsUser")
            return uid if isinstance(uid, int) else ISTIO_PROXY_UID
    return None


def _sidecars(status: str | None) -> list[str]:
    """The containers that Istio's status names; native sidecars are not among them and run before the download."""
    if status is None:
        return []
    names = _parsed(status).get("containers") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Denied(f"annotation {keys.ISTIO_STATUS} {shown(status)}: its containers are not a list of names")
    return names


def _parsed(status: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(status)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise Denied(
            f"annotation {keys.ISTIO_STATUS} {shown(status)} is not a JSON object: it is Istio's to write; remove it"
        )
    return parsed
