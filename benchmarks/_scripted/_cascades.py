"""Runs in which a failure takes down what waits for it, and runs in which it does not."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from benchmarks._scripted._run import arrivals
from fanwise import Limit, Retry, bind, fan_map, fan_out, step
from fanwise.testing import faults

if TYPE_CHECKING:
    from fanwise.core import Call

Made = tuple["Call[Any]", dict[str, Any]]


def _traffic(draw: random.Random, handle: Any) -> Call[Any]:
    """Give a minute of requests, five to ten a second."""

    @step(name="main")
    async def main() -> None:
        await fan_map(handle, arrivals(draw, draw.uniform(5, 10), 60.0), at_once=1000, need=0)

    return main()


def _search(draw: random.Random, **policy: Any) -> Any:
    @step(name="search", **policy)
    async def search(_: int) -> None:
        await asyncio.sleep(draw.uniform(0.1, 0.3))

    return search


def _outage(draw: random.Random) -> tuple[float, float]:
    start = draw.uniform(10, 30)
    return start, start + draw.uniform(5, 15)


def _levels(draw: random.Random, search: Any, timeout: float | None = 2.0) -> Call[Any]:
    """Give requests that call an answer, which calls the search."""

    @step(name="answer", timeout=timeout)
    async def answer(number: int) -> None:
        await search(number)
        await asyncio.sleep(0.1)

    @step(name="handle")
    async def handle(number: int) -> None:
        await answer(number)

    return _traffic(draw, handle)


def hangs_and_its_callers_time_out(draw: random.Random) -> Made:
    """The search hangs for a while; the answers run into their time limits, the requests fail."""
    script = faults.Script(search=faults.hangs().only(between=_outage(draw)))
    return _levels(draw, _search(draw)), {"body": script}


def overloaded_beyond_its_capacity(draw: random.Random) -> Made:
    """The search is the slower the more are under way; after a burst it never gets done in time."""
    under_way, capacity, burst = 0, draw.randint(6, 10), _outage(draw)

    @step(name="search")
    async def search(_: int) -> None:
        nonlocal under_way
        under_way += 1
        began = asyncio.get_running_loop().time()
        try:
            extra = 1.5 * capacity if burst[0] < began < burst[1] else 0
            await asyncio.sleep(0.2 * max(1.0, ((under_way + extra) / capacity) ** 3))
        finally:
            under_way -= 1

    return _levels(draw, search, timeout=1.0), {}


def the_queue_before_it_grows(draw: random.Random) -> Made:
    """The search is slow for a while behind a limit; who waits in line runs out of time."""
    script = faults.Script(search=faults.slow(3.0).only(between=_outage(draw)))
    limits = {"search": Limit(at_once=4)}
    return _levels(draw, _search(draw, limit="search")), {"body": script, "limits": limits}


def retried_until_nobody_waits(draw: random.Random) -> Made:
    """The search fails late, is retried, and the answers above it run out of time."""
    search = _search(draw, retry=Retry(attempts=4, shortest=0.5))
    script = faults.Script(search=faults.fails(TimeoutError, after=1.0).only(between=_outage(draw)))
    return _levels(draw, search, timeout=2.5), {"body": script}


def one_of_several_inputs_hangs(draw: random.Random) -> Made:
    """One branch of a fan-out times out, and what is bound to it never runs."""
    search = _search(draw, timeout=3.0)

    @step(name="compose")
    async def compose(found: object) -> object:
        return found

    @step(name="handle")
    async def handle(number: int) -> None:
        await fan_out(bind(compose, search(number)), asyncio.sleep(0.2))

    script = faults.Script(search=faults.hangs().only(between=_outage(draw)))
    return _traffic(draw, handle), {"body": script}


def slow_but_healthy(draw: random.Random) -> Made:
    """The search is slow for a while, and everybody waits for it."""
    script = faults.Script(search=faults.slow(draw.uniform(1, 3)).only(between=_outage(draw)))
    return _levels(draw, _search(draw), timeout=10.0), {"body": script}


def fails_fast(draw: random.Random) -> Made:
    """The search refuses at once; its callers fail with it, and hold nothing."""
    script = faults.Script(search=faults.fails(after=0.02).only(between=_outage(draw)))
    return _levels(draw, _search(draw)), {"body": script}


def contained_by_a_fallback(draw: random.Random) -> Made:
    """The search hangs, times out, and the answer does without it."""
    search = _search(draw, timeout=1.0)

    @step(name="answer")
    async def answer(number: int) -> None:
        try:
            await search(number)
        except TimeoutError:
            await asyncio.sleep(0.1)

    @step(name="handle")
    async def handle(number: int) -> None:
        await answer(number)

    script = faults.Script(search=faults.hangs().only(between=_outage(draw)))
    return _traffic(draw, handle), {"body": script}


def unrelated_failures_at_one_time(draw: random.Random) -> Made:
    """Two steps that know nothing of each other fail in the same seconds."""
    bad, search = _outage(draw), _search(draw)

    @step(name="mail")
    async def mail(_: int) -> None:
        await asyncio.sleep(0.2)

    @step(name="handle")
    async def handle(number: int) -> None:
        await fan_out(search(number), mail(number), need=0)

    late = faults.fails(after=2.0).only(between=bad)
    return _traffic(draw, handle), {"body": faults.Script(search=late, mail=late)}


def a_few_time_limits_all_the_time(draw: random.Random) -> Made:
    """One search in twenty hangs, all day long; its callers time out with it."""
    rare = faults.hangs().only(share=0.05)
    script = faults.Script(search=rare, seed=draw.randrange(1000))
    return _levels(draw, _search(draw)), {"body": script}


FALLING = (
    hangs_and_its_callers_time_out, overloaded_beyond_its_capacity, the_queue_before_it_grows,
    retried_until_nobody_waits, one_of_several_inputs_hangs,
)  # fmt: skip
STANDING = (
    slow_but_healthy, fails_fast, contained_by_a_fallback, unrelated_failures_at_one_time,
    a_few_time_limits_all_the_time,
)  # fmt: skip
