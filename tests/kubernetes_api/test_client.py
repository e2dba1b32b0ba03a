"""Configuration of the Kubernetes client, and its errors."""

import pytest

from webhook.errors import ClusterConfigError
from webhook.kubernetes_api.client import UnusableToken, api_client

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: not-for-your-eyes}}]
current-context: c
"""


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))


def _written(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    return str(path)


def test_the_named_kubeconfig_is_used(tmp_path):
    assert api_client(_written(tmp_path, KUBECONFIG)).configuration.host == "http://127.0.0.1:1"


def test_the_kubeconfig_of_the_environment_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{_written(tmp_path, KUBECONFIG)}")
    assert api_client().configuration.host == "http://127.0.0.1:1"


@pytest.mark.parametrize("token", ["not-for-your-eyes\\n", " not-for-your-eyes", "\\r\\nnot-for-your-eyes\\t"])
def test_white_space_around_a_token_is_not_sent(tmp_path, token):
    path = _written(tmp_path, KUBECONFIG.replace("not-for-your-eyes", f'"{token}"'))
    assert _sent_headers(path)["authorization"] == "Bearer not-for-your-eyes"


@pytest.mark.parametrize("token", ["not-for-your-eyes\\0x", "not-for-your-eyes-ü"])
def test_a_token_that_cannot_be_sent_is_not_shown(tmp_path, token):
    path = _written(tmp_path, KUBECONFIG.replace("not-for-your-eyes", f'"{token}"'))
    with pytest.raises(UnusableToken, match="write it again") as raised:
        _sent_headers(path)
    assert "not-for" not in str(raised.value)


def _sent_headers(kubeconfig):
    """The headers of a request with this kubeconfig."""
    _, _, headers, *_ = api_client(kubeconfig).param_serialize("GET", "/version", auth_settings=["BearerToken"])
    return {name.lower(): value for name, value in headers.items()}


def test_the_error_names_what_was_tried(tmp_path):
    with pytest.raises(ClusterConfigError, match=f"no kubeconfig at {tmp_path}/absent.*KUBERNETES_SERVICE_HOST"):
        api_client()


def test_a_pod_without_a_service_account_token(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ClusterConfigError, match="automountServiceAccountToken"):
        api_client()


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "",
        "clusters: 3",
        "[]",
        KUBECONFIG.replace("name: c, cluster", "nom: c, cluster"),
        KUBECONFIG.replace("users: [{name: u,", "users: [{"),
    ],
)
def test_the_error_of_an_invalid_kubeconfig_has_its_path_but_not_its_content(tmp_path, broken):
    path = _written(tmp_path, broken)
    with pytest.raises(ClusterConfigError, match=f"the kubeconfig at {path} cannot be used") as raised:
        api_client(path)
    assert "not-for-your-eyes" not in str(raised.value)
