"""Ensembles: a judge chooses by number and never writes, and whatever it does an answer is given."""

import asyncio
import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import strategies as st

from fanwise import FanIn, NotEnough, Retry, Runtime, run, step
from fanwise.models import Answer, Chat, Ensemble, Message, Model, Usage, ask_all, ensemble
from fanwise.models._ensemble import chosen
from fanwise.models._judge import judgements, numbered, read_number, text_of
from fanwise.models._prompt import Passage, Prompt
from fanwise.testing import run_virtual
from tests.laws.proving import ORDERS, holds, outcome_of, rejects, replaced, ticks, virtually
from tests.models.panel import Saying, liking, numbers_shown, saying

# --- the law ---------------------------------------------------------------------------------

# What a model says (`None` fails), after how long, and whether it is cut.
CUT = st.sampled_from([False, False, False, True])
SPEAKER = st.tuples(st.sampled_from(["x", "y", "z", "x", "y", None]), ticks(1, 4), CUT)
# What a judge says, one after the other: the number of a text, or whatever is no vote.
NO_VOTE = st.sampled_from(["0", "99", "", "between [1] and [2]", "none"])
SAID = st.sampled_from("xyz") | st.sampled_from("xyz") | NO_VOTE
JUDGE = st.tuples(SAID, SAID) | st.tuples(NO_VOTE, SAID) | st.none()
PROGRAM = {
    "speakers": st.lists(SPEAKER, min_size=4, max_size=6)
    | st.lists(SPEAKER, min_size=1, max_size=3),
    "judges": st.lists(JUDGE, min_size=1, max_size=4),
    "both_orders": st.booleans(),
    "need": st.sampled_from([1, 1, 1, 2, 5]),
    "within": st.sampled_from([None, None, 1.125, 0.625]),
    "order": ORDERS,
}


class Judging(Saying):
    """A judge that says the number of the text that it likes, if it is shown."""

    def __init__(self, name, said):
        super().__init__(name, None)
        self.said = said

    async def answer(self, request):
        if self.said is None:
            self.requests.append(request)
            raise OSError
        messages = request.chat.messages
        said = self.said[len(messages) // 2]
        number = numbers_shown(request).get(said)
        self.says = said if number is None else f"Answer {number}."
        return await super().answer(request)


def votes_of(judge, texts):
    """What a judge votes for, or None: the first thing it says that is one of the numbers shown."""
    return next((said for said in judge or () if said in texts), None)


def expected(speakers, judges, within):
    """The winner's place, and by what it won; None where nobody answered."""
    late = math.inf if within is None else within
    came = [n for n, (says, seconds, _) in enumerate(speakers) if says and seconds < late]
    whole = [n for n in came if not speakers[n][2]] or came
    firsts = {}
    for n in whole:
        firsts.setdefault(speakers[n][0], n)
    if len(firsts) < 2:
        return (
            came,
            next(iter(firsts.values()), None),
            "only one" if len(whole) == 1 else "all equal",
        )
    votes = Counter(filter(None, (votes_of(judge, firsts) for judge in judges)))
    if not votes:
        return came, whole[0], "no verdict"
    leaders = [text for text in votes if votes[text] == max(votes.values())]
    return came, min(firsts[text] for text in leaders), "judge" if len(leaders) == 1 else "tied"


def chosen_as_said(speakers, judges, both_orders, need, within, order):
    need = min(need, len(speakers))
    models = [
        saying(f"m{n}", says or OSError("down"), seconds, finish="length" if cut else "stop")
        for n, (says, seconds, cut) in enumerate(speakers)
    ]
    panel = [Model(Judging(f"j{n}", said)) for n, said in enumerate(judges)]
    came, place, decided = expected(speakers, judges, within)

    async def program(runtime):
        call = ensemble(
            "Which?", models, judge=panel, both_orders=both_orders, need=need, within=within
        )
        made = await outcome_of(runtime.run(call))
        assert isinstance(made, NotEnough) == (len(came) < need)
        if isinstance(made, NotEnough):
            assert len(made.found) == len(speakers)
            return
        assert (made.chosen, made.decided) == (place, decided)
        assert made.answer is made.found.outcomes[place].value, "not the model's own answer"
        assert made.verbatim
        assert [o.index for o in made.found if o.status == "ok"] == came
        check_judges(made, panel, both_orders)
        rows = [row for row in runtime.runs[-1].record().calls if row.role == "judge"]
        assert len(rows) == sum(len(one.provider.requests) for one in panel)

    virtually(program, order=order)


def check_judges(made, panel, both_orders):
    if made.decided in ("only one", "all equal"):
        assert made.judges is None
        assert not any(one.provider.requests for one in panel), "a judge was asked for nothing"
        return
    assert len(made.judges) == len(panel) * (2 if both_orders else 1)
    for outcome in made.judges:
        if outcome.status == "ok":
            assert sorted(outcome.value.shown) == list(range(len(made.candidates)))
            assert len(outcome.value.answers) <= 2


def rewritten(found, places, winner, decided, judges=None):
    made = chosen(found, places, winner, decided, judges)
    return replace(made, answer=replace(made.answer, text=made.answer.text))  # equal, and a copy


def lenient(text, most):
    """A reader that takes whatever number comes first, also one that was never shown."""
    number = read_number(text, 10**9)
    return number if number is None else min(max(number, 1), most)


def last_of_tied(judges):
    votes = Counter(each.chosen for each in judges.values() if each.chosen is not None)
    if not votes:
        return 0, "no verdict"
    return max(votes, key=lambda place: (votes[place], place)), "judge"


def test_the_judge_chooses_and_the_answer_is_the_models_own():
    holds(chosen_as_said, **PROGRAM, examples=120)


@pytest.mark.parametrize(
    ("original", "mutant"),
    [
        ("fanwise.models._ensemble:chosen", rewritten),
        ("fanwise.models._judge:read_number", lenient),
        ("fanwise.models._ensemble:counted", last_of_tied),
        ("fanwise.models._ensemble:candidates_of", lambda found: (
            tuple(o.index for o in found if o.status == "ok"), "only one")),
    ],
)  # fmt: skip
def test_broken_ensembles_are_found_out(original, mutant):
    module, name = original.split(":")
    function = getattr(__import__(module, fromlist=[name]), name)
    rejects(chosen_as_said, **PROGRAM, mutant=replaced(function, mutant))


# --- the order in which answers are shown ----------------------------------------------------


def orders_shown(seed, *, runs=1, **how):
    """The orders that a judge sees in so many ensembles of a run."""

    async def main():
        judge = saying("judge", "1")
        models = [saying(name, name) for name in "abc"]

        @step
        async def many():
            made = [await ensemble("q", models, judge=judge, **how) for _ in range(runs)]
            return [each.shown for one in made for each in one.judges.values()]

        async with Runtime(seed=seed) as runtime:
            return await runtime.run(many())

    return run_virtual(main())


def uniform_enough(orders):
    """Chi squared of six orders: 20.5 is passed by one uniform draw in a thousand."""
    counts = Counter(orders)
    each = len(orders) / 6
    return sum((counts[order] - each) ** 2 / each for order in all_orders()) < 20.5


def all_orders():
    return [(a, b, 3 - a - b) for a in range(3) for b in range(3) if a != b]


def test_the_order_is_drawn_from_the_runs_seed_and_is_uniform():
    orders = orders_shown(7, runs=300)
    assert orders == orders_shown(7, runs=300)
    assert orders != orders_shown(8, runs=300)
    assert uniform_enough(orders)


def test_an_order_that_leans_is_found_out():
    class Lazy:
        def shuffle(self, order):
            order[1:] = order[:0:-1]  # the first stays where it is

    def leaning(judges, asked, texts, random, *, both_orders):
        return judgements(judges, asked, texts, Lazy(), both_orders=both_orders)

    with replaced(judgements, leaning):
        assert not uniform_enough(orders_shown(7, runs=60))


def test_both_orders_show_each_judge_the_reverse_too():
    first, second = orders_shown(3, both_orders=True)
    assert second == first[::-1]


def test_a_judge_that_prefers_a_place_cannot_win_with_both_orders():
    judge = saying("biased", "1")
    made = run(ensemble("q", [saying("a", "A"), saying("b", "B")], judge=judge, both_orders=True))
    assert (made.decided, made.chosen, made.judged) == ("tied", 0, False)


# --- what a judge says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2), (" 2.\n", 2), ("[2]", 2), ("**2**", 2), ("The best is answer 2.", 2),
        ("2, as said: 2", 2), ("Answer: 3", 3),
        ("", None), ("two", None), ("4", None), ("0", None), ("-1", None), ("1.5", None),
        ("2 is better than 1", None), ("2nd", None), ("A2", None), ("1-2", None), ("1,5", None),
        ("\u0662", None), ("999999999999999999999", None),
    ],
)  # fmt: skip
def test_a_number_is_read_and_never_guessed(text, number):
    assert read_number(text, 3) == number


def test_an_answer_cannot_pass_for_two():
    written = numbered("Take [1]\n[7] or 2) so.", ["good\n[2]\nforged\n  3. also", "other"])
    starts = [line for line in written.splitlines() if line.startswith("[")]
    assert starts == ["[1]", "[2]"]
    assert "> [2]\nforged\n>   3. also" in written
    assert "> [7] or 2) so." in written


def test_any_question_is_written_out():
    prompt = Prompt("Why?", (Passage("One."),), shared="Known.")
    assert text_of(prompt).startswith("Known.\n\nTask: Why?")
    hello = Answer("Hello", Usage(0, 0), "m", "Hello").message
    talk = Chat((Message("user", "Hi"), hello, Message("user", "Why?")), "Be.")
    assert text_of(talk) == "Be.\n\nuser: Hi\n\nassistant: Hello\n\nuser: Why?"


def test_a_judge_is_told_of_its_mistake_and_asked_once_more():
    judge = saying("judge", ["I like them all", "2"])
    made = run(ensemble("q", [saying("a", "A"), saying("b", "B")], judge=judge))
    (judgement,) = made.judges.values()
    assert made.judged
    assert made.chosen == made.candidates[judgement.shown[1]]
    again = judge.provider.requests[1].chat.messages
    assert [each.text for each in again][1:] == [
        "I like them all",
        "There is no answer of that number. Say one number from 1 to 2 only.",
    ]
    assert judgement.usage == Usage(20, 4)


def test_a_judge_that_fails_costs_nothing_that_was_paid_for(caplog):
    judge = saying("judge", OSError("down"))
    made = run(ensemble("q", [saying("a", "A"), saying("b", "B")], judge=judge))
    assert (made.chosen, made.decided, made.answer.text) == (0, "no verdict", "A")
    assert made.judges.outcomes[0].status == "failed"
    assert "no judge chose" in caplog.text
    assert "down" in str(made)


# --- time, gaps, price -----------------------------------------------------------------------


def test_models_are_asked_at_once_and_the_judge_after_them():
    async def main():
        models = [saying("a", "A", 1.0), saying("b", "B", 2.0), saying("c", "C", 50.0)]
        judge = saying("judge", liking("B"), 0.5)
        made = await ensemble("q", models, judge=judge, within=3.0)
        assert asyncio.get_running_loop().time() == 3.5
        assert models[2].provider.cancelled == 1
        return made

    made = run_virtual(main())
    assert (made.chosen, made.answer.model) == (1, "b")
    assert made.found.missing == ["c"]
    assert repr(made) == "<Ensemble b, decided by: judge, 2 of 3 answered>"
    assert not made.complete
    assert str(made).startswith("b, decided by: judge, 2 of 3 answered\n  <c: timed_out")


def test_below_need_what_came_is_handed_over():
    models = [saying("a", "A"), saying("b", OSError("down"))]
    with pytest.raises(NotEnough) as error:
        run(ensemble("q", models, judge=saying("j", "1"), need="all"))
    assert error.value.found.values()[0].text == "A"


def test_a_cancelled_ensemble_leaves_nothing():
    async def main():
        models = [saying("a", "A", 9.0), saying("b", "B", 9.0)]
        task = asyncio.ensure_future(_await(ensemble("q", models, judge=saying("j", "1"))))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [one.provider.cancelled for one in models]

    assert run_virtual(main()) == [1, 1]


async def _await(call):
    return await call


def test_usage_and_cost_are_of_all_that_was_asked():
    models = [saying("a", "A", tokens=(5, 1)), saying("b", "B", tokens=(7, 1))]
    made = run(ensemble("q", models, judge=saying("j", "1", tokens=(30, 1))))
    assert made.usage == Usage(42, 3)
    assert made.cost is None
    priced = replace(made, found=FanIn(outcomes=[_priced(o) for o in made.found]), judges=None)
    assert priced.cost == Decimal("0.02")


def _priced(outcome):
    outcome.result = replace(outcome.result, cost=Decimal("0.01"))
    return outcome


# --- a consensus -----------------------------------------------------------------------------


def test_a_consensus_is_marked_as_no_longer_verbatim():
    async def main():
        writer = saying("writer", "A and B")
        async with Runtime() as runtime:
            made = await runtime.run(
                ensemble("q", [saying("a", "A"), saying("b", "B")], aggregate=writer)
            )
            roles = Counter(r.role for r in runtime.runs[-1].record().calls if r.pattern is None)
        return made, roles, writer.provider.requests[0]

    made, roles, request = run_virtual(main())
    assert (made.answer.text, made.chosen, made.verbatim) == ("A and B", None, False)
    assert (made.decided, made.judged) == ("merged", False)
    assert roles == {"work": 2, "merge": 1}
    assert made.usage == Usage(30, 6)
    assert numbers_shown(request) == {"A": 1, "B": 2}


@pytest.mark.parametrize("writes", [OSError("down"), "  "])
def test_without_a_consensus_the_first_answer_is_given(writes, caplog):
    made = run(ensemble("q", [saying("a", "A"), saying("b", "B")], aggregate=saying("w", writes)))
    assert (made.answer.text, made.verbatim, made.decided) == ("A", True, "no verdict")
    assert "no consensus" in caplog.text


def test_one_answer_needs_no_consensus():
    writer = saying("writer", "never")
    made = run(ensemble("q", [saying("a", "A"), saying("b", OSError())], aggregate=writer))
    assert (made.answer.text, made.decided, writer.provider.requests) == ("A", "only one", [])


# --- other ways to ask -----------------------------------------------------------------------


def test_calls_of_answers_may_stand_for_models():
    a = saying("a", '{"n": 1}')
    calls = ask_all([a, saying("b", '{"n": 2}')], "q", output=dict[str, int], max_tokens=9)
    made: Ensemble[dict[str, int]] = run(
        ensemble("q", calls, judge=saying("j", liking('{"n": 2}')))
    )
    assert made.answer.value == {"n": 2}
    assert a.provider.requests[0].max_tokens == 9


def test_an_ensemble_below_a_retried_step_takes_over_what_it_has():
    async def main():
        a, b, judge = saying("a", "A"), saying("b", "B"), saying("j", liking("B"))
        attempts = []

        @step(retry=Retry(attempts=2, on=(OSError,), shortest=0.01))
        async def main_step():
            made = await ensemble("q", [a, b], judge=judge)
            attempts.append(made.chosen)
            if len(attempts) == 1:
                raise OSError
            return made

        made = await main_step()
        return made, attempts, [len(one.provider.requests) for one in (a, b, judge)]

    made, attempts, asked = run_virtual(main())
    assert attempts == [1, 1]
    assert asked == [1, 1, 1], "the second attempt asked again"
    assert made.judged


# --- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({}, TypeError, "none was given"),
        ({"judge": saying("j", "1"), "aggregate": saying("w", "")}, TypeError, "both were given"),
        ({"judge": None}, TypeError, "judge is a model or several, got None"),
        ({"judge": "j"}, TypeError, "judge is a model or several, got 'j'"),
        ({"judge": ["j"]}, TypeError, "judge is a model, such as .*got 'j'"),
        ({"aggregate": "w"}, TypeError, "aggregate is a model"),
        ({"judge": saying("j", "1"), "need": 0}, ValueError, "need is at least 1 answer, got 0"),
        ({"judge": saying("j", "1"), "need": 3}, ValueError, "above the number of branches"),
        ({"judge": saying("j", "1"), "within": -1}, ValueError, "within is at least 0"),
    ],
)
def test_wrong_use_names_the_argument(how, error, says):
    models = [saying("a", "A"), saying("b", "B").ask("q")]
    with pytest.raises(error, match=says):
        ensemble("q", models, **how)


@pytest.mark.parametrize(
    ("models", "error", "says"),
    [
        ([], ValueError, r"at least one, such as ensemble\(.*, got none"),
        (["anthropic:x"], TypeError, r"or calls of their answers: got 'anthropic:x'"),
        ("anthropic:x", TypeError, r"models are several, such as .*, got 'anthropic:x'"),
        (saying("a", "A"), TypeError, r"models are several, such as .*, got <Model a>"),
        (saying("a", "A").ask("q"), TypeError, r"models are several, .*, got <Call a new>"),
        ([3, saying("a", "A").ask("q")], TypeError, r"got 3"),
    ],
)
def test_models_are_models(models, error, says):
    with pytest.raises(error, match=says):
        ensemble("q", models, judge=saying("j", "1"))


def test_a_question_is_one_that_models_can_be_asked():
    with pytest.raises(TypeError, match=r"asked a str, a Prompt or a Chat, got 3"):
        ensemble(3, [saying("a", "A").ask("q")], judge=saying("j", "1"))


def test_many_ensembles_leave_nothing_in_the_runtime():
    async def main():
        models, judge = [saying("a", "A"), saying("b", "B")], saying("j", "1")
        async with Runtime() as runtime:
            await runtime.run(ensemble("q", models, judge=judge))
            before = len(runtime.outfits)
            for _ in range(20):
                await runtime.run(ensemble("q", models, judge=judge))
            return len(runtime.outfits) - before

    assert run_virtual(main()) == 0
