"""Events for rejected pods, in a real API server."""

import uuid
from typing import Any

from kubernetes import client as k8s

from tests.controlplane.plane import ControlPlane
from webhook.admission.outcome import Outcome
from webhook.admission.review import Request
from webhook.server.events import RejectionEvents

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "iris-5d9", "uid": "0f3c", "controller": True}
DENIED = Outcome("denied", message="annotation storage.kserve.io/uri is empty", code=422)


def request(namespace: str, *, dry_run: bool = False, owners: Any = (OWNER,)) -> Request:
    pod = {"metadata": {"generateName": "iris-5d9-", "ownerReferences": list(owners)}}
    return Request(uid="1", operation="CREATE", namespace=namespace, dry_run=dry_run, object=pod)


def written(client: k8s.ApiClient, events: RejectionEvents, namespace: str) -> list[Any]:
    while not events._queue.empty():
        events.write(events._queue.get())
    return k8s.EventsV1Api(client).list_namespaced_event(namespace).items


def test_repeated_rejection_is_recorded_once_on_the_owner(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace(f"events-{uuid.uuid4().hex[:8]}")
    with control_plane.client() as client:
        events = RejectionEvents(client, "webhook-1")
        for _ in range(5):
            events.record(request(namespace), DENIED)
        (event,) = written(client, events, namespace)
    assert event.regarding.name == "iris-5d9"
    assert event.type == "Warning"
    assert event.note == DENIED.message


def test_dry_runs_and_pods_without_owner_record_no_event(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace(f"events-{uuid.uuid4().hex[:8]}")
    with control_plane.client() as client:
        events = RejectionEvents(client, "webhook-1")
        events.record(request(namespace, dry_run=True), DENIED)
        events.record(request(namespace, owners=()), DENIED)
        events.record(request(namespace, owners=("garbage",)), DENIED)
        assert written(client, events, namespace) == []


def test_same_rejection_is_recorded_again_after_a_while(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace(f"events-{uuid.uuid4().hex[:8]}")
    now = [0.0]
    with control_plane.client() as client:
        events = RejectionEvents(client, "webhook-1", clock=lambda: now[0])
        events.record(request(namespace), DENIED)
        now[0] = 601
        events.record(request(namespace), DENIED)
        assert len(written(client, events, namespace)) == 2


def test_without_permission_events_are_dropped_and_counted(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace(f"events-{uuid.uuid4().hex[:8]}")
    with control_plane.client(control_plane.user("nobody")) as client:
        events = RejectionEvents(client, "webhook-1")
        events.record(request(namespace), DENIED)
        events.write(events._queue.get())
    assert events.dropped == 1


def test_full_queue_drops_events(control_plane: ControlPlane) -> None:
    with control_plane.client() as client:
        events = RejectionEvents(client, "webhook-1")
        for number in range(150):
            events.record(request(f"namespace-{number}"), DENIED)
    assert events.dropped == 50
