"""`fan_out` of no-op steps, per branch, against `gather` of the bare coroutines."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run, noop, noop_step, timed_step
from benchmarks._record import check_record, check_run
from fanwise import Runtime, fan_out, step
from fanwise.record import read_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise import Step

WIDTHS = (10, 100, 1_000, 10_000)
BRANCHES = 100_000  # in all, each round: 0.3 s or more, and well below the rows kept in memory
SLICES = 10  # of a round
HELD = 1_000_000
HELD_A_RUN = 100_000
RECORDED = 4  # reading a file back takes ten times as long as what is measured: fewer branches
GATHER = "gather(*[noop(i) for i in range(n)])"


def plain(scale: Scale) -> Iterator[Figure]:
    """Measure at each width, with nothing else in memory."""
    for width in WIDTHS:
        rounds = asyncio.run(_against_gather(scale, noop_step, width))
        note = _costs(width, rounds, scale.slices(SLICES) * _slice(scale, width))
        yield Figure(f"fan_out, {width:,} wide", rounds.ratio(), 1.8, GATHER, note=note)


def held(scale: Scale) -> Iterator[Figure]:
    """Measure again while a million rows of other runs are held in memory."""
    yield from asyncio.run(_held(scale))


def timeout(scale: Scale) -> Iterator[Figure]:
    """Measure with a timeout on each step; `asyncio.timeout` alone stands beside it."""
    for width in WIDTHS:
        rounds = asyncio.run(_against_gather(scale, timed_step, width))
        alone = asyncio.run(_asyncio_timeout(scale, width))
        costs = _costs(width, rounds, scale.slices(SLICES) * _slice(scale, width))
        note = f"{costs}; asyncio.timeout alone {alone.ratio().median:.2f} x"
        what = f"fan_out with timeouts, {width:,} wide"
        yield Figure(what, rounds.ratio(), 2.0, GATHER, note=note)


def record(scale: Scale) -> Iterator[Figure]:
    """Measure with the record written to a file, the last write and the writer's thread included."""
    smaller = Scale(scale.rounds, scale.share / RECORDED)
    for width in WIDTHS:
        rounds = asyncio.run(_recorded(smaller, width))
        note = _costs(width, rounds, _repeats(smaller, width))
        what = f"fan_out, record=PATH, {width:,} wide"
        yield Figure(what, rounds.ratio(), None, GATHER, note=note)


def _repeats(scale: Scale, width: int) -> int:
    return max(1, scale.of(BRANCHES) // width)


def _slice(scale: Scale, width: int) -> int:
    return max(1, scale.of(BRANCHES) // (scale.slices(SLICES) * width))


def _costs(width: int, rounds: Rounds, repeats: int) -> str:
    yardstick, ours = rounds.each(repeats * width)
    return f"{ours:.2f} over {yardstick:.2f} µs"


async def _gathers(width: int, repeats: int) -> Span:
    total = 0
    with Span() as span:
        for _ in range(repeats):
            total += sum(await asyncio.gather(*[noop(i) for i in range(width)]))
    _check_total(total, width, repeats)
    return span


async def _fan_outs(of: Step[[int], int], width: int, repeats: int) -> None:
    total = 0
    for _ in range(repeats):
        found = await fan_out(*[of(i) for i in range(width)])
        total += sum(found.values())
    _check_total(total, width, repeats)


def _check_total(total: int, width: int, repeats: int) -> None:
    if total != repeats * width * (width - 1) // 2:
        raise AssertionError(f"the values of {repeats} times {width} branches add up to {total}")


def _calls(width: int, repeats: int) -> dict[str, int]:
    return {"noop": width * repeats, "program/fan_out": repeats}


async def _against_gather(scale: Scale, of: Step[[int], int], width: int) -> Rounds:
    repeats = _slice(scale, width)
    return await alternate(
        scale,
        lambda: _gathers(width, repeats),
        lambda: in_one_run(lambda: _fan_outs(of, width, repeats), _calls(width, repeats)),
        scale.slices(SLICES),
    )


async def _asyncio_timeout(scale: Scale, width: int) -> Rounds:
    repeats = _slice(scale, width)

    async def timed(i: int) -> int:
        async with asyncio.timeout(30.0):
            return await noop(i)

    async def timeouts() -> Span:
        with Span() as span:
            for _ in range(repeats):
                sum(await asyncio.gather(*[timed(i) for i in range(width)]))
        return span

    return await alternate(scale, lambda: _gathers(width, repeats), timeouts, scale.slices(SLICES))


async def _held(scale: Scale) -> list[Figure]:
    free = {width: await _unburdened(scale, width) for width in WIDTHS}
    figures = []
    async with Runtime() as runtime:
        await _fill(runtime, scale.of(HELD, least=1_000))
        rows = sum(len(run.rows) for run in runtime.runs)
        for width in WIDTHS:
            rounds = await _against_gather(scale, noop_step, width)
            slower, ours = (each / 1e6 / free[width] for each in rounds.each(scale.slices(SLICES)))
            note = f"{rows:,} rows; over gather without them {ours:.2f} x, gather itself {slower:.2f} x"
            what = f"fan_out, a million rows, {width:,} wide"
            figures.append(Figure(what, rounds.ratio(), 2.0, GATHER, note=note))
    return figures


async def _unburdened(scale: Scale, width: int) -> float:
    spans = [await _gathers(width, _slice(scale, width)) for _ in range(scale.rounds)]
    return median(span.processor for span in spans)


async def _fill(runtime: Runtime, rows: int) -> None:
    """Hold `rows` rows of real calls in a runtime of their own, below its bound."""

    @step
    async def program(width: int) -> None:
        await _fan_outs(noop_step, width, 1)

    while rows > 0:
        width = min(rows, HELD_A_RUN)
        await runtime.run(program(width))
        check_run(runtime.runs[-1], {"program": 1, "noop": width})
        rows -= width


async def _recorded(scale: Scale, width: int) -> Rounds:
    repeats = _repeats(scale, width)
    return await alternate(
        scale, lambda: _gathers(width, repeats), lambda: _to_file(width, repeats)
    )


async def _to_file(width: int, repeats: int) -> Span:
    @step
    async def program() -> None:
        await _fan_outs(noop_step, width, repeats)

    with Span() as span:
        async with Runtime(record="record.jsonl") as runtime:
            await runtime.run(program())
    with open("record.jsonl", encoding="utf-8") as lines:
        (written,) = read_records(lines)
    check_record(written, {"program": 1, **_calls(width, repeats)})
    return span
