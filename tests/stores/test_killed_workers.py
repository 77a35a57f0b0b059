"""Workers killed with -9 while they hold slots and reservations: real processes, a real server."""

import asyncio
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from fanwise.core.gates import Amount
from fanwise.stores import _memory
from fanwise.stores._redis import RedisBoard
from fanwise.testing import no_orphans, run_virtual
from tests.laws.proving import changed
from tests.stores.holder import LIMIT
from tests.stores.workers import BEAT, Far, Worker, manner, memory_board, terms

HEARTBEAT = 0.4
ROOT = Path(__file__).parents[2]


def started(url):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stores.holder", url, str(HEARTBEAT)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.live("redis")
@pytest.mark.real_clock
@pytest.mark.blocking_ok  # reads what its processes say
@pytest.mark.timeout(60)
async def test_two_killed_processes_give_everything_back_within_three_heartbeats(own_server):
    processes = [started(own_server.url) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout.readline() == "holding\n"
        async with no_orphans():
            board = RedisBoard(own_server.url)
            mine = Worker(9, terms(**LIMIT), board, manner(heartbeat=HEARTBEAT), count(1))
            loop = asyncio.get_running_loop()
            turns = [asyncio.create_task(mine.turn(Amount(1, 100, 0))) for _ in range(4)]
            while mine.gate._wanted is None:
                await asyncio.sleep(0)
            for process in processes:  # alive, they keep what they hold, however long that is
                while process.stdout.readline() != "beat\n":
                    pass
                for _ in range(4):
                    assert process.stdout.readline() == "beat\n"
            await asyncio.sleep(0)
            assert not any(turn.done() for turn in turns)
            for process in processes:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed = loop.time()
            numbers = await asyncio.gather(*turns)
            assert loop.time() - killed <= 3 * HEARTBEAT
            # Their four reservations of 150 count as used, mine of 100 too: no more is there.
            room = mine.gate.statistics().room["tokens_per_minute"]
            assert room == pytest.approx(1 - (600 + 400) / 1000, abs=0.01)
            for number in numbers:
                mine.gate.settle(number, Amount(1, 100, 0))
                mine.gate.release(number)
            await mine.gate.aclose()
            await board.aclose()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def gives_back_within_three_heartbeats():
    """The same in virtual time, with the width counted at every admission."""

    async def main():
        board = Far(memory_board())
        limit = terms(at_once=4, tokens=(6_000, 1_000))
        numbers = count(1)
        workers = [Worker(i, limit, board, manner(), numbers) for i in range(3)]
        loop = asyncio.get_running_loop()
        for worker in workers[:2]:
            for _ in range(2):
                await worker.turn(Amount(1, 100, 50))
        turns = [asyncio.create_task(workers[2].turn(Amount(1, 100, 0))) for _ in range(4)]
        await asyncio.sleep(20 * BEAT)
        assert not any(turn.done() for turn in turns)
        for worker in workers[:2]:
            await worker.killed()
        killed = loop.time()
        async with asyncio.timeout(60):
            await asyncio.gather(*turns)
        assert loop.time() - killed <= 3 * BEAT
        await workers[2].gate.aclose()

    run_virtual(main())


def test_killed_workers_give_back_in_virtual_time():
    gives_back_within_three_heartbeats()


def test_slots_that_never_lapse_are_rejected():
    eternal = changed((_memory.Holder, "lapses_in", lambda self, now: 1_000_000))
    with eternal, pytest.raises((AssertionError, TimeoutError)):
        gives_back_within_three_heartbeats()
