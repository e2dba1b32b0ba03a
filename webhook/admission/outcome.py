"""The outcome of an admission request, and one constructor for each kind of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from webhook.errors import Denied, LookupFailed
from webhook.pod.draft import JsonObject
from webhook.settings.model import Settings

Kind = Literal["injected", "adjusted", "unchanged", "skipped", "denied", "observed", "failed"]

_STATUS_REASONS = {403: "Forbidden", 422: "Invalid", 500: "InternalError", 503: "ServiceUnavailable"}


class Outcome(msgspec.Struct, frozen=True):
    """What was decided: the object to admit, or why it is rejected."""

    kind: Kind
    reason: str = ""
    """The skip reason. In observe mode: the kind of outcome that enforce mode would have."""
    mutated: JsonObject | None = None
    """The object to admit; None: as it was received."""
    warnings: tuple[str, ...] = ()
    message: str = ""
    code: int = 200
    """The HTTP status code of the response's status."""
    sources: tuple[str, ...] = ()
    """The kinds of the model's sources, such as `s3` or `oci+native`."""
    containers: tuple[str, ...] = ()
    """The names of the containers that get the model."""
    audit: dict[str, str] = {}
    """The audit annotations of the response."""
    differences: tuple[str, ...] = ()
    """In observe mode: the fields of the spec in which the pod differs from what enforce mode would make."""

    @property
    def allowed(self) -> bool:
        return self.kind not in ("denied", "failed")

    @property
    def status_reason(self) -> str:
        """The `reason` of the response's status (Kubernetes: metav1.StatusReason)."""
        return _STATUS_REASONS.get(self.code, "")


@lru_cache(maxsize=64)
def skipped(reason: str, warnings: tuple[str, ...] = ()) -> Outcome:
    """Nothing to do, by name of reason. Cached, because most requests have this outcome."""
    return Outcome("skipped", reason=reason, warnings=warnings, audit=audit_annotations("skipped", reason))


def failed(message: str, code: int = 503) -> Outcome:
    """Rejected because something needed is not known; a retry may succeed."""
    return Outcome("failed", message=message, code=code, audit=audit_annotations("failed"))


def denied(error: Denied, settings: Settings, sources: tuple[str, ...] = ()) -> Outcome:
    """Rejected as it is. In observe mode: admitted with a warning."""
    if settings.observing:
        return observed("denied", (f"would be denied: {error.message}",), sources)
    audit = audit_annotations("denied", sources=sources)
    return Outcome("denied", message=error.message, code=error.code, sources=sources, audit=audit)


def lookup_failed(error: LookupFailed, settings: Settings) -> Outcome:
    """Rejected because the cluster did not answer. In observe mode: admitted with a warning."""
    if settings.observing:
        return observed("failed", (f"would be rejected: {error}",), ())
    return failed(str(error))


def observed(
    reason: str, warnings: tuple[str, ...], sources: tuple[str, ...], differences: tuple[str, ...] = ()
) -> Outcome:
    """Observe mode: admitted as received; `reason` is the kind of outcome that enforce mode would have."""
    audit = audit_annotations("observed", reason, sources)
    if differences:
        audit["differs"] = ",".join(differences)
    return Outcome("observed", reason=reason, warnings=warnings, sources=sources, audit=audit, differences=differences)


def audit_annotations(
    kind: str, reason: str = "", sources: tuple[str, ...] = (), containers: tuple[str, ...] = ()
) -> dict[str, str]:
    """The audit annotations of an outcome."""
    audit = {"outcome": kind}
    if reason:
        audit["reason"] = reason
    if sources:
        audit["sources"] = ",".join(sources)
    if containers:
        audit["containers"] = ",".join(containers)
    return audit
