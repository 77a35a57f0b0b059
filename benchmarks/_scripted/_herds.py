"""Runs with synchronised retries, and runs whose retries come apart or are none."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from benchmarks._scripted._run import arrivals
from fanwise import Limit, Retry, fan_map, step
from fanwise.testing import faults

if TYPE_CHECKING:
    from fanwise.core import Call

Made = tuple["Call[Any]", dict[str, Any]]


def _service(draw: random.Random, retry: Retry | None, limit: str | None = None) -> Any:
    """Give a step that takes between 0.2 and 0.4 s."""

    @step(name="fetch", retry=retry, limit=limit)
    async def fetch(_: int) -> None:
        await asyncio.sleep(draw.uniform(0.2, 0.4))

    return fetch


def _wave(fetch: Any, callers: int, at_once: int | None = None) -> Call[Any]:
    @step(name="main")
    async def main() -> None:
        await fan_map(fetch, range(callers), at_once=at_once or callers, need=0)

    return main()


def dropped_and_retried_at_once(draw: random.Random) -> Made:
    """All connections drop at one instant, and everybody comes back at once."""
    fetch = _service(draw, Retry(attempts=3, shortest=0.0, longest=0.0))
    script = faults.Script(fetch=faults.fails(after=0.1).only(attempt=1))
    return _wave(fetch, draw.randint(80, 200)), {"body": script}


def one_retry_after_for_all(draw: random.Random) -> Made:
    """A server asks everybody to wait for the same time, to which the policy adds too little."""
    wait = draw.uniform(1.0, 5.0)
    fetch = _service(draw, Retry(attempts=3, shortest=0.05, longest=0.05))
    refused = faults.refuses(status=503, retry_after=wait, after=0.05).only(attempt=1)
    return _wave(fetch, draw.randint(80, 200)), {"body": faults.Script(fetch=refused)}


def told_the_same_instant(draw: random.Random) -> Made:
    """Callers that come at any time are all told to come back when the window opens."""
    opens = draw.uniform(4.0, 8.0)

    @step(name="fetch", retry=Retry(attempts=2, shortest=0.02, longest=0.02))
    async def fetch(_: int) -> None:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        if now < opens:
            raise faults.Refused(429, opens - now)

    @step(name="main")
    async def main() -> None:
        source = arrivals(draw, draw.uniform(15, 30), 20.0)
        await fan_map(fetch, source, at_once=1000, need=0)

    return main(), {}


def by_hand_after_a_fixed_pause(draw: random.Random) -> Made:
    """A loop in each body waits a second after a failure; an outage meets all of them."""
    pause, callers = draw.uniform(0.5, 2.0), draw.randint(15, 60)
    fetch = _service(draw, None)

    @step(name="worker")
    async def worker(number: int) -> None:
        for _ in range(4):
            try:
                await fetch(number)
            except ConnectionError:
                await asyncio.sleep(pause)
            else:
                return

    dropped = faults.fails(after=0.3).only(between=(0.0, draw.uniform(1.0, 3.0)))
    return _wave(worker, callers), {"body": faults.Script(fetch=dropped)}


def next_to_no_jitter(draw: random.Random) -> Made:
    """The back-off is jittered, over a few milliseconds."""
    fetch = _service(draw, Retry(attempts=4, shortest=0.004, longest=0.01))
    script = faults.Script(fetch=faults.fails(after=draw.uniform(0.1, 2)).only(attempt=1))
    return _wave(fetch, draw.randint(100, 250)), {"body": script}


def jitter_under_an_outage(draw: random.Random) -> Made:
    """The same outage, met with room between the retries."""
    fetch = _service(draw, Retry(attempts=5, shortest=draw.uniform(0.1, 2.0), longest=10.0))
    script = faults.Script(fetch=faults.fails(after=0.1).only(between=(0.0, 2.0)))
    return _wave(fetch, draw.randint(100, 1000)), {"body": script}


def retry_after_and_room(draw: random.Random) -> Made:
    """A server asks everybody to wait for the same time; the policy adds as much again."""
    wait = draw.uniform(0.5, 1.5)
    fetch = _service(draw, Retry(attempts=3, shortest=2 * wait, longest=30.0))
    refused = faults.refuses(status=503, retry_after=wait, after=0.05).only(attempt=1)
    return _wave(fetch, draw.randint(400, 1000)), {"body": faults.Script(fetch=refused)}


def a_planned_wave_with_a_few_failures(draw: random.Random) -> Made:
    """Calls of equal length start together, wave upon wave, and a few of them are retried."""

    @step(name="fetch", retry=Retry(attempts=3))
    async def fetch(_: int) -> None:
        await asyncio.sleep(0.25)

    few = faults.fails(after=0.25).only(share=0.05)
    script = faults.Script(fetch=few, seed=draw.randrange(1000))
    return _wave(fetch, 400, at_once=draw.randint(20, 80)), {"body": script}


def let_in_by_a_limit(draw: random.Random) -> Made:
    """Everybody comes back at once, and a limit lets them in by turns, of equal length."""
    width = draw.randint(12, 40)

    @step(name="fetch", retry=Retry(attempts=3), limit="server")
    async def fetch(_: int) -> None:
        await asyncio.sleep(0.25)

    script = faults.Script(fetch=faults.fails(after=0.25).only(attempt=1, between=(0.0, 1.0)))
    limits = {"server": Limit(at_once=width)}
    return _wave(fetch, 300), {"body": script, "limits": limits}


def workers_in_step_through_a_bad_time(draw: random.Random) -> Made:
    """Workers go through their items in step, and one after the other fails meanwhile."""
    fetch = step(name="fetch")(_even)

    @step(name="worker")
    async def worker(_: int) -> None:
        for item in range(12):
            try:
                await fetch(item)
            except ConnectionError:
                continue

    bad = faults.fails(after=0.25).only(between=(draw.uniform(0.5, 1.0), 2.0))
    return _wave(worker, draw.randint(12, 60)), {"body": faults.Script(fetch=bad)}


async def _even(_: int) -> None:
    await asyncio.sleep(0.25)


TOGETHER = (
    dropped_and_retried_at_once, one_retry_after_for_all, told_the_same_instant,
    by_hand_after_a_fixed_pause, next_to_no_jitter,
)  # fmt: skip
SPREAD = (
    jitter_under_an_outage, retry_after_and_room, a_planned_wave_with_a_few_failures,
    let_in_by_a_limit, workers_in_step_through_a_bad_time,
)  # fmt: skip
