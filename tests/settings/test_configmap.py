"""The ConfigMap watch against a server that misbehaves: it ends up with the right settings, and asks politely."""

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

# Short waits after failures, and nothing else that a busy machine could run into.
QUICK = Timing(
    connect=20,
    answer=20,
    watch=60,
    silence=20,
    first_delay=0.01,
    longest_delay=0.05,
    steady=0.5,
    patience=20,
    farewell=20,
)
# For servers that do not answer, and for watches that end in good order while the test runs.
HASTY = dataclasses.replace(QUICK, answer=0.3, watch=1, silence=0.1)
UNANSWERED = (apiserver.silence, apiserver.hang)


def settings(tag: str) -> dict[str, str]:
    return {"storageInitializer": f'{{"image": "example.com/init:{tag}"}}', "ingress": "{}"}


BAD = {"storageInitializer": '{"cpuLimit": "many"}'}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    if not server.stopped:
        server.stop()


@contextlib.asynccontextmanager
async def following(server: ApiServer, timing: Timing = QUICK, **options: Any) -> AsyncIterator[ConfigMapSettings]:
    source = ConfigMapSettings("kserve", NAME, client=server.client, timing=timing, **options)
    await source.start()
    try:
        yield source
    finally:
        if isinstance(pause := options.get("pause"), Pauses):
            pause.released.set()
        await source.stop()


async def until(condition: Callable[[], Any]) -> None:
    """Waits for what must come; far longer than it takes, for a busy machine."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def live(source: ConfigMapSettings) -> str | None:
    return source.current.settings.storage_initializer.image.rpartition(":")[2] if source.current else None


class Pauses:
    """Stands in for waiting: writes down how long it would have been, and holds after `count` until released."""

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


def test_changes_go_live_and_bad_ones_do_not(server):
    async def scenario():
        first = server.put(settings("v1"))
        async with following(server) as source:
            assert (live(source), source.current.generation, source.current.version) == ("v1", 1, first)
            before = source.current

            server.put(settings("v2"))
            await until(lambda: live(source) == "v2")
            assert (source.current.generation, source.reloads, source.refusals) == (2, 1, 0)
            assert before.settings.storage_initializer.image == "example.com/init:v1", "a snapshot never changes"

            bad = server.put(BAD)
            await until(lambda: source.refused)
            assert live(source) == "v2"
            assert source.refused.version == bad
            assert "storageInitializer.cpuLimit" in source.refused.reason
            assert '"many"' in source.refused.reason

            server.put(settings("v3"))
            await until(lambda: live(source) == "v3")
            assert source.refused is None
            assert (source.current.generation, source.reloads, source.refusals) == (3, 2, 1)

    asyncio.run(scenario())


def test_a_deleted_configmap_keeps_the_last_good_settings(server):
    async def scenario():
        server.put(settings("v1"))
        async with following(server, HASTY) as source:
            server.delete()
            await until(lambda: source.refused)
            assert live(source) == "v1"
            assert source.refused.version == "absent"
            assert "does not exist" in source.refused.reason
            watched = server.watched
            await until(lambda: server.watched > watched)
            assert source.refusals == 1, "being gone is one refusal, however often it is seen"

            server.put(settings("v2"))
            await until(lambda: live(source) == "v2")
            assert source.refused is None

    asyncio.run(scenario())


def test_what_belongs_to_kserve_is_no_reload(server):
    async def scenario():
        server.put(settings("v1"))
        async with following(server) as source:
            newer = server.put({**settings("v1"), "ingress": '{"ingressGateway": "other"}'})
            await until(lambda: source.current.version == newer)
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)

    asyncio.run(scenario())


def test_an_emptied_configmap_is_refused(server):
    async def scenario():
        server.put(settings("v1"))
        async with following(server) as source:
            server.put({"ingress": "{}"})
            await until(lambda: source.refused)
            assert live(source) == "v1"
            assert "none of the keys storageInitializer" in source.refused.reason

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "misbehave",
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
        pytest.param(apiserver.hang, id="no-answer"),
        pytest.param(apiserver.lines(b"<html>", b"{", b"\xff\xfe\x00"), id="garbage"),
        pytest.param(apiserver.lines(b""), id="blank-line"),
        pytest.param(apiserver.lines(b"[]"), id="not-an-object"),
        pytest.param(apiserver.lines(b"{}"), id="no-event"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":{}}'), id="empty-object"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":null}'), id="no-object"),
        pytest.param(apiserver.lines(b'{"type":"MODIFIED","object":{"metadata":{},"data":3}}'), id="wrong-types"),
        pytest.param(apiserver.lines(b'{"type":"ERROR","object":{}}'), id="error-without-code"),
        pytest.param(apiserver.lines(b'{"type":"SURPRISE","object":{"metadata":{}}}'), id="unknown-event"),
        pytest.param(apiserver.body(b"<html>Please log in</html>"), id="login-page"),
    ],
)
def test_a_bad_watch_costs_a_round(server, misbehave):
    async def scenario():
        server.put(settings("v1"))
        server.watches.extend([misbehave, misbehave])
        async with following(server, HASTY if misbehave in UNANSWERED else QUICK) as source:
            await until(lambda: live(source) == "v1")
            server.put(settings("v2"))
            await until(lambda: live(source) == "v2" and server.watched >= 3)
            server.put(settings("v3"))
            await until(lambda: live(source) == "v3")
            assert source.refusals == 0
            if misbehave not in UNANSWERED:
                assert (server.listed, server.watched) == (3, 3)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "misbehave",
    [
        pytest.param(apiserver.status(500), id="500"),
        pytest.param(apiserver.status(401, "Unauthorized"), id="401"),
        pytest.param(apiserver.status(503, "ServiceUnavailable"), id="503"),
        pytest.param(apiserver.hang, id="no-answer"),
        pytest.param(apiserver.cut, id="cut"),
        pytest.param(apiserver.body(b"<html>Please log in</html>"), id="login-page"),
        pytest.param(apiserver.body(b"{}", "application/json"), id="no-list"),
        pytest.param(apiserver.body(b'{"items":[{}],"metadata":{}}', "application/json"), id="empty-item"),
        pytest.param(apiserver.body(b'{"items":3}', "application/json"), id="wrong-types"),
        pytest.param(apiserver.body(b'{"items":[', "application/json"), id="half-an-answer"),
    ],
)
def test_a_bad_list_changes_nothing(server, misbehave):
    async def scenario():
        server.put(settings("v1"))
        server.lists.extend([None, misbehave, misbehave])
        server.watches.append(apiserver.end_at_once)
        async with following(server, HASTY if misbehave in UNANSWERED else QUICK) as source:
            await until(lambda: not server.lists)
            assert live(source) == "v1"
            server.put(settings("v2"))
            await until(lambda: live(source) == "v2" and server.watched >= 2)
            assert (source.refusals, source.trouble) == (0, None)
            if misbehave not in UNANSWERED:
                assert (server.listed, server.watched) == (4, 2)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("lists", "watches", "requests_a_round"),
    [
        pytest.param(apiserver.status(500), None, 1, id="list-500"),
        pytest.param(None, apiserver.status(410, "Expired"), 2, id="watch-410"),
        pytest.param(None, apiserver.error_event(410, "Expired"), 2, id="watch-410-event"),
        pytest.param(None, apiserver.end_at_once, 2, id="watch-ends-at-once"),
        pytest.param(None, apiserver.cut, 2, id="watch-cut"),
        pytest.param(None, apiserver.lines(b"garbage"), 2, id="watch-garbage"),
    ],
)
def test_what_fails_again_and_again_is_asked_less_and_less(server, lists, watches, requests_a_round):
    async def scenario():
        rounds = 12
        pauses = Pauses(rounds)
        timing = Timing(first_delay=1, longest_delay=60, steady=3600)
        server.put(settings("v1"))
        server.always_list, server.always_watch = lists, watches
        async with following(server, timing, pause=pauses):
            await until(pauses.reached.is_set)
            assert len(server.requests) == rounds * requests_a_round
            for expected, delay in zip([1, 2, 4, 8, 16, 32, *[60] * 6], pauses.delays, strict=True):
                assert expected / 2 <= delay <= expected

    asyncio.run(scenario())


def test_delays_differ_between_replicas():
    assert len({Timing().delay(3) for _ in range(20)}) > 1


def test_hours_without_an_api_server(server):
    async def scenario():
        rounds = 400
        pauses = Pauses(rounds)
        server.put(settings("v1"))
        async with following(
            server, dataclasses.replace(QUICK, first_delay=1, longest_delay=30), pause=pauses
        ) as source:
            before = source.current
            server.stop()
            await until(pauses.reached.is_set)
            assert sum(pauses.delays) > 3600
            assert source.current is before
            assert source.refused is None
            assert "refused" in source.trouble.lower()

            # A restored cluster: other content under a resourceVersion that was there before.
            back = ApiServer(server.port)
            assert back.put(settings("v2")) == before.version
            pauses.released.set()
            await until(lambda: live(source) == "v2")
            assert source.trouble is None
            back.put(settings("v3"))
            await until(lambda: live(source) == "v3")
        back.stop()

    asyncio.run(scenario())


def test_an_absent_configmap_is_waited_for(server):
    async def scenario():
        async with following(server) as source:
            assert live(source) is None
            assert f"configmap:kserve/{NAME}: this ConfigMap does not exist" in source.refused.reason
            server.put(settings("v1"))
            await until(lambda: live(source) == "v1")
            assert source.refused is None
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)

    asyncio.run(scenario())


def test_an_api_server_that_is_down_at_the_start_is_waited_for(server):
    async def scenario():
        server.put(settings("v1"))
        server.lists.extend([apiserver.status(503), apiserver.cut])
        async with following(server) as source:
            await until(lambda: live(source) == "v1")
            assert source.refusals == 0

    asyncio.run(scenario())


def test_start_does_not_wait_for_ever(server):
    async def scenario():
        server.put(settings("v1"))
        server.lists.append(apiserver.hang)
        async with following(server, dataclasses.replace(QUICK, answer=1, patience=0.01)) as source:
            assert source.current is None
            await until(lambda: live(source) == "v1")

    asyncio.run(scenario())


def test_a_wrong_configmap_stops_the_start(server):
    async def scenario():
        server.put(BAD)
        source = ConfigMapSettings("kserve", NAME, client=server.client, timing=QUICK)
        with pytest.raises(SettingsError, match=r'storageInitializer\.cpuLimit: must be a quantity.*"many"'):
            await source.start()
        assert "configmap:kserve/" + NAME not in {thread.name for thread in threading.enumerate()}

    asyncio.run(scenario())


def test_no_cluster_stops_the_start(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    with pytest.raises(ClusterConfigError, match="/nonexistent/kubeconfig"):
        asyncio.run(ConfigMapSettings("kserve", NAME).start())


@pytest.mark.parametrize("watches", [None, apiserver.silence], ids=["watching", "silence"])
def test_stop_ends_the_thread(server, watches):
    async def scenario():
        server.put(settings("v1"))
        server.always_watch = watches
        async with following(server, Timing(farewell=20)) as source:
            await until(lambda: server.watched)
        assert source.name not in {thread.name for thread in threading.enumerate()}
        assert live(source) == "v1", "what is live stays live"

    asyncio.run(scenario())


def test_stop_does_not_wait_for_a_request_that_hangs(server):
    async def scenario():
        server.put(settings("v1"))
        server.always_watch = apiserver.hang
        async with following(server, Timing(farewell=0.05)) as source:
            await until(lambda: server.watched)
        hanging = [thread for thread in threading.enumerate() if thread.name == source.name]
        assert all(thread.daemon for thread in hanging), "the process may end"
        server.stop()
        await until(lambda: not any(thread.is_alive() for thread in hanging))
        assert live(source) == "v1"

    asyncio.run(scenario())


def test_what_may_not_be_read_is_said_with_advice(server):
    async def scenario():
        server.always_list = apiserver.status(403, "Forbidden")
        async with following(server) as source:
            await until(lambda: source.trouble)
            said = str(source.trouble)
            assert "403" in said
            assert "may the service account list and watch it?" in said

    asyncio.run(scenario())


def test_a_quiet_watch_is_renewed_without_pause(server):
    async def scenario():
        pauses = Pauses(1)
        server.put(settings("v1"))
        async with following(server, HASTY, pause=pauses) as source:
            await until(lambda: server.watched == 2)
            assert pauses.delays == []
            snapshot: Any = source.current
            assert (snapshot.generation, source.reloads) == (1, 0)
        assert all(query["timeoutSeconds"] == "1" for query in server.requests if "watch" in query)

    asyncio.run(scenario())
