"""A storm: a thousand callers, and a provider that is gone for five seconds.

Each caller asks, waits for the answer, thinks, and asks again, whatever became of it. Retries and
those who come back must not make a second outage of the end of the first. It is counts, and times
of a virtual clock: the rounds are seeds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise import Breaker, Limit, Retry, Runtime, current, fan_out, step
from fanwise.errors import BreakerOpen
from fanwise.testing import run_virtual
from fanwise.testing.twin import Fault, Law, Twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from benchmarks._measure import Scale

CALLERS = 1_000
BEGIN, END = 10.0, 15.0  # of the outage
AFTER = 30.0  # seconds that are looked at after it
THINK = 8.0  # seconds between two questions, at most
RETRIED = 0.2  # the share of a run's calls
RETRY = Retry(attempts=4, shortest=0.5)
BREAKER = Breaker(share=0.5, window=2.0, minimum=20, pause=1.0)
LIMIT = Limit(at_once=CALLERS, requests_per_minute=60 * CALLERS)
BODY = {"model": "m", "messages": [{"role": "user", "content": "Are you there?"}]}


class Stormed(NamedTuple):
    """What a storm did: retries over calls, the worst second, the tails of before and after."""

    retried: float
    peak: float
    tail: float
    opened: int
    closed: bool
    calls: int


def survived(scale: Scale) -> Iterator[Figure]:
    """Measure retries, the worst second, the tail after the outage, and the breaker."""
    callers = scale.of(CALLERS, 60)
    rounds = [run_virtual(_storm(callers, seed), seed=seed) for seed in range(1, scale.rounds + 1)]
    twin = "the twin, gone for 5 s"
    retried = Spread.of([one.retried for one in rounds])
    calls = f"{callers} callers, {rounds[0].calls:,} calls"
    yield Figure("storm, retries a call", retried, RETRIED, twin, unit="number", note=calls)
    peak = Spread.of([one.peak for one in rounds])
    note = "requests that the twin saw, from the outage on"
    yield Figure("storm, the worst second", peak, 3.0, "the mean of the 30 s after", note=note)
    tail = Spread.of([one.tail for one in rounds])
    note = f"calls that began after it; the breaker opened {rounds[0].opened} times"
    yield Figure("storm, p99 of recovered calls", tail, 2.0, "p99 before the outage", note=note)
    recovered = Spread.of([float(bool(one.opened) and one.closed) for one in rounds])
    what = "storm, breaker opened and recovered"
    yield Figure(what, recovered, 1.0, twin, unit="count", at_least=True)


async def _storm(callers: int, seed: int) -> Stormed:
    fault = Fault("outage", between=(BEGIN, END))
    twin = Twin({"m": Law(first=0.4, per_second=40, jitter=0.3)}, faults=[fault], seed=seed)
    took: list[tuple[float, float]] = []
    async with twin.client() as http, Runtime(limits={"model": LIMIT}, seed=seed) as runtime:

        async def caller(number: int) -> None:
            draw = Random(seed * callers + number)
            loop = asyncio.get_running_loop()
            await asyncio.sleep(draw.uniform(0, THINK))
            while (began := loop.time()) < END + AFTER:
                try:
                    await _ask(http)
                    took.append((began, loop.time() - began))
                except (BreakerOpen, OSError, _Failed):
                    pass  # and it asks something else, later
                await asyncio.sleep(draw.uniform(0, THINK))

        run = runtime.start(_all([step(caller)(number) for number in range(callers)]))
        await run.wait()
        breaker = runtime.statistics().breakers[0]
        calls, retries = run.calls, run.retries
    start = min(entry.time for entry in twin.ledger)
    assert Counter(entry.status for entry in twin.ledger)[503], "the outage met nobody"
    return Stormed(
        retries / calls,
        _worst([entry.time - start for entry in twin.ledger]),
        _tail(took, start + END, start + END + AFTER) / _tail(took, start, start + BEGIN),
        breaker.opened,
        breaker.state == "closed",
        calls,
    )


class _Failed(Exception):
    """What the provider refused, with its status."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


@step
async def _all(calls: list[object]) -> None:
    await fan_out(*calls)


@step(limit="model", retry=RETRY, breaker=BREAKER)
async def _ask(http: httpx2.AsyncClient) -> None:
    response = await http.post("http://twin/v1/chat/completions", json=BODY)
    current().rate_limits(response.headers)
    if response.status_code != 200:
        raise _Failed(response)


def _worst(times: list[float]) -> float:
    """Give the most requests of a second, from the outage on, over the mean of the 30 s after."""
    seconds = Counter(int(time) for time in times if BEGIN <= time < END + AFTER)
    after = sum(count for second, count in seconds.items() if second >= END)
    return max(seconds.values()) / (after / AFTER)


def _tail(took: list[tuple[float, float]], begin: float, end: float) -> float:
    """Give the 99th percentile of the calls that began in a time and had an answer."""
    seconds = sorted(length for began, length in took if begin <= began < end)
    return seconds[-max(1, len(seconds) // 100)]
