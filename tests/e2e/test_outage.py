"""The webhook is down or slow: only pods that request a model are rejected."""

import pytest

from tests.e2e.api import admitted, eventually
from tests.e2e.installed import installation as new_installation
from tests.e2e.pods import unnamed
from tests.mutation import a_pod, plain_pod

WITH_MODEL = unnamed(plain_pod("pvc://models/iris"))
WITHOUT_MODEL = unnamed(a_pod())


@pytest.fixture(scope="module")
def fragile(api, authority, tmp_path_factory):
    """An installation with a timeout of one second."""
    directory = tmp_path_factory.mktemp("fragile")
    with new_installation(api, "storage-webhook-fragile", authority, directory, webhook__timeoutSeconds=1) as installed:
        yield installed


def rejection(installation, namespace):
    response = installation.api.create_pod(namespace, WITH_MODEL)
    assert response.status_code == 500
    message = response.json()["message"]
    assert 'failed calling webhook "pods.storage.kserve.io"' in message
    return message


def test_slow_webhook_times_out(fragile):
    namespace = fragile.namespace()
    with fragile.webhook.paused():
        assert "timeout=1s" in rejection(fragile, namespace)
        admitted(fragile.api.create_pod(namespace, WITHOUT_MODEL))
    admitted(fragile.api.create_pod(namespace, WITH_MODEL))


def test_while_down_only_pods_that_request_a_model_are_rejected(fragile):
    namespace = fragile.namespace()
    fragile.webhook.kill()
    assert "connection refused" in rejection(fragile, namespace)
    admitted(fragile.api.create_pod(namespace, WITHOUT_MODEL))
    fragile.webhook.start()
    eventually(lambda: fragile.api.create_pod(namespace, WITH_MODEL).is_success)
