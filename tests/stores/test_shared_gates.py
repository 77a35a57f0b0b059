"""Gates of several workers over one board: the same suite in memory and over Redis.

The heartbeat is far longer than a test may take, so that whatever goes on was woken.
"""

import asyncio
from contextlib import asynccontextmanager
from itertools import count

import pytest

from fanwise.core.gates import Amount
from fanwise.stores import MemoryBoard
from fanwise.stores._redis import RedisBoard
from fanwise.testing import no_orphans
from tests.stores.workers import Far, Worker, manner, terms

pytestmark = pytest.mark.real_clock

LONG = 1_000.0


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.live("redis"))])
def on_board(request):
    """Make the board of a test, and see that nothing is left."""

    @asynccontextmanager
    async def made():
        async with no_orphans():
            if request.param == "memory":
                board = MemoryBoard()
            else:
                url = request.getfixturevalue("server").url
                board = RedisBoard(url, prefix=request.node.name.partition("[")[0])
            yield Far(board)
            await board.aclose()

    return made


def group(board, limit, size, **given):
    numbers = count(1)
    how = manner(**{"heartbeat": LONG, **given})
    return [Worker(i, limit, board, how, numbers) for i in range(size)]


async def end(*workers):
    for worker in workers:
        await worker.gate.aclose()


def give(worker, number, used=None):
    worker.gate.settle(number, used or Amount(1, 0, 0))
    worker.gate.release(number)


async def test_one_who_waits_for_a_slot_holds_no_tokens(on_board):
    async with on_board() as board:
        limit = terms(at_once=1, tokens=(0.01, 100))
        ann, bob = group(board, limit, 2)
        first = await ann.turn(Amount(1, 60, 0))
        waiting = asyncio.create_task(bob.turn(Amount(1, 40, 0)))
        while not bob.gate.statistics().room["tokens_per_minute"] < 1:
            await asyncio.sleep(0)  # until it was told to wait
        assert bob.gate.statistics().room["tokens_per_minute"] == pytest.approx(0.4, abs=0.001)
        give(ann, first, Amount(1, 60, 0))
        give(bob, await waiting, Amount(1, 40, 0))
        await end(ann, bob)


async def test_who_came_first_is_woken_first(on_board):
    async with on_board() as board:
        limit = terms(at_once=1)
        ann, bob, cal = group(board, limit, 3)
        order = []

        async def job(worker, name):
            number = await worker.turn(Amount())
            order.append(name)
            give(worker, number)

        first = await ann.turn(Amount())
        jobs = []
        for worker, name in ((bob, "bob"), (cal, "cal")):
            seen = board.visits
            jobs.append(asyncio.create_task(job(worker, name)))
            while board.visits == seen or worker.gate._wanted is None:
                await asyncio.sleep(0)
        give(ann, first)
        await asyncio.gather(*jobs)
        assert order == ["bob", "cal"]
        await end(ann, bob, cal)


async def test_a_large_request_is_not_starved_by_small_ones(on_board):
    async with on_board() as board:
        limit = terms(tokens=(60_000, 100))  # 1 in a millisecond
        ann, bob = group(board, limit, 2, lease=1)
        go_on = True

        async def small():
            done = 0
            while go_on:
                give(ann, await ann.turn(Amount(1, 10, 0)), Amount(1, 10, 0))
                done += 1
            return done

        stream = asyncio.create_task(small())
        for _ in range(3):
            give(bob, await bob.turn(Amount(1, 90, 0)), Amount(1, 90, 0))
        go_on = False
        assert await stream > 0
        await end(ann, bob)


async def test_an_idle_lease_goes_back_when_another_waits(on_board):
    async with on_board() as board:
        limit = terms(at_once=10, tokens=(0.01, 1_000))
        ann, bob = group(board, limit, 2, lease=64)
        for _ in range(4):
            give(ann, await ann.turn(Amount(1, 10, 0)), Amount(1, 10, 0))
        assert ann.gate._purse.pocket[1] > 0
        number = await bob.turn(Amount(1, 960, 0))
        give(bob, number, Amount(1, 960, 0))
        assert ann.gate._purse.pocket[1] == 0
        await end(ann, bob)


async def test_one_who_gives_up_lets_those_behind_pass(on_board):
    async with on_board() as board:
        limit = terms(tokens=(0.01, 100))
        ann, bob, cal = group(board, limit, 3)
        give(ann, await ann.turn(Amount(1, 50, 0)), Amount(1, 50, 0))
        large = asyncio.create_task(bob.turn(Amount(1, 90, 0)))
        while bob.gate._wanted is None:
            await asyncio.sleep(0)
        behind = asyncio.create_task(cal.turn(Amount(1, 20, 0)))
        while cal.gate._wanted is None:
            await asyncio.sleep(0)
        large.cancel()
        bob.gate.forgo()
        give(cal, await behind, Amount(1, 20, 0))
        await end(ann, bob, cal)


async def test_most_admissions_need_no_visit(on_board):
    async with on_board() as board:
        limit = terms(at_once=1_000, requests=(60_000, 100_000), tokens=(60_000_000, 1_000_000))
        (ann,) = group(board, limit, 1, lease=64)
        for _ in range(1_000):
            give(ann, await ann.turn(Amount(1, 10, 10)), Amount(1, 10, 10))
        assert board.visits < 40
        await end(ann)


async def test_a_pocket_that_was_not_renewed_is_not_used(on_board):
    async with on_board() as board:
        limit = terms(tokens=(60_000, 1_000))
        (ann,) = group(board, limit, 1, lease=64)
        give(ann, await ann.turn(Amount(1, 1, 0)))
        give(ann, await ann.turn(Amount(1, 1, 0)))
        assert ann.gate.has_room(Amount(1, 1, 0))
        ann.gate._trusted = asyncio.get_running_loop().time() - 1
        assert not ann.gate.has_room(Amount(1, 1, 0))
        assert ann.gate.admit_nowait(99, Amount(1, 1, 0)) is None
        await end(ann)
