"""Extraction of settings from manifests, or from a document that contains only settings."""

import pytest

from webhook.settings.manifest import extract_data

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: inferenceservice-config}
data:
  storageInitializer: '{"cpuLimit": "2"}'
  ingress: '{}'
"""
OTHER = """
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data: {colour: blue}
"""
DEPLOYMENT = "{apiVersion: apps/v1, kind: Deployment}"
FOUND = {"storageInitializer": '{"cpuLimit": "2"}', "ingress": "{}"}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (CONFIG_MAP, FOUND),
        ("\n---\n".join((DEPLOYMENT, OTHER, CONFIG_MAP)), FOUND),
        ('{"kind": "List", "items": [{"kind": "ConfigMap", "data": {"deploy": "{}"}}]}', {"deploy": "{}"}),
        ("kind: ConfigMap", {}),
        ("storageDefaults: {readOnly: false}", {"storageDefaults": {"readOnly": False}}),
        ("storageDefaults: 'readOnly: false'", {"storageDefaults": "readOnly: false"}),
        ('{"deploy": {}}', {"deploy": {}}),
    ],
)
def test_settings_are_found(text, data):
    assert extract_data(text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("{", "neither JSON nor YAML"),
        ("- deploy", "must be a ConfigMap, or an object with some of the keys storageInitializer, credentials"),
        ("deploy", "must be a ConfigMap, or an object"),
        (DEPLOYMENT, "contains no ConfigMap with settings, only Deployment"),
        ("\n---\n".join((OTHER, OTHER)), "contains no ConfigMap with settings, only ConfigMap"),
        ("\n---\n".join((CONFIG_MAP, CONFIG_MAP)), "contains 2 ConfigMaps with settings: keep one"),
        ("{kind: ConfigMap, data: [1]}", "data of the ConfigMap must be an object"),
        (
            "{kind: ConfigMap, data: {deploy: {}}}",
            r"data\.deploy of the ConfigMap must be a string: write `deploy: \|`",
        ),
        ("{kind: 3, data: {}}\n---\n[1]", "contains no ConfigMap with settings"),
        ("{kind: List, items: [1, null]}", "contains no ConfigMap with settings"),
    ],
)
def test_texts_without_settings_are_rejected(text, reason):
    with pytest.raises(ValueError, match=reason):
        extract_data(text)
