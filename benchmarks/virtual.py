"""Calls on the virtual clock, against bare `asyncio.sleep` tasks there: the rate of rehearsals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span
from benchmarks._programs import ALL_POLICIES, in_one_run
from fanwise import fan_out, step
from fanwise.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise import Step

CALLS = 50_000
WIDTH = 1_000
LENGTHS = 97  # distinct sleeps of 1 to 97 s, in no order
SLEEPS = "gather(*[asyncio.sleep(...)]) there"


async def rest(i: int) -> int:
    return await asyncio.sleep(1 + i * 31 % LENGTHS, i)


rest_step = step(rest)


def plain(scale: Scale) -> Iterator[Figure]:
    """Measure steps without a policy."""
    yield _figure(scale, rest_step, "virtual clock, rate of calls", 0.7)


def armed(scale: Scale) -> Iterator[Figure]:
    """Measure steps with timeout, retry, hedge, limit and breaker, none of which has to act."""
    yield _figure(scale, rest_step.using(**ALL_POLICIES), "virtual clock, every policy armed", 0.5)


def _figure(scale: Scale, of: Step[[int], int], what: str, bar: float) -> Figure:
    repeats = max(1, scale.of(CALLS) // WIDTH)
    width = min(WIDTH, scale.of(CALLS))
    pairs = [(_sleeps(width, repeats), _steps(of, width, repeats)) for _ in range(1 + scale.rounds)]
    rounds = Rounds(pairs[1:])  # the first warms up
    yardstick, ours = rounds.each(width * repeats)
    note = f"{ours:.2f} over {yardstick:.2f} µs, {width:,} wide"
    return Figure(what, rounds.rate(), bar, SLEEPS, at_least=True, note=note)


def _sleeps(width: int, repeats: int) -> Span:
    async def sleeps() -> Span:
        with Span() as span:
            for _ in range(repeats):
                found = await asyncio.gather(
                    *[asyncio.sleep(1 + i * 31 % LENGTHS, i) for i in range(width)]
                )
                assert sum(found) == width * (width - 1) // 2
        return span

    return run_virtual(sleeps())


def _steps(of: Step[[int], int], width: int, repeats: int) -> Span:
    async def steps() -> None:
        for _ in range(repeats):
            found = await fan_out(*[of(i) for i in range(width)])
            assert sum(found.values()) == width * (width - 1) // 2

    return run_virtual(in_one_run(steps, {"rest": width * repeats}))
