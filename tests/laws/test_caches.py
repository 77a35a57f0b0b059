"""Caches: one body for equal calls, nothing too old, too many, failed or invalid."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import strategies as st

from fanwise import Cache, step
from fanwise.core._cache_state import CacheState, Sharing
from tests.laws.proving import ORDERS, changed, holds, now, rejects, ticks, virtually


@dataclass(frozen=True)
class Made:
    """What a body made: for which key, when it ended, and whether it may be kept."""

    key: int
    ended: float
    complete: bool


@dataclass
class World:
    """What the bodies did."""

    lasts: dict = field(default_factory=dict)  # by key: in the order of its bodies
    running: set = field(default_factory=set)
    kept: dict = field(default_factory=dict)  # by key: the end of the last one that is kept

    async def body(self, key, ttl, roomy):
        assert key not in self.running, "two bodies for one key"
        if roomy and key in self.kept:
            assert ttl is not None, "made again, and never too old"
            assert now() >= self.kept[key] + ttl, "made again, and young enough"
        self.running.add(key)
        length, end = self.lasts[key].pop() if self.lasts[key] else (1.0, "ok")
        try:
            await asyncio.sleep(length)
        finally:
            self.running.discard(key)
        if end == "fails":
            raise ValueError(key)
        if end == "ok":
            self.kept[key] = now()
        return Made(key, now(), complete=end == "ok")


ENDS = st.tuples(ticks(1), st.sampled_from(["ok", "ok", "fails", "cut"]))
ASKED = st.lists(
    st.tuples(st.integers(0, 2), ticks(0, 16), st.none() | ticks(0)), min_size=1, max_size=12
)
LASTS = st.lists(st.lists(ENDS, max_size=4), min_size=3, max_size=3)
TTL = st.none() | ticks(0, 12)
SIZE = st.integers(0, 3)


def shared(asked, lasts, ttl, size, order):
    """Ask some keys at some times, some with an end to their patience."""
    world = World(dict(enumerate(map(list, lasts))))

    @step(cache=Cache(size=size, ttl=ttl))
    async def make(key):
        return await world.body(key, ttl, roomy=size == 3)

    async def one(runtime, key, begins, patience):
        await asyncio.sleep(begins)
        call = make(key)
        began = now()
        try:
            async with asyncio.timeout(patience):
                made = await runtime.run(call)
        except TimeoutError:
            assert now() == began + patience, "it waited longer than it wanted"
        except ValueError:
            assert call.attempts == 1, "it failed of another's failure"
        else:
            assert made.key == key
            if call.attempts == 0:
                assert made.complete, "what is cut was given to another"
                young = ttl is None or began < made.ended + ttl or made.ended >= began
                assert young, "too old"
        for state in runtime.caches.values():
            assert len(state.entries) <= size, "more than there is room for"

    async def main(runtime):
        tasks = [asyncio.ensure_future(one(runtime, *each)) for each in asked]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert not runtime.leading
        assert not any(state.flights for state in runtime.caches.values())

    virtually(main, order=order)


PROGRAMS = (ASKED, LASTS, TTL, SIZE, ORDERS)


def test_equal_calls_share_what_may_be_shared():
    holds(shared, *PROGRAMS, examples=300)


def test_without_single_flight_two_bodies_run():
    rejects(shared, *PROGRAMS, mutant=changed((Sharing, "may_follow", lambda *_: False)))


def test_a_time_to_live_that_nobody_looks_at():
    def find(self, key, at):
        entry = self.entries.get(key)
        return None if entry is None else entry[:1]

    rejects(shared, *PROGRAMS, mutant=changed((CacheState, "find", find)))


def test_a_cache_without_bound():
    def keep(self, key, value, at):
        self.entries[key] = value, None if self.policy.ttl is None else at + self.policy.ttl

    rejects(shared, *PROGRAMS, mutant=changed((CacheState, "keep", keep)))


def test_a_cache_that_keeps_what_is_cut():
    rejects(shared, *PROGRAMS, mutant=changed((CacheState, "admits", lambda *_, **__: True)))


def test_a_leader_that_fails_and_tells_nobody():
    def forget(sharing, flight):
        del sharing.state.flights[sharing.key]

    rejects(shared, *PROGRAMS, mutant=changed((Sharing, "hand_on", forget)))


def test_a_leader_that_fails_and_lets_everybody_run():
    def let_all(sharing, flight):
        for turn in flight.followers.values():
            if not turn.done():
                turn.set_result(None)
        del sharing.state.flights[sharing.key]

    rejects(shared, *PROGRAMS, mutant=changed((Sharing, "hand_on", let_all)))
