"""Hedges by a live percentile: when they are due, how many may be sent, what they came to."""

import asyncio
from dataclasses import astuple
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Breaker, Hedge, Limit, Runtime, Timeout, fan_out, step
from fanwise.core._hedge_state import WINDOW, HedgeState, rounded_up
from fanwise.core._timers import TimerQueue
from fanwise.testing import no_orphans
from tests.patterns.steps import now


def state_of(hedge):
    return HedgeState("it", hedge, lambda length: TimerQueue(None, None, length, None))


def answers(after="p95", **more):
    """A step that takes what it is told for each of its attempts, in seconds."""

    @step(hedge=Hedge(after=after, **more), name="it")
    async def it(*seconds):
        turns.append(now())
        await asyncio.sleep(seconds[min(len(turns), len(seconds)) - 1])
        return len(turns)

    turns = []

    def ask(*seconds):
        turns.clear()
        return it(*seconds)

    return ask


async def warm_up(ask, count=20, seconds=1.0):
    for _ in range(count):
        await ask(seconds)


@pytest.mark.parametrize("after", ["95", "p", "p0", "p100", "p-5", "P95", "p95%", ""])
def test_what_is_no_percentile_is_refused(after):
    with pytest.raises(ValueError, match=r"in seconds, such as 0\.5, or a percentile, such as"):
        Hedge(after=after)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_is_a_part_of_the_attempts(share):
    with pytest.raises(ValueError, match=r"Hedge\(share=\) is a share of attempts"):
        Hedge(after="p95", share=share)


def test_the_share_is_what_lies_above_the_percentile_unless_it_is_given():
    assert state_of(Hedge(after="p90")).share == pytest.approx(0.1)
    assert state_of(Hedge(after="p90", share=0.3)).share == 0.3
    assert state_of(Hedge(after=1.0)).share is None


@given(
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=60),
    st.sampled_from(["p50", "p90", "p95", "p99"]),
)
def test_the_percentile_is_that_of_the_latest_attempts(times, after):
    state = state_of(Hedge(after=after))
    kept = []
    for seconds in times * (1 + 2 * WINDOW // len(times)):
        state.took(seconds)
        kept.append(seconds)
    latest = sorted(kept[-WINDOW:])
    exact = latest[ceil(float(after[1:]) / 100 * len(latest)) - 1]
    assert exact <= state.after() * (1 + 1e-12) <= exact * 1.1 * (1 + 1e-9)


@given(st.floats(1e-6, 1e6))
def test_rounding_up_leaves_few_lengths(seconds):
    rounded = rounded_up(seconds)
    assert seconds * (1 - 1e-8) <= rounded <= seconds * 1.1 * (1 + 1e-8)
    assert float(f"{rounded:.1e}") == pytest.approx(rounded)


async def test_no_hedge_is_sent_before_the_percentile_is_known():
    ask = answers()
    async with Runtime() as runtime, no_orphans():
        await runtime.run(program(warm_up(ask, 19)))
        assert await runtime.run(ask(50.0, 1.0)) == 1
        (hedges,) = runtime.statistics().hedges
    assert (hedges.sent, hedges.attempts, now()) == (0, 20, 69.0)


def program(coroutine):
    """A call that runs a coroutine of the test."""

    @step
    async def main():
        return await coroutine

    return main()


async def test_a_slow_attempt_is_hedged_at_the_percentile():
    ask = answers()
    async with Runtime() as runtime, no_orphans():
        await runtime.run(program(warm_up(ask)))
        began = now()
        assert await runtime.run(ask(50.0, 0.5)) == 2
        (hedges,) = runtime.statistics().hedges
    assert now() - began == 1.5
    assert astuple(hedges) == ("it", 1.0, 21, 1, 1, 0, pytest.approx(1.5))


async def test_a_duplicate_that_loses_is_counted_as_waste():
    ask = answers()
    async with Runtime() as runtime, no_orphans():
        await runtime.run(program(warm_up(ask)))
        assert await runtime.run(ask(1.25, 9.0)) == 2  # two turns were taken; the first gave it
        (hedges,) = runtime.statistics().hedges
    assert (hedges.sent, hedges.won, hedges.wasted) == (1, 0, pytest.approx(0.25))


async def test_an_attempt_that_was_overtaken_does_not_let_the_percentile_sink():
    ask = answers(after="p50", share=1.0)
    async with Runtime() as runtime:
        await runtime.run(program(warm_up(ask)))
        for _ in range(60):  # every first attempt is slow from now on, every duplicate is quick
            await runtime.run(ask(50.0, 0.1))
        (hedges,) = runtime.statistics().hedges
    assert hedges.sent == hedges.won == 60
    assert hedges.after > 1.0


async def test_no_more_than_the_share_is_sent():
    ask = answers(share=0.05)
    async with Runtime() as runtime:
        await runtime.run(program(warm_up(ask)))
        for _ in range(100):
            await runtime.run(ask(1.5, 9.0))
        (hedges,) = runtime.statistics().hedges
    assert hedges.sent <= 2 + 0.05 * 120
    assert hedges.sent + hedges.held_back >= 20


async def test_a_long_calm_saves_ten_hedges_and_no_more():
    state = state_of(Hedge(after="p95", share=0.5))
    for _ in range(500):
        state.tokens = min(10.0, state.tokens + state.share)
    assert sum(state.take() for _ in range(500)) == 10


async def test_none_is_sent_into_a_limit_that_is_full_or_a_breaker_that_is_not_closed():
    fails = False

    @step(hedge=Hedge(after=1.0), limit="it", breaker=Breaker(minimum=1, pause=0.0), name="it")
    async def it():
        if fails:
            raise ConnectionError
        await asyncio.sleep(3)

    async with Runtime(limits={"it": Limit(at_once=1)}) as runtime:
        await runtime.run(it())
        (full,) = runtime.statistics().hedges
        fails = True
        with pytest.raises(ConnectionError):
            await runtime.run(it())
        fails = False
        await runtime.run(it())  # the probe
        (probing,) = runtime.statistics().hedges
    assert (full.sent, full.held_back) == (0, 1)
    assert (probing.sent, probing.held_back) == (0, 2)


async def test_of_a_stream_the_first_items_count():
    slow = False

    @step(hedge=Hedge(after="p95"), timeout=Timeout(100.0), name="it")
    async def it():
        nonlocal slow
        wait, slow = (50.0 if slow else 1.0), False
        await asyncio.sleep(wait)
        for i in range(3):
            yield i
            await asyncio.sleep(5)

    async with Runtime() as runtime, no_orphans():
        await runtime.run(fan_out(*[it() for _ in range(20)]))
        slow = True
        began = now()
        assert await runtime.run(it()) == [0, 1, 2]
        (hedges,) = runtime.statistics().hedges
    assert now() - began == 2 + 15
    assert (hedges.after, hedges.sent, hedges.won) == (1.0, 1, 1)
    assert hedges.wasted == pytest.approx(2.0)
