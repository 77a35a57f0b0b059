"""Budgets, as a program meets them: reserved, waited for, settled, refused, within each other."""

import asyncio
from decimal import Decimal

import pytest

from fanwise import (
    Budget,
    Cache,
    Limit,
    Runtime,
    current,
    fan_map,
    fan_out,
    first,
    pipeline,
    stage,
    step,
)
from fanwise.core import LimitEvent, Need
from fanwise.errors import (
    BudgetHeld,
    BudgetSpent,
    BudgetUndeclared,
    CallSkipped,
    LimitHeld,
)
from fanwise.models import Price
from fanwise.testing import run_virtual

PRICES = {"m": Price(input=1_000_000, output=1_000_000)}  # a dollar a token


def now():
    return asyncio.get_running_loop().time()


def under(body, **options):
    """Run `body(runtime)` on the virtual clock."""

    async def main():
        async with Runtime(**{"seed": 1, **options}) as runtime:
            return await body(runtime)

    return run_virtual(main())


@step(needs=lambda used=1, most=10, seconds=0.0: Need(0, 0, most, 0, model="m"))
async def ask(used=1, most=10, seconds=0.0):
    await asyncio.sleep(seconds)
    if used is not None:
        current().usage(model="m", tokens_out=used)
    return used


@step
async def ask_all(*asked):
    return await fan_out(*[ask(*each) for each in asked], need=0)


def statuses(found):
    return [outcome.status for outcome in found.outcomes]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ValueError, r"Budget\(\) bounds nothing: Budget\(dollars=0.50\)"),
        ({"tokens": 1.5}, TypeError, r"Budget\(tokens=\) is a whole number, got 1.5"),
        ({"tokens": -1}, ValueError, r"Budget\(tokens=\) is at least 0, got -1"),
        ({"dollars": -1}, ValueError, r"Budget\(dollars=\) is US dollars, at least 0"),
        ({"dollars": "much"}, ValueError, r"Budget\(dollars=\) is US dollars.* got 'much'"),
        ({"dollars": float("inf")}, ValueError, r"Budget\(dollars=\) is US dollars"),
        ({"dollars": True}, ValueError, r"Budget\(dollars=\) is US dollars.*got True"),
        ({"tokens": 5, "per": "week"}, ValueError, r"Budget\(per=\) is \"day\" or None"),
        ({"tokens": 5, "most": 0}, ValueError, r"Budget\(most=\) is at least 1, got 0"),
    ],
)
def test_a_budget_says_what_is_wrong(given, error, words):
    with pytest.raises(error, match=words):
        Budget(**given)


def test_wrong_use_is_named():
    with pytest.raises(TypeError, match="budget of the step job is a Budget"):
        step(name="job", budget=5)(print)
    with pytest.raises(ValueError, match='per="day" is for a tenant or a runtime'):
        step(name="job", budget=Budget(tokens=1, per="day"))(print)
    with pytest.raises(TypeError, match=r"budgets maps tenants to Budget.* got 5"):
        Runtime(budgets=5)
    with pytest.raises(TypeError, match=r"budgets\['acme'\] is a Budget"):
        Runtime(budgets={"acme": 5})
    with pytest.raises(TypeError, match="budget is a Budget"):
        Runtime(budget=0.5)

    async def body(runtime):
        with pytest.raises(TypeError, match="budget is a Budget, such as"):
            runtime.start(ask().named("never"), budget=3)

    with pytest.warns(RuntimeWarning, match="never awaited"):
        under(body)


def test_what_is_not_used_flows_back_and_nobody_is_refused_too_early():
    async def body(runtime):
        run = runtime.start(ask_all(*[(2, 10, 1.0)] * 8), budget=Budget(tokens=24))
        found = await run.wait()
        return statuses(found), now(), run.spent()[0], run.record()

    found, seconds, used, record = under(body)
    # Two at a time; after ten were used (five calls) 14 are left, and one at a time fits.
    assert found == ["ok"] * 8
    assert (used.used_tokens, used.reserved_tokens, used.refused) == (16, 0, 0)
    assert seconds == 6
    assert sum("budget" in row.waits for row in record.calls) == 6


def test_the_spent_one_says_who_asked_what_of_which():
    async def body(runtime):
        run = runtime.start(ask_all((9,), (1,), (1,)), budget=Budget(tokens=12), run_id="r")
        found = await run.wait()
        return found, run

    found, run = under(body)
    assert statuses(found) == ["ok", "skipped", "skipped"]
    error = found.outcomes[1].error
    assert str(error) == (
        "ask was not started: it may use 10 tokens, and of the budget of the run r 3 tokens are left"
    )
    assert (error.budget, error.asked, error.left) == (
        "budget of the run r",
        "10 tokens",
        "3 tokens",
    )
    assert isinstance(error, CallSkipped)
    rows = [row for row in run.record().calls if row.status == "skipped"]
    assert {row.facts["budget"] for row in rows} == {"budget of the run r"}
    assert str(run.spent()[0]) == "9 of 12 tokens used"


def test_a_step_around_what_is_refused_is_skipped_too():
    async def around(number):
        return await ask(6)

    async def body(runtime):
        mapped = fan_map(around, range(4), at_once=4, need=0)
        return await runtime.run(mapped, budget=Budget(tokens=20))

    found = under(body)
    assert statuses(found) == ["ok", "ok", "skipped", "skipped"]
    assert "of the budget of the run" in str(found)


def test_a_budget_in_dollars_is_exact():
    cents = {"m": Price(input=0, output="0.1")}  # a ten-millionth of a dollar a token

    async def body(runtime):
        run = runtime.start(ask_all(*[(3, 3)] * 10), budget=Budget(dollars="0.0000024"))
        return await run.wait(), run.spent()[0]

    found, used = under(body, prices=cents)
    assert statuses(found) == ["ok"] * 8 + ["skipped"] * 2
    assert used.used_dollars == Decimal("0.0000024")
    assert str(used) == "$0.0000024 of $0.0000024 used"


def test_an_inner_budget_takes_from_the_outer_one():
    inner = step(budget=Budget(tokens=20), name="inner")(ask_all.function)

    @step
    async def main():
        return await fan_out(inner((9,), (9,)), inner((9,), (9,)), inner((9,), (9,)), need=0)

    async def body(runtime):
        run = runtime.start(main(), budget=Budget(tokens=40))
        found = await run.wait()
        return [statuses(each) for each in found.values()], run.spent()[0].used_tokens

    found, used = under(body)
    # Each of the inner ones holds two; the outer one four at most.
    assert found == [["ok", "ok"], ["ok", "ok"], ["skipped", "skipped"]]
    assert used == 36


def test_a_step_has_its_budget_without_a_run_that_has_one():
    inner = step(budget=Budget(tokens=20), name="inner")(ask_all.function)

    async def body(runtime):
        alone = await runtime.run(ask_all((9,), (9,), (9,)))
        return (
            statuses(alone),
            statuses(await runtime.run(inner((9,), (9,), (9,)))),
            (runtime.statistics().budgets),
        )

    assert under(body) == (["ok"] * 3, ["ok", "ok", "skipped"], ())


def test_runs_of_a_runtime_share_its_budget():
    async def body(runtime):
        found = await asyncio.gather(*[runtime.run(ask_all((9,))) for _ in range(3)])
        return [statuses(each) for each in found], runtime.statistics().budgets

    found, (used,) = under(body, budget=Budget(tokens=20))
    assert sorted(found) == [["ok"], ["ok"], ["skipped"]]
    assert (used.name, used.used_tokens) == ("budget of the runtime", 18)


def test_a_tenant_has_its_budget_every_day():
    async def body(runtime):
        async def of(tenant):
            return statuses(await runtime.run(ask_all((9,), (9,)), tenant=tenant))

        found = [await of("acme"), await of("acme"), await of("free-1"), await of("free-2")]
        found.append(await of(None))
        await asyncio.sleep(86_400)
        found.append(await of("acme"))
        return found, [each.name for each in runtime.statistics().budgets]

    acme, free = Budget(tokens=20, per="day"), Budget(tokens=10)
    found, names = under(body, budgets={"acme": acme, "free-*": free})
    both, one, none = ["ok", "ok"], ["ok", "skipped"], ["skipped", "skipped"]
    assert found == [both, none, one, one, both, both]
    assert names == [f"budget of the tenant {name}" for name in ("acme", "free-1", "free-2")]


def test_a_run_below_a_step_takes_from_the_budgets_over_it():
    async def body(runtime):
        @step(budget=Budget(tokens=10))
        async def outer():
            return await runtime.run(ask_all((9,), (9,)))

        return statuses(await runtime.run(outer()))

    assert under(body) == ["ok", "skipped"]


def test_who_waits_for_what_its_waiter_has_is_refused():
    @step(needs=Need(0, 0, 10, 0))
    async def outer():
        current().usage(tokens_out=1)
        return await ask()

    async def body(runtime):
        with pytest.raises(BudgetHeld, match=r"ask waits for the budget .* of which outer has"):
            await runtime.run(outer(), budget=Budget(tokens=15))
        return await runtime.run(outer(), budget=Budget(tokens=20))

    assert under(body) == 1


def test_a_stream_that_is_not_read_on_keeps_nobody_waiting():
    @step(needs=Need(0, 0, 10, 0))
    async def words():
        for word in "abc":
            yield word
        current().usage(tokens_out=3)

    @step
    async def reader():
        async with words() as stream:
            word = await anext(stream)
            return word, await ask()

    async def body(runtime):
        with pytest.raises(BudgetHeld, match="of which words has reserved"):
            await runtime.run(reader(), budget=Budget(tokens=15))
        return await runtime.run(reader(), budget=Budget(tokens=20))

    assert under(body) == ("a", 1)


def test_who_joins_one_that_waits_for_what_it_has_is_refused():
    @step(needs=Need(0, 0, 10, 0))
    async def holder(other):
        await asyncio.sleep(1)
        return await other

    @step
    async def main():
        other = ask(1, 10)
        return await fan_out(holder(other), other, need=0)

    async def body(runtime):
        return await runtime.run(main(), budget=Budget(tokens=15))

    found = under(body)
    assert isinstance(found.outcomes[0].error, LimitHeld)
    assert found.outcomes[1].status in {"ok", "skipped"}


def test_a_step_that_says_nothing_of_itself_is_counted_once_and_then_refused():
    @step
    async def own(used):
        if used:
            current().usage(model="m", tokens_out=used)
        return used

    async def body(runtime):
        budget = Budget(tokens=100)
        assert await runtime.run(own(0), budget=budget) == 0
        run = runtime.start(own(7), budget=budget)
        assert await run.wait() == 7  # what is paid for is handed over
        with pytest.raises(BudgetUndeclared, match=r"@step\(needs=Need\(1500, 300, most=400\)\)"):
            await runtime.run(own(7), budget=budget)
        with pytest.raises(BudgetUndeclared):
            await runtime.run(own.using(limit="it")(0), budget=budget)
        return run.spent()[0]

    used = under(body, limits={"it": Limit(tokens_per_minute=100)})
    assert (used.used_tokens, used.over) == (7, 1)


def test_a_step_that_says_no_most_is_refused():
    @step(needs=Need(10, 10))
    async def own():
        raise AssertionError("it ran")

    @step(needs=Need(10, 10, 10))
    async def unpriced():
        raise AssertionError("it ran")

    async def body(runtime):
        with pytest.raises(BudgetUndeclared, match="how many an attempt writes at most"):
            await runtime.run(own(), budget=Budget(tokens=100))
        with pytest.raises(BudgetUndeclared, match="what an attempt costs at most"):
            await runtime.run(unpriced(), budget=Budget(dollars=100))

    under(body)


def test_what_an_attempt_costs_may_be_said_in_dollars():
    @step(needs=Need(dollars="0.02"))
    async def search():
        return "found"

    async def body(runtime):
        run = runtime.start(fan_out(*[search() for _ in range(6)], need=0), budget=Budget(dollars=0.1))  # fmt: skip
        return statuses(await run.wait()), run.spent()[0].used_dollars

    # It tells nothing of what it used, so all that it reserved counts.
    assert under(body) == (["ok"] * 5 + ["skipped"], Decimal("0.10"))


def test_what_a_cache_answers_costs_nothing():
    cached = ask.using(cache=Cache())

    async def body(runtime):
        run = runtime.start(fan_out(*[cached(9) for _ in range(20)], need=0), budget=Budget(tokens=12))  # fmt: skip
        return statuses(await run.wait()), run.spent()[0].used_tokens

    assert under(body) == (["ok"] * 20, 9)


def test_losers_of_a_race_give_back_what_they_did_not_use():
    @step
    async def main():
        return await first(ask(1, 10, 1.0), ask(1, 10, 2.0)), current().budget

    async def body(runtime):
        return await runtime.run(main(), budget=Budget(tokens=40))

    value, left = under(body)
    assert value == 1
    assert left == (40 - 1 - 10, None)  # nobody knows what the loser used


def test_a_drain_ends_the_wait():
    async def body(runtime):
        asyncio.get_running_loop().call_later(0.5, runtime.drain)
        return await runtime.run(ask_all((1, 10, 1.0), (1,), (1,)), budget=Budget(tokens=12))

    found = under(body)
    assert statuses(found) == ["ok", "skipped", "skipped"]
    assert "the runtime drains" in str(found.outcomes[1].error)


def test_a_cancelled_wait_gives_its_place_up():
    async def body(runtime):
        run = runtime.start(ask_all((1, 10, 5.0)), budget=Budget(tokens=12))
        await asyncio.sleep(1)
        account = run.budgets[0]

        @step
        async def late():
            return await fan_out(ask(1), within=1.0, need=0)

        found = await runtime.run(late())
        await run.wait()
        return statuses(found), account.line.count, account.statistics().reserved_tokens

    assert under(body) == (["ok"], 0, 0)


def test_current_tells_what_is_left():
    @step(needs=Need(0, 0, 10, 0))
    async def inside():
        return current().budget, current().max_tokens

    @step(budget=Budget(tokens=50))
    async def outer():
        before = current().budget
        return before, await inside(), current().budget

    async def body(runtime):
        return await runtime.run(outer(), budget=Budget(dollars=2, tokens=80))

    with pytest.raises(BudgetUndeclared):
        under(body, prices=PRICES)

    async def counted(runtime):
        return await runtime.run(outer(), budget=Budget(tokens=80))

    before, within, after = under(counted)
    assert before == (50, None)
    assert within == ((40, None), 10)
    assert after == (40, None)


def test_listeners_hear_of_waits_and_of_what_is_spent():
    heard = []

    async def body(runtime):
        await runtime.run(ask_all((9, 10, 1.0), (9,)), budget=Budget(tokens=19), run_id="r")
        await runtime.run(ask_all((9, 10, 1.0), (1,), (9,)), budget=Budget(tokens=12), run_id="s")

    under(body, listeners=[lambda event: isinstance(event, LimitEvent) and heard.append(event)])
    found = [(event.what, event.name.rpartition(" ")[2], event.value) for event in heard]
    assert found == [
        ("waits", "r", 0.0), ("admitted", "r", 1.0),
        ("waits", "s", 0.0), ("waits", "s", 0.0), ("spent", "s", 3.0), ("left", "s", 1.0),
        ("spent", "s", 3.0), ("left", "s", 1.0),
    ]  # fmt: skip
    assert {event.call for event in heard} >= {3}


def test_a_plain_awaitable_is_counted_too():
    async def own():
        current().usage(model="m", tokens_out=7)

    @step
    async def main():
        return await fan_out(own(), own(), need=0)

    async def body(runtime):
        run = runtime.start(main(), budget=Budget(tokens=100))
        found = await run.wait()
        return found, run.spent()[0].used_tokens

    found, used = under(body)
    assert statuses(found) == ["ok", "failed"]  # it cannot say its most: a step can
    assert isinstance(found.outcomes[1].error, BudgetUndeclared)
    assert used == 7


def test_a_step_may_tell_that_it_used_nothing():
    @step(needs=Need(0, 0, 10, 0))
    async def lookup(known):
        current().usage(tokens_in=0, tokens_out=0 if known else 4)

    @step
    async def main():
        for known in (True, True, False, True):
            await lookup(known)

    async def body(runtime):
        run = runtime.start(main(), budget=Budget(tokens=20))
        await run.wait()
        return run.spent()[0].used_tokens

    assert under(body) == 4


def test_a_price_alone_bounds_no_tokens():
    @step(needs=Need(dollars=1))
    async def search():
        return current().max_tokens

    async def body(runtime):
        return await runtime.run(search(), budget=Budget(dollars=1))

    assert under(body) is None


def test_a_plan_may_give_a_budget():
    async def body(runtime):
        return statuses(await runtime.run(ask_all((9,), (9,), (9,))))

    plan = {"ask_all": {"budget": Budget(tokens=20)}}
    assert under(body, plan=plan) == ["ok", "ok", "skipped"]
    with pytest.raises(TypeError, match="budget of the step ask_all is a Budget"):
        under(body, plan={"ask_all": {"budget": 20}})


def test_items_of_a_pipeline_are_skipped_with_the_reason():
    async def double(number):
        return 2 * number

    async def asked(number):
        await ask(9)
        return number

    async def body(runtime):
        flow = pipeline(range(4), stage(double), stage(asked), need=0)
        return await runtime.run(flow, budget=Budget(tokens=20))

    found = under(body)
    assert statuses(found) == ["ok", "ok", "skipped", "skipped"]
    assert isinstance(found.outcomes[3].error, BudgetSpent)


def test_a_settlement_beyond_what_was_reserved_is_counted_and_said():
    async def body(runtime):
        run = runtime.start(ask_all((30, 10), (1, 10)), budget=Budget(tokens=25))
        found = await run.wait()
        return statuses(found), run.spent()[0], await runtime.run(ask())

    found, used, _ = under(body)
    assert found == ["ok", "ok"]  # both had been let in
    assert (used.used_tokens, used.over) == (31, 1)
    assert str(used) == "31 of 25 tokens used"


def test_who_waits_for_a_limit_keeps_nobody_from_a_budget():
    limited = ask.using(limit="door")

    @step(limit="door")
    async def outer():
        await asyncio.sleep(1)
        return await ask(2, 10, 1.0)

    @step
    async def main():
        # The limited one reserves ten of twelve, and waits for the outer one, which waits for ten.
        return await fan_out(outer(), limited(3, 10), need=0)

    async def body(runtime):
        run = runtime.start(main(), budget=Budget(tokens=12))
        found = await run.wait()
        used = run.spent()[0]
        assert not runtime.spending.idle
        assert not runtime.widths["door"].used
        return statuses(found), now(), (used.used_tokens, used.reserved_tokens, used.waiting)

    assert under(body, limits={"door": Limit(at_once=1)}) == (["ok", "ok"], 2, (5, 0, 0))


def test_who_lent_what_is_then_spent_is_skipped():
    limited = ask.using(limit="door")

    @step(limit="door")
    async def outer():
        await asyncio.sleep(1)
        return await ask(9, 10)

    async def body(runtime):
        both = fan_out(outer(), limited(3, 10), need=0)
        found = await runtime.run(both, budget=Budget(tokens=12))
        again = await runtime.run(ask.using(limit="door")(1))
        return statuses(found), runtime.widths["door"].used, again

    assert under(body, limits={"door": Limit(at_once=1)}) == (["ok", "skipped"], 0, 1)
