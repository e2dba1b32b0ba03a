"""Offline validation of settings for `check-settings`."""

import pytest
import yaml

from webhook.settings.check import check
from webhook.settings.manifest import extract_data
from webhook.settings.model import Settings
from webhook.settings.parse import parse

CONFIG_MAP = """
kind: ConfigMap
data:
  storageInitializer: |
    {"memorylimit": "2Gi", "image": "registry.example.com/init:1", "new": 1}
  storageDefaults: |
    overrides: {cpuLimit: 4, image: ["registry.example.com/*"]}
    securityContext: {runAsUser: 1000}
"""


def test_effective_settings_are_complete_and_use_kserve_names():
    expected_keys = yaml.safe_load(check(CONFIG_MAP).effective)
    assert list(expected_keys) == [
        "storageInitializer",
        "credentials",
        "deploy",
        "storageDefaults",
        "storageContainers",
    ]
    assert expected_keys["storageInitializer"]["memoryLimit"] == "2Gi"
    assert expected_keys["storageInitializer"]["cpuRequest"] == "100m"
    assert expected_keys["credentials"]["s3"]["s3AccessKeyIDName"] == ""
    assert expected_keys["storageDefaults"]["overrides"]["cpuLimit"] == "4"
    assert expected_keys["storageDefaults"]["securityContext"] == {"runAsUser": 1000}


@pytest.mark.parametrize("text", [CONFIG_MAP, "deploy: {}", "storageDefaults: {allowReadWrite: [a]}"])
def test_effective_settings_parse_to_the_same_settings(text):
    effective = check(text).effective
    assert parse(extract_data(effective)) == (parse(extract_data(text))[0], [])
    assert check(effective).effective == effective


def test_settings_with_warnings_are_shown():
    result = check(CONFIG_MAP)
    assert [warning.key for warning in result.warnings] == ["storageInitializer.new"]
    assert result.problems == ()
    assert result.effective


def test_settings_with_problems_are_not_shown():
    result = check("storageDefaults: {mode: loud, readOnly: maybe}")
    assert [problem.key for problem in result.problems] == ["storageDefaults.mode", "storageDefaults.readOnly"]
    assert result.effective == ""


def test_a_configmap_without_settings_is_a_problem():
    (problem,) = check("kind: ConfigMap\ndata: {StorageInitialiser: '', colour: blue}").problems
    assert "none of the keys storageInitializer, credentials, deploy, storageDefaults" in problem.reason
    assert "colour" in problem.reason


def test_a_text_without_a_configmap_raises():
    with pytest.raises(ValueError, match="contains no ConfigMap"):
        check("kind: Deployment")


def test_an_empty_key_gives_the_defaults():
    assert parse(extract_data(check("deploy:").effective))[0] == Settings()
