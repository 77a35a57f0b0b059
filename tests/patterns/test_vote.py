"""`vote`: agreement of several calls, and the instant at which no more are asked."""

import asyncio
import contextlib
import gc
from fractions import Fraction
from math import comb

import pytest

from fanwise import NotEnough, Runtime, bind, deadline, fan_out, first, step, vote
from fanwise.analysis import critical_path
from fanwise.errors import CallDropped, DeadlinePassed, WriteRefused
from fanwise.patterns._agreement import agreed
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, fails, gives, hangs, lingers, nothing_held, now


def ballots(answers, apart=0.0):
    """Voters with these answers, in order, each so many seconds after the one before it."""
    return [gives(answer, index * apart) for index, answer in enumerate(answers)]


# The rule


def exact(leader, runner_up):
    """P(p > 1/2) under Beta(leader + 1, runner_up + 1), by integrating its polynomial exactly."""
    half = Fraction(1, 2)
    above = total = Fraction(0)
    for k in range(runner_up + 1):
        power = leader + k + 1
        term = Fraction((-1) ** k * comb(runner_up, k), power)
        total += term
        above += term * (1 - half**power)
    return above / total


@pytest.mark.parametrize("stop_at", [0.5, 0.75, 0.9, 0.95, 0.96875, 0.99, 1.0])
def test_the_rule_is_the_integral_of_the_beta_density(stop_at):
    for leader in range(1, 41):
        for runner_up in range(leader + 1):
            met = exact(leader, runner_up) >= Fraction(stop_at)
            assert agreed(leader, runner_up, stop_at) == met, (leader, runner_up)


@pytest.mark.parametrize(
    ("runner_up", "least"), [(0, 4), (1, 6), (2, 8), (3, 9), (4, 11), (10, 19)]
)
def test_so_many_votes_are_needed_against_so_many_at_95_percent(runner_up, least):
    assert agreed(least, runner_up, 0.95)
    assert not agreed(least - 1, runner_up, 0.95)


def test_the_boundary_is_exact():
    """Four votes to none have 31/32, and one bit more than that is not there."""
    assert agreed(4, 0, 31 / 32)
    assert not agreed(4, 0, 31 / 32 + 2**-53)
    assert not agreed(2000, 0, 1.0)  # a float would have rounded it up to 1


# Counting


async def test_most_votes_win():
    found = await vote(ballots(["a", "b", "a", "c", "a"]))
    assert found.answer == "a"
    assert found.counts == {"a": 3, "b": 1, "c": 1}
    assert (found.share, found.votes, found.asked) == (0.6, 5, 5)
    assert not found.tied
    assert not found.stopped_early
    assert found.found.values() == ["a", "b", "a", "c", "a"]


async def test_counts_stand_most_first_and_ties_by_first_voter():
    found = await vote(ballots(["d", "b", "c", "b", "c", "e"]))
    assert list(found.counts) == ["b", "c", "d", "e"]


@pytest.mark.parametrize("apart", [0.0, 1.0, -1.0])
async def test_a_tie_goes_to_the_first_voter_by_position_whoever_answers_first(apart):
    calls = [gives(a, 10 + i * apart) for i, a in enumerate(["late", "b", "b", "late"])]
    found = await vote(calls)
    assert (found.answer, found.tied, found.share) == ("late", True, 0.5)


async def test_one_call_is_a_vote():
    found = await vote([gives("alone", 1.0)])
    assert (found.answer, found.share, found.asked, found.warning) == ("alone", 1.0, 1, "")


async def test_none_is_an_answer_like_any_other():
    assert (await vote(ballots([None, None, "x"]))).answer is None


async def test_a_key_says_what_counts_and_the_answer_is_the_first_voters_own():
    found = await vote(ballots(["No", "Yes.", "yes", "YES"]), key=lambda text: text.lower()[:3])
    assert (found.answer, found.counts) == ("Yes.", {"yes": 3, "no": 1})


async def test_counts_cannot_be_changed():
    found = await vote(ballots(["a"]))
    with pytest.raises(TypeError):
        found.counts["a"] = 2


# Early stop


async def test_four_unanimous_votes_are_enough_and_three_are_not():
    async with Runtime() as runtime:
        found = await vote(ballots("a" * 10, apart=1.0), wave=1)
        assert (found.asked, found.stopped_early, found.share) == (4, True, 1.0)
        assert all_rows(runtime)["gives"] == ["ok"] * 4
    assert (await vote(ballots("aaa"))).stopped_early is False


async def test_the_rest_of_a_wave_is_cancelled_and_awaited_the_moment_it_is_decided():
    async with no_orphans(), Runtime() as runtime:
        slow = lingers("late", 100.0, 0.5)
        found = await vote([*ballots("aaaa", apart=1.0), slow, gives("never")], wave=5)
        assert now() == 3.5
        assert (found.answer, found.asked, found.stopped_early) == ("a", 5, True)
        assert [o.status for o in found.found] == ["ok"] * 4 + ["cancelled", "skipped"]
        assert "enough others agreed" in str(found.found)
        assert isinstance(found.found.outcomes[4].error, CallDropped)
        nothing_held(runtime)


async def test_a_wave_starts_when_the_one_before_it_has_answered():
    begun = []

    @step
    async def asked(answer, after):
        begun.append(now())
        await asyncio.sleep(after)
        return answer

    found = await vote([asked(i, 1.0 + i % 2) for i in range(6)], wave=2)
    assert begun == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]
    assert found.asked == 6


async def test_what_has_reported_when_the_decision_falls_counts():
    """All eight are paid for: the four after the decision, on the same instant, are votes too."""
    found = await vote(ballots(["a"] * 5 + ["b"] + ["a"] * 2), wave=8)
    assert (found.votes, found.asked, found.stopped_early) == (8, 8, False)
    assert found.counts == {"a": 7, "b": 1}


async def test_what_reports_on_the_instant_of_the_decision_may_undo_it():
    early = [gives("a", 1.0) for _ in range(4)]
    same = [gives("b", 1.0) for _ in range(4)]
    found = await vote([*early, *same, gives("a", 2.0), hangs(), hangs()], wave=9, stop_at=0.6)
    assert found.counts == {"a": 5, "b": 4}
    assert now() == 2.0


async def test_the_rule_met_by_the_last_answer_is_no_early_stop():
    found = await vote(ballots("aaaa"))
    assert (found.asked, found.stopped_early) == (4, False)


async def test_without_a_threshold_everybody_is_asked():
    found = await vote(ballots("a" * 9), stop_at=None, wave=None)
    assert (found.asked, found.stopped_early) == (9, False)
    assert (await vote(ballots("a" * 9), stop_at=1)).asked == 9


async def test_answers_that_are_there_already_are_counted_before_more_is_asked():
    calls = ballots("aaaa")
    await fan_out(*calls)
    async with Runtime() as runtime:
        found = await vote([*calls, hangs()], wave=5)
        assert (found.asked, found.stopped_early) == (4, True)
        assert "hangs" not in all_rows(runtime)


# Low agreement


async def test_low_agreement_is_said_in_the_log_and_in_the_text(caplog):
    found = await vote(ballots("abcdab"))
    assert found.warning.startswith("low agreement: no answer has more than half of 6 votes")
    assert "tie" in found.warning
    assert found.warning in str(found)
    assert [record.getMessage() for record in caplog.records] == [f"vote: {found.warning}"]


async def test_half_of_the_votes_are_low_agreement_and_more_are_not(caplog):
    assert "tie" not in (await vote(ballots("aabc"))).warning
    assert len(caplog.records) == 1
    found = await vote(ballots("aabac"))
    assert found.warning == ""
    assert len(caplog.records) == 1
    assert str(found) == "'a' by 3 of 5 votes, 5 of 5 asked"


# Failures


async def test_a_failed_branch_is_a_gap_and_no_vote():
    found = await vote([fails(OSError("down")), *ballots("ab"), fails(OSError()), gives("b")])
    assert found.counts == {"b": 2, "a": 1}
    assert (found.asked, found.votes) == (5, 3)
    assert found.found.missing == ["fails", "fails 2"]
    assert "<fails: failed: OSError: down>" in str(found)


async def test_no_vote_at_all_is_not_enough_with_the_first_cause():
    early = OSError("early")
    with pytest.raises(NotEnough, match="none of 2 gave a vote") as caught:
        await vote([fails(OSError("late"), 2.0), fails(early, 1.0)])
    assert caught.value.__cause__ is early
    assert [outcome.status for outcome in caught.value.found] == ["failed", "failed"]


async def test_a_key_that_raises_loses_that_vote_alone_and_keeps_its_value():
    found = await vote(ballots([1, 0, 1]), key=lambda n: 1 // n)
    assert found.counts == {1: 2}
    gap = found.found.outcomes[1]
    assert (gap.status, gap.late) == ("failed", 0)
    assert isinstance(gap.error, ZeroDivisionError)


async def test_what_cannot_be_counted_says_what_to_write():
    found = await vote(ballots([["a"], "b"]))
    assert found.counts == {"b": 1}
    error = found.found.outcomes[0].error
    assert isinstance(error, TypeError)
    assert "a vote for ['a'] cannot be counted (unhashable type: 'list')" in str(error)
    assert "vote(calls, key=str)" in str(error)
    with pytest.raises(NotEnough, match="key= gives something hashable, such as a string"):
        await vote(ballots(["a"]), key=list)


async def test_failures_leave_nothing_for_the_collector():
    def key(value):
        raise ValueError(value)

    @step
    async def breaks():
        raise OSError

    async def lost():
        with contextlib.suppress(NotEnough):
            await vote([gives(1), breaks()], key=key)
        with contextlib.suppress(NotEnough):
            await first(gives(1), breaks(), accept=key)
        await vote([gives([]), gives(1)])

    await lost()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await lost()
        assert gc.collect() == 0
    finally:
        gc.enable()


# Time, and cancellation from outside


async def test_a_vote_cancelled_from_outside_leaves_nothing():
    async with no_orphans(), Runtime() as runtime:
        calls = [gives("a"), lingers(1, 100.0, 0.5), hangs(), hangs(), hangs()]
        found = await fan_out(vote(calls), need=0, within=1.0)
        assert now() == 1.5
        assert found.outcomes[0].status == "timed_out"
        nothing_held(runtime)
        assert "hangs" in all_rows(runtime)


async def test_a_deadline_travels_down_and_ends_the_vote():
    async with no_orphans():
        with pytest.raises(DeadlinePassed), deadline(2.0):
            await vote([gives("a"), hangs()])
        assert now() == 2.0


async def test_voters_that_time_out_are_gaps():
    slow = gives.using(timeout=1.0)
    found = await vote([slow("late", 5.0), gives("a"), gives("a", 0.5)])
    assert [outcome.status for outcome in found.found] == ["timed_out", "ok", "ok"]
    assert now() == 1.0


async def test_a_drain_skips_the_next_wave():
    async with Runtime() as runtime:
        asyncio.get_running_loop().call_at(0.5, runtime.drain)
        found = await runtime.run(vote(ballots("ab", apart=1.0) + ballots("abc"), wave=2))
    assert [o.status for o in found.found] == ["ok", "ok", "skipped", "skipped", "skipped"]
    assert (found.asked, found.stopped_early) == (2, False)


async def test_a_shared_voter_goes_on_for_those_who_want_it():
    shared = gives("b", 9.0)
    found = await fan_out(vote([*ballots("aaaa"), shared], wave=5), shared)
    assert found.values()[1] == "b"
    assert found.values()[0].stopped_early


# Among the others: names, plans, graphs, plain awaitables


async def test_a_vote_is_a_call_like_any_other():
    @step
    async def says(found):
        return f"{found.answer}!"

    assert await bind(says, vote(ballots("aab"))) == "a!"
    inner = [vote(ballots(answers)).named("precinct") for answers in ("aab", "bba", "aab")]
    found = await vote(inner, key=lambda each: each.answer)
    assert found.answer.answer == "a"
    assert found.counts == {"a": 2, "b": 1}


async def test_a_plan_overrides_threshold_and_wave_by_name():
    @step
    async def decide():
        return await vote(ballots("a" * 8, apart=1.0))

    async def asked(plan):
        async with Runtime(plan=plan) as runtime:
            return (await runtime.run(decide())).asked

    assert await asked({}) == 4
    assert await asked({"decide/vote": {"stop_at": 0.99}}) == 8
    assert await asked({"decide/vote": {"stop_at": 0.5, "wave": 1}}) == 1
    with pytest.raises(ValueError, match="wave is at least 1, got 0"):
        await asked({"decide/vote": {"wave": 0}})


async def test_the_record_says_how_it_closed():
    async with Runtime() as runtime:
        await runtime.run(vote(ballots("a" * 6), wave=4).named("poll"))
        (row,) = [row for row in runtime.runs[-1].record().calls if row.pattern == "vote"]
    assert row.facts == {"gaps": 2, "closed": "enough", "votes": 4}


async def test_the_critical_path_leads_through_the_vote_that_decided():
    async with Runtime() as runtime:
        calls = [*ballots("aaa"), gives("a", 2.0), hangs(), lingers("b", 100.0, 0.5)]
        await runtime.run(vote(calls, wave=6))
        path = critical_path(runtime.runs[-1].record())
    assert path.seconds == 2.5
    longest = max(path.segments, key=lambda segment: segment.microseconds)
    assert (longest.step, longest.microseconds) == ("gives", 2_000_000)


async def test_plain_awaitables_and_any_iterable_are_taken():
    async def plain():
        return "a"

    assert (await vote(plain() for _ in range(3))).counts == {"a": 3}


async def test_plain_awaitables_that_are_not_needed_are_closed_without_a_warning():
    async def plain():
        return "a"

    assert (await vote([plain() for _ in range(9)])).asked == 4


# Writes


@step(effect="write")
async def charges():
    raise AssertionError("a write below a vote was sent")


async def test_a_write_is_refused_when_the_vote_is_made():
    with pytest.raises(WriteRefused, match=r"vote\(\.\.\.\) got charges, a write"):
        vote([gives(1), charges()])


async def test_a_write_below_a_voter_is_refused_and_both_are_named():
    @step
    async def voter():
        return await charges()

    with pytest.raises(NotEnough) as caught:
        await vote([voter()]).named("poll")
    assert isinstance(caught.value.__cause__, WriteRefused)
    assert "charges is a write below poll" in str(caught.value.__cause__)


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"stop_at": 95}, ValueError, r"stop_at is a probability from 0.5 to 1, .* got 95"),
        ({"stop_at": 0.4}, ValueError, "stop_at is at least 0.5, got 0.4"),
        ({"stop_at": float("nan")}, ValueError, "stop_at is at least 0.5, got nan"),
        ({"stop_at": "95%"}, TypeError, "stop_at is a number, got '95%'"),
        ({"wave": 0}, ValueError, "wave is at least 1, got 0"),
        ({"wave": 1.5}, TypeError, "wave is a whole number, got 1.5"),
        ({"key": "lower"}, TypeError, "key is a function of a value, .* got 'lower'"),
        ({"key": gives.function}, TypeError, "key is a plain function"),
    ],
    ids=str,
)
async def test_a_wrong_argument_is_refused_and_its_calls_do_not_warn(arguments, kind, text):
    with pytest.raises(kind, match=text):
        vote([gives(1)], **arguments)


def several():
    return vote(gives(1), gives(2))


def alone():
    return vote(gives(1))


def a_coroutine():
    return vote(gives.function(1))


def a_step():
    return vote(gives)


@pytest.mark.parametrize("wrong", [several, alone, a_coroutine, a_step])
async def test_calls_that_are_no_list_are_refused_with_the_line_to_write(wrong):
    with pytest.raises(TypeError, match=r"as one list, such as vote\(\[ask\(question\) for _ in"):
        wrong()


async def test_no_calls_are_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"at least one call, such as vote\(\[ask.*got none"):
        vote([])


async def test_the_same_call_twice_is_refused():
    call = gives(1)
    with pytest.raises(ValueError, match="vote got the same call of gives as branches 1 and 2"):
        vote([call, call])
