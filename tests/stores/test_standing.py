"""What is told of shared limits to who watches, over memory and Redis: the same, and read only."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fanwise import Limit, Runtime, current, fan_map, step
from fanwise.core import Need
from fanwise.stores import BoardLost, MemoryBoard, SharedLimits, redis_board
from fanwise.testing import no_orphans

pytestmark = [pytest.mark.live("redis"), pytest.mark.real_clock]


@asynccontextmanager
async def opened(kind, server, prefix="standing"):
    """Give two ends of one board: for who works, and for who watches."""
    if kind == "memory":
        board = MemoryBoard()
        yield board, board
        return
    works, watches = (redis_board(server.url, prefix=prefix) for _ in range(2))
    yield works, watches
    await watches.aclose()


LIMITS = {
    "smart": Limit(at_once=4, tokens_per_minute=60_000, requests_per_minute=600, burst=10),
    "plain": Limit(at_once=2),
}


def steps(go_on):
    @step(limit="smart", needs=Need(200, 100))
    async def smart(number):
        await go_on.wait()
        current().usage(model="m", tokens_in=100, tokens_out=100)

    @step(limit="plain")
    async def plain(number):
        await go_on.wait()

    return smart, plain


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_stands_at_each_limit_is_told(kind, own_server):
    go_on = asyncio.Event()
    smart, plain = steps(go_on)
    async with no_orphans(), opened(kind, own_server) as (works, watches):
        assert await watches.standing() == []
        async with Runtime(
            limits=LIMITS, shared=SharedLimits(works, lease=1, delay=0.0)
        ) as runtime:
            calls = [runtime.start(fan_map(each, range(5), at_once=5)) for each in (smart, plain)]
            while runtime.statistics().running < 2 or any(
                limit.in_flight + limit.waiting < 5 for limit in runtime.statistics().limits
            ):
                await asyncio.sleep(0)
            while [each.waiting for each in await watches.standing()] != [1, 1]:
                await asyncio.sleep(0.001)
            here, there = await watches.standing()
            assert (here.name, here.at_once, here.held, here.workers) == ("plain", 2, 2, 1)
            assert (here.sizes, here.used, here.paused) == ({}, {}, 0.0)
            assert (there.name, there.at_once, there.held, there.workers) == ("smart", 4, 4, 1)
            assert there.sizes == {"requests_per_minute": 100, "tokens_per_minute": 10_000}
            assert 0.1 <= there.used["tokens_per_minute"] <= 1.0
            assert 0 < there.spent["requests_per_minute"] <= 4
            go_on.set()
            for call in calls:
                await call.wait()
        left = {each.name: each for each in await watches.standing()}
        assert left["smart"].held == left["smart"].waiting == 0
        assert left["smart"].used["tokens_per_minute"] < 0.2


async def test_a_look_writes_nothing(own_server):
    async with (
        opened("redis", own_server) as (works, watches),
        Runtime(limits=LIMITS, shared=SharedLimits(works, delay=0.0)) as runtime,
    ):
        smart, _ = steps(go_on := asyncio.Event())
        go_on.set()
        await runtime.run(smart(1))
        client = watches._client
        before = {key: await client.dump(key) for key in await client.keys("*")}
        assert before
        for _ in range(3):
            assert len(await watches.standing()) == 1
        assert {key: await client.dump(key) for key in await client.keys("*")} == before


async def test_limits_that_come_later_and_other_prefixes(own_server):
    async with (
        opened("redis", own_server, "a[b]*") as (works, watches),
        opened("redis", own_server, "ab") as (other, _),
    ):
        assert await watches.standing() == []
        smart, plain = steps(go_on := asyncio.Event())
        go_on.set()
        async with (
            Runtime(limits=LIMITS, shared=SharedLimits(works, delay=0.0)) as here,
            Runtime(limits=LIMITS, shared=SharedLimits(other)) as there,
        ):
            await here.run(smart(1))
            await there.run(plain(1))
            assert [each.name for each in await watches.standing()] == ["smart"]


async def test_a_server_that_is_gone_is_said(own_server):
    async with opened("redis", own_server) as (works, watches):
        own_server.stop()
        with pytest.raises(BoardLost, match="ConnectionError"):
            await watches.standing()
        await works.aclose()
