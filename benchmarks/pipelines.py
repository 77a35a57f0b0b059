"""`pipeline` against hand-written queues with workers: its cost, its overlap, its memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, Spread, alternate
from benchmarks._programs import in_one_run
from benchmarks._record import check_run
from fanwise import Runtime, pipeline, stage, step
from fanwise.core import _runtime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from fanwise import Step

    Work = Callable[[int], Awaitable[int]]

ITEMS = 100_000
SLICES = 5  # of a round
FEW = 20_000
STAGES = 3
SLEEPS = (0.010, 0.020, 0.010)
NAPPED = 200
AT_ONCE = 4
KEPT = 1 << 14
QUEUES = "queues with workers by hand"


async def first_noop(i: int) -> int:
    return i


async def second_noop(i: int) -> int:
    return i


async def third_noop(i: int) -> int:
    return i


async def first_nap(i: int) -> int:
    await asyncio.sleep(SLEEPS[0])
    return i


async def second_nap(i: int) -> int:
    await asyncio.sleep(SLEEPS[1])
    return i


async def third_nap(i: int) -> int:
    await asyncio.sleep(SLEEPS[2])
    return i


NOOPS: tuple[Work, ...] = (first_noop, second_noop, third_noop)
NAPS: tuple[Work, ...] = (first_nap, second_nap, third_nap)
NOOP_STEPS: tuple[Step[Any, int], ...] = tuple(step(work) for work in NOOPS)
NAP_STEPS: tuple[Step[Any, int], ...] = tuple(step(work) for work in NAPS)


async def by_hand(works: tuple[Work, ...], items: int, at_once: int) -> list[int | None]:
    """Run `at_once` workers a stage over queues as large, and stop them in order, as is right.

    Each stage has its own end: the feeder sends one mark a worker, and the last worker of a stage
    to see one passes as many on.
    """
    queues: list[asyncio.Queue[tuple[int, int] | None]]
    queues = [asyncio.Queue(at_once) for _ in works]
    results: list[int | None] = [None] * items
    working = [at_once] * len(works)

    async def worker(number: int) -> None:
        get = queues[number].get
        work = works[number]
        put = queues[number + 1].put if number + 1 < len(works) else None
        while (given := await get()) is not None:
            index, value = given
            value = await work(value)
            if put is None:
                results[index] = value
            else:
                await put((index, value))
        working[number] -= 1
        if put is not None and not working[number]:
            for _ in range(at_once):
                await put(None)

    async with asyncio.TaskGroup() as group:
        for number in range(len(works)):
            for _ in range(at_once):
                group.create_task(worker(number))
        put = queues[0].put
        for index in range(items):
            await put((index, index))
        for _ in range(at_once):
            await put(None)
    return results


async def _hand(works: tuple[Work, ...], items: int, at_once: int) -> Span:
    with Span() as span:
        found = await by_hand(works, items, at_once)
    assert found == list(range(items))
    return span


async def _ours(steps: tuple[Step[Any, int], ...], items: int, at_once: int) -> Span:
    async def work() -> None:
        parts = [stage(each, at_once=at_once) for each in steps]
        found = await pipeline(range(items), *parts)
        assert found.values() == list(range(items))

    return await in_one_run(work, {each.name: items for each in steps})


async def _rounds(
    scale: Scale,
    works: tuple[Work, ...],
    steps: tuple[Step[Any, int], ...],
    items: int,
    width: int,
    slices: int = 1,
) -> Rounds:
    return await alternate(
        scale, lambda: _hand(works, items, width), lambda: _ours(steps, items, width), slices
    )


def speed(scale: Scale) -> Iterator[Figure]:
    """Measure the processor time of no-op stages as wide as by default; four at once for scale."""
    slices = scale.slices(SLICES)
    items = scale.of(ITEMS // slices, 100)
    for width in (1, AT_ONCE):
        rounds = asyncio.run(_rounds(scale, NOOPS, NOOP_STEPS, items, width, slices))
        yardstick, ours = rounds.each(slices * items)
        what = f"pipeline of 3 no-ops, {width} at once"
        note = f"{ours:.1f} over {yardstick:.1f} µs an item"
        yield Figure(what, rounds.ratio(), 2.0 if width == 1 else None, QUEUES, note=note)


def overlap(scale: Scale) -> Iterator[Figure]:
    """Measure the wall time of stages that sleep."""
    items = scale.of(NAPPED, 20)
    rounds = asyncio.run(_rounds(scale, NAPS, NAP_STEPS, items, AT_ONCE))
    yardstick, ours = rounds.each(1, "wall")
    note = f"{ours / 1e3:.0f} over {yardstick / 1e3:.0f} ms; ideal {ideal(items) * 1e3:.0f} ms"
    what = f"pipeline, {items} items, 10/20/10 ms"
    yield Figure(what, rounds.ratio("wall"), 1.05, QUEUES, note=note)


def ideal(items: int) -> float:
    """Give the seconds that the slowest stage needs, and the others before and after it."""
    slowest = max(SLEEPS)
    return sum(SLEEPS) + slowest * (-(-items // AT_ONCE) - 1)


def memory(scale: Scale) -> Iterator[Figure]:
    """Measure the peak of a streamed pipeline, its record spilled to a file, each in a process."""
    few, many = scale.of(FEW, 2_000), scale.of(ITEMS, 10_000)
    peaks = [(peak_of(few), peak_of(many)) for _ in range(scale.rounds)]
    (_, less), (_, more) = peaks[-1]
    note = (
        f"above what it was before: {more / 1e6:.1f} over {less / 1e6:.1f} MB; {KEPT:,} rows kept"
    )
    what = f"peak of a stream of {many:,} items"
    by = f"the same with {few:,} items"
    yield Figure(what, Spread.of([a / b for (b, _), (a, _) in peaks]), 1.1, by, note=note)


def peak_of(items: int) -> tuple[int, int]:
    """Give the most bytes that a fresh process has in memory, and how much of it came by this."""
    code = f"from benchmarks.pipelines import streamed; print(*streamed({items}))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    peak, before = map(int, done.stdout.split())
    return peak, peak - before


def streamed(items: int) -> tuple[int, int]:
    """Stream no-op stages under a record that keeps few rows; give peak memory, and before."""
    _runtime.KEPT_ROWS = KEPT
    return asyncio.run(_streamed(items))


def resident(field: str) -> int:
    """Give the bytes of this process that are in memory: now ("VmRSS"), or at most ("VmHWM")."""
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.split(f"{field}:")[1].split()[0]) * 1024


async def _streamed(items: int) -> tuple[int, int]:
    peak = before = 0

    @step
    async def program() -> None:
        nonlocal peak, before
        parts = [stage(each, at_once=AT_ONCE) for each in NOOP_STEPS]
        before = resident("VmRSS")
        total = 0
        async with pipeline(range(items), *parts).stream() as outcomes:
            async for outcome in outcomes:
                total += outcome.value
        peak = resident("VmHWM")
        assert total == sum(range(items))

    async with Runtime() as runtime:
        await runtime.run(program())
        check_run(runtime.runs[-1], {"program": 1, **{each.name: items for each in NOOP_STEPS}})
    return peak, before
