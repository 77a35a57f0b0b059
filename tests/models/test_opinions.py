"""Votes over models and ways to ask: who is asked, and what an answer is counted as."""

from typing import Literal

import pytest

from fanwise import run, vote
from fanwise.models import Answer, Usage, ask_all, ballot
from tests.models.panel import saying


def test_a_vote_over_models_and_prompts():
    models = [saying("a", "Yes."), saying("b", " yes"), saying("c", "**YES**"), saying("d", "no")]
    found = run(vote(ask_all(models, ["q", "say yes or no: q"]), key=ballot, stop_at=None))
    assert found.counts == {"yes": 6, "no": 2}
    assert found.answer.text == "Yes."
    asked = [[r.chat.messages[0].text for r in one.provider.requests] for one in models]
    assert asked == [["q", "say yes or no: q"]] * 4


def test_models_take_turns():
    a, b = saying("a", "1"), saying("b", "2")
    calls = ask_all([a, b], ["x", "y"])
    assert [call.name for call in calls] == ["a", "b", "a", "b"]
    run(vote(calls, stop_at=None, key=ballot))
    assert [call.name for call in one_way(a)] == ["a"]


def one_way(model):
    calls = ask_all(model, "x")
    run(vote(calls, key=ballot))
    return calls


def test_the_votes_may_be_of_a_few_words():
    models = [saying("a", '"yes"'), saying("b", '"no"'), saying("c", '"yes"')]
    asked = ask_all(models, "q", output=Literal["yes", "no"])
    assert run(vote(asked, key=ballot, stop_at=None)).counts == {"yes": 2, "no": 1}


def answer(text, value=None, finish="stop"):
    return Answer(text, Usage(1, 1), "m", text if value is None else value, finish=finish)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("Yes.", "yes"), ("  YES!\n", "yes"), ("`42`", "42"), ("\uff14\uff12", "42"),
        ("Stra\u00dfe", "strasse"), ("New\n  York", "new york"), ("-1.5", "-1.5"),
        ("It's so", "it's so"),
    ],
)  # fmt: skip
def test_what_is_counted(said, counted):
    assert ballot(answer(said)) == counted


def test_values_of_other_types_are_counted_as_they_are():
    assert ballot(answer("true", value=True)) is True


def test_no_vote_where_there_is_no_answer():
    with pytest.raises(ValueError, match="not finished \\(length\\)"):
        ballot(answer("ye", finish="length"))
    with pytest.raises(ValueError, match="is empty"):
        ballot(answer(" . "))


def test_a_lost_vote_is_said():
    models = [saying("a", "yes"), saying("b", "ye", finish="length"), saying("c", "")]
    found = run(vote(ask_all(models, "q"), key=ballot, stop_at=None))
    assert found.counts == {"yes": 1}
    assert found.found.missing == ["b", "c"]


@pytest.mark.parametrize(
    ("models", "asked", "error", "says"),
    [
        ("a", "q", TypeError, r"models are several, such as ask_all\(.* got 'a'"),
        (["a"], "q", TypeError, r"models are models, such as .* got 'a'"),
        ([], "q", ValueError, r"at least one, such as ask_all\(.*\), got none"),
        (saying("a", ""), [], ValueError, r"needs a question, such as ask_all\(.*\), got none"),
        (saying("a", ""), [3], TypeError, r"asked a str, a Prompt or a Chat, got 3"),
    ],
)
def test_wrong_use_names_the_argument(models, asked, error, says):
    with pytest.raises(error, match=says):
        ask_all(models, asked)
