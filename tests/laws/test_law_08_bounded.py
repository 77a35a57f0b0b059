"""Law 8: every fan-out and buffer has a size; retries take at most a share of a run's calls."""

import asyncio

from hypothesis import strategies as st

from fanwise.core import Retry, step
from fanwise.core import _attempts as attempts_module
from fanwise.patterns import fan_map, fan_out
from fanwise.patterns._flow import Flow
from tests.laws.proving import ORDERS, changed, holds, outcome_of, rejects, ticks, virtually

MAPS = {
    "delays": st.lists(ticks(), min_size=1, max_size=15),
    "at_once": st.integers(1, 4),
    "asynchronous": st.booleans(),
    "streamed": st.none() | ticks(0, 4),
    "order": ORDERS,
}


def bounded_map(delays, at_once, asynchronous, streamed, order):
    """Never more bodies than `at_once`, nor more items read than have a place."""
    counts = {"read": 0, "ended": 0, "taken": 0, "inside": 0}
    most = {"ahead": 0, "untaken": 0, "inside": 0}

    def read(index):
        counts["read"] += 1
        most["ahead"] = max(most["ahead"], counts["read"] - counts["ended"])
        most["untaken"] = max(most["untaken"], counts["read"] - counts["taken"])
        return index

    def items():
        return (read(index) for index in range(len(delays)))

    async def slowly():
        for item in items():
            yield item

    @step
    async def job(index):
        counts["inside"] += 1
        most["inside"] = max(most["inside"], counts["inside"])
        await asyncio.sleep(delays[index])
        counts["inside"] -= 1
        counts["ended"] += 1

    @step
    async def main():
        call = fan_map(job, slowly() if asynchronous else items(), at_once=at_once)
        if streamed is None:
            return await call
        async with call.stream() as outcomes:
            async for _ in outcomes:
                counts["taken"] += 1
                await asyncio.sleep(streamed)
        return None

    virtually(lambda runtime: runtime.run(main()), order=order)
    assert counts["ended"] == len(delays)
    assert most["inside"] <= at_once
    assert most["ahead"] <= at_once + asynchronous, "read ahead of its places"
    assert streamed is None or most["untaken"] <= 2 * at_once + 1, "a stream's buffer has no bound"


def test_law_8_holds_for_maps():
    holds(bounded_map, **MAPS, examples=100)


def test_law_8_rejects_a_map_that_reads_everything():
    mutant = changed((Flow, "has_room", lambda self: True))
    rejects(bounded_map, **MAPS, mutant=mutant)


STREAMS = MAPS | {
    "delays": st.lists(ticks(0, 2), min_size=8, max_size=20),
    "streamed": ticks(2, 4),
}


def test_law_8_holds_for_streams():
    holds(bounded_map, **STREAMS)


def test_law_8_rejects_a_stream_without_a_bound():
    mutant = changed((Flow, "has_room", lambda self: len(self.live) < self.at_once))
    rejects(bounded_map, **STREAMS, mutant=mutant)


RETRIES = {"calls": st.integers(1, 80), "attempts": st.integers(2, 6), "order": ORDERS}


def bounded_retries(calls, attempts, order):
    """Everything fails: retries are a fifth of the calls, but ten are always allowed."""
    bodies = []

    @step(retry=Retry(attempts=attempts, shortest=0, longest=0))
    async def fails(index):
        bodies.append(index)
        raise ConnectionError

    @step
    async def main():
        await fan_out(*[fails(index) for index in range(calls)], need=0)

    async def program(runtime):
        await outcome_of(runtime.run(main()))
        retries = len(bodies) - calls
        all_calls = calls + 2
        assert retries <= max(10, 0.2 * all_calls + 1)
        assert retries >= min(10, calls * (attempts - 1))

    virtually(program, order=order)


def test_law_8_holds_for_retries():
    holds(bounded_retries, **RETRIES)


def test_law_8_rejects_a_storm_of_retries():
    mutant = changed((attempts_module, "RETRY_SHARE", 5.0))
    rejects(bounded_retries, **RETRIES, mutant=mutant)


def test_law_8_rejects_retries_that_are_never_allowed():
    mutant = changed((attempts_module, "RETRIES_ALWAYS", 0))
    rejects(bounded_retries, **RETRIES, mutant=mutant)
