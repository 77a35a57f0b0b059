"""Runtimes that share limits, and what is refused at once."""

import asyncio
import builtins
from itertools import count
from types import MappingProxyType

import pytest

from fanwise import Limit, Runtime, fan_map, step
from fanwise.core import Amount
from fanwise.stores import MemoryBoard, SharedLimits, from_address, redis_board
from fanwise.stores._gates import terms_of
from fanwise.stores._redis import RedisBoard
from fanwise.stores._visit import Rate
from fanwise.testing import no_orphans, run_virtual
from tests.stores.workers import Worker, manner, memory_board, terms


@step(limit="smart")
async def ask(i):
    RUNNING.append(i)
    assert len(RUNNING) <= 3
    await asyncio.sleep(0.5)
    RUNNING.remove(i)
    return i


RUNNING = []
LIMITS = {"smart": Limit(at_once=3, requests_per_minute=600, burst=1.0)}


async def in_a_runtime(shared, items):
    async with Runtime(limits=LIMITS, shared=shared) as runtime:
        found = await runtime.run(fan_map(ask, items, at_once=50))
        assert list(found.values()) == items
        return runtime.statistics().limits[0]


def test_two_runtimes_share_a_limit():
    async def main():
        board = memory_board()
        began = asyncio.get_running_loop().time()
        async with no_orphans():
            found = await asyncio.gather(
                in_a_runtime(SharedLimits(board), list(range(20))),
                in_a_runtime(SharedLimits(board), list(range(20, 40))),
            )
        return found, asyncio.get_running_loop().time() - began

    found, seconds = run_virtual(main())
    assert [each.granted for each in found] == [20, 20]
    assert seconds == pytest.approx(40 / 3 * 0.5, rel=0.1)


class TooMany(ConnectionError):
    status_code = 429
    headers = MappingProxyType({"retry-after": "5"})


@pytest.mark.parametrize("limit", [Limit(), Limit(at_once=2), Limit(requests_per_minute=6_000)])
def test_a_429_in_one_process_pauses_the_other_whatever_the_limit_bounds(limit):
    @step(limit="smart")
    async def job(fails):
        if fails:
            raise TooMany
        return asyncio.get_running_loop().time()

    async def main():
        board = memory_board()
        limits = {"smart": limit}
        async with (
            no_orphans(),
            Runtime(limits=limits, shared=SharedLimits(board)) as ann,
            Runtime(limits=limits, shared=SharedLimits(board)) as bob,
        ):
            assert await bob.run(job(False)) == await ann.run(job(False)) == 0
            await asyncio.sleep(1)
            with pytest.raises(TooMany):
                await ann.run(job(True))
            await asyncio.sleep(1)
            assert await bob.run(job(False)) == pytest.approx(6, abs=0.001)

    run_virtual(main())


def test_a_limit_that_changes_counts_what_is_in_flight_no_more_than_once():
    """What was reserved under other terms is settled by them, or counts as used."""

    async def main():
        board = memory_board()
        numbers = count(1)
        worker = Worker(0, terms(tokens=(60, 100)), board, manner(heartbeat=0.5), numbers)
        first = await worker.turn(Amount(1, 60, 0))
        worker.gate._change(terms(requests=(60, 10), tokens=(60, 200)), manner(heartbeat=0.5))
        second = await worker.turn(Amount(1, 130, 0))
        for number, tokens in ((first, 20), (second, 130)):
            worker.gate.settle(number, Amount(1, tokens, 0))
            worker.gate.release(number)
        assert worker.gate._purse.kept == [0, 0, 0, 0]
        await asyncio.sleep(1)
        await worker.gate.aclose()
        return [spent / 1_000_000 for spent in board.buckets["smart"].spent]

    spent = run_virtual(main())
    assert 1 <= spent[0] <= 2
    assert 188 <= spent[1] <= 190


@pytest.mark.live("redis")
@pytest.mark.real_clock
async def test_a_runtime_shares_by_address(server):
    async with no_orphans():
        found = await in_a_runtime(server.url, list(range(6)))
    assert found.quota.admitted == 6


@pytest.mark.live("redis")
@pytest.mark.real_clock
async def test_what_the_server_refuses_reaches_who_asks(own_server):
    opened = RedisBoard(own_server.url)
    await opened._client.config_set("requirepass", "right")
    await opened.aclose()
    board = redis_board(own_server.url.replace("://", "://:wrong@"))
    with pytest.raises(Exception, match=r"AUTH|password"):
        await in_a_runtime(SharedLimits(board), [1])


def test_an_address_is_looked_up():
    shared = from_address("memory:")
    assert isinstance(shared.board, MemoryBoard)
    with pytest.raises(
        ValueError, match=r'shared="nowhere:..." is not known; known are: memory, redis'
    ):
        Runtime(shared="nowhere://:secret@x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"heartbeat": 0}, "heartbeat is a number of seconds above 0, got 0"),
        ({"lease": 0}, "lease is a number of attempts of at least 1, got 0"),
        ({"without": 1.5}, "without is a share of the limit from 0 to 1, got 1.5"),
        ({"without": -0.1}, "without is a share of the limit from 0 to 1, got -0.1"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        SharedLimits(**given)


def test_a_prefix_with_a_brace_is_refused():
    with pytest.raises(ValueError, match=r"prefix=.a\{b. holds a brace"):
        redis_board("redis://127.0.0.1:1", prefix="a{b")


def test_without_the_extra_its_name_is_said(monkeypatch):
    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "redis":
            raise ModuleNotFoundError(f"No module named {name!r}", name="redis")
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    for name in list(__import__("sys").modules):
        if name == "fanwise.stores._redis":
            monkeypatch.delitem(__import__("sys").modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'fanwise\[redis\]'"):
        redis_board("redis://127.0.0.1:1")


def test_a_burst_is_its_seconds_of_the_rate():
    terms = terms_of("smart", Limit(requests_per_minute=90, tokens_per_minute=1_000_000, burst=10))
    assert terms.rates == (
        Rate.per_minute(90, 15), Rate.per_minute(1_000_000, 166_666), None, None,
    )  # fmt: skip
