"""Kubernetes Events for refusals, so that `kubectl describe` shows them where their author looks.

Best effort, and never in an admission's way: events wait in a short queue, and are dropped when it is full or the
API server does not take them.
"""

from __future__ import annotations

import datetime
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import structlog
import urllib3
from kubernetes.client import ApiClient, ApiException, EventsV1Api

from webhook.admission import Outcome
from webhook.review import Request

log = structlog.get_logger()

_QUEUED = 100
_REMEMBERED = 1000
_TIMEOUT = (2, 5)
"""Seconds to connect, and to wait for an answer."""
# Seconds in which the same refusal of the same owner is not told again: its controller tries every few seconds.
_QUIET_SECONDS = 600
# The API server takes no longer note (events.k8s.io/v1 Event).
_MAX_NOTE = 1024


class RefusalEvents:
    """Writes an Event for each refusal, once in ten minutes for the same owner and message."""

    def __init__(self, client: ApiClient, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = EventsV1Api(client)
        self._instance = instance
        self._clock = clock
        self._queue: queue.Queue[Any] = queue.Queue(_QUEUED)
        self._told: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self.dropped = 0
        """Events that were not written, for the metric."""

    def start(self) -> None:
        """Begin to write, in a thread of its own."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def refused(self, request: Request, outcome: Outcome) -> None:
        """Tell of a refusal. A dry run has no side effect and is not told of."""
        regarding = _regarding(request)
        if request.dry_run or regarding is None:
            return
        if self._is_news((request.namespace, regarding["kind"], regarding["name"], outcome.message)):
            try:
                self._queue.put_nowait(self._event(request, regarding, outcome))
            except queue.Full:
                self.dropped += 1

    def _is_news(self, key: tuple[str, ...]) -> bool:
        now = self._clock()
        if now - self._told.get(key, float("-inf")) < _QUIET_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
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
            "reason": "ModelStorageRefused",
            "type": "Warning",
            "note": outcome.message[:_MAX_NOTE],
        }

    def _run(self) -> None:
        while True:
            self.write(self._queue.get())

    def write(self, event: Any) -> None:
        """Write one event, or count it as dropped."""
        namespace = event["metadata"]["namespace"]
        try:
            self._api.create_namespaced_event(namespace, event, _request_timeout=_TIMEOUT)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            self.dropped += 1
            log.debug("event not written", namespace=namespace, reason=type(error).__name__)


def _regarding(request: Request) -> dict[str, str] | None:
    """What the event is about: the pod's owner, which exists already, while a refused pod never will."""
    metadata = request.object.get("metadata") if isinstance(request.object, dict) else None
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    owner = owners[0] if isinstance(owners, list) and owners and isinstance(owners[0], dict) else None
    fields = ("apiVersion", "kind", "name", "uid")
    if owner is None or not all(isinstance(owner.get(field), str) for field in fields):
        return None
    return {field: owner[field] for field in fields}
