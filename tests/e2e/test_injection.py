"""Pods that are created through the API server, with the webhook as it is installed."""

import copy
import json

import pytest
from kubernetes import client as k8s

from tests.e2e.api import admitted
from tests.e2e.controllers import controller, pod_of
from tests.e2e.offline import FACTS, essence, kubectl, mutated_offline
from tests.e2e.other_webhooks import other_webhook
from tests.e2e.pods import PODS, add_credentials, unnamed
from tests.mutation import a_container, a_pod, container, initializer, kserve_pod, names, plain_pod

ASKING = PODS["s3"]


@pytest.fixture(scope="module")
def place(installation):
    """A namespace with credentials that the webhook serves, and another that it does not."""
    served, elsewhere = installation.namespace(), installation.elsewhere()
    for namespace in (served, elsewhere):
        add_credentials(installation.api, namespace)
    return served, elsewhere


@pytest.fixture(scope="module")
def expected(installation, place, tmp_path_factory):
    """The pods as the command line mutates them with what kubectl reads, and as the API server completes them."""
    served, elsewhere = place
    facts = kubectl(installation.api.plane, "get", FACTS, "--namespace", served, "--output=yaml")
    pods = [unnamed(pod) for pod in PODS.values()]
    mutated = mutated_offline(pods, installation.configmap, facts, served, tmp_path_factory.mktemp("offline"))
    answers = [installation.api.create_pod(elsewhere, pod) for pod in mutated]
    return {name: essence(admitted(answer)) for name, answer in zip(PODS, answers, strict=True)}


@pytest.mark.parametrize("name", PODS)
def test_the_stored_pod_is_what_the_command_line_prints(installation, place, expected, name):
    created = admitted(installation.api.create_pod(place[0], unnamed(PODS[name])))
    stored = installation.api.get({**created, "apiVersion": "v1", "kind": "Pod"})
    assert essence(stored) == expected[name]
    assert stored["spec"] != admitted(installation.api.create_pod(place[1], unnamed(PODS[name])))["spec"]


def test_pods_of_the_official_client_and_of_server_side_apply_are_the_same(installation, place, expected):
    with installation.api.plane.client() as client:
        core = k8s.CoreV1Api(client)
        made = core.create_namespaced_pod(place[0], unnamed(ASKING))
        stored = client.sanitize_for_serialization(core.read_namespaced_pod(made.metadata.name, place[0]))
    apply = ("apply", "--server-side", f"--namespace={place[0]}", "--filename=-", "--output=json")
    applied = json.loads(kubectl(installation.api.plane, *apply, stdin=json.dumps(ASKING)))
    assert essence(stored) == expected["s3"]
    assert essence(applied) == expected["s3"]


def test_applying_the_same_pod_again_changes_nothing(installation, place):
    pod = {**ASKING, "metadata": {**ASKING["metadata"], "name": "again", "namespace": place[0]}}
    first = admitted(installation.api.apply(pod))
    assert admitted(installation.api.apply(pod))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_the_pods_of_a_replica_set_are_injected(installation, place, expected):
    labels = {"app": "iris"}
    template = {"metadata": {**ASKING["metadata"], "labels": labels}, "spec": ASKING["spec"]}
    del template["metadata"]["name"]
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "iris", "namespace": place[0]},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    pod = pod_of(admitted(installation.api.apply(replica_set)))
    before = installation.webhook.remembered
    with controller(installation.api, "replicaset-controller") as http:
        pods = [admitted(http.post(f"/api/v1/namespaces/{place[0]}/pods", json=pod)) for _ in range(6)]
    for stored in pods:
        assert stored["metadata"]["ownerReferences"][0]["name"] == "iris"
        assert essence(stored)["spec"] == expected["s3"]["spec"]
    assert len({token_volume(stored) for stored in pods}) == 6
    # Each was asked about twice, and the first two were worked out; so is what was looked up too long ago.
    assert installation.webhook.remembered >= before + 6


def token_volume(pod):
    """The name of the volume that all containers have their token from."""
    (name,) = {name for each in pod["spec"]["volumes"] if (name := each["name"]).startswith("kube-api-access-")}
    for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        assert name in names(each["volumeMounts"])
    return name


def test_the_webhook_is_not_asked_about_pods_that_do_not_ask(installation, place):
    before = installation.webhook.admissions
    for pod in (
        a_pod(),
        a_pod(annotations={"example.com/uri": "s3://models/iris"}),
        kserve_pod("s3://models/iris", labels={"storage.kserve.io/inject": "disabled"}),
    ):
        assert "initContainers" not in admitted(installation.api.create_pod(place[0], unnamed(pod)))["spec"]
    admitted(installation.api.create_pod(place[1], unnamed(a_pod())))
    assert installation.webhook.admissions == before
    admitted(installation.api.create_pod(place[0], unnamed(PODS["claim"])))
    assert installation.webhook.admissions == before + 1


def test_a_dry_run_stores_nothing_and_answers_the_same(installation, place, expected):
    listed = f"/api/v1/namespaces/{place[0]}/pods"
    before = len(installation.api.http.get(listed).json()["items"])
    dry = admitted(installation.api.create_pod(place[0], unnamed(ASKING), dryRun="All"))
    assert essence(dry) == expected["s3"]
    assert len(installation.api.http.get(listed).json()["items"]) == before


def test_a_denial_is_told_to_the_author(installation, place):
    answer = installation.api.create_pod(place[0], unnamed(plain_pod("pvc://models/../etc")))
    assert answer.status_code == 422
    assert "pods.storage.kserve.io" in answer.json()["message"]
    assert "pvc://models/../etc" in answer.json()["message"]


# --- Beside the webhooks of others --------------------------------------------------------------------------------


def test_a_sidecar_that_comes_later_leaves_one_init_container(installation, authority, tmp_path):
    namespace = installation.namespace()

    def add_sidecar(pod):
        if "sidecar" not in names(pod["spec"]["containers"]):
            pod["spec"]["containers"].append(a_container("sidecar"))

    with other_webhook(
        installation.api, authority, tmp_path, name="sidecars.example.com", namespace=namespace, change=add_sidecar
    ):
        before = installation.webhook.admissions
        pod = admitted(installation.api.create_pod(namespace, unnamed(kserve_pod("s3://models/iris"))))
        assert installation.webhook.admissions > before + 1, "not called again"
    assert names(pod["spec"]["containers"]) == ["kserve-container", "sidecar"]
    assert names(pod["spec"]["initContainers"]) == ["storage-initializer"]


def test_annotations_of_istio_that_come_later_still_set_the_user(installation, authority, tmp_path):
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
    """A webhook that adds by KServe's names and rules; settings are those of the key storageInitializer."""

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
def test_kserves_own_webhook_before_or_after_ends_in_the_same_pod(installation, authority, tmp_path, uri):
    settings = json.loads(installation.configmap["data"]["storageInitializer"])
    servers = [a_container("kserve-container", securityContext=HARDENED)]
    pod = unnamed(kserve_pod(uri, containers=servers))
    alone = admitted(installation.api.create_pod(installation.namespace(), pod))
    for name in ("00-kserve.example.com", "inferenceservice.serving.kserve.io"):
        namespace = installation.namespace()
        change = inject_as_kserve(settings)
        with other_webhook(
            installation.api, authority, tmp_path, name=name, namespace=namespace, change=change
        ) as asked:
            made = admitted(installation.api.create_pod(namespace, pod))
        assert asked
        assert essence(made) == essence(alone), name
