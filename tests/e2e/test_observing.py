"""Observe mode, before a cut-over: KServe's webhook injects, ours looks on."""

from tests.e2e.api import admitted
from tests.e2e.other_webhooks import other_webhook
from tests.e2e.pods import unnamed
from tests.kserve import kserve_injected
from tests.mutation import initializer, kserve_pod, plain_pod

OBSERVING = {"storageDefaults": {"mode": "observe"}}


def test_nothing_is_changed_and_the_author_is_told(installation):
    namespace = installation.namespace()
    with installation.configured(OBSERVING):
        answer = installation.api.create_pod(namespace, unnamed(plain_pod("s3://models/iris")))
        wrong = installation.api.create_pod(namespace, unnamed(plain_pod("pvc://models/../etc")))
    assert "initContainers" not in admitted(answer)["spec"]
    assert "would be injected, but observe mode changes nothing: " in answer.headers["warning"]
    assert "would be denied: annotation storage.kserve.io/uri" in wrong.headers["warning"]
    assert wrong.is_success


def test_what_kserve_made_is_compared_and_counted(installation, authority, tmp_path):
    namespace = installation.namespace()

    def inject(pod):
        if "annotations" in pod["metadata"]:
            pod["spec"] = kserve_injected(pod)["spec"]

    # KServe's name sorts behind ours: what it made is seen when ours is asked again.
    kserves = {"name": "inferenceservice.serving.kserve.io", "namespace": namespace, "change": inject}
    with (
        installation.configured(OBSERVING),
        other_webhook(installation.api, authority, tmp_path, **kserves),
    ):
        before = installation.webhook.count("storage_webhook_observed_differences")
        answer = installation.api.create_pod(namespace, unnamed(kserve_pod("s3://models/iris")))
        found = installation.webhook.count("storage_webhook_observed_differences") - before
    assert "securityContext" not in initializer(admitted(answer))
    (said,) = [part for part in answer.headers["warning"].split('"') if part.startswith("has its model")]
    places = said.rpartition(": ")[2].split(", ")
    assert {"initContainers.env", "initContainers.resources", "initContainers.securityContext"} <= set(places)
    assert found == len(places)
