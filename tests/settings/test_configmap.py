"""The ConfigMap source against a faulty API server: it recovers, and retries with backoff."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.settings import apiserver
from tests.settings.apiserver import NAME, ApiServer
from webhook.errors import ClusterConfigError
from webhook.settings.configmap import ConfigMapSettings, Timing
from webhook.settings.parse import SettingsError

# Short delays after failures; timeouts that a busy machine does not reach.
SHORT_DELAYS = Timing(
    connect=20,
    list_response=20,
    watch=60,
    watch_grace=20,
    first_delay=0.01,
    max_delay=0.05,
    stable=0.5,
    start_timeout=20,
    stop_timeout=20,
)
# For servers that do not respond, and for watches that time out during the test.
SHORT_TIMEOUTS = dataclasses.replace(SHORT_DELAYS, list_response=0.3, watch=1, watch_grace=0.1)
NO_RESPONSE = (apiserver.silence, apiserver.hang)


def settings(tag: str) -> dict[str, str]:
    return {"storageInitializer": f'{{"image": "example.com/init:{tag}"}}', "ingress": "{}"}


INVALID = {"storageInitializer": '{"cpuLimit": "many"}'}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    if not server.stopped:
        server.stop()


@contextlib.asynccontextmanager
async def started(server: ApiServer, timing: Timing = SHORT_DELAYS, **options: Any) -> AsyncIterator[ConfigMapSettings]:
    source = ConfigMapSettings("kserve", NAME, client=server.client, timing=timing, **options)
    await source.start()
    try:
        yield source
    finally:
        if isinstance(pause := options.get("pause"), Pauses):
            pause.released.set()
        await source.stop()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, with a timeout long enough for a busy machine."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def active_tag(source: ConfigMapSettings) -> str | None:
    return source.current.settings.storage_initializer.image.rpartition(":")[2] if source.current else None


class Pauses:
    """A fake sleep: records the delays, and blocks at the `count`-th until released."""

    def __init__(self, count: int) -> None:
        self.delays: list[float] = []
        self.reached = threading.Event()
        self.released = threading.Event()
        self._count = count

    def __call__(self, seconds: float) -> None:
        self.delays.append(seconds)
        if len(self.delays) == self._count:
            self.reached.set()
            self.released.wait()


def test_valid_changes_take_effect_and_invalid_ones_do_not(server):
    async def scenario():
        first = server.put(settings("v1"))
        async with started(server) as source:
            assert (active_tag(source), source.current.generation, source.current.version) == ("v1", 1, first)
            before = source.current

            server.put(settings("v2"))
            await until(lambda: active_tag(source) == "v2")
            assert (source.current.generation, source.reloads, source.rejections) == (2, 1, 0)
            assert before.settings.storage_initializer.image == "example.com/init:v1", "a snapshot never changes"

            bad = server.put(INVALID)
            await until(lambda: source.rejected)
            assert active_tag(source) == "v2"
            assert source.rejected.version == bad
            assert "storageInitializer.cpuLimit" in source.rejected.reason
            assert '"many"' in source.rejected.reason

            server.put(settings("v3"))
            await until(lambda: active_tag(source) == "v3")
            assert source.rejected is None
            assert (source.current.generation, source.reloads, source.rejections) == (3, 2, 1)

    asyncio.run(scenario())


def test_a_deleted_configmap_keeps_the_last_valid_settings(server):
    async def scenario():
        server.put(settings("v1"))
        async with started(server, SHORT_TIMEOUTS) as source:
            server.delete()
            await until(lambda: source.rejected)
            assert active_tag(source) == "v1"
            assert source.rejected.version == "absent"
            assert "does not exist" in source.rejected.reason
            watched = server.watched
            await until(lambda: server.watched > watched)
            assert source.rejections == 1, "a missing ConfigMap is counted once"

            server.put(settings("v2"))
            await until(lambda: active_tag(source) == "v2")
            assert source.rejected is None

    asyncio.run(scenario())


def test_a_change_of_other_keys_is_not_a_reload(server):
    async def scenario():
        server.put(settings("v1"))
        async with started(server) as source:
            newer = server.put({**settings("v1"), "ingress": '{"ingressGateway": "other"}'})
            await until(lambda: source.current.version == newer)
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)

    asyncio.run(scenario())


def test_a_configmap_without_settings_is_rejected(server):
    async def scenario():
        server.put(settings("v1"))
        async with started(server) as source:
            server.put({"ingress": "{}"})
            await until(lambda: source.rejected)
            assert active_tag(source) == "v1"
            assert "none of the keys storageInitializer" in source.rejected.reason

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(apiserver.status(410, "Expired"), id="410"),
        pytest.param(apiserver.error_event(410, "Expired"), id="410-event"),
        pytest.param(apiserver.error_event(500, "InternalError"), id="500-event"),
        pytest.param(apiserver.status(500), id="500"),
        pytest.param(apiserver.status(429, "TooManyRequests"), id="429"),
        pytest.param(apiserver.status(403, "Forbidden"), id="403"),
        pytest.param(apiserver.cut, id="cut"),
        pytest.param(apiserver.cut_within_event, id="cut-within-event"),
        pytest.param(apiserver.end_at_once, id="ends-at-once"),
        pytest.param(apiserver.silence, id="silence"),
        pytest.param(apiserver.hang, id="no-response"),
        pytest.param(apiserver.lines(b"<html>", b"{", b"\xff\xfe\x00"), id="garbage"),
        pytest.param(apiserver.lines(b""), id="blank-line"),
        pytest.param(apiserver.lines(b"[]"), id="not-an-object"),
        pytest.param(apiserver.lines(b"{}"), id="not-an-event"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":{}}'), id="empty-object"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":null}'), id="no-object"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":{"metadata":{},"data":3}}'), id="wrong-types"),
        pytest.param(apiserver.lines(b'{"type":"ERROR","object":{}}'), id="error-without-code"),
        pytest.param(apiserver.lines(b'{"type":"SURPRISE","object":{"metadata":{}}}'), id="unknown-event"),
        pytest.param(apiserver.body(b"<html>Please log in</html>"), id="login-page"),
    ],
)
def test_a_faulty_watch_delays_an_update_by_one_cycle(server, fault):
    async def scenario():
        server.put(settings("v1"))
        server.watches.extend([fault, fault])
        async with started(server, SHORT_TIMEOUTS if fault in NO_RESPONSE else SHORT_DELAYS) as source:
            await until(lambda: active_tag(source) == "v1")
            server.put(settings("v2"))
            await until(lambda: active_tag(source) == "v2" and server.watched >= 3)
            server.put(settings("v3"))
            await until(lambda: active_tag(source) == "v3")
            assert source.rejections == 0
            if fault not in NO_RESPONSE:
                assert (server.listed, server.watched) == (3, 3)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(apiserver.status(500), id="500"),
        pytest.param(apiserver.status(401, "Unauthorized"), id="401"),
        pytest.param(apiserver.status(503, "ServiceUnavailable"), id="503"),
        pytest.param(apiserver.hang, id="no-response"),
        pytest.param(apiserver.cut, id="cut"),
        pytest.param(apiserver.body(b"<html>Please log in</html>"), id="login-page"),
        pytest.param(apiserver.body(b"{}", "application/json"), id="not-a-list"),
        pytest.param(apiserver.body(b'{"items":[{}],"metadata":{}}', "application/json"), id="empty-item"),
        pytest.param(apiserver.body(b'{"items":3}', "application/json"), id="wrong-types"),
        pytest.param(apiserver.body(b'{"items":[', "application/json"), id="incomplete-response"),
    ],
)
def test_a_faulty_list_keeps_the_settings_in_effect(server, fault):
    async def scenario():
        server.put(settings("v1"))
        server.lists.extend([None, fault, fault])
        server.watches.append(apiserver.end_at_once)
        async with started(server, SHORT_TIMEOUTS if fault in NO_RESPONSE else SHORT_DELAYS) as source:
            await until(lambda: not server.lists)
            assert active_tag(source) == "v1"
            server.put(settings("v2"))
            await until(lambda: active_tag(source) == "v2" and server.watched >= 2)
            assert (source.rejections, source.watch_error) == (0, None)
            if fault not in NO_RESPONSE:
                assert (server.listed, server.watched) == (4, 2)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("lists", "watches", "requests_per_cycle"),
    [
        pytest.param(apiserver.status(500), None, 1, id="list-500"),
        pytest.param(None, apiserver.status(410, "Expired"), 2, id="watch-410"),
        pytest.param(None, apiserver.error_event(410, "Expired"), 2, id="watch-410-event"),
        pytest.param(None, apiserver.end_at_once, 2, id="watch-ends-at-once"),
        pytest.param(None, apiserver.cut, 2, id="watch-cut"),
        pytest.param(None, apiserver.lines(b"garbage"), 2, id="watch-garbage"),
    ],
)
def test_repeated_failures_are_retried_with_backoff(server, lists, watches, requests_per_cycle):
    async def scenario():
        cycles = 12
        pauses = Pauses(cycles)
        timing = Timing(first_delay=1, max_delay=60, stable=3600)
        server.put(settings("v1"))
        server.always_list, server.always_watch = lists, watches
        async with started(server, timing, pause=pauses):
            await until(pauses.reached.is_set)
            assert len(server.requests) == cycles * requests_per_cycle
            for expected, delay in zip([1, 2, 4, 8, 16, 32, *[60] * 6], pauses.delays, strict=True):
                assert expected / 2 <= delay <= expected

    asyncio.run(scenario())


def test_delays_differ_between_replicas():
    assert len({Timing().delay(3) for _ in range(20)}) > 1


def test_recovery_after_hours_without_an_api_server(server):
    async def scenario():
        cycles = 400
        pauses = Pauses(cycles)
        server.put(settings("v1"))
        async with started(
            server, dataclasses.replace(SHORT_DELAYS, first_delay=1, max_delay=30), pause=pauses
        ) as source:
            before = source.current
            server.stop()
            await until(pauses.reached.is_set)
            assert sum(pauses.delays) > 3600
            assert source.current is before
            assert source.rejected is None
            assert "refused" in source.watch_error.lower()

            # A restored cluster reuses a resourceVersion for other content.
            restored = ApiServer(server.port)
            assert restored.put(settings("v2")) == before.version
            pauses.released.set()
            await until(lambda: active_tag(source) == "v2")
            assert source.watch_error is None
            restored.put(settings("v3"))
            await until(lambda: active_tag(source) == "v3")
        restored.stop()

    asyncio.run(scenario())


def test_the_source_waits_for_a_missing_configmap(server):
    async def scenario():
        async with started(server) as source:
            assert active_tag(source) is None
            assert f"configmap:kserve/{NAME}: this ConfigMap does not exist" in source.rejected.reason
            server.put(settings("v1"))
            await until(lambda: active_tag(source) == "v1")
            assert source.rejected is None
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)

    asyncio.run(scenario())


def test_the_source_waits_for_an_unavailable_api_server(server):
    async def scenario():
        server.put(settings("v1"))
        server.lists.extend([apiserver.status(503), apiserver.cut])
        async with started(server) as source:
            await until(lambda: active_tag(source) == "v1")
            assert source.rejections == 0

    asyncio.run(scenario())


def test_start_has_a_timeout(server):
    async def scenario():
        server.put(settings("v1"))
        server.lists.append(apiserver.hang)
        async with started(server, dataclasses.replace(SHORT_DELAYS, list_response=1, start_timeout=0.01)) as source:
            assert source.current is None
            await until(lambda: active_tag(source) == "v1")

    asyncio.run(scenario())


def test_an_invalid_configmap_fails_the_start(server):
    async def scenario():
        server.put(INVALID)
        source = ConfigMapSettings("kserve", NAME, client=server.client, timing=SHORT_DELAYS)
        with pytest.raises(SettingsError, match=r'storageInitializer\.cpuLimit: must be a quantity.*"many"'):
            await source.start()
        assert "configmap:kserve/" + NAME not in {thread.name for thread in threading.enumerate()}

    asyncio.run(scenario())


def test_a_missing_cluster_configuration_fails_the_start(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    with pytest.raises(ClusterConfigError, match="/nonexistent/kubeconfig"):
        asyncio.run(ConfigMapSettings("kserve", NAME).start())


@pytest.mark.parametrize("watches", [None, apiserver.silence], ids=["watching", "silence"])
def test_stop_ends_the_thread(server, watches):
    async def scenario():
        server.put(settings("v1"))
        server.always_watch = watches
        async with started(server, Timing(stop_timeout=20)) as source:
            await until(lambda: server.watched)
        assert source.name not in {thread.name for thread in threading.enumerate()}
        assert active_tag(source) == "v1", "the settings stay in effect"

    asyncio.run(scenario())


def test_stop_does_not_wait_for_a_blocked_request(server):
    async def scenario():
        server.put(settings("v1"))
        server.always_watch = apiserver.hang
        async with started(server, Timing(stop_timeout=0.05)) as source:
            await until(lambda: server.watched)
        blocked = [thread for thread in threading.enumerate() if thread.name == source.name]
        assert all(thread.daemon for thread in blocked), "daemon threads do not block exit"
        server.stop()
        await until(lambda: not any(thread.is_alive() for thread in blocked))
        assert active_tag(source) == "v1"

    asyncio.run(scenario())


def test_a_forbidden_list_is_reported_with_advice(server):
    async def scenario():
        server.always_list = apiserver.status(403, "Forbidden")
        async with started(server) as source:
            await until(lambda: source.watch_error)
            error = str(source.watch_error)
            assert "403" in error
            assert "allow the service account to list and watch this ConfigMap" in error

    asyncio.run(scenario())


def test_a_watch_that_times_out_is_renewed_without_delay(server):
    async def scenario():
        pauses = Pauses(1)
        server.put(settings("v1"))
        async with started(server, SHORT_TIMEOUTS, pause=pauses) as source:
            await until(lambda: server.watched == 2)
            assert pauses.delays == []
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)
        assert all(query["timeoutSeconds"] == "1" for query in server.requests if "watch" in query)

    asyncio.run(scenario())
