"""The settings of an installed webhook: changed, invalid, deleted and unreachable."""

import json

from tests.chart.rendering import one
from tests.e2e.api import admitted, eventually
from tests.e2e.pods import unnamed
from tests.mutation import initializer, plain_pod

POD = unnamed(plain_pod("s3://models/iris"))


def image(name):
    return {"storageInitializer": {"image": f"registry.example.com/{name}:1"}}


def injects(installation, namespace, name):
    """Whether the next pod gets this image."""
    pod = admitted(installation.api.create_pod(namespace, POD, dryRun="All"))
    return initializer(pod)["image"] == f"registry.example.com/{name}:1"


def test_change_applies_to_the_next_pod(installation):
    namespace = installation.namespace()
    with installation.configured(image("first")):
        assert injects(installation, namespace, "first")
        installation.configure(image("second"))
        eventually(lambda: injects(installation, namespace, "second"))


def test_invalid_change_is_rejected_and_reported(installation):
    namespace = installation.namespace()
    with installation.configured(image("good")):
        installation.configure({"storageInitializer": "{image: ["})
        eventually(lambda: "rejected version" in installation.webhook.readyz())
        assert "storageInitializer" in installation.webhook.readyz()
        assert injects(installation, namespace, "good")
        installation.configure(image("better"))
        installation.await_settings()
        assert "rejected" not in installation.webhook.readyz()
        assert injects(installation, namespace, "better")


def test_deleted_configmap_keeps_the_settings_until_it_is_created_again(installation):
    namespace = installation.namespace()
    with installation.configured(image("good")):
        deleted = installation.configmap
        installation.api.delete(deleted)
        eventually(lambda: "this ConfigMap does not exist" in installation.webhook.readyz())
        assert injects(installation, namespace, "good")
        rendered = one("ConfigMap", installation.release.objects)
        data = {"storageInitializer": json.dumps(image("new")["storageInitializer"])}
        admitted(installation.api.apply({**rendered, "data": data}))
        eventually(lambda: injects(installation, namespace, "new"))
        assert "does not exist" not in installation.webhook.readyz()


def test_settings_survive_a_crash_of_the_api_server(installation):
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
