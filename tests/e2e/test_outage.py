"""The webhook is down, or does not answer in time: who asks is refused and told why, everyone else is served."""

import pytest

from tests.e2e.api import admitted, eventually
from tests.e2e.installed import installation as new_installation
from tests.e2e.pods import unnamed
from tests.mutation import a_pod, plain_pod

ASKING = unnamed(plain_pod("pvc://models/iris"))
OTHER = unnamed(a_pod())


@pytest.fixture(scope="module")
def fragile(api, authority, tmp_path_factory):
    """An installation that is waited for a second, and no longer."""
    directory = tmp_path_factory.mktemp("fragile")
    with new_installation(api, "storage-webhook-fragile", authority, directory, webhook__timeoutSeconds=1) as made:
        yield made


def refusal(installation, namespace):
    answer = installation.api.create_pod(namespace, ASKING)
    assert answer.status_code == 500
    message = answer.json()["message"]
    assert 'failed calling webhook "pods.storage.kserve.io"' in message
    return message


def test_a_slow_webhook_is_waited_for_and_no_longer_than_its_timeout(fragile):
    namespace = fragile.namespace()
    with fragile.webhook.paused():
        assert "timeout=1s" in refusal(fragile, namespace)
        admitted(fragile.api.create_pod(namespace, OTHER))
    admitted(fragile.api.create_pod(namespace, ASKING))


def test_while_the_webhook_is_down_only_asking_pods_are_refused(fragile):
    namespace = fragile.namespace()
    fragile.webhook.kill()
    assert "connection refused" in refusal(fragile, namespace)
    admitted(fragile.api.create_pod(namespace, OTHER))
    fragile.webhook.start()
    eventually(lambda: fragile.api.create_pod(namespace, ASKING).is_success)
