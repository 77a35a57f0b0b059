"""`speculate`: the likely next call beside the planner, joined where it is the one that is wanted."""

import asyncio
import gc
import logging
from contextlib import suppress
from dataclasses import astuple

import pytest

from fanwise import Limit, Retry, Runtime, bind, current, deadline, fan_out, first, speculate, step
from fanwise.core._guesses import Guesses
from fanwise.errors import CallSkipped, NotCanonical, WriteRefused
from fanwise.stores import MemoryJournal
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, cancelled_at, fails, gives, hangs, nothing_held, now


@step
async def plan(value, after=1.0):
    await asyncio.sleep(after)
    return value


@step
async def lookup(query, after=3.0):
    current().usage(tokens_in=10)
    await asyncio.sleep(after)
    return f"found {query}"


@step
async def another(query, after=3.0):
    await asyncio.sleep(after)
    return f"also {query}"


@step(effect="write")
async def pay(query, after=3.0):
    await asyncio.sleep(after)
    return f"paid {query}"


def rows_of(runtime):
    return [row for run in runtime.runs for row in run.record().calls]


def facts_of(runtime):
    (found,) = [row.facts for row in rows_of(runtime) if row.pattern == "speculate"]
    return dict(found)


# The right guess


async def test_a_right_guess_that_still_runs_is_joined():
    async with no_orphans(), Runtime() as runtime:
        assert await speculate(plan("a"), lookup, guess=lookup("a")) == "found a"
        assert now() == 3.0
        assert all_rows(runtime)["lookup"] == ["ok"]
        assert facts_of(runtime) == {"closed": "joined", "joined": 0, "wasted": 0}


async def test_a_right_guess_that_is_done_is_joined():
    assert await speculate(plan("a", 5.0), lookup, guess=lookup("a")) == "found a"
    assert now() == 5.0


async def test_a_guess_that_is_done_first_decides_nothing():
    """It is no race."""
    found = await speculate(plan("b", 2.0), lambda q: lookup(q, 1.0), guess=lookup("a", 1.0))
    assert found == "found b"
    assert now() == 3.0


async def test_one_of_several_guesses_is_joined_and_the_others_are_cancelled_at_once():
    async with no_orphans(), Runtime() as runtime:
        guesses = [lookup("a"), lookup("b"), another("b")]
        assert await speculate(plan("b"), lookup, guess=guesses) == "found b"
        assert now() == 3.0
        ends = {row.step: row.end for row in rows_of(runtime) if row.status == "cancelled"}
        assert ends == {"lookup": 1_000_000, "another": 1_000_000}
        assert facts_of(runtime) == {"closed": "joined", "joined": 1, "wasted": 2}


async def test_then_may_give_the_guess_itself():
    guess = lookup("a")
    assert await speculate(plan("a"), lambda _: guess, guess=guess) == "found a"
    assert now() == 3.0


@pytest.mark.parametrize(
    "then",
    [
        lambda q: lookup(query=q),
        lookup.using(timeout=9.0),
        lambda q: lookup(q).named("x"),
    ],
)
async def test_equal_is_the_step_and_what_it_is_asked(then):
    assert await speculate(plan("a"), then, guess=lookup("a")) == "found a"
    assert now() == 3.0


async def test_another_version_is_another_step():
    newer = step(version=2, name="lookup")(lookup.function)
    assert await speculate(plan("a"), newer, guess=lookup("a")) == "found a"
    assert now() == 4.0


async def test_the_equal_call_that_was_not_run_warns_of_nothing():
    async with Runtime():
        await speculate(plan("a"), lookup, guess=[lookup("a"), lookup("b")])
    gc.collect()


async def test_methods_are_compared_by_what_their_key_says():
    class Shop:
        def __init__(self, name):
            self.name = name

        @step(key=lambda self, query: [self.name, query])
        async def search(self, query):
            await asyncio.sleep(2)
            return f"{self.name}: {query}"

    assert await speculate(plan("a"), Shop("x").search, guess=Shop("x").search("a")) == "x: a"
    assert now() == 2.0
    assert await speculate(plan("a"), Shop("x").search, guess=Shop("y").search("a")) == "x: a"
    assert now() == 5.0


# A bound guess: a cheap model guesses what the planner will say


async def test_a_bound_guess_is_compared_by_the_values_of_its_inputs():
    cheap = plan("a", 0.5)
    assert await speculate(plan("a", 2.0), lookup, guess=bind(lookup, cheap)) == "found a"
    assert now() == 3.5


async def test_a_bound_guess_that_turns_out_wrong_is_let_go():
    async with no_orphans(), Runtime() as runtime:
        cheap = plan("b", 0.5)
        assert await speculate(plan("a"), lookup, guess=bind(lookup, cheap)) == "found a"
        assert now() == 4.0
        assert sorted(all_rows(runtime)["lookup"]) == ["cancelled", "ok"]


@pytest.mark.parametrize("cheap", [plan, fails])
async def test_a_bound_guess_whose_input_is_not_there_is_wrong(cheap):
    value = "a" if cheap is plan else OSError()
    guess = bind(lookup, cheap(value, 1.5 if cheap is plan else 0.5))
    assert await speculate(plan("a"), lookup, guess=guess) == "found a"
    assert now() == 4.0


# The wrong guess


async def test_a_wrong_guess_is_cancelled_and_what_it_used_is_in_its_row():
    async with no_orphans(), Runtime() as runtime:
        assert await speculate(plan("b"), lookup, guess=lookup("a")) == "found b"
        assert now() == 4.0
        wrong, right = [row for row in rows_of(runtime) if row.step == "lookup"]
        assert (wrong.status, wrong.end, dict(wrong.usage)) == (
            "cancelled",
            1_000_000,
            {"tokens_in": 10},
        )
        assert (wrong.facts["guess"], "guess" in right.facts) == (0, False)
        assert facts_of(runtime) == {"closed": "other call", "wasted": 1}
        nothing_held(runtime)


async def test_the_call_that_is_wanted_does_not_wait_for_the_end_of_a_wrong_guess():
    @step
    async def slow_to_go(query):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(2)
            raise

    async with no_orphans():
        assert await speculate(plan("b"), lookup, guess=slow_to_go("a")) == "found b"
        assert now() == 4.0
    assert await speculate(plan("b"), lambda _: gives("b", 0.5), guess=slow_to_go("a")) == "b"
    assert now() == 7.0  # 1 for the planner, 2 for the end of the guess


async def test_a_guess_that_somebody_else_waits_for_goes_on():
    shared = lookup("a")
    found = await fan_out(speculate(plan("b"), lambda q: gives(q, 0.5), guess=shared), shared)
    assert found.values() == ["b", "found a"]


async def test_a_call_that_others_began_may_be_the_guess():
    async with Runtime() as runtime:

        @step
        async def main():
            shared = lookup("a", 5.0)
            task = asyncio.ensure_future(shared)
            await asyncio.sleep(1)
            assert await speculate(plan("a"), lambda q: lookup(q, 5.0), guess=shared) == "found a"
            assert now() == 5.0
            assert await task == "found a"

        await main()
        assert facts_of(runtime) == {"closed": "joined", "joined": 0, "wasted": 0}


async def test_the_wanted_call_may_be_a_write():
    assert await speculate(plan("a"), pay, guess=lookup("a")) == "paid a"


async def test_a_write_is_never_joined_to_a_read_of_the_same_name():
    reads = step(name="pay")(pay.function)
    async with Runtime() as runtime:
        assert await speculate(plan("a"), pay, guess=reads("a")) == "paid a"
        assert facts_of(runtime)["closed"] == "other call"


async def test_the_planner_may_write():
    assert await speculate(pay("x", 1.0), lambda _: lookup("a"), guess=lookup("a")) == "found a"


# A guess that fails harms nobody


async def test_a_guess_that_others_let_go_harms_nobody():
    @step
    async def slow_to_go(query):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            raise
        return f"found {query}"

    async with no_orphans(), Runtime() as runtime:

        @step
        async def main():
            shared = slow_to_go("a")
            task = asyncio.ensure_future(shared)
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.sleep(1)
            assert await speculate(plan("a"), slow_to_go, guess=shared) == "found a"
            assert now() == 8.0
            await asyncio.wait([task])

        await main()
        assert facts_of(runtime) == {"closed": "not sent", "wasted": 0}


async def test_two_speculations_may_share_a_guess():
    shared = lookup("a")
    found = await fan_out(
        speculate(plan("b"), lookup, guess=shared), speculate(plan("a"), lookup, guess=shared)
    )
    assert found.values() == ["found b", "found a"]
    assert now() == 4.0


@pytest.mark.parametrize(("seconds", "end"), [(0.5, 4.0), (1.0, 4.0), (2.0, 5.0)])
async def test_where_the_right_guess_failed_the_call_runs_itself(seconds, end):
    tries = []

    @step
    async def flaky(query):
        tries.append(query)
        await asyncio.sleep(seconds if len(tries) == 1 else 3.0)
        if len(tries) == 1:
            raise OSError
        return "second"

    async with no_orphans(), Runtime() as runtime:
        assert await speculate(plan("a"), flaky, guess=flaky("a")) == "second"
        assert now() == end
        assert all_rows(runtime)["flaky"] == ["failed", "ok"]
        assert facts_of(runtime) == {"closed": "guess failed", "joined": 0, "wasted": 1}


async def test_a_wrong_guess_that_failed_is_no_matter():
    async with Runtime() as runtime:
        broken = lookup.using(timeout=0.5)("b")
        assert await speculate(plan("a"), lookup, guess=broken) == "found a"
        assert all_rows(runtime)["lookup"] == ["timed_out", "ok"]
        assert facts_of(runtime) == {"closed": "other call", "wasted": 1}


async def test_the_guess_itself_given_by_then_fails_as_itself():
    @step
    async def broken():
        await asyncio.sleep(2)
        raise OSError("down")

    guess = broken()
    with pytest.raises(OSError, match="down"):
        await speculate(plan("a"), lambda _: guess, guess=guess)
    assert now() == 2.0


async def test_the_error_of_the_wanted_call_is_raised():
    @step
    async def broken(query):
        raise OSError(query)

    with pytest.raises(OSError, match="a"):
        await speculate(plan("a"), broken, guess=lookup("a"))


# No call


@pytest.mark.parametrize("value", [None, "an answer", 0, [1, 2]])
async def test_where_no_call_is_wanted_the_value_is_the_result(value):
    async with no_orphans(), Runtime() as runtime:
        assert await speculate(plan("a"), lambda _: value, guess=lookup("a")) == value
        assert now() == 1.0
        assert facts_of(runtime) == {"closed": "no call", "wasted": 1}


@pytest.mark.parametrize(
    ("then", "text"),
    [
        (lambda _: lookup, "call it, such as lookup"),
        (lambda _: lookup.function("a"), "make a step of what gives it"),
        (lambda q: [lookup(q), another(q)], r"give fan_out\(\*calls\)"),
    ],
)
async def test_what_looks_like_a_call_and_is_none_is_refused(then, text):
    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(TypeError, match=text):
            await speculate(plan("a"), then, guess=lookup("a"))
        assert all_rows(runtime)["lookup"] == ["cancelled"]


async def test_then_may_give_a_call_that_has_ended_or_runs():
    done = gives("done")
    await done
    assert await speculate(plan("a"), lambda _: done, guess=lookup("a")) == "done"
    planner = plan("a")
    assert await speculate(planner, lambda _: planner, guess=lookup("a")) == "a"
    running = lookup("a", 5.0)
    task = asyncio.ensure_future(running)
    assert await speculate(plan("a"), lambda _: running, guess=lookup("b")) == "found a"
    assert await task == "found a"


async def test_then_may_give_a_pattern():
    found = await speculate(plan("a"), lambda q: fan_out(lookup(q), another(q)), guess=lookup("a"))
    assert found.values() == ["found a", "also a"]
    assert now() == 4.0  # the calls inside a pattern are not compared


# What fails


async def test_a_planner_that_fails_ends_it_and_its_guesses():
    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(OSError, match="down"):
            await speculate(fails(OSError("down"), 1.0), lookup, guess=lookup("a"))
        assert now() == 1.0
        assert all_rows(runtime)["lookup"] == ["cancelled"]
        assert facts_of(runtime) == {"closed": "planner failed", "wasted": 1}
        assert runtime.statistics().guesses == ()


async def test_a_then_that_raises_ends_the_guesses():
    def then(_):
        raise ValueError("no such tool")

    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(ValueError, match="no such tool"):
            await speculate(plan("a"), then, guess=lookup("a"))
        assert now() == 1.0
        assert facts_of(runtime) == {"closed": "then failed", "wasted": 1}


# Writes


async def test_a_guess_that_is_a_write_is_refused():
    with pytest.raises(WriteRefused, match=r"speculate\(\.\.\.\) got pay, a write"):
        speculate(plan("a"), pay, guess=pay("a"))


async def test_a_write_below_a_guess_is_refused_and_made_below_the_call_itself():
    @step
    async def buys(query):
        await asyncio.sleep(0.5)
        return await pay(query, 0.5)

    async with Runtime() as runtime:
        assert await speculate(plan("a"), buys, guess=buys("a")) == "paid a"
        (refused,) = [row for row in rows_of(runtime) if row.status == "failed"]
        assert "pay is a write below a guess of speculate" in refused.error
        assert all_rows(runtime)["pay"] == ["ok"]


async def test_inside_a_race_all_of_it_is_read_only():
    with pytest.raises(Exception, match="none of 1 gave"):
        await first(speculate(plan("a"), pay, guess=lookup("a")))


# Room


async def test_a_guess_without_a_free_slot_is_not_sent():
    slow = lookup.using(limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:

        @step
        async def main():
            busy = asyncio.ensure_future(slow("busy", 1.5))
            await asyncio.sleep(0)
            assert await speculate(plan("a"), slow, guess=slow("a")) == "found a"
            assert now() == 4.5
            await busy

        await main()
        assert facts_of(runtime) == {"closed": "not sent", "wasted": 0}
        assert runtime.statistics().guesses == ()


async def test_a_guess_never_stands_before_its_planner():
    thinks = plan.using(limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}):
        guess = lookup.using(limit="one")("a")
        assert await speculate(thinks("a"), lookup, guess=guess) == "found a"
        assert now() == 4.0


async def test_of_several_guesses_as_many_are_sent_as_have_room():
    slow = lookup.using(limit="two")
    async with Runtime(limits={"two": Limit(at_once=2)}) as runtime:
        guesses = [slow(letter) for letter in "abc"]
        assert await speculate(plan("c"), slow, guess=guesses) == "found c"
        assert all_rows(runtime)["lookup"] == ["cancelled", "cancelled", "ok"]
        assert all("limit" not in row.waits for row in rows_of(runtime))


async def test_the_wanted_call_takes_the_slot_that_a_wrong_guess_had():
    slow = lookup.using(limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        assert await speculate(plan("b"), slow, guess=slow("a")) == "found b"
        assert now() == 4.0
        nothing_held(runtime)


async def test_a_planner_that_is_done_at_once_needs_no_guess():
    async with Runtime() as runtime:
        planner = gives("a")
        await planner
        assert await speculate(planner, lookup, guess=lookup("a")) == "found a"
        assert await speculate(step(quick)("b"), lookup, guess=lookup("a")) == "found b"
        assert all_rows(runtime)["lookup"] == ["ok", "ok"]
        assert runtime.statistics().guesses == ()


async def quick(value):
    return value


# Plans, names, nesting


@pytest.mark.parametrize(("at_once", "sent"), [(1, 0), (2, 1), (3, 2), (9, 3)])
async def test_a_plan_says_how_much_is_guessed(at_once, sent):
    @step
    async def main():
        return await speculate(plan("z"), lookup, guess=[lookup(letter) for letter in "abc"])

    async with Runtime(plan={"main/speculate": {"at_once": at_once}}) as runtime:
        assert await main() == "found z"
        assert facts_of(runtime)["wasted"] == sent


async def test_in_a_row_the_right_guess_runs_once():
    async with Runtime(plan={"search": {"at_once": 1}}) as runtime:
        assert await speculate(plan("a"), lookup, guess=lookup("a")).named("search") == "found a"
        assert now() == 4.0
        assert all_rows(runtime) == {"plan": ["ok"], "lookup": ["ok"], "search": ["ok"]}


async def test_a_wrong_plan_is_refused():
    async with Runtime(plan={"speculate": {"at_once": 0}}):
        with pytest.raises(ValueError, match="at_once is at least 1, got 0"):
            await speculate(plan("a"), lookup, guess=lookup("a"))


async def test_a_wrong_plan_for_the_step_of_a_guess_is_told_by_the_call_itself():
    async with no_orphans(), Runtime(plan={"lookup": {"patience": 1}}) as runtime:
        with pytest.raises((TypeError, ValueError), match="patience"):
            await speculate(plan("a"), lookup, guess=lookup("a"))
        assert facts_of(runtime)["closed"] == "guess failed"


async def test_speculations_nest_and_are_bound():
    inner = speculate(plan("a"), lambda q: plan(q, 2.0), guess=plan("a", 2.0))
    outer = speculate(inner, lookup, guess=lookup("a"))
    assert await bind(gives, outer) == "found a"
    assert now() == 3.0


async def test_then_may_give_another_speculation():
    """A chain of steps, each guessed while the one before runs."""

    def second(value):
        return speculate(plan(value, 2.0), lookup, guess=lookup("a"))

    assert await speculate(plan("a"), second, guess=lookup("b")) == "found a"
    assert now() == 4.0


async def test_the_planner_may_be_a_plain_awaitable():
    assert await speculate(plan.function("a"), lookup, guess=lookup("a")) == "found a"
    assert now() == 3.0


# Retries, journals, deadlines, drains


async def test_a_retried_step_finds_its_planner_and_its_guess_again():
    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def main():
        found = await speculate(plan("a"), lookup, guess=[lookup("b"), lookup("a")])
        if current().attempt == 1:
            raise ConnectionError
        return found

    async with Runtime() as runtime:
        assert await main() == "found a"
        assert now() == 3.0
        assert all_rows(runtime)["lookup"] == ["cancelled", "ok"]


async def test_a_retried_step_in_a_row_finds_its_guess_again():
    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def main():
        found = await speculate(plan("a"), lookup, guess=lookup("a"))
        if current().attempt == 1:
            raise ConnectionError
        return found

    async with Runtime(plan={"main/speculate": {"at_once": 1}}) as runtime:
        assert await main() == "found a"
        assert now() == 4.0
        assert all_rows(runtime)["lookup"] == ["ok"]


async def test_a_resumed_run_repeats_nothing():
    journal = MemoryJournal()
    for seconds in (3.0, 3.0):
        async with Runtime() as runtime:
            runtime.journal = journal

            @step
            async def main():
                return await speculate(plan("a"), lookup, guess=lookup("a"))

            assert await runtime.run(main(), run_id="same") == "found a"
            assert now() == seconds


async def test_a_deadline_bounds_all_of_it():
    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(TimeoutError), deadline(2.0):
            await speculate(plan("a"), lookup, guess=lookup("a"))
        assert now() == 2.0
        nothing_held(runtime)


@pytest.mark.parametrize(("guessed", "value"), [("a", "found a"), ("b", None)])
async def test_a_drain_lets_the_right_guess_finish_and_starts_no_other(guessed, value):
    async with no_orphans(), Runtime() as runtime:
        asyncio.get_running_loop().call_later(0.5, runtime.drain)
        run = runtime.start(speculate(plan("a"), lookup, guess=lookup(guessed)))
        if value is not None:
            assert await run.wait() == value
        else:
            with pytest.raises(CallSkipped):
                await run.wait()


@pytest.mark.parametrize("when", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("guessed", ["a", "b"])
async def test_cancelled_from_outside_it_leaves_nothing(when, guessed):
    async with no_orphans(), Runtime() as runtime:
        call = speculate(plan("a"), lookup, guess=[lookup(guessed), hangs()])

        async def main():
            await call

        task = await cancelled_at(when, main())
        assert task.cancelled()
        assert now() == when
        nothing_held(runtime)


async def test_a_cancellation_reaches_planner_and_guesses_at_once():
    ended = []

    @step
    async def cleans(name):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            ended.append((name, now()))

    async def main():
        await speculate(cleans("planner"), lookup, guess=cleans("guess"))

    async with no_orphans():
        await cancelled_at(1.0, main())
    assert sorted(ended) == [("guess", 3.0), ("planner", 3.0)]


# Statistics


def counted(name, cases, joined):
    guesses = Guesses()
    for case in range(cases):
        guesses.count(name, 1, joined=case < joined, failed=False)
    return guesses


async def test_the_runtime_counts_how_often_a_guess_was_joined():
    async with Runtime() as runtime:

        @step
        async def main():
            for letter in "abcb":
                guesses = [lookup("a"), lookup("b")]
                await speculate(plan(letter), lookup, guess=guesses).named("search")
            await speculate(plan(""), lambda _: None, guess=lookup("a")).named("search")

        await main()
        (found,) = runtime.statistics().guesses
        assert astuple(found) == ("search", 5, 3, 0, 9)
        assert found.rate == 0.6


@pytest.mark.parametrize(
    ("cases", "joined", "warned"), [(49, 0, 0), (50, 0, 1), (500, 0, 1), (50, 14, 1), (50, 15, 0)]
)
def test_a_low_rate_is_said_once_and_only_after_enough_cases(cases, joined, warned, caplog):
    with caplog.at_level(logging.WARNING, "fanwise"):
        counted("answer/speculate", cases, joined)
    assert len(caplog.records) == warned
    if warned:
        text = caplog.text
        assert "answer/speculate: a guess was joined in" in text
        assert "{'answer/speculate': {'at_once': 1}} turns them off" in text


def test_the_counters_are_bounded():
    guesses = Guesses()
    for number in range(1500):
        guesses.count(f"search {number}", 1, joined=True, failed=False)
    found = guesses.statistics()
    assert (len(found), found[0].name) == (1000, "search 500")


# Wrong arguments


def made(**changes):
    planner = changes["planner"] if "planner" in changes else plan("a")
    guess = changes["guess"] if "guess" in changes else lookup("a")
    return speculate(planner, changes.get("then", lookup), guess=guess)


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"guess": []}, ValueError, "guess is empty: .* such as speculate"),
        ({"guess": lookup}, TypeError, r"guess takes calls of steps, .* got <step lookup>"),
        ({"guess": "a"}, TypeError, "guess takes calls of steps, .* got 'a'"),
        ({"guess": None}, TypeError, "guess takes calls of steps, .* got None"),
        ({"then": None}, TypeError, "then is a function of the planner's value .* got None"),
        ({"then": lookup.function}, TypeError, "then is a plain function, and .* is async"),
        ({"planner": plan}, TypeError, "planner takes calls or awaitables, got <step plan>"),
    ],
    ids=str,
)
async def test_wrong_arguments_are_refused_at_once(changes, kind, text):
    with pytest.raises(kind, match=text):
        made(**changes)


async def test_wrong_calls_are_refused_at_once_and_warn_of_nothing_else():
    with pytest.raises(TypeError, match=r"then is a function .* got <Call lookup new>"):
        made(then=lookup("a"))
    with pytest.raises(TypeError, match=r"guess takes calls of steps, .* got <coroutine"):
        made(guess=lookup.function("a"))
    with pytest.raises(TypeError, match=r"guess 1 is <Call fan_out new>: only the call of a step"):
        made(guess=fan_out(lookup("a")))
    with pytest.raises(ValueError, match="guess has the planner <Call plan new> itself"):
        planner = plan("a")
        made(planner=planner, guess=[lookup("a"), planner])
    with pytest.raises(ValueError, match="guess 1 and guess 3 ask the same of lookup"):
        made(guess=[lookup("a"), lookup("b"), lookup(query="a")])
    with pytest.raises(ValueError, match="the same call of lookup as branches 1 and 2"):
        made(guess=[lookup("a")] * 2)
    with pytest.raises(NotCanonical, match=r"lookup\(query=...\): a value of type object"):
        made(guess=lookup(object()))
    ended = gives(1)
    await ended
    with pytest.raises(
        ValueError, match=r"guess 1, <Call gives ok>, has ended.*make the guess anew"
    ):
        made(guess=ended)


async def test_a_wanted_call_without_a_canonical_form_is_no_guess():
    async with Runtime() as runtime:
        found = await speculate(plan("a"), lambda _: lookup({1: 2}), guess=lookup("a"))
        assert found == "found {1: 2}"
        assert facts_of(runtime)["closed"] == "not comparable"


def test_a_speculation_that_nobody_awaits_is_named():
    with pytest.warns(RuntimeWarning) as caught:
        speculate(plan("a"), lookup, guess=lookup("a"))
    assert any("call of 'speculate' was made and never" in str(each.message) for each in caught)


@step
async def breaks():
    await asyncio.sleep(1)
    raise OSError


async def test_nothing_is_left_for_the_collector():
    async def both():
        await speculate(plan("a"), lookup, guess=lookup("a"))
        await speculate(plan("a"), lookup, guess=lookup("b"))
        with suppress(OSError):
            await speculate(breaks(), lookup, guess=lookup("a"))
        with suppress(OSError):
            await speculate(plan("a"), lambda _: breaks(), guess=lookup("a"))

    async with Runtime():
        await both()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await both()
            assert gc.collect() == 0
        finally:
            gc.enable()
