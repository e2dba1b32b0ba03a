"""What Kubernetes' garbage collector does with the webhook's objects."""

import uuid

from tests.e2e.api import Object, eventually
from tests.node.cluster import Cluster
from webhook.certificates.rotation import Policy
from webhook.certificates.rotator import CertificateRotator, Target


def test_the_configuration_disappears_with_the_namespace_that_the_webhook_made_its_owner(cluster: Cluster) -> None:
    api, name = cluster.api, f"owner-{uuid.uuid4().hex[:8]}"
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    webhook: Object = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/mutate-pods"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    configuration: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    for each in (namespace, configuration):
        api.apply(each).raise_for_status()
    with api.plane.client() as client:
        target = Target(name, "certificates", (name,), "pod", removed_with_namespace=True)
        rotator = CertificateRotator(client, target, Policy(("hook.example.com",)), lambda pair, ca: None)
        rotator.start(timeout=60)
        rotator.stop()
    assert [each["kind"] for each in api.get(configuration)["metadata"]["ownerReferences"]] == ["Namespace"]
    api.delete(namespace)
    eventually(lambda: api.http.get(api.path(configuration)).status_code == 404)
