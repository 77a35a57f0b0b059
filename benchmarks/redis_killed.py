"""Two workers killed with -9 while they hold slots and reservations of a limit over Redis.

Real processes, a real server, real time: how long it takes until the limit is right again, and
whether more was ever held than it allows.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise.core.gates import Amount
from fanwise.stores._redis import RedisBoard
from tests.stores.holder import LIMIT
from tests.stores.servers import redis_server
from tests.stores.workers import Worker, manner, terms

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator

    from benchmarks._measure import Scale

HEARTBEAT = 0.4  # seconds
SLOTS = 4  # of the limit; each worker that is killed holds two
WORKERS = 2
TOKENS = 1_000  # in the bucket, which takes a day to refill
RESERVED = 600  # by those who are killed: it counts as used
ASKED = 100
ROOT = str(Path(__file__).parents[1])


def killed(scale: Scale) -> Iterator[Figure]:
    """Measure heartbeats until all is free again, and the most slots that were held meanwhile."""
    if shutil.which("redis-server") is None:
        return
    rounds = [asyncio.run(_round()) for _ in range(scale.rounds)]
    what = f"after kill -9 of {WORKERS} workers"
    yield Figure(
        f"heartbeats {what}", Spread.of([beats for beats, _ in rounds]), 3.0,
        "two of its 2 slots and reservations each", unit="number",
        note=f"until all {SLOTS} slots are another's; the tokens that they reserved count as used",
    )  # fmt: skip
    yield Figure(
        "slots held before and after it", Spread.of([most for _, most in rounds]), SLOTS,
        "the limit", unit="count", note="as the board tells every 10 ms",
    )  # fmt: skip


async def _round() -> tuple[float, float]:
    with redis_server() as server:
        workers = [await _started(server.url) for _ in range(WORKERS)]
        board = RedisBoard(server.url)
        mine = Worker(9, terms(**LIMIT), board, manner(heartbeat=HEARTBEAT), count(1))
        held = [0]
        over = asyncio.Event()  # the client may lose a cancel
        watching = asyncio.create_task(_watch(board, held, over))
        try:
            for worker in workers:
                assert await _line(worker) == "holding"
            turns = [asyncio.create_task(mine.turn(Amount(1, ASKED, 0))) for _ in range(SLOTS)]
            for worker in workers:  # alive, they keep what they hold
                for _ in range(4):
                    assert await _line(worker) == "beat"
            assert not any(turn.done() for turn in turns)
            assert max(held) == SLOTS
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
            loop = asyncio.get_running_loop()
            ended = loop.time()
            numbers = await asyncio.gather(*turns)
            beats = (loop.time() - ended) / HEARTBEAT
            room = mine.gate.statistics().room["tokens_per_minute"]
            assert abs(room - (1 - (RESERVED + SLOTS * ASKED) / TOKENS)) < 0.01, room
            for number in numbers:
                mine.gate.settle(number, Amount(1, ASKED, 0))
                mine.gate.release(number)
            return beats, max(held)
        finally:
            over.set()
            await asyncio.wait([watching])
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            await mine.gate.aclose()
            await board.aclose()


async def _watch(board: RedisBoard, held: list[int], over: asyncio.Event) -> None:
    """Note how many slots are held, as the board tells."""
    while not over.is_set():
        held += [standing.held for standing in await board.standing()]
        await asyncio.sleep(0.01)


async def _started(url: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.holder", url, str(HEARTBEAT)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([f"{ROOT}/src", ROOT])},
        stdout=asyncio.subprocess.PIPE,
    )


async def _line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
