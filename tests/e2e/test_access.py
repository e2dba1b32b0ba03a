"""`storageDefaults.access` in the stored ConfigMap bounds what pods get from a real API server."""

import pytest

from tests.e2e.api import admitted
from tests.mutation import plain_pod
from webhook.annotations import READ_ONLY

RULES = [
    {"claims": ["models"], "paths": ["private"], "allow": "none"},
    {"claims": ["scratch-*"], "allow": "readWrite"},
]


@pytest.fixture(scope="module")
def namespace(installation):
    """A namespace in which the rules are in effect."""
    with installation.configured({"storageDefaults": {"readOnly": False, "access": RULES}}):
        yield installation.namespace()


@pytest.mark.parametrize(("uri", "read_only"), [("pvc://models/public", True), ("pvc://scratch-1/a", False)])
def test_the_mount_is_what_the_rule_allows(installation, namespace, uri, read_only):
    pod = admitted(installation.api.create_pod(namespace, plain_pod(uri), dryRun="All"))
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    (mount,) = [each for each in mounts if each["mountPath"] == "/mnt/models"]
    assert mount.get("readOnly", False) is read_only


@pytest.mark.parametrize(
    ("pod", "rule"),
    [
        (plain_pod("pvc://models/private/iris"), "storageDefaults.access[0]"),
        (plain_pod("pvc://models"), "storageDefaults.access[0]"),
        (plain_pod("pvc://models/public", annotations={str(READ_ONLY): "false"}), "storageDefaults.access, of which"),
    ],
)
def test_a_denial_names_the_rule(installation, namespace, pod, rule):
    response = installation.api.create_pod(namespace, pod, dryRun="All")
    assert response.status_code == 403
    assert rule in response.json()["message"]
