"""The parts of `local:extractive` against slow references, and what it chooses."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.models import Passage, Prompt, model, read_quotes
from fanwise.providers._extractive._candidates import candidates
from fanwise.providers._extractive._lexrank import lexrank
from fanwise.providers._extractive._mmr import choose
from fanwise.providers._extractive._relevance import asks_for_summary, task_terms
from fanwise.providers._extractive._select import select
from fanwise.providers._extractive._vectors import cosines, inverse_frequencies, unit_vectors

TEXT = """\
Garden work
===========

Tomatoes need six hours of sun and a warm soil to grow well in a garden. Water the tomatoes in
the morning, so that their leaves are dry before the night. A tomato plant that is watered at
night falls ill more often than one that is watered in the morning. See https://example.org/a and
https://example.org/b for more of it. it is so. Cabbage grows in cold soil, and cabbage stands the
first frost of the autumn without harm. This is shown below::

    plant(cabbage, frost=True). And this is code that no reader wants to see here.

The compost heap turns leaves, peelings and straw into food for tomatoes and cabbage alike. Turn
the compost heap once a month, so that air reaches every part of the heap. (An unfinished bracket
makes a bad quote.

References
==========

Tomatoes in the garden and the sun and the soil were treated by Smith in a large book.
"""
COUNTS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3), max_size=5), max_size=8
)


def passage(text=TEXT, **more):
    return Passage(text, "garden.rst", markup="restructured", **more)


def chosen(task, most=3, text=TEXT):
    return [" ".join(q.text.split()) for q in select(Prompt(task, (passage(text),), most=most))]


@given(COUNTS)
def test_cosines_agree_with_dot_products_over_all_pairs(counts):
    counts = [Counter(c) for c in counts]
    inverse = inverse_frequencies(counts)
    found = cosines(unit_vectors(counts, inverse))
    for a, one in enumerate(counts):
        for b, two in enumerate(counts):
            if a != b:
                x = {t: n * inverse[t] for t, n in one.items()}
                y = {t: n * inverse[t] for t, n in two.items()}
                dot = sum(x[t] * y.get(t, 0) for t in x)
                lengths = math.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))
                assert found[a].get(b, 0) == pytest.approx(dot / lengths if lengths else 0)


@given(COUNTS.filter(bool), st.floats(0.3, 1), st.data())
def test_lexrank_is_a_distribution_that_the_walk_leaves_as_it_is(counts, jump, data):
    counts = [Counter(c) for c in counts]
    similar = cosines(unit_vectors(counts, inverse_frequencies(counts)))
    bias = data.draw(st.lists(st.floats(0, 5), min_size=len(counts), max_size=len(counts)))
    rank = lexrank(similar, bias, jump)
    assert sum(rank) == pytest.approx(1)
    land = [b / sum(bias) for b in bias] if sum(bias) > 0 else [1 / len(bias)] * len(bias)
    for n, row in enumerate(similar):
        lost = sum(r for r, other in zip(rank, similar, strict=True) if not other)
        walked = sum(rank[m] * x / sum(similar[m].values()) for m, x in row.items())
        expected = (jump + (1 - jump) * lost) * land[n] + (1 - jump) * walked
        assert rank[n] == pytest.approx(expected, abs=1e-3)


def test_lexrank_by_hand():
    rank = lexrank([{1: 1.0, 2: 1.0}, {0: 1.0}, {0: 1.0}], [1, 1, 1], 0.15)
    # stationary: m = 0.05 + 0.85 (1 - m), and 30 rounds of a walk that swings by 0.85 each
    assert rank[0] == pytest.approx((0.05 + 0.85) / 1.85, abs=0.01)
    assert rank[1] == pytest.approx(rank[2])


def test_mmr_prefers_what_is_new_and_never_takes_the_same_twice():
    similar = [{1: 0.9, 2: 0.5}, {0: 0.9}, {0: 0.5}, {}]
    assert choose([1.0, 0.95, 0.9, 0.1], similar, 4) == [0, 2, 3]
    assert choose([1.0, 0.95, 0.9, 0.1], similar, 1) == [0]
    assert choose([1.0, 0.9, 0.8], [{1: 0.6}, {0: 0.6}, {}], 3) == [0, 2, 1]
    assert choose([1.0, 0.9, 0.8], [{}, {}, {}], 3, ["a", "a", "b"]) == [0, 2, 1]
    assert choose([0.0, 0.0], [{}, {}], 2) == []
    assert choose([], [], 2) == []


def test_what_may_be_quoted():
    texts = [" ".join(c.text.split()) for c in candidates((passage(),))]
    assert texts[0].startswith("Tomatoes need six hours")
    joined = " ".join(texts)
    for never in ("https", "it is so", "plant(", "Garden work", "unfinished", "shown below"):
        assert never not in joined


def test_a_list_of_fragments_is_quoted_when_there_is_nothing_better():
    texts = [c.text for c in candidates((Passage("- buy some milk\n- buy more bread\n- tea\n"),))]
    assert texts == ["buy some milk", "buy more bread"]


def test_a_question_draws_on_its_subject_and_another_gives_another_answer():
    water = chosen("When should I water tomatoes?")
    compost = chosen("How is compost made?")
    assert "morning" in water[0]
    assert "compost" in compost[0].lower()
    assert "compost" in compost[1].lower()
    assert water != compost


def test_a_summary_leaves_the_references_out():
    lines = chosen("Summarise this document", most=4)
    assert len(lines) == 4
    assert not any("Smith" in line for line in lines)


def test_a_subject_that_is_nowhere_gets_no_answer_but_a_summary_does():
    assert chosen("What is the capital of France?") == []
    assert chosen("Summarise it for an astronaut") != []
    assert asks_for_summary("Give me an overview")
    assert task_terms("What is this document about?") == frozenset()


def test_every_quote_stands_word_for_word_in_its_passage():
    passages = (passage(), Passage("Another text stands here, about the sun and the warm soil."))
    for quote in select(Prompt("Summarise", passages, most=20)):
        assert quote.text in passages[quote.passage - 1].text


@given(st.text(max_size=300), st.text(max_size=30), st.integers(0, 5))
def test_any_text_and_task_is_answered_within_the_bound(text, task, most):
    for markup in ("plain", "markdown", "restructured"):
        quotes = select(Prompt(task, (Passage(text, markup=markup),), most=most))
        assert len(quotes) <= most
        assert all(quote.text in text for quote in quotes)


def test_the_model_answers_the_contract_and_counts_tokens():
    from fanwise import run, step

    prompt = Prompt("Summarise", (passage(),), most=4)

    @step
    async def ask(max_tokens):
        return await model("local:extractive").ask(prompt, max_tokens=max_tokens)

    answer = run(ask(None))
    assert answer == run(ask(None))
    assert answer.model == "local:extractive"
    assert answer.usage.estimated
    assert answer.usage.tokens_in > 200
    assert len(read_quotes(answer.text).quotes) == 4
    short = run(ask(60))
    assert 0 < short.usage.tokens_out <= 60
    assert answer.text.startswith(short.text)
