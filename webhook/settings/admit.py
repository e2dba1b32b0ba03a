"""The settings' own admission: a ConfigMap that could not be used is refused when it is applied."""

from __future__ import annotations

from typing import Any

from webhook.admission import Outcome
from webhook.errors import BadReview
from webhook.settings.parse import SettingsError, parse, require_keys

_CHANGES = ("CREATE", "UPDATE")


def admit_settings(operation: str, config_map: Any) -> Outcome:
    """Whether a ConfigMap may be created or updated: denied with every bad key and its reason.

    Raises BadReview when the object is no ConfigMap.
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
        return Outcome("denied", code=422, message=f"these settings cannot be used: {error}")
    return Outcome("unchanged", warnings=tuple(map(str, warnings)))
