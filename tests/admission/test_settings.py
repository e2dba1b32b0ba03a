"""Validation of the settings."""

from typing import Any

import pytest

from webhook.admission.settings import admit_settings
from webhook.errors import BadReview


def config_map(**data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "inferenceservice-config"}, "data": data}


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_invalid_settings_are_denied_with_the_reason_for_each_key(operation: str) -> None:
    outcome = admit_settings(
        operation, config_map(storageInitializer='{"memoryLimit": "1Gx"}', storageDefaults="redOnly: true")
    )
    assert not outcome.allowed
    assert outcome.code == 422
    assert "storageInitializer.memoryLimit" in outcome.message
    assert "did you mean readOnly" in outcome.message


@pytest.mark.parametrize("given", [config_map(storageDefaults=""), config_map(storageDefaults="mode: observe")])
def test_valid_settings_are_allowed(given: dict[str, Any]) -> None:
    assert admit_settings("CREATE", given).allowed


@pytest.mark.parametrize("given", [config_map(), config_map(ingress="{}"), {"kind": "ConfigMap"}])
def test_a_config_map_without_settings_is_denied(given: dict[str, Any]) -> None:
    outcome = admit_settings("UPDATE", given)
    assert not outcome.allowed
    assert "none of the keys storageInitializer" in outcome.message


def test_unknown_keys_of_kserve_warn() -> None:
    outcome = admit_settings("UPDATE", config_map(storageInitializer='{"newInKServe": 1}'))
    assert outcome.allowed
    assert "storageInitializer.newInKServe" in outcome.warnings[0]


def test_a_deletion_is_allowed() -> None:
    assert admit_settings("DELETE", None).allowed


@pytest.mark.parametrize("given", [None, [], "text", {"data": "text"}])
def test_an_object_that_is_not_a_config_map_is_a_bad_review(given: Any) -> None:
    with pytest.raises(BadReview):
        admit_settings("CREATE", given)
