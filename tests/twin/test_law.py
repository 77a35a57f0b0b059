"""Laws of latency: exact where nothing is drawn, in their shares and bounds where it is."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.testing.twin import Law, Twin
from fanwise.testing.twin._law import Pace
from tests.twin.talk import asked, now


async def times(law, texts, seed=0):
    """How long each text takes, one after the other."""
    twin, found = Twin({"m": law}, seed=seed), []
    for text in texts:
        turn, began = await twin.begin(asked(text)), now()
        await turn.whole()
        found.append(round(now() - began, 6))
    return found


async def test_without_jitter_the_law_is_exact():
    assert await times(Law(first=0.5, per_second=10), ["x", "x" * 40, ""]) == [0.5, 1.4, 0.5]
    assert await times(Law(), ["x" * 4000]) == [0.0]


async def test_draws_follow_the_number_or_the_content():
    texts = ["one", "two", "one"]
    by_number = await times(Law(first=1, jitter=0.5), texts)
    assert by_number == await times(Law(first=1, jitter=0.5), texts)
    assert len(set(by_number)) == 3
    first, second, third = await times(Law(first=1, jitter=0.5, draws="content"), texts)
    assert first == third != second
    assert by_number != await times(Law(first=1, jitter=0.5), texts, seed=1)


async def test_a_share_is_slow_and_the_rest_within_its_jitter():
    law = Law(first=1, slow_share=0.1, slow_factor=20, jitter=0.2)
    found = await times(law, ["x"] * 500)
    slow = [each for each in found if each > 2]
    assert all(0.8 <= each <= 1.2 or 16 <= each <= 24 for each in found)
    # 0.1 of 500, within four standard deviations.
    assert abs(len(slow) - 50) <= 4 * math.sqrt(500 * 0.1 * 0.9)


@given(
    st.floats(0, 10),
    st.floats(0.01, 10),
    st.integers(0, 200),
    st.floats(0, 2000),
    st.integers(0, 9),
)
def test_what_is_made_by_a_moment_is_what_was_due_before_it(first, step, tokens, seconds, seed):
    pace = Law(first, 1 / step, jitter=0.3).draw(random.Random(seed))
    made = pace.made(seconds, tokens)
    assert 0 <= made <= tokens
    assert made == 0 or pace.due(made - 1) <= seconds + 1e-6
    assert made == tokens or pace.due(made) >= seconds - 1e-6
    assert pace.until_whole(tokens) == pace.due(max(tokens - 1, 0))
    assert Pace(0.0, 0.0).made(0.0, tokens) == tokens


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": -1},
        {"first": "1"},
        {"first": math.nan},
        {"per_second": "80"},
        {"per_second": 0},
        {"slow_share": 1.5},
        {"slow_factor": 0.5},
        {"jitter": -0.1},
        {"draws": "chance"},
    ],
)
def test_a_law_that_no_model_can_keep_is_refused_with_its_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Law(**wrong)
