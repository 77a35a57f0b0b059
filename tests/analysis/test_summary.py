"""The sums of a run."""

import asyncio
from decimal import Decimal

from fanwise import Hedge, Limit, Retry, Runtime, current, fan_map, fan_out, speculate, step
from fanwise.analysis import Money, summary
from fanwise.models import Model, model

TICK = 1 / 64
MICRO = 15_625


@step
async def work(ticks):
    await asyncio.sleep(ticks * TICK)


async def summed(call, **limits):
    async with Runtime(limits=limits, seed=1) as runtime:
        run = runtime.start(call)
        await run.wait()
        return summary(run.record())


async def test_five_steps_of_which_three_are_independent():
    """Five of two seconds: 10 s become 6 s (A1)."""

    @step
    async def main():
        await fan_out(work(2), work(2), work(2))
        await work(2)
        await work(2)

    found = await summed(main())
    assert (found.calls, found.work, found.wall) == (7, 10 * MICRO, 6 * MICRO)
    assert str(found) == "7 calls in 0.09 s; the innermost in a row 0.16 s (1.7 x)"


async def test_waits_are_not_work():
    found = await summed(
        fan_map(work.using(limit="one"), [1, 2, 3], at_once=3), one=Limit(at_once=1)
    )
    assert (found.work, found.wall) == (6 * MICRO, 6 * MICRO)
    assert found.waits == {"limit": 4 * MICRO}


async def test_retries_and_what_they_wasted():
    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def flaky():
        await asyncio.sleep(TICK)
        if current().attempt < 3:
            raise ConnectionError

    found = await summed(flaky())
    assert (found.retries, found.hedges, found.wasted, found.work) == (2, 0, 2 * MICRO, 3 * MICRO)


async def test_calls_that_were_not_retried_any_more_are_counted_and_say_so():
    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def fails():
        raise ConnectionError

    async def main():
        return await fan_out(*[fails() for _ in range(12)], need=0)

    async with Runtime() as runtime:
        run = runtime.start(step(main)())
        found = await run.wait()
        sums = summary(run.record())
    assert (sums.retries, sums.unretried) == (10, 2)
    assert "not retried: 2 calls, as the share of retries was spent" in str(sums).splitlines()
    notes = [getattr(outcome.error, "__notes__", []) for outcome in found.outcomes]
    told = ["fails was not retried: its run's share of retries is spent"]
    assert [each for each in notes if each] == [told, told]


async def test_hedges_and_what_they_wasted():
    @step(hedge=Hedge(after=TICK))
    async def slow_once():
        await asyncio.sleep(50 * TICK if current().attempt == 1 else TICK)

    found = await summed(slow_once())
    assert (found.retries, found.hedges) == (0, 1)
    assert found.wasted == 2 * MICRO  # the first attempt, cancelled when the hedge had won


async def test_gaps_and_usage():
    @step
    async def asks(ticks):
        current().usage(tokens_in=10 * ticks, tokens_out=ticks, estimated=True)
        await work.function(ticks)

    found = await summed(fan_out(asks(1), asks(9), need=1, within=2 * TICK))
    assert found.gaps == {"cancelled": 1}
    assert found.usage == {"tokens_in": 100, "tokens_out": 10}
    assert found.wasted_usage == {"tokens_in": 90, "tokens_out": 9}
    assert found.wasted == 2 * MICRO
    assert str(found).splitlines()[1:] == [
        "used: tokens_in 100, tokens_out 10 (estimated)",
        "gaps: 1 cancelled",
        "wasted: 0.03 s",
    ]


class Down:
    name = "down:m"

    async def answer(self, request):
        raise ConnectionError


async def test_who_answered_for_a_name_is_said_and_what_another_did_is_no_gap():
    async with Runtime(models={"smart": [Model(Down()), "local:echo"]}) as runtime:
        run = runtime.start(fan_out(*[model("smart").ask(str(n)) for n in range(3)]))
        await run.wait()
        found = summary(run.record())
    assert found.answered == {"smart": {"local:echo": 3}}
    assert (found.failed_over, found.gaps, found.cut) == (3, {}, 0)
    told = str(found).splitlines()
    assert "smart was answered by: local:echo 3" in told
    assert "failed over: 3 attempts" in told


@step
async def uses(ticks, tokens):
    current().usage(tokens_in=tokens)
    await asyncio.sleep(ticks * TICK)


async def test_all_of_a_wrong_guess_is_waste_done_or_not_and_what_is_below_it():
    @step
    async def deep(ticks):
        await uses(1, 4)
        await asyncio.sleep(ticks * TICK)

    def then(_):
        return uses(5, 100)

    found = await summed(speculate(work(3), then, guess=[uses(2, 10), uses(9, 1), deep(9)]))
    assert found.wasted == (2 + 3 + 1) * MICRO
    assert found.wasted_usage == {"tokens_in": 10 + 1 + 4}
    assert found.usage == {"tokens_in": 100 + 10 + 1 + 4}


async def test_a_guess_that_is_joined_is_no_waste():
    found = await summed(speculate(work(3), lambda _: uses(5, 7), guess=[uses(5, 7)]))
    assert (found.wasted, found.wasted_usage, found.wall) == (0, {}, 5 * MICRO)


def test_money_is_said_also_where_a_record_has_only_a_part_of_it():
    assert str(Money()) == ""
    assert str(Money(None, Decimal(1), 2)) == "2 calls of unknown price"
    assert str(Money(Decimal(3), Decimal(1))) == "$3.00, of which $1.00 estimated"
