"""The steps that are measured, and the run around them, as a program would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks._measure import Span
from benchmarks._record import check_run
from fanwise import Breaker, Hedge, Limit, Retry, Runtime, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALL_POLICIES: dict[str, Any] = {
    "timeout": 300.0,
    "retry": Retry(attempts=3),
    "hedge": Hedge(after=120.0),
    "limit": "wide",
    "breaker": Breaker(),
}
LIMITS = {"wide": Limit(at_once=100_000)}


async def noop(i: int) -> int:
    return i


noop_step = step(noop)
timed_step = noop_step.using(timeout=30.0)
armed_step = noop_step.using(**ALL_POLICIES)


async def in_one_run(
    work: Callable[[], Awaitable[Any]], calls: dict[str, int], **runtime: Any
) -> Span:
    """Measure `work` inside one step of one run of a fresh runtime, then read its record."""
    span = Span()

    @step
    async def program() -> None:
        with span:
            await work()

    async with Runtime(limits=LIMITS, **runtime) as opened:
        await opened.run(program())
        check_run(opened.runs[-1], {"program": 1, **calls})
    return span
