"""Steps that tests of patterns share: each says what it does and how long it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fanwise import step

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fanwise import Runtime


@step
async def gives(value: Any, after: float = 0.0) -> Any:
    await asyncio.sleep(after)
    return value


@step
async def fails(error: BaseException, after: float = 0.0) -> Any:
    await asyncio.sleep(after)
    raise error


@step
async def hangs() -> Any:
    await asyncio.sleep(100_000)


@step
async def lingers(value: Any, after: float = 100.0, more: float = 2.0) -> Any:
    """Swallows its cancellation, and ends `more` seconds after it."""
    try:
        await asyncio.sleep(after)
    except asyncio.CancelledError:
        await asyncio.sleep(more)
    return value


def now() -> float:
    return asyncio.get_running_loop().time()


async def cancelled_at(when: float, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Run `work` in a task of its own, cancel it at an instant, and await its end."""
    task = asyncio.create_task(work)
    asyncio.get_running_loop().call_at(when, task.cancel)
    await asyncio.wait([task])
    return task


def all_rows(runtime: Runtime) -> dict[str, list[str]]:
    """Give the statuses of every row of every run, by step."""
    found: dict[str, list[str]] = {}
    for run in runtime.runs:
        for row in run.record().calls:
            found.setdefault(row.step, []).append(row.status)
    return found


def nothing_held(runtime: Runtime) -> None:
    """Assert that no call runs, and that no slot is taken or waited for."""
    numbers = runtime.statistics()
    assert numbers.running == 0
    assert numbers.runs == 0
    assert all(limit.in_flight == 0 and limit.waiting == 0 for limit in numbers.limits)
