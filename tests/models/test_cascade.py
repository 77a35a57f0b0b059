"""Cascades: the cheapest model that will do answers, and what became of each is said."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import strategies as st

from fanwise import NotEnough, Retry, Runtime, run, step
from fanwise.errors import WriteRefused
from fanwise.models import Cascade, Usage, cascade
from fanwise.models._cascade import level_of
from fanwise.patterns._first import Race
from fanwise.testing import run_virtual
from tests.laws.proving import ORDERS, changed, holds, now, outcome_of, rejects, ticks, virtually
from tests.models.panel import saying


def good(answer):
    return answer.value == "good"


# --- the law ---------------------------------------------------------------------------------

# What a level says (`None` fails), how long it takes, whether it is cut.
LEVEL = st.tuples(
    st.sampled_from(["good", "bad", "bad", None]),
    ticks(1, 4),
    st.sampled_from([False, False, True]),
)
PROGRAM = {
    "levels": st.lists(LEVEL, min_size=1, max_size=5),
    "unsure": st.sampled_from(["raise", "last"]),
    "order": ORDERS,
}


def in_a_row(levels, unsure, order):
    """By the definition: one after the other until one will do."""
    ends, winner = 0.0, None
    for place, (says, seconds, cut) in enumerate(levels):
        ends += seconds
        if says == "good" and not cut:
            winner = place
            break
    answered = [n for n, (says, *_) in enumerate(levels) if says is not None]

    async def program(runtime):
        models = [
            saying(f"m{n}", says or OSError("down"), seconds, finish="length" if cut else "stop")
            for n, (says, seconds, cut) in enumerate(levels)
        ]
        made = await outcome_of(runtime.run(cascade("q", models, accept=good, unsure=unsure)))
        assert now() == ends
        asked = [len(one.provider.requests) for one in models]
        last = len(levels) - 1 if winner is None else winner
        assert asked == [int(n <= last) for n in range(len(levels))]
        if winner is None and (unsure == "raise" or not answered):
            assert isinstance(made, NotEnough)
            assert str(made).count("\n") == len(levels)
            return
        place = answered[-1] if winner is None else winner
        assert (made.level, made.accepted, made.escalated) == (place, winner is not None, place > 0)
        assert made.answer is made.levels[place].answer
        assert [level.status for level in made.levels] == statuses(levels, winner)
        assert made.usage == sum_of([n for n in answered if n <= last])

    virtually(program, order=order)


def statuses(levels, winner):
    found = ["failed" if says is None else "not accepted" for says, *_ in levels]
    if winner is not None:
        found[winner:] = ["accepted", *(["not asked"] * (len(levels) - winner - 1))]
    return found


def sum_of(places):
    return Usage(10 * len(places), 2 * len(places))


def eager(self, began, stagger):
    due = len(self.calls)
    while self.winner is None and self.next < due:
        self.ask_next()
    self._start_if_idle()


def test_the_first_that_will_do_answers():
    holds(in_a_row, **PROGRAM)


def test_a_cascade_that_asks_all_at_once_is_found_out():
    rejects(in_a_row, **PROGRAM, mutant=changed((Race, "_start_due", eager)))


def test_a_cascade_that_takes_an_answer_that_was_cut_is_found_out():
    from fanwise.models import Answer

    rejects(in_a_row, **PROGRAM, mutant=changed((Answer, "complete", True)))


# --- what checks -----------------------------------------------------------------------------


@step(role="verify")
async def checked(answer) -> bool:
    await asyncio.sleep(0.5)
    return answer.value == "good"


async def plainly_async(answer):
    return good(answer)


def verdict(request):
    says = "yes" if "[1]\ngood" in request.chat.messages[0].text else "unsure"
    return f'{{"verdict": "{says}"}}'


@pytest.mark.parametrize(
    ("accept", "why"),
    [
        (good, "good said no"),
        (checked, "checked said no"),
        (plainly_async, "plainly_async said no"),
        (saying("verifier", verdict), "verifier said unsure"),
    ],
)
def test_a_function_a_step_or_a_model_checks(accept, why):
    async def main():
        async with Runtime() as runtime:
            models = [saying("small", "bad"), saying("large", "good")]
            made = await runtime.run(cascade("q", models, accept=accept))
            roles = Counter(r.role for r in runtime.runs[-1].record().calls if r.pattern is None)
        return made, roles

    made, roles = run_virtual(main())
    assert (made.level, made.answer.text) == (1, "good")
    assert [str(level) for level in made.levels] == [
        f"small: not accepted: {why}",
        "large: accepted",
    ]
    assert roles == {"work": 2, "verify": 2}, "each level is asked and checked once"
    assert str(made).startswith("level 2 of 2 answered\n  small: not accepted")
    assert repr(made) == "<Cascade large, level 2 of 2, accepted>"


def test_a_model_that_checks_is_paid_for():
    verifier = saying("verifier", verdict, tokens=(100, 1))
    made = run(cascade("q", [saying("s", "bad"), saying("l", "good")], accept=verifier))
    assert made.usage == Usage(220, 6)
    assert made.levels[0].usage == Usage(110, 3)
    assert made.cost is None


@pytest.mark.parametrize(
    "accept",
    [
        lambda _: 1 / 0,
        saying("verifier", OSError("down")),
        saying("verifier", ["?", "?", "?", "?"]),
    ],
)
def test_a_check_that_fails_accepts_nothing_and_loses_nothing(accept, caplog):
    models = [saying("s", "good"), saying("l", "good")]
    with pytest.raises(NotEnough, match="no answer of 2 models was accepted"):
        run(cascade("q", models, accept=accept))
    models = [saying("s", "first"), saying("l", "last")]
    made = run(cascade("q", models, accept=accept, unsure="last"))
    assert (made.answer.text, made.accepted) == ("last", False)
    assert "not accepted by the check" in str(made)
    assert "the check of an answer failed" in caplog.text


def test_an_answer_of_a_check_that_is_no_bool_is_no_yes():
    with pytest.raises(NotEnough, match=r"accept gives True or False, score gave 0\.3"):
        run(cascade("q", [saying("s", "good")], accept=score))


def score(answer):
    return 0.3


def test_a_check_may_not_write():
    @step(effect="write")
    async def book(answer) -> bool:
        return True

    with pytest.raises(NotEnough) as error:
        run(cascade("q", [saying("s", "good")], accept=book))
    assert isinstance(error.value.__cause__, WriteRefused)


def test_levels_give_typed_values():
    models = [saying("s", '{"sure": false}'), saying("l", '{"sure": true}')]
    made: Cascade[dict[str, bool]] = run(
        cascade("q", models, output=dict[str, bool], accept=lambda a: a.value["sure"], max_tokens=5)
    )
    assert made.answer.value == {"sure": True}
    assert models[0].provider.requests[0].max_tokens == 5


# --- time ------------------------------------------------------------------------------------


def test_a_slow_cheap_model_costs_no_more_than_its_head_start():
    async def main():
        models = [saying("s", "good", 9.0), saying("l", "good", 1.0)]
        made = await cascade("q", models, accept=good, stagger=(0, 1.5))
        return made, now(), models[0].provider.cancelled

    made, seconds, cancelled = run_virtual(main())
    assert (seconds, cancelled) == (2.5, 1)
    assert [level.status for level in made.levels] == ["cancelled", "accepted"]


def test_the_first_still_wins_where_it_is_in_time():
    async def main():
        models = [saying("s", "good", 1.0), saying("l", "good", 1.0)]
        return await cascade("q", models, accept=good, stagger=(0, 1.5)), now(), models[1]

    made, seconds, large = run_virtual(main())
    assert (made.level, seconds, large.provider.requests) == (0, 1.0, [])


def test_a_cancelled_cascade_leaves_nothing():
    async def program(runtime):
        models = [saying("s", "bad", 1.0), saying("l", "good", 9.0)]
        run_of_it = runtime.start(cascade("q", models, accept=good))
        await asyncio.sleep(2.0)
        run_of_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run_of_it.wait()
        return [one.provider.cancelled for one in models], now()

    assert virtually(program) == ([0, 1], 2.0)


# --- statistics ------------------------------------------------------------------------------


def test_escalations_are_counted_and_too_many_are_said(caplog):
    async def main():
        small = saying("s", ["good", *["bad"] * 59])
        models = [small, saying("l", "good")]

        @step
        async def many():
            for _ in range(60):
                await cascade("q", models, accept=good)

        async with Runtime() as runtime:
            await runtime.run(many())
            return runtime.statistics().races

    (races,) = run_virtual(main())
    assert races.name == "many/cascade/first"
    assert (races.races, races.started, races.won) == (60, (60, 59), (1, 59))
    assert "the last and dearest of 2 ways won" in caplog.text


def test_the_record_says_which_level_answered():
    async def main():
        async with Runtime() as runtime:
            await runtime.run(cascade("q", [saying("s", "bad"), saying("l", "good")], accept=good))
            return runtime.runs[-1].record().calls

    (row,) = [row for row in run_virtual(main()) if row.pattern == "cascade"]
    assert row.facts == {"level": 1, "accepted": True}


def test_costs_add_up():
    from dataclasses import replace

    made = run(cascade("q", [saying("s", "bad"), saying("l", "good")], accept=good))
    levels = [replace(one, answer=replace(one.answer, cost=Decimal("0.5"))) for one in made.levels]
    assert replace(made, levels=tuple(levels)).cost == Decimal(1)


# --- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "how", "error", "says"),
    [
        ([], {"accept": good}, ValueError, "at least one, such as cascade"),
        (saying("a", ""), {"accept": good}, TypeError, "models are several, .*got <Model a>"),
        (["x"], {"accept": good}, TypeError, "models are models, .* got 'x'"),
        ([saying("a", "")], {"accept": True}, TypeError, "accept says whether .* got True"),
        ([saying("a", "")], {"accept": good, "unsure": "x"}, ValueError, "got 'x'"),
        ([saying("a", "")], {"accept": good, "stagger": (0, 1)}, ValueError, "one offset a call"),
        ([saying("a", "")], {"accept": good, "output": 3}, TypeError, "no type that JSON can"),
        ([saying("a", "")], {"accept": good, "max_tokens": 0}, ValueError, "max_tokens is at"),
    ],
)
def test_wrong_use_names_the_argument(models, how, error, says):
    with pytest.raises(error, match=says):
        cascade("q", models, **how)


def test_an_answer_is_one_of_a_few_words():
    small, large = saying("small", '"unsure"'), saying("large", '"yes"')
    words = Literal["yes", "no", "unsure"]
    found = run(cascade("q", [small, large], accept=is_known, output=words))
    assert (found.answer.value, found.level) == ("yes", 1)


def is_known(answer):
    return answer.value != "unsure"


def test_a_level_that_never_ran_says_so():
    call = saying("a", "").ask("q")
    assert str(level_of(call, saying("a", ""))) == "a: not asked"
    call.excused = True


def test_many_cascades_leave_nothing_in_the_runtime():
    async def main():
        async with Runtime() as runtime:
            sizes = []
            for accept in (good, lambda answer: answer.value == "good", saying("v", verdict)):
                for _ in range(10):
                    models = SMALL_AND_LARGE
                    await runtime.run(cascade("q", models, accept=accept))
                    sizes.append(len(runtime.outfits))
                assert sizes[-1] == sizes[-10]

    run_virtual(main())


SMALL_AND_LARGE = [saying("small", "bad"), saying("large", "good")]


def test_a_function_that_checks_below_a_retried_step_is_not_asked_again():
    async def main():
        asked, attempts = [], []

        def counting(answer):
            asked.append(answer.text)
            return good(answer)

        @step(retry=Retry(attempts=2, on=(OSError,), shortest=0.01))
        async def twice():
            made = await cascade("q", SMALL_AND_LARGE, accept=counting)
            attempts.append(made.level)
            if len(attempts) == 1:
                raise OSError
            return made

        await twice()
        return asked, attempts

    assert run_virtual(main()) == (["bad", "good"], [1, 1])
