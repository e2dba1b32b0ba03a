"""What check-settings is made of."""

import pytest
import yaml

from webhook.settings.check import check
from webhook.settings.manifest import data_of
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


def test_the_effective_settings_are_complete_and_named_as_in_kserve():
    shown = yaml.safe_load(check(CONFIG_MAP).effective)
    assert list(shown) == ["storageInitializer", "credentials", "deploy", "storageDefaults"]
    assert shown["storageInitializer"]["memoryLimit"] == "2Gi"
    assert shown["storageInitializer"]["cpuRequest"] == "100m"
    assert shown["credentials"]["s3"]["s3AccessKeyIDName"] == "awsAccessKeyID"
    assert shown["storageDefaults"]["overrides"]["cpuLimit"] == "4"
    assert shown["storageDefaults"]["securityContext"] == {"runAsUser": 1000}


@pytest.mark.parametrize("text", [CONFIG_MAP, "deploy: {}", "storageDefaults: {allowReadWrite: [a]}"])
def test_the_effective_settings_read_as_the_same(text):
    effective = check(text).effective
    assert parse(data_of(effective)) == (parse(data_of(text))[0], [])
    assert check(effective).effective == effective


def test_warnings_do_not_keep_settings_from_being_shown():
    result = check(CONFIG_MAP)
    assert [warning.key for warning in result.warnings] == ["storageInitializer.new"]
    assert result.problems == ()
    assert result.effective


def test_problems_do():
    result = check("storageDefaults: {mode: loud, readOnly: maybe}")
    assert [problem.key for problem in result.problems] == ["storageDefaults.mode", "storageDefaults.readOnly"]
    assert result.effective == ""


def test_settings_of_something_else_are_a_problem():
    (problem,) = check("kind: ConfigMap\ndata: {StorageInitialiser: '', colour: blue}").problems
    assert "none of the keys storageInitializer, credentials, deploy, storageDefaults" in problem.reason
    assert "colour" in problem.reason


def test_what_cannot_be_read_is_raised():
    with pytest.raises(ValueError, match="no ConfigMap"):
        check("kind: Deployment")


def test_the_defaults_are_what_an_empty_key_gives():
    assert parse(data_of(check("deploy:").effective))[0] == Settings()
