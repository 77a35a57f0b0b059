"""An uneven graph of real sleeps: how much longer it takes than written by hand.

Milliseconds of each node; the critical path is quick, long, last: 30 ms. An engine that waits
level by level needs 14 + 18 + 6 = 38 ms for it.

    quick  6 -- long  18 --\\
    slow  14 -- short  4 --- last 6
    spare  9 ---------------/
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run
from fanwise import bind, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

GRAPHS = 20
CRITICAL = 30.0  # ms


async def node(seconds: float, *_: None) -> None:
    await asyncio.sleep(seconds)


node_step = step(node)


async def by_hand() -> None:
    async def quick_long() -> None:
        await node(0.006)
        await node(0.018)

    async def slow_short() -> None:
        await node(0.014)
        await node(0.004)

    await asyncio.gather(quick_long(), slow_short(), node(0.009))
    await node(0.006)


async def by_bind() -> None:
    quick_long = bind(node_step, 0.018, node_step(0.006))
    slow_short = bind(node_step, 0.004, node_step(0.014))
    await bind(node_step, 0.006, quick_long, slow_short, node_step(0.009))


def uneven(scale: Scale) -> Iterator[Figure]:
    """Measure the wall time of one graph over the same by hand."""
    count = scale.of(GRAPHS)
    rounds = asyncio.run(_rounds(scale, count))
    yardstick, ours = rounds.each(count, "wall")
    note = f"{ours / 1e3:.2f} over {yardstick / 1e3:.2f} ms of wall, critical path {CRITICAL:g} ms"
    what, by = "uneven graph, over by hand", "gather of two chains, then await"
    yield Figure(what, rounds.over(count), 0.5, by, "ms", note=note)


async def _rounds(scale: Scale, count: int) -> Rounds:
    async def hand() -> Span:
        with Span() as span:
            await _repeated(by_hand, count)
        return span

    return await alternate(
        scale, hand, lambda: in_one_run(lambda: _repeated(by_bind, count), {"node": 6 * count})
    )


async def _repeated(way: Callable[[], Awaitable[None]], count: int) -> None:
    for _ in range(count):
        await way()
