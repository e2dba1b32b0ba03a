"""Observe mode: KServe's webhook injects, and ours only compares."""

from tests.e2e.api import admitted
from tests.e2e.other_webhooks import other_webhook
from tests.e2e.pods import unnamed
from tests.kserve import kserve_injected
from tests.mutation import initializer, kserve_pod, plain_pod

OBSERVING = {"storageDefaults": {"mode": "observe"}}


def test_pods_are_unchanged_and_warnings_are_returned(installation):
    namespace = installation.namespace()
    with installation.configured(OBSERVING):
        response = installation.api.create_pod(namespace, unnamed(plain_pod("s3://models/iris")))
        invalid = installation.api.create_pod(namespace, unnamed(plain_pod("pvc://models/../etc")))
    assert "initContainers" not in admitted(response)["spec"]
    assert "would be injected, but observe mode changes nothing: " in response.headers["warning"]
    assert "would be denied: annotation storage.kserve.io/uri" in invalid.headers["warning"]
    assert invalid.is_success


def test_pods_injected_by_kserve_are_compared_and_counted(installation, authority, tmp_path):
    namespace = installation.namespace()

    def inject(pod):
        if "annotations" in pod["metadata"]:
            pod["spec"] = kserve_injected(pod)["spec"]

    # KServe's webhook runs after ours. Reinvocation shows its changes to ours.
    kserve = {"name": "inferenceservice.serving.kserve.io", "namespace": namespace, "change": inject}
    with (
        installation.configured(OBSERVING),
        other_webhook(installation.api, authority, tmp_path, **kserve),
    ):
        before = installation.webhook.count("storage_webhook_observed_differences")
        response = installation.api.create_pod(namespace, unnamed(kserve_pod("s3://models/iris")))
        found = installation.webhook.count("storage_webhook_observed_differences") - before
    assert "securityContext" not in initializer(admitted(response))
    (warning,) = [part for part in response.headers["warning"].split('"') if part.startswith("has its model")]
    fields = warning.rpartition(": ")[2].split(", ")
    assert {"initContainers.env", "initContainers.resources", "initContainers.securityContext"} <= set(fields)
    assert found == len(fields)
