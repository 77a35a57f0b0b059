"""A diamond 1-10-1 of bound calls, against the fastest of several ways to write it by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._least import HERE, Work, opened, result
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run
from fanwise import bind, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

DIAMONDS = 8_000  # 12 calls each
SLICES = 10  # of a round
MIDDLE = 10
TRIALS = 10  # of each hand-written variant, before the rounds


async def top(i: int) -> int:
    return i


async def middle(above: int, place: int) -> int:
    return above + place


async def bottom(*parts: int) -> int:
    return sum(parts)


top_step, middle_step, bottom_step = step(top), step(middle), step(bottom)


async def by_gather(i: int) -> int:
    above = await top(i)
    return await bottom(*await asyncio.gather(*[middle(above, k) for k in range(MIDDLE)]))


async def by_tasks(i: int) -> int:
    above = await top(i)
    create = asyncio.get_running_loop().create_task
    tasks = [create(middle(above, k)) for k in range(MIDDLE)]
    return await bottom(*[await task for task in tasks])


async def by_group(i: int) -> int:
    above = await top(i)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(middle(above, k)) for k in range(MIDDLE)]
    return await bottom(*[task.result() for task in tasks])


async def by_task_each(i: int) -> int:
    """Give each of the twelve a task, as calls have: printed for scale."""
    create = asyncio.get_running_loop().create_task
    above = await create(top(i))
    parts = await asyncio.gather(*[create(middle(above, k)) for k in range(MIDDLE)])
    return await create(bottom(*parts))


async def by_bind(i: int) -> int:
    above = top_step(i)
    return await bind(bottom_step, *[bind(middle_step, above, k) for k in range(MIDDLE)])


async def by_least(i: int) -> int:
    """Run it in the least engine there can be: the bound of the figure."""
    root = HERE.get()
    above = Work(top, i)
    parts = [Work(middle, above, k) for k in range(MIDDLE)]
    return int(await result(Work(bottom, *parts), root))


BY_HAND = {"awaited tasks": by_tasks, "gather": by_gather, "TaskGroup": by_group}
TWELVE = "twelve tasks"
LEAST = "the least engine"


def diamond(scale: Scale) -> Iterator[Figure]:
    """Measure `bind` against whichever of `BY_HAND` is the fastest here."""
    slices = scale.slices(SLICES)
    count = scale.of(DIAMONDS // slices)
    costs, rounds = asyncio.run(_rounds(scale, count))
    best = next(iter(costs))
    ways = ", ".join(f"{name} {cost / count * 1e6:.1f}" for name, cost in costs.items())
    note = f"{rounds.each(slices * count)[1]:.1f} µs a diamond; by hand: {ways}"
    what = "diamond 1-10-1 of bound calls"
    bound = costs[LEAST] / costs[best]
    yield Figure(what, rounds.ratio(), 2.0, f"best by hand: {best}", note=note, bound=bound)


async def _rounds(scale: Scale, count: int) -> tuple[dict[str, float], Rounds]:
    costs = {name: await _cost(way, count) for name, way in BY_HAND.items()}
    costs = dict(sorted(costs.items(), key=lambda item: item[1]))
    best = BY_HAND[next(iter(costs))]
    calls = {"top": count, "middle": MIDDLE * count, "bottom": count}
    rounds = await alternate(
        scale,
        lambda: _measured(best, count),
        lambda: in_one_run(lambda: _repeated(by_bind, count), calls),
        scale.slices(SLICES),
    )
    return costs | {
        TWELVE: await _cost(by_task_each, count),
        LEAST: await _cost(by_least, count),
    }, rounds


async def _cost(way: Callable[[int], Awaitable[int]], count: int) -> float:
    return min([(await _measured(way, count)).processor for _ in range(TRIALS)])


async def _measured(way: Callable[[int], Awaitable[int]], count: int) -> Span:
    opened()
    with Span() as span:
        await _repeated(way, count)
    return span


async def _repeated(way: Callable[[int], Awaitable[int]], count: int) -> None:
    total = 0
    for i in range(count):
        total += await way(i)
    assert total == MIDDLE * (count * (count - 1) + count * (MIDDLE - 1)) // 2
