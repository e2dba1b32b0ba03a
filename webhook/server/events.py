"""Kubernetes Events for rejected pods, shown by `kubectl describe` on the pod's owner.

Best effort: Events wait in a short queue and never delay an admission. They are dropped when the queue is full or the
API server does not accept them.
"""

from __future__ import annotations

import datetime
import hashlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import structlog
import urllib3
from kubernetes.client import ApiClient, ApiException

from webhook.admission.outcome import Outcome
from webhook.admission.review import Request
from webhook.kubernetes_api.json_api import Requests

log = structlog.get_logger()

_EVENTS = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
_MAX_QUEUED = 100
_MAX_RECORDED = 1000
_TIMEOUT = (2, 5)
"""Seconds to connect, and to wait for an answer."""
# Seconds until the same rejection of the same owner is recorded again: its controller retries every few seconds.
_REPEAT_SECONDS = 600
# Bytes. The API server accepts no longer note (events.k8s.io/v1 Event).
_MAX_NOTE = 1024
# The longest values that Kubernetes accepts: DNS-1123 names of 253 characters, and an API version with a group and a
# label. An object with a longer one does not exist.
_MAX_LENGTHS = {"apiVersion": 317, "kind": 63, "name": 253, "uid": 253}


class RejectionEvents:
    """Writes an Event for each rejection; for the same owner and message once in ten minutes."""

    def __init__(self, client: ApiClient, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        # The client's EventsV1Api would load the models of all kinds.
        self._requests = Requests(client)
        self._instance = instance
        self._clock = clock
        self._queue: queue.Queue[Any] = queue.Queue(_MAX_QUEUED)
        self._recorded: OrderedDict[bytes, float] = OrderedDict()
        self.dropped = 0
        """The number of Events that were not written."""

    def start(self) -> None:
        """Start to write, in a thread of its own."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def record(self, request: Request, outcome: Outcome) -> None:
        """Record a rejection. Not for a dry run, which must have no side effect."""
        regarding = _regarding(request)
        if request.dry_run or regarding is None:
            return
        if self._is_new(_digest(request.namespace, regarding["kind"], regarding["name"], outcome.message)):
            try:
                self._queue.put_nowait(self._event(request, regarding, outcome))
            except queue.Full:
                self.dropped += 1

    def _is_new(self, key: bytes) -> bool:
        now = self._clock()
        if now - self._recorded.get(key, float("-inf")) < _REPEAT_SECONDS:
            return False
        self._recorded[key] = now
        self._recorded.move_to_end(key)
        if len(self._recorded) > _MAX_RECORDED:
            self._recorded.popitem(last=False)
        return True

    def _event(self, request: Request, regarding: Mapping[str, str], outcome: Outcome) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{regarding['name'][:200]}-", "namespace": request.namespace},
            "eventTime": now,
            "reportingController": "storage.kserve.io/webhook",
            "reportingInstance": self._instance,
            "regarding": {**regarding, "namespace": request.namespace},
            "action": "Admission",
            "reason": "ModelStorageRejected",
            "type": "Warning",
            "note": outcome.message.encode(errors="replace")[:_MAX_NOTE].decode(errors="ignore"),
        }

    def _run(self) -> None:
        while True:
            self.write(self._queue.get())

    def write(self, event: Any) -> None:
        """Write one event, or count it as dropped."""
        namespace = event["metadata"]["namespace"]
        try:
            self._requests.send("POST", _EVENTS, _TIMEOUT, body=event, namespace=namespace).read()
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            self.dropped += 1
            log.debug("event not written", namespace=namespace, reason=type(error).__name__)


def _regarding(request: Request) -> dict[str, str] | None:
    """The object that the Event is about: the pod's owner, because a rejected pod never exists."""
    metadata = request.object.get("metadata") if isinstance(request.object, dict) else None
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else None
    if owner is None or not all(_fits(owner.get(field), length) for field, length in _MAX_LENGTHS.items()):
        return None
    return {field: owner[field] for field in _MAX_LENGTHS}


def _fits(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) <= length and value.isascii()


def _digest(*parts: str) -> bytes:
    """A short key for these texts, whatever their length."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()
