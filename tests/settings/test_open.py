"""Values of the option --settings."""

import subprocess
import sys

import pytest

from webhook.settings.open import open_source


@pytest.mark.parametrize(
    "text",
    ["embedded", "file:/etc/webhook/settings.yaml", "file:settings.d", "configmap:kserve/inferenceservice-config"],
)
def test_a_source_has_its_name_and_is_not_started(text):
    source = open_source(text)
    assert source.name == text
    assert source.current is None
    assert (source.reloads, source.rejections, source.warnings) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "use embedded, file:PATH or configmap:NAMESPACE/NAME"),
        ("embedded:", "use embedded, file:PATH"),
        ("file", "use embedded, file:PATH"),
        ("file:", "use embedded, file:PATH"),
        ("/etc/settings.yaml", "use embedded, file:PATH"),
        ("configmap:", "use configmap:NAMESPACE/NAME"),
        ("configmap:kserve", "use configmap:NAMESPACE/NAME"),
        ("configmap:kserve/", "use configmap:NAMESPACE/NAME"),
        ("configmap:/name", "use configmap:NAMESPACE/NAME"),
        ("configmap:a/b/c", "use configmap:NAMESPACE/NAME"),
        ("configmap:Kserve/name", "use configmap:NAMESPACE/NAME"),
    ],
)
def test_other_values_are_rejected_with_the_accepted_forms(text, reason):
    with pytest.raises(ValueError, match=reason):
        open_source(text)


def _printed(*statements: str) -> list[str]:
    """The words that a new Python process prints."""
    command = [sys.executable, "-c", "import sys\n" + "\n".join(statements)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_only_a_configmap_source_imports_the_kubernetes_client():
    is_imported = "print('kubernetes' in sys.modules)"
    assert _printed(
        "from webhook.settings.open import open_source",
        "open_source('embedded'); open_source('file:x')",
        is_imported,
        "open_source('configmap:a/b')",
        is_imported,
    ) == ["False", "True"]


REPLICA = (
    "import webhook.__main__, webhook.server.cluster_integration, webhook.settings.configmap, webhook.server.audit",
    "import webhook.server.events, webhook.certificates.rotator",
)
"""The imports of a replica that uses everything."""


def test_a_replica_does_not_import_all_kubernetes_models():
    """Importing all of them costs each replica 20 MB, and 0.7 s at startup."""
    models = "(m.rpartition('.')[2] for m in sys.modules if m.startswith('kubernetes.client.models.'))"
    imported = _printed(*REPLICA, f"print(*{models})")
    assert "v1_secret" in imported
    assert "v1_pod" not in imported


def test_a_replica_does_not_import_what_only_kubeconfigs_need():
    """The Kubernetes client's packages import OAuth and web sockets: 7 MB, and a tenth of the time to start."""
    imported = _printed(*REPLICA, "print(*sys.modules)")
    assert "kubernetes.config.incluster_config" in imported
    assert not {"oauthlib", "requests", "websocket"} & set(imported)
