"""The queue of reads: namespaces take turns, and none keeps another waiting."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections import Counter
from functools import partial
from typing import Any

import pytest

from tests.cluster_objects import service_account
from tests.mutation import plain_pod
from webhook.admission import pods
from webhook.cluster.fact_cache import FactCache, Limits
from webhook.cluster.kinds import Key
from webhook.cluster.read_queue import MAX_CONFIRMED, ReadQueue
from webhook.errors import LookupFailed
from webhook.offline.facts_file import FactsFile
from webhook.request.model_request import ModelRequest
from webhook.settings.parse import parse

SETTINGS, _ = parse({})


class Blocking:
    """A fake reader that does not respond for one namespace until `respond` is set."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.respond = threading.Event()
        self.began: Counter[str] = Counter()

    def __call__(self, key: Key[Any], seconds: float) -> Any:
        self.began[key.namespace] += 1
        if key.namespace == self.namespace:
            self.respond.wait()
        return FactsFile([service_account(name=key.name)]).read(key._replace(namespace="models"))


def requested(namespace: str, account: str) -> ModelRequest:
    request = pods.read(plain_pod("s3://b/m", serviceAccountName=account), namespace, SETTINGS)
    assert isinstance(request, ModelRequest)
    return request


async def flood(cache: FactCache, namespace: str, lookups: int) -> list[asyncio.Task[Any]]:
    """Lookups of unknown accounts, of which as many have begun as can."""
    found = [
        asyncio.create_task(cache.lookup(requested(namespace, f"a-{number}"), SETTINGS)) for number in range(lookups)
    ]
    # The list of storage containers is read without waiting; after it all reads of accounts are in the queue.
    await asyncio.sleep(0)
    return found


def test_a_flood_of_lookups_in_one_namespace_does_not_delay_another() -> None:
    reader = Blocking("hostile")

    async def during_a_flood() -> None:
        cache = FactCache(reader)
        flooding = await flood(cache, "hostile", 200)
        try:
            facts = await cache.lookup(requested("good", "default"), SETTINGS)
            assert facts.service_account is not None
            assert not any(each.done() for each in flooding), "the flood still waits"
            assert reader.began["hostile"] <= Limits().threads_per_namespace
        finally:
            reader.respond.set()
            await asyncio.gather(*flooding, return_exceptions=True)

    asyncio.run(during_a_flood())


def test_lookups_beyond_the_bound_of_a_namespace_are_refused_at_once() -> None:
    reader = Blocking("hostile")

    async def during_a_flood() -> list[Any]:
        cache = FactCache(reader, limits=Limits(waiting_per_namespace=10))
        flooding = await flood(cache, "hostile", 30)
        try:
            done, _ = await asyncio.wait(flooding, return_when=asyncio.FIRST_COMPLETED)
            assert not reader.respond.is_set(), "refused while no read has ended"
            await cache.lookup(requested("good", "default"), SETTINGS)
        finally:
            reader.respond.set()
        assert done
        return await asyncio.gather(*flooding, return_exceptions=True)

    results = asyncio.run(during_a_flood())
    refused = [each for each in results if isinstance(each, LookupFailed)]
    assert len(refused) == 20
    assert all("too many" in str(each) and "try again" in str(each) for each in refused)


@pytest.mark.parametrize("namespaces", [1, 3, 10])
def test_a_read_waits_at_most_for_the_part_of_each_namespace(namespaces: int) -> None:
    gate, order = threading.Event(), []

    def read(name: str) -> None:
        gate.wait()
        order.append(name)

    async def all_at_once() -> None:
        queue = ReadQueue(threads=1, per_namespace=2, unconfirmed=20, waiting=100)
        names = [f"hostile-{number}" for number in range(namespaces) for _ in range(50)]
        reads = [asyncio.create_task(queue.run(name, partial(read, name))) for name in names]
        await asyncio.sleep(0)
        reads.append(asyncio.create_task(queue.run("good", partial(read, "good"))))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*reads)

    asyncio.run(all_at_once())
    assert len(order) == 50 * namespaces + 1
    assert order.index("good") <= 2 * namespaces


def test_reads_that_were_given_up_or_failed_leave_their_place() -> None:
    gate = threading.Event()

    def fail() -> None:
        raise LookupFailed("no")

    async def one_after_another() -> int:
        queue = ReadQueue(threads=2, per_namespace=1, unconfirmed=1, waiting=2)
        first = asyncio.create_task(queue.run("a", gate.wait))
        given_up = asyncio.create_task(queue.run("a", gate.wait))
        await asyncio.sleep(0)
        with pytest.raises(LookupFailed):
            await queue.run("a", gate.wait)
        given_up.cancel()
        await asyncio.wait([given_up])
        second = asyncio.create_task(queue.run("a", fail))
        await asyncio.sleep(0)
        gate.set()
        await first
        with pytest.raises(LookupFailed, match="no"):
            await second
        return await queue.run("a", lambda: 1)

    assert asyncio.run(one_after_another()) == 1


def test_invented_namespaces_do_not_delay_those_that_exist() -> None:
    gate, good_began = threading.Event(), threading.Event()

    def good() -> None:
        good_began.set()
        gate.wait()

    async def all_at_once() -> bool:
        queue = ReadQueue(threads=8, per_namespace=4, unconfirmed=6, waiting=100)
        queue.confirm("good")
        names = [f"invented-{number}" for number in range(1_000) for _ in range(4)]
        reads = [asyncio.create_task(queue.run(name, gate.wait)) for name in names]
        await asyncio.sleep(0)
        reads.append(asyncio.create_task(queue.run("good", good)))
        # None of the invented reads ends before the good one has begun.
        began = await asyncio.to_thread(good_began.wait, 60)
        gate.set()
        await asyncio.gather(*reads)
        return began

    assert asyncio.run(all_at_once())


def test_a_namespace_in_which_an_object_was_found_is_not_invented() -> None:
    reader = Blocking("hostile")

    async def during_a_flood() -> None:
        cache = FactCache(reader)
        await cache.lookup(requested("good", "first"), SETTINGS)
        flooding = [
            asyncio.create_task(cache.lookup(requested("hostile", f"a-{number}"), SETTINGS)) for number in range(20)
        ]
        await asyncio.sleep(0)
        try:
            facts = await cache.lookup(requested("good", "second"), SETTINGS)
            assert facts.service_account is not None
        finally:
            reader.respond.set()
            await asyncio.gather(*flooding, return_exceptions=True)

    asyncio.run(during_a_flood())


def test_the_number_of_confirmed_namespaces_is_bounded() -> None:
    async def confirm(number: int) -> int:
        queue = ReadQueue(threads=1, per_namespace=1, unconfirmed=1, waiting=1)
        tracemalloc.start()
        try:
            for each in range(number):
                queue.confirm(f"n-{each}")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(confirm(5 * MAX_CONFIRMED)) < 2 * asyncio.run(confirm(MAX_CONFIRMED))
