"""Law 13: cancelled work has a price.

Whatever becomes of an attempt, what it told is in the row of its call, once; the rows of attempts
have their parts, and all that gave no value is in the waste.
"""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import strategies as st

from fanwise import Hedge, Retry, current, fan_out, step
from fanwise.analysis import waste
from fanwise.core import _settlement
from fanwise.core._run import Run
from fanwise.models import Price
from tests.laws.proving import changed, holds, outcome_of, rejects, replaced, ticks, virtually

PRICES = {"m": Price(input=1_000_000, output=1_000_000)}
FATES = st.sampled_from(["ok", "fails", "hangs", "tells twice"])
ATTEMPT = st.tuples(FATES, ticks(1, 6))
PROGRAM = st.lists(
    st.tuples(st.sampled_from(["plain", "retry", "hedge", "timeout"]), st.lists(ATTEMPT, min_size=1, max_size=3)),
    min_size=1,
    max_size=5,
)  # fmt: skip
WITHIN = st.none() | ticks(1, 8)
POLICIES = {
    "plain": {},
    "retry": {"retry": Retry(attempts=3, shortest=0.25, longest=0.5)},
    "hedge": {"hedge": Hedge(after=0.5)},
    "timeout": {"timeout": 1.25, "retry": Retry(attempts=2, shortest=0, longest=0)},
}


def nothing_is_lost(program, within):
    told = []  # call, attempt, tokens: what the steps really said

    def tell(index, tokens):
        told.append((index, current().attempt, tokens))
        current().usage(model="m", tokens_in=tokens)

    async def body(index, fates):
        fate, seconds = fates[min(current().attempt, len(fates)) - 1]
        tell(index, 10 ** (current().attempt - 1))
        await asyncio.sleep(seconds)
        if fate == "tells twice":
            tell(index, 5 * 10 ** (current().attempt - 1))
        if fate == "hangs":
            await asyncio.sleep(1000)
        if fate == "fails":
            raise ConnectionError

    @step
    async def main():
        calls = [
            step(name=f"ask {index}", key=str, **POLICIES[kind])(body)(index, fates)
            for index, (kind, fates) in enumerate(program)
        ]
        await outcome_of(fan_out(*calls, need=0, within=20.0 if within is None else within))

    async def run(runtime):
        await runtime.run(main())
        return runtime.runs[0].record()

    record = virtually(run, prices=PRICES)
    rows = {row.step: row for row in record.calls if row.step.startswith("ask")}
    for index, (kind, _) in enumerate(program):
        row = rows[f"ask {index}"]
        mine = [(attempt, tokens) for each, attempt, tokens in told if each == index]
        total = sum(tokens for _, tokens in mine)
        assert row.usage.get("tokens_in", 0) == total
        assert Decimal(row.facts.get("cost", 0)) == total
        if kind != "plain":
            parts = {
                a.attempt: a.usage.get("tokens_in", 0)
                for a in record.attempts
                if a.call == row.call
            }
            for attempt, part in parts.items():
                assert part == sum(tokens for each, tokens in mine if each == attempt)
    assert (waste(record).cost or 0) == for_nothing(record, rows, told)


def for_nothing(record, rows, told):
    """Add up what was told by attempts that gave their call no value."""
    good = {row.call for row in rows.values() if row.status == "ok"}
    winners = {a.call: a.attempt for a in record.attempts if a.call in good and a.status == "ok"}
    wasted = 0
    for index, attempt, tokens in told:
        call = rows[f"ask {index}"].call
        wasted += 0 if call in good and attempt == winners.get(call, 1) else tokens
    return wasted


def test_what_was_told_stays_told():
    holds(nothing_is_lost, PROGRAM, WITHIN, examples=150)


def forgets_the_others(call, number):
    return None


def only_the_last(facts, told):
    facts["bill"] = [told]


def no_price(run, told, model, end):
    return {}


@pytest.mark.parametrize(
    "mutant",
    [
        lambda: replaced(_settlement.share_of, forgets_the_others),
        lambda: replaced(_settlement.add_to_bill, only_the_last),
        lambda: changed((Run, "cost", no_price)),
    ],
    ids=["attempts have no part", "only the last answer counts", "nothing has a price"],
)
def test_engines_that_lose_it_are_found(mutant):
    rejects(nothing_is_lost, PROGRAM, WITHIN, mutant=mutant())
