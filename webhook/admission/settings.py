"""Validation of the settings: a ConfigMap with invalid settings is rejected when it is applied."""

from __future__ import annotations

from typing import Any

from webhook.admission.outcome import Outcome
from webhook.errors import BadReview
from webhook.settings.parse import SettingsError, parse, require_keys

_CHANGES = ("CREATE", "UPDATE")


def admit_settings(operation: str, config_map: Any) -> Outcome:
    """The outcome for a ConfigMap with settings: denied, with the reason for each invalid key, or unchanged.

    Raises BadReview when the object is not a ConfigMap.
    """
    if operation not in _CHANGES:
        return Outcome("skipped", reason="not-a-change")
    data = config_map.get("data") or {} if isinstance(config_map, dict) else None
    if not isinstance(data, dict):
        raise BadReview("the AdmissionReview's object is not a ConfigMap")
    try:
        require_keys(data)
        _, warnings = parse(data)
    except SettingsError as error:
        return Outcome("denied", code=422, message=f"the settings are invalid: {error}")
    return Outcome("unchanged", warnings=tuple(map(str, warnings)))
