"""The words after --settings."""

import subprocess
import sys

import pytest

from webhook.settings.open import open_source


@pytest.mark.parametrize(
    "text",
    ["embedded", "file:/etc/webhook/settings.yaml", "file:settings.d", "configmap:kserve/inferenceservice-config"],
)
def test_a_source_carries_its_name_and_is_not_started(text):
    source = open_source(text)
    assert source.name == text
    assert source.current is None
    assert (source.reloads, source.refusals, source.warnings) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write embedded, file:PATH or configmap:NAMESPACE/NAME"),
        ("embedded:", "write embedded, file:PATH"),
        ("file", "write embedded, file:PATH"),
        ("file:", "write embedded, file:PATH"),
        ("/etc/settings.yaml", "write embedded, file:PATH"),
        ("configmap:", "write configmap:NAMESPACE/NAME"),
        ("configmap:kserve", "write configmap:NAMESPACE/NAME"),
        ("configmap:kserve/", "write configmap:NAMESPACE/NAME"),
        ("configmap:/name", "write configmap:NAMESPACE/NAME"),
        ("configmap:a/b/c", "write configmap:NAMESPACE/NAME"),
        ("configmap:Kserve/name", "write configmap:NAMESPACE/NAME"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text, reason):
    with pytest.raises(ValueError, match=reason):
        open_source(text)


def test_only_a_configmap_loads_the_kubernetes_client():
    code = (
        "import sys; from webhook.settings.open import open_source; open_source('embedded'); open_source('file:x');"
        "print('kubernetes' in sys.modules); open_source('configmap:a/b'); print('kubernetes' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "True"]


def test_a_replica_does_not_load_the_models_of_all_kinds():
    """They cost each replica 20 MB, and 0.7 s before it can be ready."""
    code = (
        "import sys, webhook.connected, webhook.settings.configmap, webhook.certs.keeper, webhook.audit;"
        "import webhook.events;"
        "print('kubernetes.client.models.v1_secret' in sys.modules, 'kubernetes.client.models.v1_pod' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "False"]
