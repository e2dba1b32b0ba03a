"""Settings from a ConfigMap of the cluster, followed by list and watch.

The Kubernetes client blocks, and its asyncio twin would bring a second HTTP stack into memory; so one daemon thread
follows, and hands over immutable snapshots. The client's own SharedInformer tries again at once when a watch fails;
here failures wait longer and longer.
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

from webhook.core_api import CoreApi
from webhook.errors import shown
from webhook.kube import api_client
from webhook.settings.parse import Problem, SettingsError
from webhook.settings.source import LiveSettings

_DENIED = (401, 403)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the watch is; all in seconds."""

    connect: float = 5
    """For a connection to the API server."""
    answer: float = 10
    """For the answer to a list."""
    watch: int = 60
    """The API server is asked to end a watch after this long; an API server that lives does."""
    silence: float = 15
    """Beyond `watch` without a byte: the other end is gone."""
    first_delay: float = 0.5
    """Before the second attempt; doubles with each failure."""
    longest_delay: float = 30
    steady: float = 5
    """A round of list and watch that lasted this long was no failure, however it ended."""
    patience: float = 12
    """How long `start` waits for the first answer."""
    farewell: float = 2
    """How long `stop` waits for the thread, which may be in the middle of a request."""

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row: exponential, with jitter so that replicas spread out."""
        longest = min(self.longest_delay, self.first_delay * 2 ** min(failures, 32))
        return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret about it


class BrokenWatch(Exception):
    """The API server, or something before it, does not speak the watch protocol."""


class ConfigMapSettings(LiveSettings):
    """`configmap:NAMESPACE/NAME`: the ConfigMap as it is now, as long as the API server can be asked.

    It goes in rounds: list, which also tells when the ConfigMap is gone, then watch from there until the stream
    ends, for whatever reason. As every round begins with a list, an event that was missed, garbled or too old (410)
    costs one round and never the truth. The service account needs `list` and `watch` on this one ConfigMap.
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
        """`client` makes the client that is used, and closed at the end; `pause` waits between rounds, in seconds."""
        super().__init__(f"configmap:{namespace}/{name}")
        self._namespace = namespace
        self._config_map = name
        self._client = client
        self._timing = timing
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._answered: Future[SettingsError | None] = Future()
        self._stream: Watch | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Load, and begin to follow changes; an API server that does not answer is asked again in the background.

        Raises SettingsError when the ConfigMap is there and wrong, ClusterConfigError when nothing says where the
        API server is.
        """
        self._thread = threading.Thread(target=self._follow, args=(self._client(),), name=self.name, daemon=True)
        self._thread.start()
        answered, _ = await asyncio.wait([asyncio.wrap_future(self._answered)], timeout=self._timing.patience)
        for answer in answered:
            if error := answer.result():
                await self.stop()
                raise error

    async def stop(self) -> None:
        """Stop following changes."""
        self._stopping.set()
        if self._thread:
            await asyncio.to_thread(self._hang_up, self._thread)

    def _hang_up(self, thread: threading.Thread) -> None:
        """Ends the open stream, again and again: it may just be opening. A request that hangs is left behind."""
        deadline = time.monotonic() + self._timing.farewell
        while thread.is_alive() and time.monotonic() < deadline:
            if stream := self._stream:
                stream.stop()
            thread.join(0.05)

    def _follow(self, client: ApiClient) -> None:
        failures = 0
        with client:
            while not self._stopping.is_set():
                began = time.monotonic()
                error = self._round(CoreApi(client))
                steady = time.monotonic() - began >= self._timing.steady
                failures = 0 if steady else failures + 1
                if failures and not self._stopping.is_set():
                    self._note(error)
                    self._pause(self._timing.delay(failures - 1))

    def _round(self, api: CoreApi) -> Exception | None:
        """One list, one watch. Returns what ended it, None for an end in good order."""
        try:
            version, wrong = self._list(api)
            self._answer(wrong)
            self._watch(api, version)
        except Exception as error:  # whatever the network, a proxy or the client's parser comes up with
            self._answer(None)
            return error
        return None

    def _answer(self, wrong: SettingsError | None) -> None:
        if not self._answered.done():
            self._answered.set_result(wrong)

    def _list(self, api: CoreApi) -> tuple[str, SettingsError | None]:
        """Take the ConfigMap as it is. Returns the resourceVersion to watch from, and what is wrong with it."""
        timeout = (self._timing.connect, self._timing.answer)
        found = api.config_maps(self._namespace, self._config_map, timeout)
        self._recover()
        wrong = None
        if found.items:
            wrong = self._take(found.items[0])
        else:
            self._miss()
        return _version(found.metadata), wrong

    def _watch(self, api: CoreApi, version: str) -> None:
        self._stream = Watch(return_type="V1ConfigMap")
        events = self._stream.stream(
            api.config_map_events,
            self._namespace,
            self._config_map,
            resource_version=version,
            timeout_seconds=self._timing.watch,
            _request_timeout=(self._timing.connect, self._timing.watch + self._timing.silence),
        )
        with contextlib.closing(events):
            for event in events:
                if not isinstance(event, dict):
                    raise BrokenWatch("a line of the watch is no event")
                self._apply(event["type"], event["object"])

    def _apply(self, kind: str, config_map: Any) -> None:
        if kind in ("ADDED", "MODIFIED"):
            self._take(config_map)
        elif kind == "DELETED":
            self._miss()
        elif kind != "BOOKMARK":
            raise BrokenWatch(f"an event of the unknown type {shown(kind)}")

    def _take(self, config_map: V1ConfigMap) -> SettingsError | None:
        try:
            self.offer(config_map.data or {}, _version(config_map.metadata))
        except SettingsError as error:
            return error
        return None

    def _miss(self) -> None:
        """What is live stays; with nothing live, this is waited for and no error."""
        self.refuse("absent", SettingsError([Problem(self.name, "this ConfigMap does not exist")]))

    def _note(self, error: Exception | None) -> None:
        trouble = _in_words(error) if error else None
        if trouble and trouble != self.trouble:
            _log.warning("settings %s: changes cannot be seen: %s", self.name, trouble)
        self.trouble = trouble

    def _recover(self) -> None:
        if self.trouble:
            _log.info("settings %s: changes can be seen again", self.name)
        self.trouble = None


def _version(metadata: V1ObjectMeta | V1ListMeta | None) -> str:
    if metadata is None or not metadata.resource_version:
        raise BrokenWatch("an answer without resourceVersion")
    return str(metadata.resource_version)


def _in_words(error: Exception) -> str:
    if not isinstance(error, ApiException):
        return f"{type(error).__name__}: {error}"
    advice = ": may the service account list and watch it?" if error.status in _DENIED else ""
    return f"the API server answers {error.status} {error.reason}{advice}"
