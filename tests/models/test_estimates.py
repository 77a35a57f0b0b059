"""Estimates of tokens follow the usage that comes back, by step and model."""

import contextlib
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Runtime, current, step
from fanwise.core import Reading
from fanwise.models import Chat, Estimates, Message, known_estimates
from fanwise.text._estimates import MOST, Line, size_of


def test_before_anything_came_back_four_bytes_are_a_token():
    assert Estimates().tokens_in("ask", "m", 400) == 100
    assert Estimates().tokens_out("ask", "m", 400) == 100
    assert Estimates().tokens_out("ask", "m", 0) == 0


def test_instructions_that_are_no_arguments_are_learned():
    """A ratio would be off by a factor here."""
    estimates = Estimates()
    draw = random.Random(3)
    for _ in range(30):
        size = draw.randint(100, 3000)
        estimates.observe("ask", size, Reading("m", 2000 + size // 3, 10, said=50), 1.0)
    assert estimates.tokens_in("ask", "m", 100) == pytest.approx(2033, rel=0.02)
    assert estimates.tokens_in("ask", "m", 3000) == pytest.approx(3000, rel=0.02)
    assert estimates.tokens_in("ask", "other", 400) == 100
    (known,) = estimates.statistics()
    assert (known.step, known.model, known.calls) == ("ask", "m", 30)
    assert known.bytes_per_token == pytest.approx(5, rel=0.01)
    assert known.error_in < 0.05


def test_a_single_outlier_moves_little():
    line = Line()
    for _ in range(40):
        line.learn(1000, 250)
    line.learn(1000, 2500)
    assert line.tokens(1000) == pytest.approx(250, rel=0.5)
    for _ in range(60):
        line.learn(1000, 250)
    assert line.tokens(1000) == pytest.approx(250, rel=0.05)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**6)), max_size=60),
    st.integers(0, 10**7),
)
def test_an_estimate_is_a_number_that_can_be(seen, size):
    line = Line()
    for each in seen:
        line.learn(*each)
    assert 1 <= line.tokens(size) < 10**9
    assert 0 <= line.tokens_after(size) < 10**14


def test_the_oldest_of_many_is_forgotten():
    estimates = Estimates()
    for number in range(MOST + 5):
        estimates.observe(f"step {number}", 4, Reading("m", 1, 1), 1.0)
    assert len(estimates.statistics()) == MOST


def test_what_is_still_used_is_not_forgotten():
    estimates = Estimates()
    for number in range(MOST + 5):
        estimates.observe("used", 4, Reading("m", 7, 1), 1.0)
        estimates.observe(f"step {number}", 4, Reading("m", 1, 1), 1.0)
    (used,) = [each for each in estimates.statistics() if each.step == "used"]
    assert used.calls == MOST + 5


def test_a_step_keeps_its_latest_model_where_an_earlier_one_is_forgotten():
    estimates = Estimates()
    for name, tokens in (("earlier", 7), ("latest", 9)):
        estimates.observe("used", 4, Reading(name, tokens, 1), 1.0)
    for number in range(MOST - 1):
        estimates.observe(f"step {number}", 4, Reading("m", 1, 1), 1.0)
    assert [each.model for each in estimates.statistics() if each.step == "used"] == ["latest"]
    assert estimates.expected("used", 4) == (9, None)


def test_all_text_of_arguments_counts():
    chat = Chat((Message("user", "four"),), system="five5")
    assert size_of(("é", {"a": ["bc"]}, 3), {"chat": chat}) == 2 + 2 + 4 + 4 + 5  # "user" is one


def test_what_an_attempt_wrote_follows_the_time_that_it_had():
    estimates = Estimates()
    for tokens in range(20, 220, 10):
        estimates.observe("ask", 40, Reading("m", 10, tokens), 0.5 + tokens / 50)
    known = estimates._of("ask", "m")
    assert known.pace.tokens_after(500) == pytest.approx(0, abs=3)
    assert known.pace.tokens_after(2500) == pytest.approx(100, rel=0.05)


async def test_what_steps_tell_is_learned_and_reported():
    @step
    async def ask(text):
        current().usage(model="m", tokens_in=len(text) // 2, tokens_out=5)

    async with Runtime() as runtime:
        for length in (100, 200, 300):
            await ask("x" * length)
        assert known_estimates().tokens_in("ask", "m", 200) == pytest.approx(100, rel=0.1)
        (known,) = runtime.statistics().estimates
    assert (known.step, known.model, known.calls) == ("ask", "m", 3)
    assert known.error_in is not None


async def test_a_call_that_names_its_model_is_estimated_for_that_one():
    import asyncio

    @step(timeout=5)
    async def ask(text, model):
        await asyncio.sleep(9 if text == "lost" else 1)
        current().usage(model=f"{model}-2026-01-01", tokens_in=10, tokens_out=5)

    async with Runtime() as runtime:

        @step
        async def program():
            await ask("one", "small")
            await ask("two", model="large")
            with contextlib.suppress(TimeoutError):
                await ask("lost", "small")

        await runtime.run(program())
        *_, row, _ = runtime.runs[0].record().calls
    assert (row.status, row.facts["model"]) == ("timed_out", "small-2026-01-01")


def test_a_field_that_nobody_has_set_counts_nothing():
    @dataclass
    class Question:
        text: str
        later: str = field(init=False)

    assert size_of(Question("four")) == 4
