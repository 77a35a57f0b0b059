"""The journal over SQLite, beside bare SQLite in the same rounds on the same disk.

A bare commit is one insert of a small row in a transaction of its own, with the same log and the same
`synchronous`. What is handed to another thread and back costs on top; the bound of the processor's
time is both together, measured beside.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Span, Spread
from fanwise import Runtime, fan_map, fan_out, step

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_A_ROW = 1_000
SYNCED = 100
PARALLEL = 1_000
FINISHED = 10_000
RESULT = 42


@step
async def work(n: int) -> int:
    return RESULT


@step
async def row(count: int) -> None:
    for n in range(count):
        await work(n)


class Stopped(Exception):
    """Ends a run before its end."""


STOP = [True]


@step
async def mapped(count: int) -> int:
    found = await fan_map(work, range(count), at_once=1000)
    if STOP[0]:
        raise Stopped
    return len(found)


def in_a_row(scale: Scale) -> Iterator[Figure]:
    """Measure recorded steps one after another, without and with a sync of each."""
    plain = [_row_round("normal", scale.of(IN_A_ROW, 50)) for _ in range(scale.rounds)]
    yield Figure(
        "recorded step in a row, NORMAL",
        Spread.of([ours.wall / bare.wall for bare, ours, _ in plain]),
        3.0,
        "a bare commit",
        note=_micro("wall", plain, scale.of(IN_A_ROW, 50)),
    )
    count = scale.of(IN_A_ROW, 50)
    bound = Spread.of([(b.processor + h.processor) * 1e6 / count for b, _, h in plain]).median
    yield Figure(
        "the same, processor time",
        Spread.of([ours.processor * 1e6 / count for _, ours, _ in plain]),
        60.0,
        "none: a bound",
        "us",
        note=f"a bare commit and two hand-overs alone: {bound:.0f} µs",
        bound=bound,
    )
    count = scale.of(SYNCED, 20)
    synced = [_row_round("full", count) for _ in range(scale.rounds)]
    yield Figure(
        "recorded step in a row, FULL, above a bare commit",
        Spread.of([(ours.wall - bare.wall) * 1e3 / count for bare, ours, _ in synced]),
        0.15,
        "one synced commit",
        "ms",
        note=_micro("wall", synced, count),
    )


def parallel(scale: Scale) -> Iterator[Figure]:
    """Measure a thousand recorded steps at once."""
    count = scale.of(PARALLEL, 50)
    for sync in ("normal", "full"):
        spans = [_journaled(sync, _at_once, count) for _ in range(scale.rounds)]
        yield Figure(
            f"{count:,} recorded steps at once, {sync.upper()}, each",
            Spread.of([span.wall * 1e6 / count for span in spans]),
            30.0,
            "none: a bound",
            "us",
            note=f"{Spread.of([s.processor * 1e6 / count for s in spans]).median:.0f} µs of processor",
        )


def resumed(scale: Scale) -> Iterator[Figure]:
    """Measure how long a run of finished calls takes to go on."""
    count = scale.of(FINISHED, 200)
    found = [_resumed(count) for _ in range(scale.rounds)]
    yield Figure(
        f"resume of {count:,} finished calls",
        Spread.of([span.wall for span, _ in found]),
        0.5,
        "none: a bound",
        "s",
    )
    yield Figure(
        "growth of the journal, a call beyond its result",
        Spread.of([size / count - len(f"p{RESULT}") for _, size in found]),
        300.0,
        "none: a bound",
        "B",
    )


def _row_round(sync: str, count: int) -> tuple[Span, Span, Span]:
    """Give what bare commits, recorded steps and hand-overs took, one after the other."""
    return _bare(sync, count), _journaled(sync, _one_by_one, count), asyncio.run(_handed(count))


def _bare(sync: str, count: int) -> Span:
    with (
        TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={sync}")
        connection.execute("CREATE TABLE t (key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID")
        rows = [(os.urandom(16), b"p42") for _ in range(count)]
        with Span() as span:
            for each in rows:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO t VALUES (?, ?)", each)
                connection.execute("COMMIT")
    return span


async def _handed(count: int) -> Span:
    """Hand so many futures to a thread and back, each alone."""
    loop = asyncio.get_running_loop()
    queue: SimpleQueue[asyncio.Future[None] | None] = SimpleQueue()

    def answer() -> None:
        while (future := queue.get()) is not None:
            loop.call_soon_threadsafe(future.set_result, None)

    thread = threading.Thread(target=answer)
    thread.start()
    with Span() as span:
        for _ in range(count):
            future: asyncio.Future[None] = loop.create_future()
            queue.put(future)
            await future
    queue.put(None)
    thread.join()
    return span


async def _one_by_one(runtime: Runtime, count: int) -> None:
    await runtime.run(row(count), run_id="row")


async def _at_once(runtime: Runtime, count: int) -> None:
    await runtime.run(fan_out(*[work(n) for n in range(count)]), run_id="parallel")


def _journaled(sync: str, program, count: int) -> Span:
    async def main(folder: str) -> Span:
        async with Runtime(journal=f"sqlite:///{folder}/runs.db?sync={sync}") as runtime:
            await runtime.run(row(5), run_id="warm")
            with Span() as span:
                await program(runtime, count)
        return span

    with TemporaryDirectory() as folder:
        return asyncio.run(main(folder))


def _resumed(count: int) -> tuple[Span, int]:
    async def run(address: str) -> Span:
        with Span() as span:
            async with Runtime(journal=address) as runtime:
                await runtime.run(mapped(count), run_id="resumed")
        return span

    with TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/runs.db"
        STOP[0] = True
        with suppress(Stopped):
            asyncio.run(run(address))
        STOP[0] = False
        span = asyncio.run(run(address))
        return span, Path(folder, "runs.db").stat().st_size


def _micro(clock: str, rounds: list[tuple[Span, Span, Span]], count: int) -> str:
    bare, ours, handed = (
        Spread.of([getattr(span, clock) * 1e6 / count for span in side])
        for side in zip(*rounds, strict=True)
    )
    return (
        f"{ours.median:.0f} over {bare.median:.0f} µs; a hand-over and back {handed.median:.0f} µs"
    )
