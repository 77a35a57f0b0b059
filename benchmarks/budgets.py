"""Budgets: a thousand calls at once against the account of the provider twin.

What the twin's ledger says is what a provider would charge. In some rounds answers fail, are hedged
or run out of time, and a third of the budget is bounded once more, step by step. Times are those of
a virtual clock, except for what a reservation costs.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise import Budget, Hedge, Limit, Retry, Runtime, current, fan_map, fan_out, step
from fanwise.core import Need
from fanwise.models import Model, Price
from fanwise.providers import openai
from fanwise.testing import run_virtual
from fanwise.testing.twin import Fault, Law, Twin
from fanwise.testing.twin import Price as TwinPrice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._measure import Scale
    from fanwise import Call, FanIn
    from fanwise.models import Answer
    from fanwise.testing.twin import Ask

CALLS = 1_000
TOKENS = 20_000  # of some 80,000 that all of them would use
DOLLARS = Decimal("0.10")
LAW = Law(first=0.3, per_second=50, jitter=0.5)
ROUGH = (Fault("status", share=0.05, status=500), Fault("reset", share=0.05, after=4))
SMALL = 5_000  # calls whose reservations are timed


class Spent(NamedTuple):
    """What the ledger says above the budget (0: nothing), and as a share of it."""

    over: float
    share: float
    calls: int


def held(scale: Scale) -> Iterator[Figure]:
    """Measure what was used above budgets, and how much of them was used at all."""
    calls = scale.of(CALLS, 20)
    cases = {
        "tokens": (Budget(tokens=TOKENS * calls // CALLS), {}, ()),
        "dollars": (Budget(dollars=DOLLARS * calls / CALLS), {}, ()),
        "hedged, failing": (
            Budget(tokens=TOKENS * calls // CALLS),
            {"hedge": Hedge(after=0.8), "retry": Retry(attempts=3), "timeout": 1.5},
            ROUGH,
        ),
    }
    for name, (budget, policy, faults) in cases.items():
        rounds = [
            run_virtual(_spend(budget, calls, seed, policy, faults), seed=seed)
            for seed in range(1, scale.rounds + 1)
        ]
        over = Spread.of([each.over for each in rounds])
        share = Spread.of([each.share for each in rounds])
        note = f"{calls:,} calls at once, nested; {rounds[0].calls:,} requests"
        what = f"budget, {name}: above it"
        yield Figure(what, over, 0, "the twin's ledger", unit="count", note=note)
        what = f"budget, {name}: used of it"
        least = 0.8 if faults else 0.9  # what breaks off counts for more than it has used
        bar = least if scale.share == 1 else 0.0
        yield Figure(
            what, share, bar, "the twin's ledger", unit="number", at_least=True
        )  # fmt: skip
    yield from _cost(scale)


async def _spend(
    budget: Budget, calls: int, seed: int, policy: dict[str, object], faults: tuple[Fault, ...]
) -> Spent:
    twin = Twin(
        {"*": LAW}, answers=_answer, prices={"*": TwinPrice("2", "8")}, faults=faults, seed=seed
    )
    async with (
        twin.client() as http,
        Runtime(prices={"m": Price(input=2, output=8)}, seed=seed) as runtime,
    ):
        adapter = openai("m", key="k", base_url="http://twin/v1", http=http)
        model = Model(adapter, **policy)
        run = runtime.start(_all(model, calls, budget), budget=budget)
        await run.wait()
    counts = [entry.counts for entry in twin.ledger]
    tokens = sum(each.tokens_in + each.tokens_out for each in counts)
    money = sum((entry.cost for entry in twin.ledger if entry.cost is not None), Decimal(0))
    if budget.tokens is not None:
        used, total = Decimal(tokens), Decimal(budget.tokens)
    else:
        used, total = money, Decimal(str(budget.dollars))
    return Spent(float(max(Decimal(0), used - total)), float(used / total), len(twin.ledger))


@step
async def _all(model: Model, calls: int, budget: Budget) -> FanIn[FanIn[Answer[str]]]:
    """Ask in ten groups, a third of which have a small budget of their own."""
    some = Budget(tokens=2_000) if budget.tokens is not None else Budget(dollars="0.01")
    groups: list[Call[FanIn[Answer[str]]]] = []
    for number in range(10):
        group = _group if number % 3 else _group.using(budget=some)
        groups.append(group(model, range(number, calls, 10)))
    return await fan_out(*groups, need=0)


@step
async def _group(model: Model, numbers: range) -> FanIn[Answer[str]]:
    async def ask(number: int) -> Answer[str]:
        return await model.ask(f"What of {number}? " * (1 + number % 7), max_tokens=80)

    return await fan_map(ask, numbers, at_once=len(numbers), need=0)


def _answer(ask: Ask) -> str:
    """Answer in 5 to 45 words, by the question."""
    return "word " * (5 + sum(map(ord, str(ask))) % 41)


def _cost(scale: Scale) -> Iterator[Figure]:
    """Measure what a reservation and its settlement add to a call that does nothing."""
    calls = scale.of(SMALL, 100)
    added: list[float] = []
    for _ in range(scale.rounds):  # the least of three each, as other work only adds
        plain = min(asyncio.run(_timed(calls, None)) for _ in range(3))
        under = min(asyncio.run(_timed(calls, Budget(tokens=10**9))) for _ in range(3))
        added.append(1e6 * (under - plain) / calls)
    yield Figure(
        "budget, reserve and settle", Spread.of(added), None, "the same call without", unit="us"
    )


async def _timed(calls: int, budget: Budget | None) -> float:
    async with Runtime(limits={"*": Limit()}) as runtime:
        began = time.process_time()
        await runtime.run(_many(calls), budget=budget)
        return time.process_time() - began


@step
async def _many(calls: int) -> None:
    for _ in range(calls // 100):
        await fan_out(*[_one() for _ in range(100)])


@step(needs=Need(10, 10, 10))
async def _one() -> None:
    current().usage(tokens_in=5, tokens_out=5)
