"""A thousand tasks of 1 ms of processor time in processes, against `ProcessPoolExecutor`."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run
from fanwise import fan_map, step
from fanwise.pools import ProcessPool

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = 1_000
BUSY = 0.001
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
YARDSTICK = "run_in_executor of ProcessPoolExecutor, spawn, gathered"


def burn(i: int) -> int:
    """Use the processor for a millisecond, whatever else runs on it meanwhile."""
    end = time.thread_time() + BUSY
    while time.thread_time() < end:
        pass
    return i


burn_step = step(burn, pool="process")


def tasks(scale: Scale) -> Iterator[Figure]:
    """Measure wall time of all tasks, workers warm."""
    count = scale.of(TASKS, 10 * WORKERS)
    rounds = asyncio.run(_rounds(scale, count))
    yardstick, ours = rounds.each(count, "wall")
    what = f"process pool, {count:,} x 1 ms, wall time"
    note = f"{ours:.0f} over {yardstick:.0f} µs a task, {WORKERS} workers, 1 ms of processor time"
    yield Figure(what, rounds.ratio("wall"), 1.2, YARDSTICK, note=note)


async def _bare(executor: ProcessPoolExecutor, count: int) -> Span:
    loop = asyncio.get_running_loop()
    with Span() as span:
        found = await asyncio.gather(
            *[loop.run_in_executor(executor, burn, i) for i in range(count)]
        )
    assert found == list(range(count))
    return span


async def _mapped(count: int) -> None:
    found = await fan_map(burn_step, range(count), at_once=4 * WORKERS)
    assert list(found.values()) == list(range(count))


async def _rounds(scale: Scale, count: int) -> Rounds:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, spawn) as bare, ProcessPool(WORKERS) as pool:
        return await alternate(
            scale,
            lambda: _bare(bare, count),
            lambda: in_one_run(lambda: _mapped(count), {"burn": count}, pools={"process": pool}),
        )
