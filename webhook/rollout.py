"""Rollouts that fit the storage: what becomes of a Deployment whose pods ask for a model. Pure.

What the author wrote always wins. The API server fills its defaults before any webhook sees the object, so those very
values count as unset, unless server-side apply shows that somebody owns them (Kubernetes: metadata.managedFields;
entries of other operations own defaulted fields too, and so say nothing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webhook import annotations as keys
from webhook import strategy
from webhook.admission import Outcome, ask, denied, skipped
from webhook.diff import diff
from webhook.draft import Draft, JsonObject
from webhook.errors import Denied, Forbidden, shown
from webhook.facts import Facts
from webhook.pod import metadata_map
from webhook.request import ModelRequest
from webhook.settings.model import Settings
from webhook.strategy import DEFAULT_ROLLING_UPDATE

# What the API server fills in (Kubernetes: apps/v1 and core/v1 defaults).
DEFAULT_PROGRESS_DEADLINE = 600
DEFAULT_GRACE_PERIOD = 30

_KSERVE_STANDARD_MODES = ("Standard", "RawDeployment")
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
_POD_SPEC = ("spec", "template", "spec")


@dataclass(frozen=True, slots=True)
class Rollout:
    """The edited Deployment, and what its author should know."""

    deployment: JsonObject
    warnings: tuple[str, ...]


def is_knatives(deployment: Mapping[str, Any]) -> bool:
    """Whether Knative owns this Deployment, and would undo what others change in it."""
    return any(
        str(owner.get("apiVersion", "")).partition("/")[0].endswith("knative.dev")
        for owner in _objects(deployment, "ownerReferences")
    )


def template_of(deployment: Any) -> JsonObject:
    """The pod template. Raises Denied when the object is no Deployment."""
    spec = deployment.get("spec") if isinstance(deployment, dict) else None
    template = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        raise Denied("spec.template of the Deployment must be an object with a spec")
    return template


def ask_deployment(deployment: Any, namespace: str, settings: Settings) -> ModelRequest | Outcome:
    """What the pods of a Deployment ask for; an outcome when that is nothing, or when they would be denied."""
    try:
        template = template_of(deployment)
        if metadata_map(deployment, "labels").get(keys.INJECT) == "disabled":
            return skipped("disabled")
    except Denied as error:
        return denied(error, settings)
    if is_knatives(deployment):
        return skipped("knative-owned")
    asked = ask(template, namespace, settings)
    if isinstance(asked, Outcome) and asked.kind == "denied":
        # The Deployment itself is well formed; its author learns now what its pods would be told.
        return skipped("pods-denied", (f"the pods of this Deployment will be denied: {asked.message}",))
    return asked


def settle_deployment(
    deployment: JsonObject, old: Any, request: ModelRequest, settings: Settings, facts: Facts
) -> Outcome:
    """The outcome for a Deployment whose pods ask for a model; `old` is what it replaces, None when it is created."""
    try:
        rolled = roll_out(deployment, old, request, settings, facts)
    except Denied as error:
        return denied(error, settings)
    kind: Literal["adjusted", "unchanged"] = "unchanged" if rolled.deployment == deployment else "adjusted"
    if settings.observing:
        return _observed(kind, deployment, rolled)
    return Outcome(kind, pod=rolled.deployment, warnings=rolled.warnings, audit={"outcome": kind})


def _observed(kind: str, deployment: JsonObject, rolled: Rollout) -> Outcome:
    """What observe mode says of a Deployment: the fields of its spec that would be set."""
    changes = diff(deployment["spec"], rolled.deployment["spec"], "spec")
    places = ", ".join(change["path"].replace("/", ".") for change in changes)
    would = (f"would be adjusted, but observe mode changes nothing: {places}",) if places else ()
    audit = {"outcome": "observed", "reason": kind}
    return Outcome("observed", reason=kind, warnings=(*would, *rolled.warnings), audit=audit)


def roll_out(
    deployment: JsonObject, old: JsonObject | None, request: ModelRequest, settings: Settings, facts: Facts
) -> Rollout:
    """The Deployment as its model's storage needs it; `old` is what it replaces, None when it is created.

    Raises Denied for an annotation that is wrong, Forbidden for what the settings do not allow.
    """
    edit = _Edit(deployment, old, request, settings)
    edit.set_strategy()
    edit.set_progress_deadline()
    edit.set_pod_defaults()
    edit.record()
    edit.warn_of_replicas()
    edit.warn_of_one_node(facts)
    return Rollout(edit.draft.root, tuple(edit.warnings))


class _Edit:
    """One Deployment being edited."""

    def __init__(
        self, deployment: JsonObject, old: JsonObject | None, request: ModelRequest, settings: Settings
    ) -> None:
        template_of(deployment)
        self.draft = Draft(deployment)
        self.warnings: list[str] = []
        self._request = request
        self._settings = settings
        self._annotations = _annotations(deployment)
        self._owned = _Owned(deployment)
        self._applied_before = _applied(self._annotations)
        self._applied: dict[str, Any] = {}
        self._template_changes = old is None or template_of(old) != template_of(deployment)

    # --- spec.strategy --------------------------------------------------------------------------------------------

    def set_strategy(self) -> None:
        """The annotation's strategy, or Recreate where two generations would write one claim, or the settings'."""
        wanted = self._wanted_strategy()
        current = self.draft.root["spec"].get("strategy") or {}
        writes = self._writes_a_claim()
        if not self._is_unset("strategy", current, _is_default_strategy(current)):
            if writes and current.get("type") != "Recreate":
                self.warnings.append(
                    f"the model is mounted read-write from claim {shown(writes)} and the strategy is not Recreate: "
                    "during an update old and new pods write it at the same time"
                )
            return
        if wanted is not None:
            self.draft.edit_path("spec")["strategy"] = wanted
            self._applied["strategy"] = wanted
        if writes and wanted == {"type": "Recreate"}:
            self.warnings.append(
                f"the model is mounted read-write from claim {shown(writes)}: the strategy is Recreate, so that old "
                "and new pods do not write it at the same time"
            )

    def _wanted_strategy(self) -> JsonObject | None:
        text = self._annotations.get(keys.ROLLOUT_STRATEGY)
        if text is not None:
            return _parse_strategy(text)
        if self._writes_a_claim():
            return {"type": "Recreate"}
        return self._settings.storage_defaults.rollout.strategy or self._kserve_rollout()

    def _kserve_rollout(self) -> JsonObject | None:
        deploy = self._settings.deploy
        rollout = deploy.deployment_rollout_strategy.default_rollout
        if rollout is None or deploy.default_deployment_mode not in _KSERVE_STANDARD_MODES:
            return None
        chosen = {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable}
        rolling = {name: value for name, value in chosen.items() if value != ""}
        return strategy.parse({"type": "RollingUpdate", "rollingUpdate": rolling}) if rolling else None

    # --- spec.progressDeadlineSeconds -----------------------------------------------------------------------------

    def set_progress_deadline(self) -> None:
        """The annotation's deadline, or the settings'."""
        spec = self.draft.root["spec"]
        current = spec.get("progressDeadlineSeconds")
        text = self._annotations.get(keys.PROGRESS_DEADLINE)
        wanted = self._settings.storage_defaults.rollout.progress_deadline_seconds if text is None else _seconds(text)
        unset = self._is_unset("progressDeadlineSeconds", current, current in (None, DEFAULT_PROGRESS_DEADLINE))
        if wanted is None or not unset:
            return
        if wanted <= (spec.get("minReadySeconds") or 0):
            if text is not None:
                raise Denied(
                    f"annotation {keys.PROGRESS_DEADLINE} {shown(text)} must be longer than "
                    f"spec.minReadySeconds, which is {spec['minReadySeconds']}"
                )
            return
        self.draft.edit_path("spec")["progressDeadlineSeconds"] = wanted
        self._applied["progressDeadlineSeconds"] = wanted

    # --- spec.template.spec ---------------------------------------------------------------------------------------

    def set_pod_defaults(self) -> None:
        """The settings' defaults for the pods, but never so that an update of something else restarts them."""
        pod = self.draft.root["spec"]["template"]["spec"]
        if not self._template_changes:
            before = self._applied_before
            self._applied |= {
                field: before[field] for field in _POD_FIELDS & before.keys() if pod.get(field) == before[field]
            }
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
        if wanted is not None and self._is_unset(field, current, current in (None, default), *_POD_SPEC[1:]):
            self.draft.edit_path(*_POD_SPEC)[field] = wanted
            self._applied[field] = wanted

    # --- What is the author's, and what is ours -------------------------------------------------------------------

    def _is_unset(self, field: str, current: Any, is_default: bool, *parents: str) -> bool:
        if self._owned(*parents, field):
            return False
        return is_default or (field in self._applied_before and self._applied_before[field] == current)

    def record(self) -> None:
        """Remember what was set; on the next update the same values are still ours to change."""
        metadata = self.draft.root.get("metadata") or {}
        text = json.dumps(self._applied, sort_keys=True, separators=(",", ":"))
        recorded = (metadata.get("annotations") or {}).get(keys.ROLLOUT_APPLIED)
        if self._applied and recorded != text:
            self.draft.edit_path("metadata", "annotations")[str(keys.ROLLOUT_APPLIED)] = text
        elif not self._applied and recorded is not None:
            del self.draft.edit_path("metadata", "annotations")[keys.ROLLOUT_APPLIED]

    # --- Claims that are written ----------------------------------------------------------------------------------

    def _writes_a_claim(self) -> str:
        """The claim that the pods mount read-write; "" when there is none."""
        if self._request.read_only:
            return ""
        return next((source.claim.claim for source in self._request.sources if source.claim), "")

    def warn_of_replicas(self) -> None:
        """Several replicas that write one claim: a warning, or a denial where the settings say so."""
        claim = self._writes_a_claim()
        replicas = self.draft.root["spec"].get("replicas")
        if not claim or not isinstance(replicas, int) or replicas <= 1:
            return
        message = f"{replicas} replicas mount claim {shown(claim)} read-write and write the same model"
        if self._settings.storage_defaults.read_write_replicas == "single":
            raise Forbidden(
                f"{message}: set spec.replicas to 1 or mount it read-only "
                "(setting storageDefaults.readWriteReplicas is single)"
            )
        self.warnings.append(f"{message}: mount it read-only unless they are made to share it")

    def warn_of_one_node(self, facts: Facts) -> None:
        """Pods beside each other on a claim that only one node can mount: a warning, since on one node it works."""
        beside = self._pods_beside_each_other()
        if not self._request.read_only or not beside:
            return
        for source in self._request.mounted:
            claim = facts.claims.get(source.claim.claim) if source.claim else None
            if claim and claim.access_modes and not set(claim.access_modes) & _SEVERAL_NODES:
                self.warnings.append(
                    f"claim {shown(source.claim and source.claim.claim)} can be mounted on one node at a time, and "
                    f"{beside}: a pod that is scheduled to another node waits for it"
                )

    def _pods_beside_each_other(self) -> str:
        """Why there is more than one pod at some time; "" when there never is."""
        spec = self.draft.root["spec"]
        replicas, rollout = spec.get("replicas", 1), spec.get("strategy") or {}
        if isinstance(replicas, int) and replicas > 1:
            return f"there are {replicas} replicas"
        surge = (rollout.get("rollingUpdate") or DEFAULT_ROLLING_UPDATE).get("maxSurge")
        if rollout.get("type") != "Recreate" and surge not in (0, "0%"):
            return "an update starts new pods beside the old ones"
        return ""


_SEVERAL_NODES = frozenset({"ReadOnlyMany", "ReadWriteMany"})
_POD_FIELDS = frozenset({"terminationGracePeriodSeconds", "enableServiceLinks"})


class _Owned:
    """Which fields of the spec somebody owns by server-side apply."""

    def __init__(self, deployment: JsonObject) -> None:
        self._specs = [
            (entry.get("fieldsV1") or {}).get("f:spec") or {}
            for entry in _objects(deployment, "managedFields")
            if entry.get("operation") == "Apply" and not entry.get("subresource")
        ]

    def __call__(self, *path: str) -> bool:
        return any(_has(fields, path) for fields in self._specs)


def _objects(deployment: Mapping[str, Any], field: str) -> list[JsonObject]:
    """The objects in a list of the metadata."""
    items = (deployment.get("metadata") or {}).get(field)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _has(fields: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(fields, dict) or f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True


def _annotations(deployment: JsonObject) -> Mapping[str, str]:
    """Those of the pod template, with the Deployment's own before them."""
    return {**metadata_map(template_of(deployment), "annotations"), **metadata_map(deployment, "annotations")}


def _applied(annotations: Mapping[str, str]) -> dict[str, Any]:
    try:
        applied = json.loads(annotations.get(keys.ROLLOUT_APPLIED, "{}"))
    except (ValueError, RecursionError):
        return {}
    return applied if isinstance(applied, dict) else {}


def _is_default_strategy(current: JsonObject) -> bool:
    rolling = current.get("rollingUpdate") or DEFAULT_ROLLING_UPDATE
    return current.get("type", "RollingUpdate") == "RollingUpdate" and rolling == DEFAULT_ROLLING_UPDATE


def _parse_strategy(text: str) -> JsonObject:
    try:
        return strategy.parse(json.loads(text) if text.lstrip().startswith("{") else text.strip())
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
        raise Denied(f"annotation {keys.ROLLOUT_STRATEGY} {shown(text)}: {reason}") from None


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total < 2**31:
        raise Denied(
            f"annotation {keys.PROGRESS_DEADLINE} {shown(text)} is no duration: write it like 30m, 1h30m or 900s"
        )
    return total
