"""The board goes away: a stated share of the limit, or nothing, never unlimited; and back again."""

import asyncio
import logging
from fractions import Fraction
from itertools import count

import pytest

from fanwise.core.gates import Amount
from fanwise.stores import _visit
from fanwise.stores._redis import RedisBoard
from fanwise.testing import no_orphans, run_virtual
from tests.laws.proving import changed
from tests.stores.workers import Far, Worker, manner, memory_board, terms

RATE = 600  # a minute: 10 in a second
OUTAGE = 30.0


def outage(share):
    """Ask without end, over an outage of 30 s; give the admissions before, in, and after it."""

    async def main():
        board = Far(memory_board())
        limit = terms(at_once=8, requests=(RATE, 10))
        worker = Worker(0, limit, board, manner(without=Fraction(share), lease=8), count(1))
        loop = asyncio.get_running_loop()
        admitted = []

        async def ask():
            while loop.time() < 90:
                await worker.attempt(Amount(), Amount(), 0)
                admitted.append(loop.time())

        async def power():
            await asyncio.sleep(30)
            board.gone = True
            await asyncio.sleep(OUTAGE)
            board.gone = False

        await asyncio.gather(ask(), power())
        await worker.gate.aclose()
        return admitted

    async def whole():
        async with no_orphans():
            return await main()

    admitted = run_virtual(whole())
    during = [at for at in admitted if 30.5 < at <= 60]
    return admitted, len(during)


def admits_its_share(share):
    admitted, during = outage(share)
    rate = RATE / 60
    assert during <= share * rate * OUTAGE + 1
    assert during >= share * rate * OUTAGE * 0.9
    assert len(admitted) <= 10 + 90 * rate  # what was admitted without the board is owed to it
    assert sum(at > 62 for at in admitted) >= 0.95 * 28 * rate  # and it is back


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_without_its_board_a_gate_admits_its_share(share, caplog):
    caplog.set_level(logging.WARNING)
    admits_its_share(share)
    said = [each.getMessage() for each in caplog.records]
    assert len(said) == 2
    assert f"{share:.0%} of it" in said[0] if share else "nothing is admitted" in said[0]
    assert "is back" in said[1]


def test_an_unlimited_gate_is_rejected():
    unlimited = changed((_visit.Terms, "part", lambda self, share: self))
    with unlimited, pytest.raises(AssertionError):
        admits_its_share(0.25)


@pytest.mark.live("redis")
@pytest.mark.real_clock
async def test_a_server_that_forgot_begins_with_an_empty_bucket(own_server):
    limit = terms(requests=(1_200, 20))  # one in 50 ms
    async with no_orphans():
        board = RedisBoard(own_server.url)
        worker = Worker(0, limit, board, manner(heartbeat=0.2, lease=1), count(1))
        for _ in range(20):
            await worker.attempt(Amount(), Amount(), 0)
        own_server.stop()
        own_server.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(6):
            await worker.attempt(Amount(), Amount(), 0)
        assert loop.time() - began >= 0.25
        await worker.gate.aclose()
        await board.aclose()


@pytest.mark.live("redis")
@pytest.mark.real_clock
async def test_a_worker_goes_on_when_the_server_is_back(own_server):
    limit = terms(at_once=2, requests=(60_000, 100))
    async with no_orphans():
        board = RedisBoard(own_server.url)
        worker = Worker(0, limit, board, manner(heartbeat=0.2, lease=8), count(1))
        await worker.attempt(Amount(), Amount(), 0)
        own_server.stop()
        job = asyncio.create_task(worker.attempt(Amount(), Amount(), 0))
        while worker.gate._away is None and not job.done():
            await asyncio.sleep(0)
        own_server.start()
        await job
        await worker.gate.aclose()
        await board.aclose()


def test_nothing_of_the_url_is_shown():
    async def main():
        board = RedisBoard("redis://:secret@127.0.0.1:1")
        shown = repr(board)
        await board.aclose()
        return shown

    assert "secret" not in asyncio.run(main())
