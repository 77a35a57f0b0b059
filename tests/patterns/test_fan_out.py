"""`fan_out`: times, names, quorums, what it takes for a branch, and what it refuses."""

import asyncio
import contextvars
import functools

import pytest

from fanwise import NotEnough, Runtime, fan_map, fan_out, step
from fanwise.errors import CallSkipped, TimedOut
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, fails, gives, hangs, lingers, nothing_held, now

# Times (requirements A1)


async def test_three_of_five_steps_of_2_s_at_once_take_6_s_in_place_of_10():
    await gives("plan", 2.0)
    await fan_out(gives("a", 2.0), gives("b", 2.0), gives("c", 2.0))
    await gives("answer", 2.0)
    assert now() == 6.0


async def test_six_calls_of_3_3_and_2_s_take_8_s_in_place_of_13():
    await fan_out(*(gives(None, seconds) for seconds in (2.0, 3.0, 2.0, 1.0)))
    await gives(None, 3.0)
    await gives(None, 2.0)
    assert now() == 8.0


async def test_five_stages_of_half_a_second_take_half_a_second_side_by_side():
    await fan_out(*(gives(n, 0.5) for n in range(5)))
    assert now() == 0.5


async def test_six_calls_that_each_need_the_last_take_9_s_whatever_one_does():
    value = 0
    for _ in range(6):
        value = (await fan_out(gives(value + 1, 1.5))).values()[0]
    assert (value, now()) == (6, 9.0)


async def test_at_once_lets_so_many_run_and_starts_the_next_at_each_end():
    found = await fan_out(*(gives(s, s) for s in (3.0, 1.0, 1.0, 1.0)), at_once=2)
    assert now() == 3.0
    assert [(o.started, o.ended) for o in found] == [(0, 3), (0, 1), (1, 2), (2, 3)]


# Values and names


async def test_values_stand_in_the_order_given():
    found = await fan_out(gives("slow", 3.0), gives("fast", 1.0), gives("middle", 2.0))
    assert found.values() == ["slow", "fast", "middle"]
    assert found.complete
    assert found.missing == []
    assert len(found) == 3


async def test_a_branch_is_named_by_keyword_else_given_name_else_step_numbered_from_the_second():
    named = gives(3).named("mine")
    found = await fan_out(gives(1), gives(2), named, gives(4).named("mine"), other=gives(5))
    assert list(found.ok) == ["gives", "gives 2", "mine", "mine 2", "other"]
    assert found["gives 2"].value == 2
    assert found["other"].value == 5
    assert found[named].value == 3
    assert [outcome.index for outcome in found] == [0, 1, 2, 3, 4]


async def test_a_number_never_hides_a_name_that_was_given():
    found = await fan_out(gives(1).named("web"), gives(2).named("web"), gives(3).named("web 2"))
    assert len(found.ok) == 3


async def test_a_name_or_a_call_that_is_no_branch_is_a_key_error():
    found = await fan_out(gives(1))
    with pytest.raises(KeyError, match="gives 2"):
        found["gives 2"]
    other = gives(1)
    with pytest.raises(KeyError):
        found[other]
    await other


async def test_the_value_of_a_gap_raises_its_error():
    found = await fan_out(fails(OSError("gone")), need=0)
    assert found.ok == {}
    assert not found.complete
    with pytest.raises(OSError, match="gone"):
        assert found["fails"].value


async def test_the_text_gives_each_gap_a_line_with_its_cause():
    found = await fan_out(
        gives(1),
        fails(ValueError("two\nlines")),
        fails(ValueError()),
        lost=hangs(),
        need=1,
        within=1,
    )
    assert str(found).splitlines() == [
        "1 of 4 branches are there",
        "  fails: failed: ValueError: two",
        "  fails 2: failed: ValueError",
        "  lost: timed_out: TimedOut: hangs still ran when the 1 s of its fan-in were over",
    ]


async def test_an_outcome_says_when_it_ran_and_how_often():
    found = await fan_out(gives(1, 2.0), hangs(), need=1, within=3.0)
    ok, gap = found
    assert (ok.started, ok.ended, ok.attempts) == (0.0, 2.0, 1)
    assert (gap.started, gap.attempts) == (0.0, 1)
    assert repr(ok) == "<gives: ok 1>"
    assert repr(gap).startswith("<hangs: timed_out: TimedOut: ")


async def test_none_is_a_value_like_any_other():
    found = await fan_out(gives(None), gives(None))
    assert found.values() == [None, None]
    assert found.complete


async def test_no_branches_are_complete_when_all_are_needed():
    found = await fan_out()
    assert found.complete
    assert found.values() == []
    assert str(found) == "0 of 0 branches are there"


async def test_calls_that_have_ended_count_at_once():
    done = gives(1, 2.0)
    await done
    found = await fan_out(done, hangs(), need=1, enough=1)
    assert found[done].value == 1
    assert now() == 2.0


async def test_patterns_nest_and_are_named_by_the_step_around_them():
    @step
    async def search():
        both = await fan_out(fan_out(gives(1)), fan_out(gives(2)), fan_out(gives(3)).named("web"))
        return list(both.ok)

    assert await search() == ["search/fan_out", "search/fan_out 2", "web"]


# Quorums


@pytest.mark.parametrize(
    ("need", "branches", "least"),
    [("80%", 5, 4), ("80%", 4, 4), ("50%", 3, 2), ("1%", 3, 1), ("0%", 3, 0), ("100%", 3, 3),
     ("33.4%", 3, 2), ("10%", 10, 1), ("70%", 10, 7), (2, 3, 2), (0, 3, 0), ("all", 3, 3)],
)  # fmt: skip
async def test_shares_are_rounded_up(need, branches, least):
    calls = [gives(n) for n in range(least)]
    broken = [fails(OSError()) for _ in range(branches - least)]
    assert len((await fan_out(*calls, *broken, need=need)).values()) == least
    if least:
        calls = [gives(n) for n in range(least - 1)]
        broken = [fails(OSError()) for _ in range(branches - least + 1)]
        with pytest.raises(NotEnough):
            await fan_out(*calls, *broken, need=need)


async def test_enough_ends_the_wait_and_cancels_the_rest():
    found = await fan_out(gives(1, 1.0), gives(2, 2.0), hangs(), enough=2, need=1)
    assert now() == 2.0
    assert [outcome.status for outcome in found] == ["ok", "ok", "cancelled"]
    assert "enough others were there" in str(found["hangs"].error)


async def test_enough_below_need_is_refused():
    with pytest.raises(ValueError, match="enough=1 is below need=2"):
        fan_out(gives(1), hangs(), hangs(), need=2, enough=1)


async def test_enough_alone_says_what_is_needed_too():
    found = await fan_out(gives(1), hangs(), hangs(), enough=1)
    assert found.values() == [1]


async def test_need_out_of_reach_ends_the_wait_at_once():
    with pytest.raises(NotEnough, match="1 of 4 branches succeeded, needed were 3") as caught:
        await fan_out(
            gives(1, 1.0), fails(OSError("a"), 2.0), fails(OSError("b"), 3.0), hangs(), need=3
        )
    assert now() == 3.0
    assert str(caught.value.__cause__) == "a"
    assert "fails 2: failed: OSError: b" in str(caught.value)


async def test_what_never_started_is_skipped_whatever_the_reason():
    found = await fan_out(gives(1, 1.0), gives(2), gives(3), at_once=1, within=0.5, need=0)
    assert [outcome.status for outcome in found] == ["timed_out", "skipped", "skipped"]
    assert isinstance(found["gives 2"].error, CallSkipped)
    assert found["gives 2"].attempts == 0
    assert found["gives 2"].started is None


async def test_a_within_of_0_starts_nothing():
    async with Runtime() as runtime:
        found = await fan_out(gives(1), gives(2), need=0, within=0)
        assert [outcome.status for outcome in found] == ["skipped", "skipped"]
        assert "gives" not in all_rows(runtime)


async def test_what_ends_on_the_instant_of_within_counts():
    found = await fan_out(gives("on time", 1.0), hangs(), within=1.0, need=0)
    assert found.outcomes[0].status in ("ok", "timed_out")
    assert found.outcomes[1].status == "timed_out"


async def test_within_travels_down_to_the_branches():
    seen = []

    @step
    async def inner():
        from fanwise import current

        seen.append(current().deadline_left)

    @step
    async def outer():
        await asyncio.sleep(0.5)
        await inner()

    await fan_out(outer(), within=2.0)
    assert seen == [1.5]


# What a branch may be


async def test_plain_awaitables_are_branches():
    async def plain():
        await asyncio.sleep(1)
        return "coroutine"

    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2, future.set_result, "future")
    task = asyncio.create_task(asyncio.sleep(3, "task"))
    found = await fan_out(plain(), future, task, gives("call"))
    assert found.values() == ["coroutine", "future", "task", "call"]
    assert next(iter(found.ok)) == "plain"


async def test_a_plain_coroutine_that_is_let_go_is_cancelled_and_awaited():
    ended = []

    async def plain():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            ended.append(now())

    async with no_orphans():
        found = await fan_out(plain(), need=0, within=1.0)
    assert ended == [2.0]
    assert found["plain"].status == "timed_out"


async def test_a_plain_coroutine_that_never_starts_is_closed_without_a_warning():
    async def plain():
        pass

    found = await fan_out(gives(1, 1.0), plain(), at_once=1, enough=1, need=1)
    assert found["plain"].status == "skipped"


async def test_the_same_awaitable_twice_is_refused():
    async def plain():
        pass

    it = plain()
    with pytest.raises(ValueError, match="same"):
        await fan_out(it, it)


async def test_a_branch_has_a_copy_of_the_context():
    name = contextvars.ContextVar("name", default="nobody")
    name.set("caller")

    @step
    async def sets():
        seen = name.get()
        name.set("branch")
        return seen

    assert (await fan_out(sets(), sets())).values() == ["caller", "caller"]
    assert name.get() == "caller"


# Wrong arguments: the message names argument, value and cure


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"need": 3}, ValueError, r'need=3 is above the number of branches, 2: at most need="all"'),
        ({"enough": 3}, ValueError, "enough=3 is above the number of branches, 2"),
        ({"need": -1}, ValueError, "need is at least 0, got -1"),
        ({"need": 1.5}, TypeError, r'need is a count or a share such as "80%", got 1.5'),
        ({"need": True}, TypeError, "need is a count or a share .* got True"),
        ({"need": "most"}, ValueError, r'need is a count, "all" or a share .* got \'most\''),
        ({"need": "120%"}, ValueError, r"need is a share from .* got '120%'"),
        ({"enough": "x%"}, ValueError, r"enough is a count, .* got 'x%'"),
        ({"enough": "1/0%"}, ValueError, "enough is a count"),
        ({"within": -1}, ValueError, "within is at least 0, got -1"),
        ({"within": "2"}, TypeError, "within is a number, got '2'"),
        ({"within": float("nan")}, ValueError, "within is at least 0, got nan"),
        ({"at_once": 0}, ValueError, "at_once is at least 1, got 0"),
        ({"at_once": 1.5}, TypeError, "at_once is a whole number.* got 1.5"),
        ({"need": None}, TypeError, "need is a count"),
    ],
    ids=str,
)
async def test_a_wrong_argument_is_refused_when_the_call_is_made(arguments, kind, text):
    with pytest.raises(kind, match=text):
        fan_out(gives(1), gives(2), **arguments)


@pytest.mark.parametrize(
    ("branch", "text"),
    [
        ([], r"fan_out takes calls or awaitables, got \[\]: unpack it, such as fan_out\(\*calls\)"),
        (gives, r"got <step gives>: call it first, such as fan_out\(web\(query\)"),
        (3, "fan_out takes calls or awaitables, got 3"),
        (None, "fan_out takes calls or awaitables, got None"),
    ],
    ids=["list", "step", "number", "none"],
)
async def test_what_cannot_be_a_branch_is_refused_with_the_cure(branch, text):
    with pytest.raises(TypeError, match=text):
        fan_out(branch)


async def test_one_wrong_branch_excuses_the_others():
    with pytest.raises(TypeError, match="got 3"):
        fan_out(gives(1), 3)


async def test_a_list_of_calls_is_refused_and_its_calls_do_not_warn():
    with pytest.raises(TypeError, match=r"unpack it, such as fan_out\(\*calls\)"):
        fan_out([gives(1), gives(2)])


async def test_the_same_call_twice_is_refused_with_its_places():
    call = gives(1)
    with pytest.raises(
        ValueError, match="same call of gives as branches 1 and 3: a call runs once"
    ):
        fan_out(call, gives(2), call)


async def test_the_same_call_by_place_and_by_keyword_is_refused():
    call = gives(1)
    with pytest.raises(ValueError, match="branches 1 and 2"):
        fan_out(call, other=call)


# Nothing is left


async def test_a_fan_out_that_is_cancelled_lets_go_of_everything():
    async with no_orphans(), Runtime() as runtime:
        run = runtime.start(
            fan_out(hangs(), lingers(1, 100.0, 0.5), fan_map(gives, [1], at_once=1))
        )
        await asyncio.sleep(1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.wait()
        assert now() == 1.5
        nothing_held(runtime)


async def test_a_branch_that_fails_while_the_others_are_awaited_is_still_an_outcome():
    @step
    async def fails_when_cancelled():
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("in its clean-up")

    found = await fan_out(fails_when_cancelled(), need=0, within=1.0)
    assert found.outcomes[0].status == "timed_out"
    assert isinstance(found.outcomes[0].error, TimedOut)


async def test_a_partial_of_a_coroutine_function_is_no_branch_but_its_call_is():
    async def plain(value):
        return value

    later = functools.partial(plain, 1)
    with pytest.raises(TypeError, match="call it first"):
        fan_out(later)
    assert (await fan_out(later())).values() == [1]
