"""What is logged, recorded and shown is bounded, whatever a pod or a ConfigMap contains."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from kubernetes.client import ApiClient

from tests.serving import GivenSettings, pod, review
from webhook.admission.outcome import Outcome
from webhook.admission.review import Request
from webhook.server import handlers
from webhook.server.app import create_app
from webhook.server.context import Webhook
from webhook.server.endpoint import AdmissionEndpoint
from webhook.server.events import RejectionEvents
from webhook.settings.parse import Problem, SettingsError

LONG = "a" * 1_000_000
MAX_LINE = 8 * 1024
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "iris-5d9", "uid": "0f3c"}


# --- Events


def recorded(owner, message="denied", namespace="models"):
    """The Event that a rejection leads to; None when it leads to none."""
    events = RejectionEvents(ApiClient(), "webhook-1")
    rejected = {"metadata": {"ownerReferences": [owner]}}
    request = Request(uid="1", operation="CREATE", namespace=namespace, object=rejected)
    events.record(request, Outcome("denied", message=message, code=422))
    return None if events._queue.empty() else events._queue.get()


@pytest.mark.parametrize("field", sorted(OWNER))
@pytest.mark.parametrize("value", [LONG, "a" * 400, "é" * 400])
def test_an_owner_with_a_field_that_is_too_long_gets_no_event(field, value):
    assert recorded({**OWNER, field: value}) is None


def test_the_longest_names_that_kubernetes_has_get_an_event():
    owner = {**OWNER, "name": "a" * 253, "kind": "A" * 63, "apiVersion": f"{'a' * 253}/v1"}
    event = recorded(owner)
    assert event["regarding"]["name"] == owner["name"]
    assert len(event["metadata"]["generateName"]) < 253


@pytest.mark.parametrize("message", [LONG, "é" * 2000])
def test_the_note_of_an_event_has_the_length_that_the_api_server_accepts(message):
    note = recorded(OWNER, message)["note"]
    assert 1000 < len(note.encode()) <= 1024
    assert message.startswith(note)


def test_what_is_kept_to_find_repetitions_does_not_depend_on_the_message():
    events = RejectionEvents(ApiClient(), "webhook-1")
    request = Request(uid="1", namespace="models", object={"metadata": {"ownerReferences": [OWNER]}})
    for number in range(5):
        events.record(request, Outcome("denied", message=f"{LONG}{number}", code=422))
    assert len(events._recorded) == 5
    assert all(len(repr(key)) < 100 for key in events._recorded)


# --- The line of an admission


def logged(reviewed):
    """The log event of one admission."""
    events: list[Any] = []
    webhook = Webhook(settings=GivenSettings({}))
    asyncio.run(webhook.settings.start())
    endpoint = AdmissionEndpoint(webhook, handlers.handle_pod, events.append)
    transport = httpx.ASGITransport(endpoint)

    async def post():
        async with httpx.AsyncClient(transport=transport, base_url="https://webhook") as client:
            assert (await client.post("/mutate-pods", json=reviewed)).status_code == 200

    asyncio.run(post())
    (event,) = events
    return event


def with_owner(**owner):
    owned = pod(uri="s3://b/m")
    owned["metadata"]["ownerReferences"] = [{**OWNER, **owner}]
    return owned


def with_containers(count, length):
    many = pod(uri="s3://b/m", containers=",".join(f"{number}-{'c' * length}" for number in range(count)))
    (container,) = many["spec"]["containers"]
    names = many["metadata"]["annotations"]["storage.kserve.io/containers"].split(",")
    many["spec"]["containers"] = [{**container, "name": name} for name in names]
    return many


HOSTILE = {
    "owner name": with_owner(name=LONG),
    "owner kind": with_owner(kind=LONG),
    "owner that is an object": with_owner(name={"a": LONG}),
    "pod name": {**pod(uri="s3://b/m"), "metadata": {"name": LONG}},
    "uri": pod(uri=f"s3://b/{LONG}"),
    "scheme": pod(uri=f"{LONG}://b"),
    "container": pod(uri="s3://b/m", containers=LONG),
    "containers": with_containers(500, 50),
    "container names": with_containers(20, 5000),
    "sources": pod(uris=json.dumps([{"uri": f"a{n}://b/m", "mountPath": f"/m/{n}"} for n in range(500)])),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_log_event_of_any_pod_is_bounded(name):
    event = logged(review(HOSTILE[name]))
    assert len(json.dumps(event)) < MAX_LINE


def test_ordinary_values_are_logged_whole():
    event = logged(review(with_owner(name="a" * 253)))
    assert event["owner"] == f"ReplicaSet/{'a' * 253}"
    assert list(event["containers"]) == ["server"]


# --- Settings


PROBLEMS = {
    "many": [Problem(f"storageDefaults.key{number}", "unknown") for number in range(50_000)],
    "long": [Problem(LONG, LONG)],
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_rejected_settings_are_shown_and_logged_in_a_bounded_length(name, caplog):
    source = GivenSettings({})
    asyncio.run(source.start())
    with caplog.at_level(logging.INFO):
        source.reject("2", SettingsError(PROBLEMS[name]))
    assert sum(len(record.getMessage()) for record in caplog.records) < MAX_LINE
    response = get(source, "/readyz")
    assert len(response.text) < MAX_LINE
    assert response.status_code == 200
    assert PROBLEMS[name][0].key[:20] in response.text


def get(source, path):
    async def request():
        transport = httpx.ASGITransport(create_app(Webhook(settings=source)))
        async with httpx.AsyncClient(transport=transport, base_url="https://webhook") as client:
            return await client.get(path)

    return asyncio.run(request())


def test_warnings_are_logged_in_a_bounded_number_and_length(caplog):
    source = GivenSettings(None)
    unknown = {f"{'key' * 50}{number}": 1 for number in range(500)}
    with caplog.at_level(logging.INFO):
        source.update({"storageInitializer": unknown}, "1")
    assert source.current is not None
    assert 1 < len(caplog.records) < 50
    assert sum(len(record.getMessage()) for record in caplog.records) < 4 * MAX_LINE


def test_an_error_that_hides_changes_is_shown_in_a_bounded_length():
    source = GivenSettings({})
    asyncio.run(source.start())
    source.watch_error = LONG
    assert len(get(source, "/readyz").text) < MAX_LINE
