"""The policy in docs/security.md bounds what pods mount by themselves, which the webhook's rules do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import yamls
from tests.e2e.api import Api, Object, eventually
from tests.mutation import a_container, plain_pod

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture(scope="module")
def namespace(api: Api) -> Iterator[str]:
    """A namespace in which the policy is in effect, with the service account that may write."""
    api.require(30)
    (block,) = (
        block.partition("```")[0]
        for block in DOCUMENT.read_text().split("```yaml\n")[1:]
        if "kind: ValidatingAdmissionPolicy\n" in block.partition("```")[0]
    )
    name = api.furnished("claim-policy")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer", "namespace": name}}
    manifests = [*yamls.documents(block), account]
    for manifest in manifests:
        api.apply(manifest).raise_for_status()
    eventually(lambda: api.create_pod(name, _pod({}), dryRun="All").is_error)
    yield name
    for manifest in manifests:
        api.delete(manifest)


def _pod(mount: Object, **spec: object) -> Object:
    mounts = [{"name": "claim", "mountPath": "/data", **mount}]
    volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": "models"}}]
    return plain_pod("", containers=[a_container(volumeMounts=mounts)], volumes=volumes, **spec)


@pytest.mark.parametrize(
    ("mount", "account", "admitted"),
    [
        ({"subPath": "iris", "readOnly": True}, "default", True),
        ({"subPath": "iris"}, "default", False),
        ({"subPath": "iris"}, "trainer", True),
        ({"readOnly": True}, "default", False),
        ({}, "trainer", False),
    ],
)
def test_the_policy_bounds_a_pods_own_mounts(
    api: Api, namespace: str, mount: Object, account: str, admitted: bool
) -> None:
    response = api.create_pod(namespace, _pod(mount, serviceAccountName=account), dryRun="All")
    assert response.is_success is admitted, response.text


def test_init_containers_are_bound_too(api: Api, namespace: str) -> None:
    pod = _pod({"subPath": "iris", "readOnly": True})
    (container,) = _pod({})["spec"]["containers"]
    pod["spec"]["initContainers"] = [{**container, "name": "first"}]
    assert api.create_pod(namespace, pod, dryRun="All").is_error
