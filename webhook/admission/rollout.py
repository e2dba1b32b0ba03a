"""Changes to a Deployment that its model's storage requires. Pure.

Sets the strategy, the progress deadline and pod defaults if the author left them unset, and warns if replicas cannot
share a claim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook import annotations as keys
from webhook import duration, strategy
from webhook.admission.field_ownership import FieldOwnership
from webhook.cluster.facts import Facts
from webhook.errors import Denied, Forbidden, quoted
from webhook.pod.draft import Draft, JsonObject
from webhook.pod.pod import metadata_map
from webhook.request.model_request import ModelRequest
from webhook.settings.model import Settings
from webhook.strategy import DEFAULT_ROLLING_UPDATE

# The API server's defaults (Kubernetes: apps/v1 and core/v1).
DEFAULT_PROGRESS_DEADLINE = 600
DEFAULT_GRACE_PERIOD = 30

_KSERVE_STANDARD_MODES = ("Standard", "RawDeployment")
_POD_SPEC = ("spec", "template", "spec")
# What the API server checks first. Only a stranger can send something else.
_TYPES: tuple[tuple[tuple[str, ...], type, str], ...] = (
    (("metadata",), dict, "an object"),
    (("metadata", "annotations"), dict, "an object"),
    (("spec", "strategy"), dict, "an object"),
    (("spec", "strategy", "rollingUpdate"), dict, "an object"),
    (("spec", "minReadySeconds"), int, "a number"),
    ((*_POD_SPEC, "securityContext"), dict, "an object"),
)
_POD_FIELDS = frozenset({"terminationGracePeriodSeconds", "enableServiceLinks"})
_SHARED_ACCESS_MODES = frozenset({"ReadOnlyMany", "ReadWriteMany"})


@dataclass(frozen=True, slots=True)
class Rollout:
    """The edited Deployment, and warnings for its author."""

    deployment: JsonObject
    warnings: tuple[str, ...]


def template_of(deployment: Any) -> JsonObject:
    """The pod template. Raises Denied when the object is not a Deployment."""
    spec = deployment.get("spec") if isinstance(deployment, dict) else None
    template = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        raise Denied("spec.template of the Deployment must be an object with a spec")
    return template


def check_types(deployment: JsonObject) -> None:
    """Raise Denied, naming the field, when a field that is read or set has the wrong JSON type."""
    for path, type_, what in _TYPES:
        found: Any = deployment
        for field in path:
            found = found.get(field) if isinstance(found, dict) else None
        if found is not None and not isinstance(found, type_):
            raise Denied(f"{'.'.join(path)} of the Deployment must be {what}")


def roll_out(
    deployment: JsonObject, old: JsonObject | None, request: ModelRequest, settings: Settings, facts: Facts
) -> Rollout:
    """Edit a Deployment whose pods request a model. `old` is the object before an update, None on creation.

    Raises Denied for an invalid annotation, Forbidden for what the settings do not allow.
    """
    edit = _Edit(deployment, old, request, settings)
    edit.set_strategy()
    edit.set_progress_deadline()
    edit.set_pod_defaults()
    edit.record_ownership()
    edit.check_replicas()
    edit.warn_about_single_node_claims(facts)
    return Rollout(edit.draft.root, tuple(edit.warnings))


class _Edit:
    """One Deployment being edited."""

    def __init__(
        self, deployment: JsonObject, old: JsonObject | None, request: ModelRequest, settings: Settings
    ) -> None:
        check_types(deployment)
        self.draft = Draft(deployment)
        self.warnings: list[str] = []
        self._request = request
        self._settings = settings
        self._annotations = _annotations(deployment)
        self._ownership = FieldOwnership(deployment, self._annotations)
        self._template_changes = old is None or template_of(old) != template_of(deployment)

    # --- spec.strategy --------------------------------------------------------------------------------------------

    def set_strategy(self) -> None:
        """Set the strategy: from the annotation, or Recreate if the pods write to a claim, or from the settings."""
        wanted = self._wanted_strategy()
        current = self.draft.root["spec"].get("strategy") or {}
        claim = self._writable_claim()
        if not self._ownership.is_unset("strategy", current, _is_default_strategy(current)):
            if claim and current.get("type") != "Recreate":
                self.warnings.append(
                    f"the model is mounted read-write from claim {quoted(claim)} and the strategy is not Recreate: "
                    "during an update, old and new pods write to the claim at the same time"
                )
            return
        if wanted is not None:
            self.draft.edit_path("spec")["strategy"] = wanted
            self._ownership.set("strategy", wanted)
        if claim and wanted == {"type": "Recreate"}:
            self.warnings.append(
                f"the model is mounted read-write from claim {quoted(claim)}: the strategy is set to Recreate, so "
                "that old and new pods do not write to the claim at the same time"
            )

    def _wanted_strategy(self) -> JsonObject | None:
        text = self._annotations.get(keys.ROLLOUT_STRATEGY)
        if text is not None:
            return _parse_strategy(text)
        if self._writable_claim():
            return {"type": "Recreate"}
        return self._settings.storage_defaults.rollout.strategy or self._kserve_rollout()

    def _kserve_rollout(self) -> JsonObject | None:
        deploy = self._settings.deploy
        rollout = deploy.deployment_rollout_strategy.default_rollout
        if rollout is None or deploy.default_deployment_mode not in _KSERVE_STANDARD_MODES:
            return None
        amounts = {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable}
        rolling = {name: value for name, value in amounts.items() if value != ""}
        return strategy.parse({"type": "RollingUpdate", "rollingUpdate": rolling}) if rolling else None

    # --- spec.progressDeadlineSeconds -----------------------------------------------------------------------------

    def set_progress_deadline(self) -> None:
        """Set the progress deadline: from the annotation, or from the settings."""
        spec = self.draft.root["spec"]
        current = spec.get("progressDeadlineSeconds")
        text = self._annotations.get(keys.PROGRESS_DEADLINE)
        wanted = self._settings.storage_defaults.rollout.progress_deadline_seconds if text is None else _seconds(text)
        unset = self._ownership.is_unset(
            "progressDeadlineSeconds", current, current in (None, DEFAULT_PROGRESS_DEADLINE)
        )
        if wanted is None or not unset:
            return
        if wanted <= (spec.get("minReadySeconds") or 0):
            if text is not None:
                raise Denied(
                    f"annotation {keys.PROGRESS_DEADLINE} {quoted(text)} must be longer than "
                    f"spec.minReadySeconds, which is {spec['minReadySeconds']}"
                )
            return
        self.draft.edit_path("spec")["progressDeadlineSeconds"] = wanted
        self._ownership.set("progressDeadlineSeconds", wanted)

    # --- spec.template.spec ---------------------------------------------------------------------------------------

    def set_pod_defaults(self) -> None:
        """Set the settings' defaults in the pod template, if it changes anyway: each change restarts the pods."""
        pod = self.draft.root["spec"]["template"]["spec"]
        if not self._template_changes:
            self._ownership.keep(_POD_FIELDS, pod)
            return
        rollout = self._settings.storage_defaults.rollout
        self._set_pod_default(
            "terminationGracePeriodSeconds", rollout.termination_grace_period_seconds, pod, DEFAULT_GRACE_PERIOD
        )
        self._set_pod_default("enableServiceLinks", rollout.enable_service_links, pod, True)
        for field, value in (rollout.pod_security_context or {}).items():
            if field not in (pod.get("securityContext") or {}):
                self.draft.edit_path(*_POD_SPEC, "securityContext")[field] = value

    def _set_pod_default(self, field: str, wanted: Any, pod: JsonObject, default: Any) -> None:
        current = pod.get(field)
        if wanted is not None and self._ownership.is_unset(field, current, current in (None, default), *_POD_SPEC[1:]):
            self.draft.edit_path(*_POD_SPEC)[field] = wanted
            self._ownership.set(field, wanted)

    def record_ownership(self) -> None:
        """Record what was set; on the next update these fields count as unset."""
        self._ownership.record(self.draft)

    # --- Replicas and claims --------------------------------------------------------------------------------------

    def _writable_claim(self) -> str:
        """The claim that the pods mount read-write; "" when there is none."""
        if self._request.read_only:
            return ""
        return next((source.claim.claim for source in self._request.sources if source.claim), "")

    def check_replicas(self) -> None:
        """Warn about several replicas that write to one claim. Raises Forbidden if the settings do not allow it."""
        claim = self._writable_claim()
        replicas = self.draft.root["spec"].get("replicas")
        if not claim or not isinstance(replicas, int) or replicas <= 1:
            return
        message = f"{replicas} replicas mount claim {quoted(claim)} read-write and write to the same model"
        if self._settings.storage_defaults.read_write_replicas == "single":
            raise Forbidden(
                f"{message}: set spec.replicas to 1 or mount the claim read-only "
                "(setting storageDefaults.readWriteReplicas is single)"
            )
        self.warnings.append(f"{message}: mount the claim read-only unless the application supports shared writes")

    def warn_about_single_node_claims(self, facts: Facts) -> None:
        """Warn about concurrent pods with a claim that only one node can mount. On one node it works."""
        why = self._why_pods_run_concurrently()
        if not self._request.read_only or not why:
            return
        for source in self._request.mounted:
            claim = facts.claims.get(source.claim.claim) if source.claim else None
            if claim and claim.access_modes and not set(claim.access_modes) & _SHARED_ACCESS_MODES:
                self.warnings.append(
                    f"claim {quoted(source.claim and source.claim.claim)} can be mounted on one node at a time, and "
                    f"{why}: a pod on another node cannot start until the claim is released"
                )

    def _why_pods_run_concurrently(self) -> str:
        """Why more than one pod can run at a time; "" when only one can."""
        spec = self.draft.root["spec"]
        replicas, rollout = spec.get("replicas", 1), spec.get("strategy") or {}
        if isinstance(replicas, int) and replicas > 1:
            return f"there are {replicas} replicas"
        surge = (rollout.get("rollingUpdate") or DEFAULT_ROLLING_UPDATE).get("maxSurge")
        if rollout.get("type") != "Recreate" and surge not in (0, "0%"):
            return "an update starts new pods before the old ones stop"
        return ""


def _annotations(deployment: JsonObject) -> Mapping[str, str]:
    """The annotations of the pod template, overridden by those of the Deployment."""
    return {**metadata_map(template_of(deployment), "annotations"), **metadata_map(deployment, "annotations")}


def _is_default_strategy(current: JsonObject) -> bool:
    rolling = current.get("rollingUpdate") or DEFAULT_ROLLING_UPDATE
    return current.get("type", "RollingUpdate") == "RollingUpdate" and rolling == DEFAULT_ROLLING_UPDATE


def _parse_strategy(text: str) -> JsonObject:
    try:
        return strategy.parse(json.loads(text) if text.lstrip().startswith("{") else text.strip())
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
        raise Denied(f"annotation {keys.ROLLOUT_STRATEGY} {quoted(text)}: {reason}") from None


def _seconds(text: str) -> int:
    try:
        return duration.seconds(text)
    except ValueError:
        raise Denied(
            f"annotation {keys.PROGRESS_DEADLINE} {quoted(text)} is not a duration: "
            f"use a value such as {duration.EXAMPLES}"
        ) from None
