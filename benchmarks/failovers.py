"""Failover: who pays for an outage, and what a name costs over the model behind it.

The outage is on the virtual clock: requests come evenly while one of two deployments is out, after
a time in which it was well, which makes its breaker slower.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, Spread, alternate
from fanwise import Runtime, fan_map
from fanwise.models import Answer, Model, Usage, model
from fanwise.models._deployments import BREAKER
from fanwise.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core import CallRow
    from fanwise.models import Request

REQUESTS = 1000
BEFORE = 30.0  # seconds
OUTAGE = 60.0
TAKES = 1.0  # seconds for an answer, and for a failure
ASKS = 2000
DEPLOYMENTS = 2


class Region:
    """Answers after some seconds, or fails after them."""

    def __init__(self, name: str, takes: float, out: tuple[float, float] = (0, 0)) -> None:
        self.name = name
        self.takes = takes
        self.out = out

    async def answer(self, _request: Request) -> Answer[str]:
        if self.takes:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(self.takes)
            if self.out[0] <= now < self.out[1]:
                raise ConnectionError(self.name)
        return Answer("yes", Usage(100, 5), self.name, "yes")


def outage(scale: Scale) -> Iterator[Figure]:
    """Count who pays a failed attempt for an outage of a minute."""
    requests = scale.of(REQUESTS, 100)
    rows = run_virtual(_outage(requests), horizon=1000.0)
    paid, most, known = who_paid(rows)
    what = f"outage of {OUTAGE:.0f} s at {requests:,} requests"
    yield Figure(
        f"{what}: most one paid", _exact(most), 1, "failed attempts of one request", "count"
    )
    probes = OUTAGE / BREAKER.pause
    yield Figure(
        f"{what}: once it was known", _exact(known / probes), 1, "one probe each pause of 5 s",
        "number", note=f"{known} probes",
    )  # fmt: skip
    in_flight = requests / OUTAGE * TAKES
    bound = ((BREAKER.in_a_row or 0) + in_flight + probes) / requests
    yield Figure(
        f"{what}: share that paid", _exact(paid / requests), bound,
        "5 in a row, what is in flight then, probes", "number", note=f"{paid} requests",
    )  # fmt: skip


def indirection(scale: Scale) -> Iterator[Figure]:
    """Measure an ask of a name with two deployments, against one of a model with their policy."""
    asks = scale.of(ASKS, 50)
    rounds = asyncio.run(_indirection(scale, asks))
    plain, named = rounds.each(asks)
    note = f"{named:.1f} over {plain:.1f} µs, {named - plain:.1f} more"
    yield Figure("model('smart').ask", rounds.ratio(), 2.0, "Model.ask", note=note)


def who_paid(rows: tuple[CallRow, ...]) -> tuple[int, int, int]:
    """Give how many paid, the most that one paid, and how many after the outage was known."""
    failed = sorted((row for row in rows if row.status == "failed"), key=lambda row: row.end)
    paid = Counter(row.parent for row in failed)
    opened = failed[(BREAKER.in_a_row or 1) - 1].end
    return len(paid), max(paid.values()), sum(row.start > opened for row in failed)


async def _outage(requests: int) -> tuple[CallRow, ...]:
    gap = OUTAGE / requests
    before = round(BEFORE / gap)
    west, east = Region("r:west", TAKES, (BEFORE, BEFORE + OUTAGE)), Region("r:east", TAKES)
    smart = model("smart")

    async def asked(number: int) -> object:
        await asyncio.sleep(number * gap)
        return await smart.ask("?")

    names = {"smart": [[Model(west), Model(east)]]}
    async with Runtime(models=names, seed=1) as runtime:
        count = before + requests
        run = runtime.start(fan_map(asked, range(count), at_once=count))
        await run.wait()
        return run.record().calls


async def _indirection(scale: Scale, asks: int) -> Rounds:
    west, east = (Region(f"r:{name}", 0.0) for name in ("west", "east"))
    plain = Model(west, breaker=BREAKER)
    names = {"smart": [[Model(west), Model(east)]]}
    async with Runtime(models=names, limits={}):
        return await alternate(
            scale, lambda: _asked(plain, asks), lambda: _asked(model("smart"), asks)
        )


async def _asked(of: Model, asks: int) -> Span:
    with Span() as span:
        for _ in range(asks):
            await of.ask("Which of these statements is right?")
    return span


def _exact(value: float) -> Spread:
    return Spread(value, value, value)
