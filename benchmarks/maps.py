"""`fan_map` of short sleeps, against a hundred workers on a shared iterator; and its record's size."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, Spread, alternate
from benchmarks._programs import in_one_run
from fanwise import Runtime, fan_map, step

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = 10_000
AT_ONCE = 100
SLEEP = 0.001
SLICES = 5  # of a round, of so many items each
WORKERS = "100 workers on a shared iterator"


async def nap(i: int) -> int:
    await asyncio.sleep(SLEEP)
    return i


nap_step = step(nap)


def speed(scale: Scale) -> Iterator[Figure]:
    """Measure wall and processor time of all items."""
    items = scale.of(ITEMS, AT_ONCE)
    rounds = asyncio.run(_rounds(scale, items))
    for clock, bar in (("wall", 1.4), ("processor", 2.2)):
        yardstick, ours = rounds.each(scale.slices(SLICES) * items, clock)
        what = f"fan_map {items:,} x 1 ms, {clock} time"
        note = f"{ours:.1f} over {yardstick:.1f} µs an item"
        yield Figure(what, rounds.ratio(clock), bar, WORKERS, note=note)


def size(scale: Scale) -> Iterator[Figure]:
    """Measure what the record of a `fan_map` holds in memory, a call."""
    items = scale.of(ITEMS, 1_000)
    found = [asyncio.run(_bytes_a_call(items)) for _ in range(scale.rounds)]
    note = "tracemalloc, before and after the rows are dropped"
    yield Figure(
        "record of a fan_map, a call", Spread.of(found), 300, "none: a bound", "B", note=note
    )


async def _workers(items: int) -> Span:
    results: list[int | None] = [None] * items
    source = iter(range(items))

    async def worker() -> None:
        for i in source:
            results[i] = await nap(i)

    with Span() as span:
        await asyncio.gather(*[worker() for _ in range(AT_ONCE)])
    assert results == list(range(items))
    return span


async def _mapped(items: int) -> None:
    found = await fan_map(nap_step, range(items), at_once=AT_ONCE)
    assert list(found.values()) == list(range(items))


async def _rounds(scale: Scale, items: int) -> Rounds:
    return await alternate(
        scale,
        lambda: _workers(items),
        lambda: in_one_run(lambda: _mapped(items), {"nap": items}),
        scale.slices(SLICES),
    )


async def _bytes_a_call(items: int) -> float:
    """Give the difference that the rows make, with every call and value already gone."""

    @step
    async def program() -> None:
        await _mapped(items)

    tracemalloc.start()
    try:
        async with Runtime() as runtime:
            await runtime.run(program())
            (run,) = runtime.runs
            with_rows = _held()
            rows, run.rows = run.rows, type(run.rows)()
            calls = len(rows)
            del rows
            without_rows = _held()
    finally:
        tracemalloc.stop()
    return (with_rows - without_rows) / calls


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
