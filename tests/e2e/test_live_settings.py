"""The ConfigMap of an installed webhook: changed, broken, deleted, and out of reach for a while."""

import json

from tests.chart.rendering import one
from tests.e2e.api import admitted, eventually
from tests.e2e.pods import unnamed
from tests.mutation import initializer, plain_pod

POD = unnamed(plain_pod("s3://models/iris"))


def image(name):
    return {"storageInitializer": {"image": f"registry.example.com/{name}:1"}}


def injects(installation, namespace, name):
    """Whether the next pod gets the image of this name."""
    pod = admitted(installation.api.create_pod(namespace, POD, dryRun="All"))
    return initializer(pod)["image"] == f"registry.example.com/{name}:1"


def test_a_change_counts_for_the_next_pods(installation):
    namespace = installation.namespace()
    with installation.configured(image("first")):
        assert injects(installation, namespace, "first")
        installation.configure(image("second"))
        eventually(lambda: injects(installation, namespace, "second"))


def test_a_broken_change_changes_nothing_and_shows(installation):
    namespace = installation.namespace()
    with installation.configured(image("good")):
        installation.configure({"storageInitializer": "{image: ["})
        eventually(lambda: "refused version" in installation.webhook.readyz())
        assert "storageInitializer" in installation.webhook.readyz()
        assert injects(installation, namespace, "good")
        installation.configure(image("better"))
        installation.await_settings()
        assert "refused" not in installation.webhook.readyz()
        assert injects(installation, namespace, "better")


def test_a_deleted_configmap_loses_nothing_and_a_new_one_counts(installation):
    namespace = installation.namespace()
    with installation.configured(image("good")):
        gone = installation.configmap
        installation.api.delete(gone)
        eventually(lambda: "this ConfigMap does not exist" in installation.webhook.readyz())
        assert injects(installation, namespace, "good")
        rendered = one("ConfigMap", installation.release.objects)
        data = {"storageInitializer": json.dumps(image("new")["storageInitializer"])}
        admitted(installation.api.apply({**rendered, "data": data}))
        eventually(lambda: injects(installation, namespace, "new"))
        assert "does not exist" not in installation.webhook.readyz()


def test_an_api_server_that_crashes_and_comes_back_loses_nothing(installation):
    namespace = installation.namespace()
    with installation.configured(image("good")):
        installation.api.plane.kill_apiserver()
        try:
            assert f"settings {settings_name(installation)}: version" in installation.webhook.readyz()
        finally:
            installation.api.plane.start_apiserver()
        eventually(lambda: injects(installation, namespace, "good"))
        installation.configure(image("later"))
        eventually(lambda: injects(installation, namespace, "later"))


def settings_name(installation):
    metadata = one("ConfigMap", installation.release.objects)["metadata"]
    return f"configmap:{metadata['namespace']}/{metadata['name']}"
