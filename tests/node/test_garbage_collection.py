"""What Kubernetes' garbage collector does with the webhook's objects."""

import uuid

from tests.e2e.api import Object, eventually
from tests.node.cluster import Cluster


def owned_configuration(namespace: Object) -> Object:
    """A webhook configuration that belongs to the namespace."""
    owner = {"apiVersion": "v1", "kind": "Namespace"}
    owner |= {key: namespace["metadata"][key] for key in ("name", "uid")}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": owner["name"], "ownerReferences": [owner]},
    }


def test_a_configuration_disappears_with_the_namespace_that_owns_it(cluster: Cluster) -> None:
    name = f"owner-{uuid.uuid4().hex[:8]}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.api.apply(namespace).raise_for_status()
    configuration = owned_configuration(cluster.api.get(namespace))
    cluster.api.apply(configuration).raise_for_status()
    cluster.api.delete(namespace)
    eventually(lambda: cluster.api.http.get(cluster.api.path(configuration)).status_code == 404)
