"""Fairness of a limit: shares of tenants, order within one, and the wait of a large request.

Simulated on the virtual clock; the laws (tests/laws/test_law_09_queues.py) hold it for random
programs, and here it is one that people meet: many small requests and a few large ones.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise import Limit, Runtime, current, fan_out, step
from fanwise.core import Need
from fanwise.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._measure import Scale

TPM = 6_000
LIMIT = Limit(tokens_per_minute=TPM)
SMALL = (10, 40, 120)  # tokens of each request, by tenant: equal weights, and unequal requests
LARGE = TPM * 9 // 10
MINUTES = 10
BEFORE = 2_000  # tokens that stand before the large request


def shared(scale: Scale) -> Iterator[Figure]:
    """Measure how far shares are apart, who was passed, and how long a large request waits."""
    minutes = scale.of(MINUTES, 2)
    had, passed = run_virtual(_tenants(minutes))
    due = sum(had.values()) / len(had)
    apart = max(abs(tokens - due) for tokens in had.values()) / due
    note = f"{len(SMALL)} tenants, requests of {', '.join(map(str, SMALL))} tokens, {minutes} min"
    what = "fairness, share of equal weights"
    yield Figure(what, Spread(1 + apart, 1 + apart, 1 + apart), 1.05, "equal shares", note=note)
    yield Figure(
        "fairness, passed within a tenant", Spread(passed, passed, passed), 0, "first come first",
        unit="count",
    )  # fmt: skip
    waited = run_virtual(_large())
    least = 60 * (BEFORE + LARGE) / TPM
    over = waited / least
    note = f"{waited:.0f} s, refill of what stood before and of itself {least:.0f} s"
    what = "fairness, 90 % of the bucket waits"
    yield Figure(what, Spread(over, over, over), 2.0, "its own refill", note=note)


@step(limit="model", needs=lambda tokens, *_: Need(tokens))
async def _ask(tokens: int, seconds: float, begun: list[int], number: int) -> None:
    begun.append(number)
    await asyncio.sleep(seconds)
    current().usage(tokens_in=tokens)


@step
async def _many(tokens: int, count: int, begun: list[int]) -> None:
    await fan_out(*[_ask(tokens, 0.5, begun, number) for number in range(count)], need=0)


async def _tenants(minutes: int) -> tuple[Counter[int], int]:
    """Let tenants wait for minutes; give the tokens of each, and how often somebody was passed."""
    begun: dict[int, list[int]] = {tokens: [] for tokens in SMALL}
    due = TPM + (minutes + 2) * TPM // len(SMALL)  # the first bucket, and more than a fair part
    async with Runtime(limits={"model": LIMIT}, seed=1) as runtime:
        runs = [
            runtime.start(_many(tokens, due // tokens, started), tenant=f"t{tokens}")
            for tokens, started in begun.items()
        ]
        await asyncio.sleep(60)  # the first bucket goes to whoever came first
        before = {tokens: len(started) for tokens, started in begun.items()}
        await asyncio.sleep(60 * minutes)
        for run in runs:
            run.cancel()
        await asyncio.wait([run.task for run in runs if run.task is not None])
    had = Counter({t: t * (len(started) - before[t]) for t, started in begun.items()})
    passed = sum(
        later < earlier
        for started in begun.values()
        for earlier, later in itertools.pairwise(started)
    )
    return had, passed


async def _large() -> float:
    """Let a large request come behind small ones, with more coming all the time; give its wait."""
    loop = asyncio.get_running_loop()
    begun: list[int] = []
    async with Runtime(limits={"model": LIMIT}, seed=1) as runtime, asyncio.TaskGroup() as group:

        async def small(number: int) -> None:
            await asyncio.sleep(number / 8)
            await runtime.run(_ask(20, 20.0, begun, number), tenant=f"t{number % 4}")

        for number in range((TPM + BEFORE) // 20):  # the bucket, and what stands before it
            group.create_task(runtime.run(_ask(20, 20.0, begun, -number), tenant="before"))
        await asyncio.sleep(0.1)
        came = loop.time()
        done: list[int] = []
        large = group.create_task(runtime.run(_ask(LARGE, 20.0, done, 0), tenant="large"))
        for number in range(8 * 60 * 3):
            group.create_task(small(number))
        while not done:
            await asyncio.sleep(0.25)
        waited = loop.time() - came
        await large
    return waited
