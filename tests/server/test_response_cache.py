"""Answers that are kept for pods that are alike: they are the answers that working them out would give."""

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
from webhook.cli.facts_file import FactsFile
from webhook.cluster.fact_cache import FactCache, Limits
from webhook.cluster.facts import NO_FACTS, NoCluster
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


class Asked:
    """A webhook that is asked."""

    def __init__(self, of: GivenSettings | None = None, facts: Any = None, events: Any = None) -> None:
        self.settings = of or GivenSettings({})
        RUNNER.run(self.settings.start())
        self._webhook = Webhook(settings=self.settings, facts=facts or NoCluster(), events=events)
        self._endpoint = AdmissionEndpoint(self._webhook, handlers.handle_pod)

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        sent: list[Any] = []

        async def receive() -> JsonObject:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"method": "POST", "headers": [(b"content-type", b"application/json")], "state": {}}
        RUNNER.run(self._endpoint(scope, receive, send))
        return sent[0]["status"], sent[1]["body"]

    def learn(self, body: bytes) -> bytes:
        """Ask until the answer is known: first a name is new, then an answer. Returns the last."""
        self(body)
        return self(body)[1]

    @property
    def cached_responses(self) -> float | None:
        """How many requests were answered like one before."""
        return self._webhook.metrics.registry.get_sample_value("storage_webhook_cached_responses_total")


class Whole(GivenSettings):
    """Settings of all keys."""

    def __init__(self, settings: JsonObject) -> None:
        super().__init__(None)
        self.update({"storageDefaults": {}, **settings}, "first")


# --- The answer is the one that working it out gives


class FactsOfCase(NoCluster):
    """The facts of a golden case, read once."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._read: Any = None

    def peek(self, request: Any, settings: Any) -> Any:
        self._read = self._read or self._case.facts(request)
        return self._read


def recorded(case: Case) -> bytes:
    """The case's review as an API server writes it, of a pod that a controller made."""
    review = json.loads(case.body)
    review["request"]["object"]["metadata"].setdefault("generateName", "iris-")
    return json.dumps(review, separators=(",", ":"), ensure_ascii=False).encode()


def recorded_twin(body: bytes) -> bytes:
    """Each case was recorded with names of its own."""
    found = fingerprint(body)
    assert found is not None, "the API server writes reviews otherwise"
    for made_up, another in ((found.uid, OTHER_UID), (found.time, OTHER_TIME), (found.volume, OTHER_VOLUME)):
        body = body.replace(made_up, another.encode()) if made_up else body
    return body


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_recorded_pod_and_its_twin_are_answered_like_each_on_its_own(case: Case) -> None:
    body = recorded(case)
    asked, alone = (Asked(Whole(case.raw_settings), FactsOfCase(case)) for _ in range(2))
    response = json.loads(asked.learn(body))["response"]
    assert asked(recorded_twin(body)) == alone(recorded_twin(body))
    moved = "kube-api-access-" in str(patch_of(response) if "patch" in response else "")
    assert asked.cached_responses == (response["allowed"] and not moved)


@given(pods(), settings)
def test_a_pod_and_its_twin_are_answered_like_each_on_its_own(pod: JsonObject, of: JsonObject) -> None:
    body = body_of(api_server_pod(pod))
    asked, alone = Asked(Whole(of)), Asked(Whole(of))
    asked.learn(body)
    assert asked(twin(body)) == alone(twin(body))


@given(pods().map(api_server_pod).flatmap(spoiled))
def test_no_pod_is_too_strange_to_be_remembered_or_not(pod: Any) -> None:
    body = body_of(pod)
    asked, alone = Asked(), Asked()
    asked.learn(body)
    assert asked(twin(body)) == alone(twin(body))


POD = api_server_pod(plain_pod("s3://models/iris", "server", "logger"))


def test_of_pods_that_are_alike_only_the_first_two_are_worked_out() -> None:
    asked = Asked()
    first = asked.learn(body_of(POD))
    assert asked.cached_responses == 0
    for _ in range(2 * TRIES):
        status, answer = asked(twin(body_of(POD)))
        assert (status, answer) == (200, first.replace(UID.encode(), OTHER_UID.encode()))
    assert asked.cached_responses == 2 * TRIES


def test_pods_that_do_not_ask_are_alike_too() -> None:
    asked = Asked()
    body = body_of(api_server_pod({"metadata": {}, "spec": {"containers": [a_container()]}}))
    asked.learn(body)
    assert json.loads(asked(twin(body))[1])["response"]["auditAnnotations"]["reason"] == "no-uri"
    assert asked.cached_responses == 1


# --- What differs is worked out


@given(st.integers(0, len(body_of(POD)) - 1), st.integers(1, 255))
def test_another_byte_is_another_fingerprint(place: int, change: int) -> None:
    body = body_of(POD)
    other = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    here, there = fingerprint(body), fingerprint(other)
    assert here is not None
    if there is not None and there.digest == here.digest:
        # Then it is in what is left out, which is still told.
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
def test_what_is_left_out_is_left_out_only_where_it_means_nothing(body: bytes) -> None:
    asked, alone = Asked(), Asked()
    asked.learn(body)
    assert asked(twin(body)) == alone(twin(body))
    assert asked.cached_responses == 0


@pytest.mark.parametrize("spelled", [UID, UID[0] + "\\u0034" + UID[2:], "22222222-2222-4333-8444-555555555555"])
def test_of_two_uids_the_last_one_is_answered(spelled: str) -> None:
    body = body_of(POD).replace(b'"kind":{"group"', b'"uid":"%b","kind":{"group"' % spelled.encode())
    other = body.replace(UID.encode(), OTHER_UID.encode(), 1)
    asked = Asked()
    for each in (body, body, other):
        assert json.loads(asked(each)[1])["response"]["uid"] == json.loads(f'"{spelled}"')


def test_each_version_is_answered_in_kind() -> None:
    asked = Asked()
    asked.learn(body_of(POD))
    answer = json.loads(asked(body_of(POD).replace(b"io/v1", b"io/v1beta1", 1))[1])
    assert answer["apiVersion"] == "admission.k8s.io/v1beta1"


@pytest.mark.parametrize("instead", [b"\xff", b""])
@pytest.mark.parametrize("made_up", [UID, TIME, VOLUME.removeprefix("kube-api-access-")])
def test_a_body_that_is_no_json_is_refused_though_one_like_it_was_not(made_up: str, instead: bytes) -> None:
    asked = Asked()
    asked.learn(body_of(POD))
    assert asked(body_of(POD).replace(made_up.encode() + b'"', instead))[0] == 400


# --- What the answer rests on


def test_other_settings_are_another_answer() -> None:
    asked = Asked()
    body = body_of(api_server_pod(plain_pod("pvc://claim/iris")))
    before = asked(body)
    assert asked(body) == before
    asked.settings.update({"storageInitializer": {"enableDirectPvcVolumeMount": False}}, "second")
    copied = asked(body)
    assert copied != before
    asked.settings.update({"storageDefaults": {}}, "third")
    assert asked(body) == before
    assert asked.cached_responses == 0


def test_the_same_settings_in_a_new_version_are_the_same_answer() -> None:
    asked = Asked()
    asked.learn(body_of(POD))
    asked.settings.update({"storageDefaults": {}, "ingress": "{}"}, "second")
    asked(body_of(POD))
    assert asked.cached_responses == 1


def test_what_the_cluster_holds_is_another_answer_as_soon_as_it_is_known() -> None:
    held = [service_account("credentials"), secret("credentials", {"awsAccessKeyID": "x", "awsSecretAccessKey": "y"})]
    now = 1000.0
    facts = FactCache(lambda key, seconds: FactsFile(held).read(key), limits=Limits(jitter=0), clock=lambda: now)
    asked = Asked(facts=facts)
    with_credentials = 200, asked.learn(body_of(POD))
    held[:] = [service_account()]
    assert asked(body_of(POD)) == with_credentials, "what was found is believed for a while"
    assert asked.cached_responses == 1
    now += Limits().found + 1
    other = api_server_pod(plain_pod("s3://models/other"))
    asked(body_of(other))
    without = asked(body_of(POD))
    assert without != with_credentials
    assert asked.cached_responses == 1


def test_facts_that_python_takes_for_equal_are_another_answer() -> None:
    container: JsonObject = {"name": "custom", "image": "custom:1", "tty": 1}
    now = 1000.0
    facts = FactCache(
        lambda key, seconds: FactsFile([service_account(), storage_container("s", "s3://", container=container)]).read(
            key
        ),
        limits=Limits(jitter=0),
        clock=lambda: now,
    )
    asked = Asked(facts=facts)
    before = asked.learn(body_of(POD))
    container["tty"] = True
    now += Limits().found + 1
    asked(body_of(api_server_pod(plain_pod("s3://models/other"))))
    assert asked(body_of(POD))[1] != before


def test_a_claim_that_is_another_now_is_another_answer() -> None:
    held = [claim("models", "ReadOnlyMany")]
    now = 1000.0
    facts = FactCache(lambda key, seconds: FactsFile(held).read(key), limits=Limits(jitter=0), clock=lambda: now)
    asked = Asked(Whole({"storageDefaults": {"claims": {"read": True}}}), facts)
    pod = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/readonly": "false"})
    warned = asked.learn(body_of(api_server_pod(pod)))
    held[:] = [claim("models", "ReadWriteMany")]
    now += Limits().found + 1
    asked(body_of(api_server_pod(plain_pod("pvc://models/other"))))
    assert "warnings" in json.loads(warned)["response"]
    assert "warnings" not in json.loads(asked(body_of(api_server_pod(pod)))[1])["response"]


def test_what_failed_once_is_not_remembered() -> None:
    class Moody(NoCluster):
        fails = True

        def cached(self, request: Any, settings: Any) -> Any:
            if self.fails:
                raise RuntimeError("not today")
            return NO_FACTS

    facts = Moody()
    asked, alone = (Asked(Whole({"storageDefaults": {"mode": "observe"}}), each) for each in (facts, NoCluster()))
    assert json.loads(asked.learn(body_of(POD)))["response"]["allowed"]
    facts.fails = False
    assert asked(body_of(POD)) == alone(body_of(POD))


def test_what_is_missing_is_looked_for_each_time() -> None:
    held = [service_account("credentials")]
    reads = []

    def read(key: Any, seconds: float) -> Any:
        reads.append(str(key))
        return FactsFile(held).read(key)

    asked = Asked(facts=FactCache(read))
    asked.learn(body_of(POD))
    held.append(secret("credentials", {"awsAccessKeyID": "x", "awsSecretAccessKey": "y"}))
    answer = asked(body_of(POD))
    assert reads.count('Secret "credentials" in namespace "models"') == 3, reads
    assert answer == Asked(facts=FactCache(read))(body_of(POD))


def test_a_refusal_is_told_each_time() -> None:
    class Events:
        told: list[str] = []

        def record(self, request: Any, outcome: Any) -> None:
            self.told.append(request.uid)

    asked = Asked(events=Events())
    refused = body_of(api_server_pod(plain_pod("pvc://")))
    for body in (refused, refused, twin(refused)):
        assert json.loads(asked(body)[1])["response"]["allowed"] is False
    assert Events.told == [UID, UID, OTHER_UID]


# --- It stays small


def named(name: str, **annotations: str) -> bytes:
    pod = copy.deepcopy(POD)
    pod["metadata"]["generateName"] = name
    pod["metadata"]["annotations"] |= annotations
    return body_of(pod)


def test_the_oldest_answers_make_room() -> None:
    asked = Asked()
    bodies = [named(f"iris-{number}-") for number in range(MAX_ENTRIES + 1)]
    for body in bodies:
        asked.learn(body)
    asked(bodies[-1])
    asked(bodies[1])
    assert asked.cached_responses == 2
    asked(bodies[0])
    assert asked.cached_responses == 2


def test_pods_of_a_name_that_are_never_alike_are_spared_for_a_while() -> None:
    """As those of a StatefulSet."""
    asked = Asked()
    for number in range(1 + TRIES):
        asked(named("iris-", own=str(number)))
    for _ in range(PAUSE):
        asked(named("iris-", own="1"))
    assert asked.cached_responses == 0
    for _ in range(3):
        asked(named("iris-", own="1"))
    assert asked.cached_responses


def kept(asked: Asked, bodies: Iterable[bytes]) -> int:
    """Bytes that a webhook keeps of pods that it was asked about twice each."""
    tracemalloc.start()
    for body in bodies:
        asked.learn(body)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def test_what_is_kept_has_a_bound() -> None:
    """Python takes four bytes for each character of a text with one that is rare."""
    long = "😀" + "a" * (MAX_BODY_BYTES - 3000)
    asked, bodies = Asked(), [named(f"iris-{number}-", long=long) for number in range(MAX_ENTRIES * 5 // 4)]
    assert kept(asked, bodies) < MAX_ENTRIES * 5 * MAX_BODY_BYTES
    asked(bodies[-1])
    assert asked.cached_responses == 1, "nothing was kept"


def test_of_a_pod_little_is_kept() -> None:
    pod = api_server_pod(plain_pod("s3://models/iris", "server", *(f"server-{number}" for number in range(150))))
    bodies = [body_of(pod).replace(b"iris-7c9d8b6f5-", b"iris-%d-" % number) for number in range(20)]
    asked = Asked()
    assert kept(asked, bodies) < sum(map(len, bodies)) / 2
    asked(bodies[-1])
    assert asked.cached_responses == 1, "nothing was kept"


def test_of_a_name_that_no_pod_may_have_little_is_kept() -> None:
    bodies = [named("a" * (MAX_BODY_BYTES - 3000) + str(number)) for number in range(50)]
    assert kept(Asked(), bodies) < sum(map(len, bodies)) / 4


def test_a_pod_that_is_large_is_not_remembered() -> None:
    asked = Asked()
    asked.learn(named("iris-", long="a" * MAX_BODY_BYTES))
    asked(named("iris-", long="a" * MAX_BODY_BYTES))
    assert asked.cached_responses == 0


def test_a_name_is_not_remembered_for_ever() -> None:
    asked = Asked()
    asked.learn(body_of(POD))
    asked(body_of(POD))
    for number in range(MAX_NAMES):
        asked(body_of(POD).replace(b"iris-7c9d8b6f5-", b"iris-%d-" % number))
    asked(body_of(POD))
    assert asked.cached_responses == 1


def test_an_answer_that_is_large_is_not_kept() -> None:
    names = [f"server-{number}" for number in range(20)]
    pod = several(*((f"pvc://claim-{number}/iris", f"/mnt/model-{number}") for number in range(15)))
    pod["spec"]["containers"] = [a_container(name) for name in names]
    pod["metadata"]["annotations"]["storage.kserve.io/containers"] = ",".join(names)
    asked = Asked()
    answer = asked.learn(body_of(api_server_pod(pod)))
    assert json.loads(answer)["response"]["allowed"]
    assert len(answer) > MAX_RESPONSE_BYTES
    asked(body_of(api_server_pod(pod)))
    assert asked.cached_responses == 0
