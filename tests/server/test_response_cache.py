"""Response cache: a cached response equals the response that would be computed."""

from __future__ import annotations

import asyncio
import copy
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster_objects import claim, secret, service_account, storage_container
from tests.golden import Case, cases, patch_of
from tests.mutation import JsonObject, a_container, plain_pod, several
from tests.serving import GivenSettings
from tests.strategies import pods, settings, spoiled
from webhook.cluster.fact_cache import FactCache, Limits
from webhook.cluster.facts import NO_FACTS, NoCluster
from webhook.offline.facts_file import FactsFile
from webhook.server import handlers
from webhook.server.context import Webhook
from webhook.server.endpoint import AdmissionEndpoint
from webhook.server.fingerprint import fingerprint
from webhook.server.response_cache import MAX_BODY_BYTES, MAX_ENTRIES, MAX_NAMES, MAX_RESPONSE_BYTES, PAUSE, TRIES

TIME, VOLUME = "2026-01-02T03:04:05Z", "kube-api-access-abcde"
OTHER_TIME, OTHER_VOLUME = "2026-05-04T03:02:01Z", "kube-api-access-x2345"
UID, OTHER_UID = "042c6b3a-248b-57a9-9d0e-e21970641cd2", "11111111-2222-4333-8444-555555555555"


def api_server_pod(pod: Any) -> Any:
    """The pod as a ReplicaSet makes it, with what an API server adds: a time, and a token in each container."""
    made = copy.deepcopy(pod)
    made.setdefault("metadata", {})["generateName"] = "iris-7c9d8b6f5-"
    made["metadata"]["managedFields"] = [{"manager": "kube-controller-manager", "time": TIME}]
    spec = made["spec"]
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": VOLUME, "projected": {"sources": []}}]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        token = {"name": VOLUME, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), token]
    return made


def body_of(pod: Any) -> bytes:
    """The AdmissionReview of a pod that is created, as an API server writes it."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": UID, "kind": kind, "namespace": "models", "operation": "CREATE", "object": pod}
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(review, separators=(",", ":"), ensure_ascii=False).encode()


def twin(body: bytes) -> bytes:
    """The review of the next pod of the same ReplicaSet."""
    for made_up, another in ((UID, OTHER_UID), (TIME, OTHER_TIME), (VOLUME, OTHER_VOLUME)):
        body = body.replace(made_up.encode(), another.encode())
    return body


RUNNER = asyncio.Runner()


@pytest.fixture(scope="module", autouse=True)
def _runner() -> Iterator[None]:
    yield
    RUNNER.close()


class Client:
    """A webhook and its responses."""

    def __init__(self, of: GivenSettings | None = None, facts: Any = None, events: Any = None) -> None:
        self.settings = of or GivenSettings({})
        RUNNER.run(self.settings.start())
        self._webhook = Webhook(settings=self.settings, facts=facts or NoCluster(), events=events)
        self._endpoint = AdmissionEndpoint(self._webhook, handlers.handle_pod)

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the response."""
        sent: list[Any] = []

        async def receive() -> JsonObject:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"method": "POST", "headers": [(b"content-type", b"application/json")], "state": {}}
        RUNNER.run(self._endpoint(scope, receive, send))
        return sent[0]["status"], sent[1]["body"]

    def learn(self, body: bytes) -> bytes:
        """Post until the response is cached: the first request records the name, the second the response."""
        self(body)
        return self(body)[1]

    @property
    def cached_responses(self) -> float | None:
        """The number of requests that were answered from the cache."""
        return self._webhook.metrics.registry.get_sample_value("storage_webhook_cached_responses_total")


class Whole(GivenSettings):
    """Settings that set every key."""

    def __init__(self, settings: JsonObject) -> None:
        super().__init__(None)
        self.update({"storageDefaults": {}, **settings}, "first")


# --- A cached response equals a computed one


class FactsOfCase(NoCluster):
    """The facts of a golden case, read once."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._read: Any = None

    def peek(self, request: Any, settings: Any) -> Any:
        self._read = self._read or self._case.facts(request)
        return self._read


def recorded(case: Case) -> bytes:
    """The review of a golden case as an API server writes it, for a pod of a controller."""
    review = json.loads(case.body)
    review["request"]["object"]["metadata"].setdefault("generateName", "iris-")
    return json.dumps(review, separators=(",", ":"), ensure_ascii=False).encode()


def recorded_twin(body: bytes) -> bytes:
    """The review of the next pod; each case was recorded with other generated names."""
    found = fingerprint(body)
    assert found is not None, "the API server writes reviews otherwise"
    for made_up, another in ((found.uid, OTHER_UID), (found.time, OTHER_TIME), (found.volume, OTHER_VOLUME)):
        body = body.replace(made_up, another.encode()) if made_up else body
    return body


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_recorded_pods_of_one_controller_get_the_responses_of_an_empty_cache(case: Case) -> None:
    body = recorded(case)
    client, alone = (Client(Whole(case.raw_settings), FactsOfCase(case)) for _ in range(2))
    response = json.loads(client.learn(body))["response"]
    assert client(recorded_twin(body)) == alone(recorded_twin(body))
    moved = "kube-api-access-" in str(patch_of(response) if "patch" in response else "")
    assert client.cached_responses == (response["allowed"] and not moved)


@given(pods(), settings)
def test_pods_of_one_controller_get_the_responses_of_an_empty_cache(pod: JsonObject, of: JsonObject) -> None:
    body = body_of(api_server_pod(pod))
    client, alone = Client(Whole(of)), Client(Whole(of))
    client.learn(body)
    assert client(twin(body)) == alone(twin(body))


@given(pods().map(api_server_pod).flatmap(spoiled))
def test_any_pod_has_the_same_response_with_and_without_cache(pod: Any) -> None:
    body = body_of(pod)
    client, alone = Client(), Client()
    client.learn(body)
    assert client(twin(body)) == alone(twin(body))


POD = api_server_pod(plain_pod("s3://models/iris", "server", "logger"))


def test_only_the_first_two_pods_of_a_controller_are_computed() -> None:
    client = Client()
    first = client.learn(body_of(POD))
    assert client.cached_responses == 0
    for _ in range(2 * TRIES):
        status, body = client(twin(body_of(POD)))
        assert (status, body) == (200, first.replace(UID.encode(), OTHER_UID.encode()))
    assert client.cached_responses == 2 * TRIES


def test_pods_that_request_nothing_are_cached_too() -> None:
    client = Client()
    body = body_of(api_server_pod({"metadata": {}, "spec": {"containers": [a_container()]}}))
    client.learn(body)
    assert json.loads(client(twin(body))[1])["response"]["auditAnnotations"]["reason"] == "no-uri"
    assert client.cached_responses == 1


# --- Bodies that differ


@given(st.integers(0, len(body_of(POD)) - 1), st.integers(1, 255))
def test_any_changed_byte_changes_the_fingerprint(place: int, change: int) -> None:
    body = body_of(POD)
    other = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    here, there = fingerprint(body), fingerprint(other)
    assert here is not None
    if there is not None and there.digest == here.digest:
        # The byte is in a generated value, which the fingerprint reports separately.
        assert there[1:] != here[1:]


def with_annotation(name: str, value: str) -> JsonObject:
    pod: JsonObject = copy.deepcopy(POD)
    pod["metadata"]["annotations"][name] = value
    return pod


MEANT = {
    "the volume is named in an annotation": body_of(with_annotation("example.com/volume", VOLUME)),
    "the volume is the model's": body_of(with_annotation("storage.kserve.io/uri", f"pvc://{VOLUME}/iris")),
    "a twin's volume could be the model's": body_of(
        api_server_pod(several(("pvc://claim/a", f"/{OTHER_VOLUME}"), ("pvc://claim/b", "/mnt/b")))
    ),
    "the volume is named in a warning": body_of(
        api_server_pod(plain_pod("pvc://claim/iris", annotations={"storage.kserve.io/mount-path": "/var/run"}))
    ),
    "a name is spelled with escapes": body_of(
        {**POD, "spec": {**POD["spec"], "serviceAccountName": VOLUME}},
    ).replace(b'"kube-api-access-abcde","mountPath"', b'"\\u006bube-api-access-abcde","mountPath"', 1),
    "a time is meant": body_of(with_annotation("time", TIME)),
    "the UID is meant": body_of(with_annotation("example.com/uid", UID)),
    "there are two objects": body_of(POD).replace(b'"object":', b'"object":%b,"object":' % json.dumps(POD).encode()),
}


@pytest.mark.parametrize("body", MEANT.values(), ids=MEANT)
def test_generated_values_are_ignored_only_where_they_are_generated(body: bytes) -> None:
    client, alone = Client(), Client()
    client.learn(body)
    assert client(twin(body)) == alone(twin(body))
    assert client.cached_responses == 0


@pytest.mark.parametrize("spelled", [UID, UID[0] + "\\u0034" + UID[2:], "22222222-2222-4333-8444-555555555555"])
def test_the_last_of_two_uids_is_used(spelled: str) -> None:
    body = body_of(POD).replace(b'"kind":{"group"', b'"uid":"%b","kind":{"group"' % spelled.encode())
    other = body.replace(UID.encode(), OTHER_UID.encode(), 1)
    client = Client()
    for each in (body, body, other):
        assert json.loads(client(each)[1])["response"]["uid"] == json.loads(f'"{spelled}"')


def test_each_review_version_has_its_own_response() -> None:
    client = Client()
    client.learn(body_of(POD))
    response = json.loads(client(body_of(POD).replace(b"io/v1", b"io/v1beta1", 1))[1])
    assert response["apiVersion"] == "admission.k8s.io/v1beta1"


@pytest.mark.parametrize("instead", [b"\xff", b""])
@pytest.mark.parametrize("made_up", [UID, TIME, VOLUME.removeprefix("kube-api-access-")])
def test_invalid_json_is_rejected_beside_a_similar_cached_body(made_up: str, instead: bytes) -> None:
    client = Client()
    client.learn(body_of(POD))
    assert client(body_of(POD).replace(made_up.encode() + b'"', instead))[0] == 400


# --- Dependencies of a response


def test_changed_settings_change_the_response() -> None:
    client = Client()
    body = body_of(api_server_pod(plain_pod("pvc://claim/iris")))
    before = client(body)
    assert client(body) == before
    client.settings.update({"storageInitializer": {"enableDirectPvcVolumeMount": False}}, "second")
    copied = client(body)
    assert copied != before
    client.settings.update({"storageDefaults": {}}, "third")
    assert client(body) == before
    assert client.cached_responses == 0


def test_a_new_version_of_equal_settings_keeps_the_cached_response() -> None:
    client = Client()
    client.learn(body_of(POD))
    client.settings.update({"storageDefaults": {}, "ingress": "{}"}, "second")
    client(body_of(POD))
    assert client.cached_responses == 1


def test_changed_facts_change_the_response_once_they_are_read() -> None:
    held = [service_account("credentials"), secret("credentials", {"awsAccessKeyID": "x", "awsSecretAccessKey": "y"})]
    now = 1000.0
    facts = FactCache(lambda key, seconds: FactsFile(held).read(key), limits=Limits(jitter=0), clock=lambda: now)
    client = Client(facts=facts)
    with_credentials = 200, client.learn(body_of(POD))
    held[:] = [service_account()]
    assert client(body_of(POD)) == with_credentials, "facts are cached for a while"
    assert client.cached_responses == 1
    now += Limits().found + 1
    other = api_server_pod(plain_pod("s3://models/other"))
    client(body_of(other))
    without = client(body_of(POD))
    assert without != with_credentials
    assert client.cached_responses == 1


def test_facts_that_differ_only_in_type_change_the_response() -> None:
    container: JsonObject = {"name": "custom", "image": "custom:1", "tty": 1}
    now = 1000.0
    facts = FactCache(
        lambda key, seconds: FactsFile([service_account(), storage_container("s", "s3://", container=container)]).read(
            key
        ),
        limits=Limits(jitter=0),
        clock=lambda: now,
    )
    client = Client(facts=facts)
    before = client.learn(body_of(POD))
    container["tty"] = True
    now += Limits().found + 1
    client(body_of(api_server_pod(plain_pod("s3://models/other"))))
    assert client(body_of(POD))[1] != before


def test_a_changed_claim_changes_the_response() -> None:
    held = [claim("models", "ReadOnlyMany")]
    now = 1000.0
    facts = FactCache(lambda key, seconds: FactsFile(held).read(key), limits=Limits(jitter=0), clock=lambda: now)
    client = Client(Whole({"storageDefaults": {"claims": {"read": True}}}), facts)
    pod = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/readonly": "false"})
    warned = client.learn(body_of(api_server_pod(pod)))
    held[:] = [claim("models", "ReadWriteMany")]
    now += Limits().found + 1
    client(body_of(api_server_pod(plain_pod("pvc://models/other"))))
    assert "warnings" in json.loads(warned)["response"]
    assert "warnings" not in json.loads(client(body_of(api_server_pod(pod)))[1])["response"]


def test_failures_are_not_cached() -> None:
    class Moody(NoCluster):
        fails = True

        def cached(self, request: Any, settings: Any) -> Any:
            if self.fails:
                raise RuntimeError("not today")
            return NO_FACTS

    facts = Moody()
    client, alone = (Client(Whole({"storageDefaults": {"mode": "observe"}}), each) for each in (facts, NoCluster()))
    assert json.loads(client.learn(body_of(POD)))["response"]["allowed"]
    facts.fails = False
    assert client(body_of(POD)) == alone(body_of(POD))


def test_missing_objects_are_looked_up_each_time() -> None:
    held = [service_account("credentials")]
    reads = []

    def read(key: Any, seconds: float) -> Any:
        reads.append(str(key))
        return FactsFile(held).read(key)

    client = Client(facts=FactCache(read))
    client.learn(body_of(POD))
    held.append(secret("credentials", {"awsAccessKeyID": "x", "awsSecretAccessKey": "y"}))
    response = client(body_of(POD))
    assert reads.count('Secret "credentials" in namespace "models"') == 3, reads
    assert response == Client(facts=FactCache(read))(body_of(POD))


def test_denials_are_not_cached() -> None:
    class Events:
        told: list[str] = []

        def record(self, request: Any, outcome: Any) -> None:
            self.told.append(request.uid)

    client = Client(events=Events())
    refused = body_of(api_server_pod(plain_pod("pvc://")))
    for body in (refused, refused, twin(refused)):
        assert json.loads(client(body)[1])["response"]["allowed"] is False
    assert Events.told == [UID, UID, OTHER_UID]


# --- It stays small


def named(name: str, **annotations: str) -> bytes:
    pod = copy.deepcopy(POD)
    pod["metadata"]["generateName"] = name
    pod["metadata"]["annotations"] |= annotations
    return body_of(pod)


def test_the_oldest_responses_are_evicted() -> None:
    client = Client()
    bodies = [named(f"iris-{number}-") for number in range(MAX_ENTRIES + 1)]
    for body in bodies:
        client.learn(body)
    client(bodies[-1])
    client(bodies[1])
    assert client.cached_responses == 2
    client(bodies[0])
    assert client.cached_responses == 2


def test_names_whose_pods_always_differ_are_not_looked_up_for_a_while() -> None:
    """The pods of a StatefulSet differ."""
    client = Client()
    for number in range(1 + TRIES):
        client(named("iris-", own=str(number)))
    for _ in range(PAUSE):
        client(named("iris-", own="1"))
    assert client.cached_responses == 0
    for _ in range(3):
        client(named("iris-", own="1"))
    assert client.cached_responses


def kept(client: Client, bodies: Iterable[bytes]) -> int:
    """The bytes in the cache after two requests for each body."""
    tracemalloc.start()
    for body in bodies:
        client.learn(body)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def test_the_cache_is_bounded_in_bytes() -> None:
    """Python uses four bytes for each character of a string that has one outside the basic plane."""
    long = "😀" + "a" * (MAX_BODY_BYTES - 3000)
    client, bodies = Client(), [named(f"iris-{number}-", long=long) for number in range(MAX_ENTRIES * 5 // 4)]
    assert kept(client, bodies) < MAX_ENTRIES * 5 * MAX_BODY_BYTES
    client(bodies[-1])
    assert client.cached_responses == 1, "nothing was kept"


def test_a_cached_pod_uses_few_bytes() -> None:
    pod = api_server_pod(plain_pod("s3://models/iris", "server", *(f"server-{number}" for number in range(150))))
    bodies = [body_of(pod).replace(b"iris-7c9d8b6f5-", b"iris-%d-" % number) for number in range(20)]
    client = Client()
    assert kept(client, bodies) < sum(map(len, bodies)) / 2
    client(bodies[-1])
    assert client.cached_responses == 1, "nothing was kept"


def test_a_name_that_is_too_long_uses_few_bytes() -> None:
    bodies = [named("a" * (MAX_BODY_BYTES - 3000) + str(number)) for number in range(50)]
    assert kept(Client(), bodies) < sum(map(len, bodies)) / 4


def test_a_large_pod_is_not_cached() -> None:
    client = Client()
    client.learn(named("iris-", long="a" * MAX_BODY_BYTES))
    client(named("iris-", long="a" * MAX_BODY_BYTES))
    assert client.cached_responses == 0


def test_old_names_are_forgotten() -> None:
    client = Client()
    client.learn(body_of(POD))
    client(body_of(POD))
    for number in range(MAX_NAMES):
        client(body_of(POD).replace(b"iris-7c9d8b6f5-", b"iris-%d-" % number))
    client(body_of(POD))
    assert client.cached_responses == 1


def test_a_large_response_is_not_cached() -> None:
    names = [f"server-{number}" for number in range(20)]
    pod = several(*((f"pvc://claim-{number}/iris", f"/mnt/model-{number}") for number in range(15)))
    pod["spec"]["containers"] = [a_container(name) for name in names]
    pod["metadata"]["annotations"]["storage.kserve.io/containers"] = ",".join(names)
    client = Client()
    response = client.learn(body_of(api_server_pod(pod)))
    assert json.loads(response)["response"]["allowed"]
    assert len(response) > MAX_RESPONSE_BYTES
    client(body_of(api_server_pod(pod)))
    assert client.cached_responses == 0
