"""Pods created through the API server with an installed webhook."""

import copy
import json

import pytest
from kubernetes import client as k8s

from tests.e2e.api import admitted
from tests.e2e.controllers import controller, pod_of
from tests.e2e.offline import FACTS, essence, kubectl, mutated_offline
from tests.e2e.other_webhooks import other_webhook
from tests.e2e.pods import PODS, SINCE, add_credentials, unnamed
from tests.mutation import a_container, a_pod, container, initializer, kserve_pod, names, plain_pod

S3_POD = PODS["s3"]


@pytest.fixture(scope="module")
def namespaces(installation):
    """Two namespaces with credentials. The webhook serves the first."""
    served, elsewhere = installation.namespace(), installation.elsewhere()
    for namespace in (served, elsewhere):
        add_credentials(installation.api, namespace)
    return served, elsewhere


@pytest.fixture(scope="module")
def expected(installation, namespaces, tmp_path_factory):
    """The pods, mutated by the command line with facts from kubectl and defaulted by the API server."""
    served, elsewhere = namespaces
    facts = kubectl(installation.api.plane, "get", FACTS, "--namespace", served, "--output=yaml")
    possible = {name: unnamed(pod) for name, pod in PODS.items() if SINCE.get(name, 0) <= installation.api.minor}
    pods = list(possible.values())
    mutated = mutated_offline(pods, installation.configmap, facts, served, tmp_path_factory.mktemp("offline"))
    responses = [installation.api.create_pod(elsewhere, pod) for pod in mutated]
    return {name: essence(admitted(response)) for name, response in zip(possible, responses, strict=True)}


@pytest.mark.parametrize("name", PODS)
def test_stored_pod_equals_the_command_lines_output(installation, namespaces, expected, name):
    installation.api.require(SINCE.get(name, 0))
    created = admitted(installation.api.create_pod(namespaces[0], unnamed(PODS[name])))
    stored = installation.api.get({**created, "apiVersion": "v1", "kind": "Pod"})
    assert essence(stored) == expected[name]
    assert stored["spec"] != admitted(installation.api.create_pod(namespaces[1], unnamed(PODS[name])))["spec"]


def test_official_client_and_server_side_apply_create_the_same_pod(installation, namespaces, expected):
    with installation.api.plane.client() as client:
        core = k8s.CoreV1Api(client)
        made = core.create_namespaced_pod(namespaces[0], unnamed(S3_POD))
        stored = client.sanitize_for_serialization(core.read_namespaced_pod(made.metadata.name, namespaces[0]))
    apply = ("apply", "--server-side", f"--namespace={namespaces[0]}", "--filename=-", "--output=json")
    applied = json.loads(kubectl(installation.api.plane, *apply, stdin=json.dumps(S3_POD)))
    assert essence(stored) == expected["s3"]
    assert essence(applied) == expected["s3"]


def test_applying_a_pod_again_changes_nothing(installation, namespaces):
    pod = {**S3_POD, "metadata": {**S3_POD["metadata"], "name": "again", "namespace": namespaces[0]}}
    first = admitted(installation.api.apply(pod))
    assert admitted(installation.api.apply(pod))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_pods_of_a_replica_set_are_injected(installation, namespaces, expected):
    labels = {"app": "iris"}
    template = {"metadata": {**S3_POD["metadata"], "labels": labels}, "spec": S3_POD["spec"]}
    del template["metadata"]["name"]
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "iris", "namespace": namespaces[0]},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    pod = pod_of(admitted(installation.api.apply(replica_set)))
    before = installation.webhook.cached_responses
    with controller(installation.api, "replicaset-controller") as http:
        pods = [admitted(http.post(f"/api/v1/namespaces/{namespaces[0]}/pods", json=pod)) for _ in range(6)]
    for stored in pods:
        assert stored["metadata"]["ownerReferences"][0]["name"] == "iris"
        assert essence(stored)["spec"] == expected["s3"]["spec"]
    assert len({token_volume(stored) for stored in pods}) == 6
    # There are two requests per pod. The first two, and those after facts have expired, are not cached.
    assert installation.webhook.cached_responses >= before + 6


def token_volume(pod):
    """The name of the volume with the token, which all containers mount."""
    (name,) = {name for each in pod["spec"]["volumes"] if (name := each["name"]).startswith("kube-api-access-")}
    for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        assert name in names(each["volumeMounts"])
    return name


def test_webhook_is_called_only_for_pods_that_request_a_model(installation, namespaces):
    before = installation.webhook.admissions
    for pod in (
        a_pod(),
        a_pod(annotations={"example.com/uri": "s3://models/iris"}),
        kserve_pod("s3://models/iris", labels={"storage.kserve.io/inject": "disabled"}),
    ):
        assert "initContainers" not in admitted(installation.api.create_pod(namespaces[0], unnamed(pod)))["spec"]
    admitted(installation.api.create_pod(namespaces[1], unnamed(a_pod())))
    assert installation.webhook.admissions == before
    admitted(installation.api.create_pod(namespaces[0], unnamed(PODS["claim"])))
    assert installation.webhook.admissions == before + 1


def test_dry_run_injects_and_stores_nothing(installation, namespaces, expected):
    listed = f"/api/v1/namespaces/{namespaces[0]}/pods"
    before = len(installation.api.http.get(listed).json()["items"])
    dry = admitted(installation.api.create_pod(namespaces[0], unnamed(S3_POD), dryRun="All"))
    assert essence(dry) == expected["s3"]
    assert len(installation.api.http.get(listed).json()["items"]) == before


def test_denial_is_returned_to_the_author(installation, namespaces):
    response = installation.api.create_pod(namespaces[0], unnamed(plain_pod("pvc://models/../etc")))
    assert response.status_code == 422
    assert "pods.storage.kserve.io" in response.json()["message"]
    assert "pvc://models/../etc" in response.json()["message"]


# --- With other webhooks ------------------------------------------------------------------------------------------


def test_sidecar_injected_later_keeps_one_init_container(installation, authority, tmp_path):
    namespace = installation.namespace()

    def add_sidecar(pod):
        if "sidecar" not in names(pod["spec"]["containers"]):
            pod["spec"]["containers"].append(a_container("sidecar"))

    with other_webhook(
        installation.api, authority, tmp_path, name="sidecars.example.com", namespace=namespace, change=add_sidecar
    ):
        before = installation.webhook.admissions
        pod = admitted(installation.api.create_pod(namespace, unnamed(kserve_pod("s3://models/iris"))))
        assert installation.webhook.admissions > before + 1, "the webhook was not reinvoked"
    assert names(pod["spec"]["containers"]) == ["kserve-container", "sidecar"]
    assert names(pod["spec"]["initContainers"]) == ["storage-initializer"]


def test_istio_annotations_added_later_set_the_user(installation, authority, tmp_path):
    namespace = installation.namespace()

    def join_mesh(pod):
        if "istio-proxy" in names(pod["spec"]["containers"]):
            return
        proxy = a_container("istio-proxy", securityContext={"runAsUser": 2042})
        pod["spec"]["containers"].append(proxy)
        pod["metadata"]["annotations"] |= {
            "sidecar.istio.io/interceptionMode": "REDIRECT",
            "sidecar.istio.io/status": '{"initContainers":["istio-validation"],"containers":["istio-proxy"]}',
        }

    with other_webhook(
        installation.api, authority, tmp_path, name="istio-sidecar-injector", namespace=namespace, change=join_mesh
    ):
        pod = admitted(installation.api.create_pod(namespace, unnamed(kserve_pod("s3://models/iris"))))
    assert initializer(pod)["securityContext"]["runAsUser"] == 2042
    assert names(pod["spec"]["initContainers"]) == ["storage-initializer"]


HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def inject_as_kserve(settings):
    """A webhook that injects like KServe. `settings` are those of the key storageInitializer."""

    def mount(pod, volume, **fields):
        for each in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            wanted = each["name"] in ("kserve-container", "storage-initializer")
            mounts = each.setdefault("volumeMounts", []) if wanted else []
            if wanted and not any(item["name"] == volume["name"] for item in mounts):
                writes = {"readOnly": True} if each["name"] == "kserve-container" else {}
                mounts.append({"name": volume["name"], "mountPath": "/mnt/models", **writes, **fields})
        if volume["name"] not in names(pod["spec"]["volumes"]):
            pod["spec"]["volumes"].append(volume)

    def change(pod):
        uri = pod["metadata"].get("annotations", {}).get("internal.serving.kserve.io/storage-initializer-sourceuri")
        if uri is None or "storage-initializer" in names(pod["spec"].get("initContainers")):
            return
        if uri.startswith("pvc://"):
            claim, _, path = uri.removeprefix("pvc://").partition("/")
            volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim}}
            mount(pod, volume, subPath=path)
            return
        pod["spec"].setdefault("initContainers", []).append(
            {
                "name": "storage-initializer",
                "image": settings["image"],
                "args": [uri, "/mnt/models"],
                "resources": {
                    "requests": {"cpu": settings["cpuRequest"], "memory": settings["memoryRequest"]},
                    "limits": {"cpu": settings["cpuLimit"], "memory": settings["memoryLimit"]},
                },
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": copy.deepcopy(container(pod, "kserve-container").get("securityContext")),
                "env": [
                    {"name": "HF_HUB_ENABLE_HF_TRANSFER", "value": "1"},
                    {"name": "HF_XET_HIGH_PERFORMANCE", "value": "1"},
                    {"name": "HF_XET_NUM_CONCURRENT_RANGE_GETS", "value": "8"},
                ],
            }
        )
        mount(pod, {"name": "kserve-provision-location", "emptyDir": {}})

    return change


@pytest.mark.parametrize("uri", ["s3://models/iris", "pvc://models/iris/v1", "hf://org/model"])
def test_order_relative_to_kserves_webhook_does_not_matter(installation, authority, tmp_path, uri):
    settings = json.loads(installation.configmap["data"]["storageInitializer"])
    servers = [a_container("kserve-container", securityContext=HARDENED)]
    pod = unnamed(kserve_pod(uri, containers=servers))
    alone = admitted(installation.api.create_pod(installation.namespace(), pod))
    for name in ("00-kserve.example.com", "inferenceservice.serving.kserve.io"):
        namespace = installation.namespace()
        change = inject_as_kserve(settings)
        with other_webhook(
            installation.api, authority, tmp_path, name=name, namespace=namespace, change=change
        ) as reviews:
            made = admitted(installation.api.create_pod(namespace, pod))
        assert reviews
        assert essence(made) == essence(alone), name
