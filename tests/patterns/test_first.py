"""`first`: a race for an acceptable result."""

import asyncio
import math
from dataclasses import astuple

import pytest

from fanwise import NotEnough, Runtime, bind, fan_map, fan_out, first, step
from fanwise.errors import WriteRefused
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, fails, gives, hangs, lingers, nothing_held, now


@step
async def charges():
    raise AssertionError("a write below a race was sent")


charges_at_once = step(effect="write")(charges.function)


async def test_the_first_result_wins():
    assert await first(gives("slow", 2.0), gives("fast", 1.0)) == "fast"
    assert now() == 1.0


async def test_a_single_call_wins():
    assert await first(gives(1, 1.0)) == 1


async def test_ties_go_by_position():
    assert await first(gives("a", 1.0), gives("b", 1.0)) == "a"
    assert await first(gives("b", 1.0), gives("a", 1.0)) == "b"


async def test_a_failure_is_no_result():
    assert await first(fails(OSError(), 1.0), gives("fine", 2.0)) == "fine"


async def test_none_is_a_result_like_any_other():
    assert await first(gives(None, 1.0), gives("later", 2.0)) is None


async def test_only_what_is_accepted_wins():
    race = first(gives("", 1.0), gives("valid", 2.0), gives("later", 3.0), accept=bool)
    assert await race == "valid"
    assert now() == 2.0


async def test_losers_are_cancelled_and_awaited():
    ended = []

    @step
    async def cleans_up():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    async with no_orphans(), Runtime() as runtime:
        assert await first(gives("fast", 1.0), cleans_up()) == "fast"
        assert ended == [1.5]
        assert all_rows(runtime)["cleans_up"] == ["cancelled"]
        nothing_held(runtime)


async def test_a_loser_that_swallows_its_cancellation_is_awaited():
    async with no_orphans(), Runtime() as runtime:
        assert await first(gives("fast", 1.0), lingers("late", 100.0, 2.0)) == "fast"
        assert now() == 3.0
        nothing_held(runtime)


# Stagger


async def test_branches_start_at_their_offsets():
    begun = []

    @step
    async def path(name, seconds):
        begun.append((now(), name))
        await asyncio.sleep(seconds)
        return name

    race = first(path("a", 9), path("b", 9), path("c", 0.1), stagger=(0, 0.5, 2.0))
    assert await race == "c"
    assert begun == [(0.0, "a"), (0.5, "b"), (2.0, "c")]


async def test_a_branch_whose_time_does_not_come_is_never_started():
    async with Runtime() as runtime:
        assert await first(gives("a", 1.0), hangs(), stagger=(0, 1.5)) == "a"
        assert "hangs" not in all_rows(runtime)


async def test_when_all_that_run_have_failed_the_next_starts_at_once():
    race = first(fails(OSError(), 1.0), fails(OSError(), 0.5), gives("c"), stagger=(0, 50, 100))
    assert await race == "c"
    assert now() == 1.5


async def test_a_branch_brought_forward_does_not_bring_the_others_forward():
    begun = []

    @step
    async def path(name, seconds, error=None):
        begun.append((now(), name))
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return name

    race = first(path("a", 1.0, OSError()), path("b", 9.0), path("c", 1.0), stagger=(0, 5.0, 6.0))
    assert await race == "c"
    assert begun == [(0.0, "a"), (1.0, "b"), (6.0, "c")]


async def test_not_accepted_brings_the_next_forward_too():
    race = first(gives("", 1.0), gives("b"), stagger=(0, 50), accept=bool)
    assert await race == "b"
    assert now() == 1.0


async def test_equal_offsets_start_together():
    race = first(gives("a", 2.0), gives("b", 1.0), stagger=(0, 0))
    assert await race == "b"


# None acceptable


async def test_not_enough_names_every_cause():
    broken = OSError("down")
    with pytest.raises(NotEnough) as caught:
        await first(fails(broken, 1.0), gives("bad", 2.0), accept=lambda value: value == "good")
    assert now() == 2.0
    assert "none of 2 gave an acceptable result" in str(caught.value)
    assert "fails: failed: OSError: down" in str(caught.value)
    assert "gives: failed: ValueError: gives: its result was not accepted" in str(caught.value)
    assert [outcome.status for outcome in caught.value.found] == ["failed", "failed"]


async def test_the_cause_is_the_failure_that_came_first():
    early = OSError("early")
    with pytest.raises(NotEnough) as caught:
        await first(fails(OSError("late"), 2.0), fails(early, 1.0))
    assert caught.value.__cause__ is early


async def test_a_value_that_was_not_accepted_is_kept():
    """Nothing paid for is lost (law 4)."""
    with pytest.raises(NotEnough) as caught:
        await first(gives("paid for"), accept=lambda _: False)
    assert caught.value.found.outcomes[0].late == "paid for"


async def test_an_accept_that_raises_is_a_branch_that_was_not_accepted():
    def accept(value):
        if value == "bad":
            raise ZeroDivisionError
        return True

    assert await first(gives("bad", 1.0), gives("good", 2.0), accept=accept) == "good"
    with pytest.raises(NotEnough) as caught:
        await first(gives("bad"), accept=accept)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# Writes


async def test_a_write_is_refused_when_the_race_is_made():
    with pytest.raises(WriteRefused, match=r"first\(\.\.\.\) got charges, a write"):
        first(gives(1), charges_at_once())


async def test_a_write_below_a_branch_is_refused_when_it_is_made_and_both_are_named():
    @step
    async def branch():
        await asyncio.sleep(1)
        return await charges_at_once()

    @step
    async def search():
        return await first(branch(), gives("safe", 2.0))

    assert await search() == "safe"
    with pytest.raises(NotEnough) as caught:
        await first(branch()).named("race")
    cause = caught.value.__cause__
    assert isinstance(cause, WriteRefused)
    assert "charges is a write below race" in str(cause)


@pytest.mark.parametrize("how", ["fan_out", "fan_map", "bind", "task"])
async def test_a_write_below_a_pattern_below_a_branch_is_refused(how):
    @step(effect="write")
    async def writes(_=None):
        raise AssertionError

    @step
    async def branch():
        if how == "fan_out":
            await fan_out(writes())
        elif how == "fan_map":
            await fan_map(writes, [1], at_once=1)
        elif how == "bind":
            await bind(writes, gives(1))
        else:
            await asyncio.create_task(writes_in_a_task())

    async def writes_in_a_task():
        await writes()

    with pytest.raises(NotEnough) as caught:
        await first(branch())
    error = caught.value.__cause__
    while isinstance(error, NotEnough):
        error = error.__cause__
    assert isinstance(error, WriteRefused)


async def test_a_write_that_a_branch_is_bound_to_is_refused():
    """Made outside, started below: it would be cancelled with the losers."""
    with pytest.raises((NotEnough, WriteRefused)):
        await first(bind(gives, charges_at_once()))


async def test_a_write_in_a_fan_out_given_to_a_race_is_refused():
    with pytest.raises((NotEnough, WriteRefused)):
        await first(fan_out(charges_at_once()))


async def test_writes_are_free_again_after_the_race():
    sent = []

    @step(effect="write")
    async def writes():
        sent.append(1)

    await first(gives(1))
    await writes()
    assert sent == [1]


# Wrong arguments


@pytest.mark.parametrize(
    ("stagger", "text"),
    [
        ((0, 1, 2), r"stagger has one offset a call, .* got \(0, 1, 2\) for 2 calls"),
        ((0,), r"got \(0,\) for 2 calls"),
        ((0, -1), "stagger is at least 0, got -1"),
        ((1, 0), r"stagger rises with the calls, .* got \(1, 0\)"),
    ],
    ids=str,
)
async def test_a_wrong_stagger_is_refused(stagger, text):
    with pytest.raises(ValueError, match=text):
        first(gives(1), gives(2), stagger=stagger)


async def test_a_number_for_stagger_is_refused_with_an_example():
    with pytest.raises(TypeError, match=r"stagger has one offset a call, such as \(0, 0.05, 0.2\)"):
        first(gives(1), gives(2), stagger=0.5)


async def test_a_race_of_nothing_and_of_a_list_are_refused():
    with pytest.raises(ValueError, match=r"first\(\.\.\.\) takes at least one call, got none"):
        first()
    with pytest.raises(TypeError, match=r"first takes calls or awaitables, got .*unpack it"):
        first([])


async def test_the_same_call_twice_is_refused():
    call = gives(1)
    with pytest.raises(ValueError, match="first got the same call of gives as branches 1 and 2"):
        first(call, call)


async def test_plain_awaitables_race():
    async def plain():
        await asyncio.sleep(0.5)
        return "plain"

    assert await first(gives("call", 1.0), plain()) == "plain"


async def test_a_race_cancelled_from_outside_leaves_nothing():
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(
            first(hangs(), lingers(1, 100.0, 0.5), stagger=(0, 0.5)), need=0, within=1.0
        )
        assert now() == 1.5
        assert found.outcomes[0].status == "timed_out"
        nothing_held(runtime)


async def test_a_shared_loser_goes_on_for_those_who_want_it():
    shared = gives("shared", 2.0)
    found = await fan_out(first(gives("fast", 1.0), shared), shared)
    assert found.values() == ["fast", "shared"]


async def test_a_shared_call_that_ended_before_wins_at_once():
    shared = gives("done")
    await shared
    assert await first(hangs(), shared) == "done"
    assert now() == 0.0


async def race_each(runtime, winners, **options):
    """Run one race per entry, won by the way of that position."""

    @step
    async def main():
        for winner in winners:
            ways = [gives(i, 1.0 if i == winner else 9.0) for i in range(3)]
            await first(*ways, **options).named("ways")

    await runtime.run(main())


async def test_races_are_counted_by_position_over_the_runtimes_life():
    async with Runtime() as runtime:
        await race_each(runtime, [0, 1])
        await race_each(runtime, [1], stagger=(0, 0.5, 20))
        (races,) = runtime.statistics().races
    assert astuple(races) == ("ways", 3, (3, 3, 2), (1, 2, 0), (2, 1, 2))


@pytest.mark.parametrize(("wins", "warned"), [(5, 0), (6, 1)])
async def test_the_dearest_way_that_wins_too_often_is_told_once(wins, warned, caplog):
    async with Runtime() as runtime:
        winners = [2] * wins + [0] * (50 - wins)
        await race_each(runtime, winners[:-1], stagger=(0, 0, 0))
        assert caplog.messages == []
        for _ in range(3):
            await race_each(runtime, winners[-1:], stagger=(0, 0, 0))
    text = "ways: the last and dearest of 3 ways won 12 % of 50 races: those before it are not "
    assert caplog.messages == [text + "worth waiting for"] * warned


async def test_without_a_stagger_no_way_is_the_dearest(caplog):
    async with Runtime() as runtime:
        await race_each(runtime, [2] * 60)
    assert caplog.messages == []


async def test_a_race_that_is_cancelled_is_not_counted():
    async with Runtime() as runtime:
        race = asyncio.create_task(runtime.run(first(hangs(), hangs())))
        await asyncio.sleep(1)
        race.cancel()
        await asyncio.wait([race])
        assert runtime.statistics().races == ()


async def test_an_infinite_offset_waits_for_failures_only():
    race = first(gives("cheap", 900.0), gives("dear", 1.0), stagger=(0, math.inf))
    assert await race == "cheap"
    assert now() == 900.0


async def test_an_infinite_offset_starts_when_all_before_have_failed():
    calls = fails(OSError(), 2.0), gives("bad", 1.0), gives("good", 3.0)
    race = first(*calls, stagger=(0, math.inf, math.inf), accept=lambda text: text == "good")
    assert await race == "good"
    assert now() == 6.0
