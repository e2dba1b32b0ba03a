"""The outcome for a Deployment whose pods request a model.

`read` reads what the pods request; the caller looks up facts; `apply` makes the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from webhook import annotations as keys
from webhook.admission import pods
from webhook.admission.outcome import Outcome, denied, skipped
from webhook.admission.rollout import Rollout, roll_out, template_of
from webhook.admission.workloads import pods_denied
from webhook.cluster.facts import Facts
from webhook.errors import Denied
from webhook.pod.diff import diff
from webhook.pod.draft import JsonObject
from webhook.pod.pod import metadata_list, metadata_map
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings


def read(deployment: Any, namespace: str, settings: Settings) -> ModelRequest | Outcome:
    """What the pods of a Deployment request; an outcome when they request nothing, or would be denied."""
    try:
        template = template_of(deployment)
        if metadata_map(deployment, "labels").get(keys.INJECT) == "disabled":
            return skipped("disabled")
    except Denied as error:
        return denied(error, settings)
    if is_owned_by_knative(deployment):
        return skipped("knative-owned")
    request = pods.read(template, namespace, settings)
    if isinstance(request, Outcome) and request.kind == "denied":
        # The Deployment itself is well formed; its author learns now how its pods will be answered.
        return skipped("pods-denied", (pods_denied(request.message),))
    return request


def is_owned_by_knative(deployment: Mapping[str, Any]) -> bool:
    """Whether Knative owns this Deployment; it would revert what others change."""
    return any(
        str(owner.get("apiVersion", "")).partition("/")[0].endswith("knative.dev")
        for owner in metadata_list(deployment, "ownerReferences")
    )


def apply(deployment: JsonObject, old: Any, request: ModelRequest, settings: Settings, facts: Facts) -> Outcome:
    """The outcome for a Deployment whose pods request a model; `old`: the object before an update, else None."""
    try:
        rollout = roll_out(deployment, old, request, settings, facts)
    except Denied as error:
        return denied(error, settings)
    kind: Literal["adjusted", "unchanged"] = "unchanged" if rollout.deployment == deployment else "adjusted"
    if settings.observing:
        return _observed(kind, deployment, rollout)
    return Outcome(kind, mutated=rollout.deployment, warnings=rollout.warnings, audit={"outcome": kind})


def _observed(kind: str, deployment: JsonObject, rollout: Rollout) -> Outcome:
    """The outcome in observe mode: a warning with the fields of the spec that would be set."""
    changes = diff(deployment["spec"], rollout.deployment["spec"], "spec")
    fields = ", ".join(change["path"].replace("/", ".") for change in changes)
    would = (f"would be adjusted, but observe mode changes nothing: {fields}",) if fields else ()
    audit = {"outcome": "observed", "reason": kind}
    return Outcome("observed", reason=kind, warnings=(*would, *rollout.warnings), audit=audit)
