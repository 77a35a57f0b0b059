"""A step awaited in a row, against a task created and awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import armed_step, in_one_run, noop, noop_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise import Step

AWAITS = 100_000
SLICES = 10  # of a round
TASK = "await loop.create_task(noop(i))"


def plain(scale: Scale) -> Iterator[Figure]:
    """Measure a step without a policy."""
    yield _figure(scale, noop_step, "a step awaited in a row", 1.8)


def armed(scale: Scale) -> Iterator[Figure]:
    """Measure a step with timeout, retry, hedge, limit and breaker, none of which has to act."""
    yield _figure(scale, armed_step, "a step in a row, every policy armed", 2.5)


def _figure(scale: Scale, of: Step[[int], int], what: str, bar: float) -> Figure:
    slices = scale.slices(SLICES)
    count = scale.of(AWAITS // slices)
    rounds = asyncio.run(_rounds(scale, of, count))
    yardstick, ours = rounds.each(slices * count)
    return Figure(what, rounds.ratio(), bar, TASK, note=f"{ours:.2f} over {yardstick:.2f} µs")


async def _rounds(scale: Scale, of: Step[[int], int], count: int) -> Rounds:
    async def tasks() -> Span:
        loop = asyncio.get_running_loop()
        total = 0
        with Span() as span:
            for i in range(count):
                total += await loop.create_task(noop(i))
        assert total == count * (count - 1) // 2
        return span

    async def steps() -> None:
        total = 0
        for i in range(count):
            total += await of(i)
        assert total == count * (count - 1) // 2

    recorded = lambda: in_one_run(steps, {"noop": count})  # noqa: E731
    return await alternate(scale, tasks, recorded, scale.slices(SLICES))
