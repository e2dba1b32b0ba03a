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


def test_only_a_configmap_source_imports_the_kubernetes_client():
    code = (
        "import sys; from webhook.settings.open import open_source; open_source('embedded'); open_source('file:x');"
        "print('kubernetes' in sys.modules); open_source('configmap:a/b'); print('kubernetes' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "True"]


def test_a_replica_does_not_import_all_kubernetes_models():
    """Importing all of them costs each replica 20 MB, and 0.7 s at startup."""
    code = (
        "import sys, webhook.server.cluster_integration, webhook.settings.configmap, webhook.certificates.rotator;"
        "import webhook.server.audit, webhook.server.events;"
        "print('kubernetes.client.models.v1_secret' in sys.modules, 'kubernetes.client.models.v1_pod' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "False"]


def test_a_replica_does_not_import_what_only_kubeconfigs_need():
    """The Kubernetes client's packages import OAuth and web sockets: 7 MB, and a tenth of the time to start."""
    code = (
        "import sys, webhook.__main__, webhook.server.cluster_integration, webhook.settings.configmap;"
        "import webhook.server.audit, webhook.server.events, webhook.certificates.rotator;"
        "print([name for name in ('oauthlib', 'requests', 'websocket') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
