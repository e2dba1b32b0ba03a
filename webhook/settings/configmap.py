"""Settings from a ConfigMap in the cluster, kept current by list and watch.

The Kubernetes client blocks, and its asyncio variant would load a second HTTP stack. One daemon thread therefore
watches the ConfigMap and publishes immutable snapshots. The client's SharedInformer retries immediately when a watch
fails; this source uses exponential backoff.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiClient, ApiException, V1ConfigMap, V1ListMeta, V1ObjectMeta
from kubernetes.watch import Watch

from webhook.errors import quoted
from webhook.kubernetes_api.client import api_client
from webhook.kubernetes_api.core_api import CoreApi
from webhook.settings.parse import Problem, SettingsError
from webhook.settings.source import LiveSettings

_FORBIDDEN = (401, 403)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Timeouts and delays of list and watch, in seconds."""

    connect: float = 5
    """Timeout for connecting to the API server."""
    list_response: float = 10
    """Timeout for the response to a list request."""
    watch: int = 60
    """Requested duration of a watch: a healthy API server ends it after this time."""
    watch_grace: float = 15
    """Time to wait for data beyond `watch` before the connection is considered dead."""
    first_delay: float = 0.5
    """Delay before the first retry; doubles with each failure."""
    max_delay: float = 30
    stable: float = 5
    """A list and watch that lasted at least this long is not counted as a failure."""
    start_timeout: float = 12
    """How long `start` waits for the first list."""
    stop_timeout: float = 2
    """How long `stop` waits for the thread, which may be blocked in a request."""

    def delay(self, failures: int) -> float:
        """Exponential backoff after consecutive failures, with jitter so that replicas do not retry together."""
        longest = min(self.max_delay, self.first_delay * 2 ** min(failures, 32))
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret


class WatchProtocolError(Exception):
    """A response that violates the watch protocol, from the API server or from a proxy."""


class ConfigMapSettings(LiveSettings):
    """`configmap:NAMESPACE/NAME`: settings from a ConfigMap, updated when it changes.

    A thread repeats a cycle: list, then watch from the returned resourceVersion until the stream ends. Every cycle
    starts with a list, so a lost, malformed or expired (410) event delays an update by one cycle at most. The list
    also detects a deleted ConfigMap. The service account needs `list` and `watch` on this ConfigMap.
    """

    def __init__(
        self,
        namespace: str,
        name: str,
        *,
        client: Callable[[], ApiClient] = api_client,
        timing: Timing = Timing(),
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """`client` creates the API client, which the thread closes; `pause` sleeps between cycles, in seconds."""
        super().__init__(f"configmap:{namespace}/{name}")
        self._namespace = namespace
        self._config_map = name
        self._client = client
        self._timing = timing
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._first_list: Future[SettingsError | None] = Future()
        self._stream: Watch | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Load the settings and start to watch. An API server that does not respond is retried in the background.

        Raises SettingsError when the ConfigMap exists and is invalid, and ClusterConfigError when no configuration
        for the API server is found.
        """
        self._thread = threading.Thread(target=self._run, args=(self._client(),), name=self.name, daemon=True)
        self._thread.start()
        first_list = asyncio.wrap_future(self._first_list)
        done, _ = await asyncio.wait([first_list], timeout=self._timing.start_timeout)
        for result in done:
            if error := result.result():
                await self.stop()
                raise error

    async def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()
        if self._thread:
            await asyncio.to_thread(self._hang_up, self._thread)

    def _hang_up(self, thread: threading.Thread) -> None:
        """Close the stream until the thread ends: a new one may just be opening. A blocked request is abandoned."""
        deadline = time.monotonic() + self._timing.stop_timeout
        while thread.is_alive() and time.monotonic() < deadline:
            if stream := self._stream:
                stream.stop()
            thread.join(0.05)

    def _run(self, client: ApiClient) -> None:
        failures = 0
        with client:
            while not self._stopping.is_set():
                started = time.monotonic()
                error = self._list_and_watch(CoreApi(client))
                stable = time.monotonic() - started >= self._timing.stable
                failures = 0 if stable else failures + 1
                if failures and not self._stopping.is_set():
                    self._set_watch_error(error)
                    self._pause(self._timing.delay(failures - 1))

    def _list_and_watch(self, api: CoreApi) -> Exception | None:
        """Run one cycle. Returns the error that ended it, or None when the watch ended normally."""
        try:
            version, invalid = self._list(api)
            self._finish_first_list(invalid)
            self._watch(api, version)
        except Exception as error:  # the network, a proxy and the client's parser can raise anything
            self._finish_first_list(None)
            return error
        return None

    def _finish_first_list(self, error: SettingsError | None) -> None:
        if not self._first_list.done():
            self._first_list.set_result(error)

    def _list(self, api: CoreApi) -> tuple[str, SettingsError | None]:
        """Load the ConfigMap. Returns the resourceVersion to watch from, and the error of invalid settings."""
        timeout = (self._timing.connect, self._timing.list_response)
        found = api.config_maps(self._namespace, self._config_map, timeout)
        self._clear_watch_error()
        invalid = None
        if found.items:
            invalid = self._load(found.items[0])
        else:
            self._reject_missing()
        return _version(found.metadata), invalid

    def _watch(self, api: CoreApi, version: str) -> None:
        self._stream = Watch(return_type="V1ConfigMap")
        events = self._stream.stream(
            api.config_map_events,
            self._namespace,
            self._config_map,
            resource_version=version,
            timeout_seconds=self._timing.watch,
            _request_timeout=(self._timing.connect, self._timing.watch + self._timing.watch_grace),
        )
        with contextlib.closing(events):
            for event in events:
                if not isinstance(event, dict):
                    raise WatchProtocolError("a line of the watch stream is not an event")
                self._apply(event["type"], event["object"])

    def _apply(self, kind: str, config_map: Any) -> None:
        if kind in ("ADDED", "MODIFIED"):
            self._load(config_map)
        elif kind == "DELETED":
            self._reject_missing()
        elif kind != "BOOKMARK":
            raise WatchProtocolError(f"unknown event type {quoted(kind)}")

    def _load(self, config_map: V1ConfigMap) -> SettingsError | None:
        try:
            self.update(config_map.data or {}, _version(config_map.metadata))
        except SettingsError as error:
            return error
        return None

    def _reject_missing(self) -> None:
        """Keep the settings in effect. At the start this is not an error: the source waits for the ConfigMap."""
        self.reject("absent", SettingsError([Problem(self.name, "this ConfigMap does not exist")]))

    def _set_watch_error(self, error: Exception | None) -> None:
        reason = _describe(error) if error else None
        if reason and reason != self.watch_error:
            _log.warning("settings %s: cannot watch for changes: %s", self.name, reason)
        self.watch_error = reason

    def _clear_watch_error(self) -> None:
        if self.watch_error:
            _log.info("settings %s: watching for changes again", self.name)
        self.watch_error = None


def _version(metadata: V1ObjectMeta | V1ListMeta | None) -> str:
    if metadata is None or not metadata.resource_version:
        raise WatchProtocolError("a response without resourceVersion")
    return str(metadata.resource_version)


def _describe(error: Exception) -> str:
    if not isinstance(error, ApiException):
        return f"{type(error).__name__}: {error}"
    advice = ": allow the service account to list and watch this ConfigMap" if error.status in _FORBIDDEN else ""
    return f"the API server responded with {error.status} {error.reason}{advice}"
