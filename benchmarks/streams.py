"""A stream read item by item, against a task that fills a queue for one; and awaited as a list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run
from fanwise import Timeout, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from fanwise.core import StreamCall

ITEMS = 100_000
A_STREAM = 1_000
QUEUE = "a task and asyncio.Queue(1)"
LOOP = "[item async for item in generator]"


async def numbers(most: int) -> AsyncIterator[int]:
    for i in range(most):
        await asyncio.sleep(0)  # as a generator that waits for its source
        yield i


plain = step(name="numbers")(numbers)
timed = step(name="numbers", timeout=Timeout(60.0, first=10.0, idle=10.0))(numbers)


def read(scale: Scale) -> Iterator[Figure]:
    """Measure an item read from a stream, without a policy and with bounds for each item."""
    items = scale.of(ITEMS, A_STREAM)
    for of, what in ((plain, "a stream read, an item"), (timed, "the same with first= and idle=")):
        rounds = asyncio.run(_rounds(scale, items, _queued, lambda of=of: _read(of, items)))
        yield _figure(rounds, items, what, 1.3, QUEUE)


def awaited(scale: Scale) -> Iterator[Figure]:
    """Measure an item of a stream that is awaited as a list."""
    items = scale.of(ITEMS, A_STREAM)
    rounds = asyncio.run(_rounds(scale, items, _looped, lambda: _awaited(items)))
    yield _figure(rounds, items, "a stream awaited, an item", 1.5, LOOP)


def _figure(rounds: Rounds, items: int, what: str, bar: float, against: str) -> Figure:
    yardstick, ours = rounds.each(items)
    return Figure(what, rounds.ratio(), bar, against, note=f"{ours:.2f} over {yardstick:.2f} µs")


async def _rounds(
    scale: Scale,
    items: int,
    yardstick: Callable[[int], Awaitable[Span]],
    ours: Callable[[], Awaitable[None]],
) -> Rounds:
    streams = items // A_STREAM
    return await alternate(
        scale, lambda: yardstick(items), lambda: in_one_run(ours, {"numbers": streams})
    )


async def _queued(items: int) -> Span:
    total = 0
    with Span() as span:
        for _ in range(items // A_STREAM):
            queue: asyncio.Queue[int | None] = asyncio.Queue(1)
            task = asyncio.create_task(_fill(queue))
            while (item := await queue.get()) is not None:
                total += item
            await task
    _check(total, items)
    return span


async def _fill(queue: asyncio.Queue[int | None]) -> None:
    async for item in numbers(A_STREAM):
        await queue.put(item)
    await queue.put(None)


async def _read(of: Callable[[int], StreamCall[int]], items: int) -> None:
    total = 0
    for _ in range(items // A_STREAM):
        async with of(A_STREAM) as stream:
            async for item in stream:
                total += item
    _check(total, items)


async def _looped(items: int) -> Span:
    total = 0
    with Span() as span:
        for _ in range(items // A_STREAM):
            total += sum([item async for item in numbers(A_STREAM)])
    _check(total, items)
    return span


async def _awaited(items: int) -> None:
    total = 0
    for _ in range(items // A_STREAM):
        total += sum(await plain(A_STREAM))
    _check(total, items)


def _check(total: int, items: int) -> None:
    assert total == items // A_STREAM * (A_STREAM * (A_STREAM - 1) // 2)
