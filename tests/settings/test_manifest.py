"""Settings in a text: as a ConfigMap, among other manifests, or bare."""

import pytest

from webhook.settings.manifest import data_of

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
    assert data_of(text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is nothing in it"),
        ("# only a comment", "there is nothing in it"),
        ("{", "neither JSON nor YAML"),
        ("- deploy", "neither a ConfigMap nor an object with the keys storageInitializer, credentials"),
        ("deploy", "neither a ConfigMap nor an object"),
        (DEPLOYMENT, "there is no ConfigMap with settings in it, only Deployment"),
        ("\n---\n".join((OTHER, OTHER)), "there is no ConfigMap with settings in it, only ConfigMap"),
        ("\n---\n".join((CONFIG_MAP, CONFIG_MAP)), "2 ConfigMaps hold settings: leave one"),
        ("{kind: ConfigMap, data: [1]}", "data must be an object"),
        ("{kind: ConfigMap, data: {deploy: {}}}", r"data\.deploy must be a text: write `deploy: \|`"),
        ("{kind: 3, data: {}}\n---\n[1]", "there is no ConfigMap with settings in it"),
        ("{kind: List, items: [1, null]}", "there is no ConfigMap with settings in it"),
    ],
)
def test_what_holds_no_settings_says_why(text, reason):
    with pytest.raises(ValueError, match=reason):
        data_of(text)
