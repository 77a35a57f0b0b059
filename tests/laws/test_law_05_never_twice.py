"""Law 5: a write is never sent twice in silence: what concerns one process.

A write that may have happened is repeated only where its target honours the key. Writes stand in
no race and take no hedge.
"""

import asyncio
from math import inf

import pytest
from hypothesis import strategies as st

from fanwise.core import Hedge, NotDone, NotEnough, Retry, WriteRefused, step
from fanwise.core._attempts import Execution
from fanwise.core._identity import identified
from fanwise.core._watchers import refuse_write_below_race
from fanwise.patterns import fan_map, fan_out, first, vote
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    outcome_of,
    rejects,
    replaced,
    ticks,
    virtually,
)

END = st.sampled_from(["ok", "lost", "not done", "hangs", "wrong"])
ATTEMPT = st.tuples(ticks(0, 3), END)
WRITES = {
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=3),
    "timeout": st.none() | ticks(1, 4),
    "above": st.sampled_from(["nothing", "retry", "hedge", "both"]),
    "outer_timeout": st.none() | ticks(1, 4),
    "between": ticks(0, 2),
    "outer_fails": st.integers(0, 2),
    "order": ORDERS,
}
AGAIN = Retry(attempts=3, shortest=0, longest=0)


class Target:
    """The world: how often a write may have happened."""

    def __init__(self, attempts):
        self.attempts = attempts
        self.sent = 0
        self.happened = 0

    async def write(self):
        seconds, end = self.attempts[min(self.sent, len(self.attempts) - 1)]
        self.sent += 1
        assert self.happened == 0, "sent again after it may have happened"
        self.happened += end != "not done"
        await asyncio.sleep(inf if end == "hangs" else seconds)
        if end == "not done":
            raise NotDone
        if end == "lost":
            raise ConnectionError
        if end == "wrong":
            raise ValueError


def never_twice(attempts, timeout, above, outer_timeout, between, outer_fails, order):
    target = Target([(s, "lost" if e == "hangs" and timeout is None else e) for s, e in attempts])
    policy = {"retry": AGAIN} if above in ("retry", "both") else {}
    policy |= {"hedge": Hedge(after=0.25)} if above in ("hedge", "both") else {}
    failures = []

    @step(effect="write", retry=AGAIN, timeout=timeout)
    async def write(name):
        await target.write()
        return name

    @step(**policy, timeout=outer_timeout)
    async def parent():
        await asyncio.sleep(between)
        await write("one")
        failures.append(0)
        if len(failures) <= outer_fails:
            raise ConnectionError

    @step
    async def main():
        return await outcome_of(parent())

    virtually(lambda runtime: runtime.run(main()), order=order)


def test_law_5_holds():
    holds(never_twice, **WRITES, examples=150)


def test_law_5_rejects_a_write_that_is_retried():
    def careless(self, error):
        return True

    rejects(never_twice, **WRITES, mutant=changed((Execution, "may_repeat", careless)))


def test_law_5_rejects_a_parent_that_sends_again():
    def forgetful(call, here):
        return call

    rejects(never_twice, **WRITES, mutant=replaced(identified, forgetful))


# The same with something between the write and the step that is repeated

DEEP = {
    "shape": st.sampled_from(["step", "fan_out", "fan_map", "step in fan_out"]),
    "seconds": ticks(0, 3),
    "outer_fails": st.integers(1, 2),
    "order": ORDERS,
}


def never_twice_below(shape, seconds, outer_fails, order):
    target = Target([(seconds, "ok")])
    failures = []

    @step(effect="write")
    async def write(name):
        await target.write()

    @step
    async def between(name):
        await write(name)
        failures.append(0)
        if len(failures) <= outer_fails:
            raise ConnectionError

    send = {
        "step": lambda: between("one"),
        "fan_out": lambda: fan_out(write("one")),
        "fan_map": lambda: fan_map(write, ["one"], at_once=1),
        "step in fan_out": lambda: fan_out(between("one"), need=1),
    }

    @step(retry=Retry(attempts=4, shortest=0, longest=0, on=(Exception,)))
    async def parent():
        await send[shape]()
        failures.append(0)
        if len(failures) <= outer_fails:
            raise ConnectionError

    @step
    async def main():
        return await outcome_of(parent())

    virtually(lambda runtime: runtime.run(main()), order=order)


def test_law_5_holds_below_other_steps_and_patterns():
    holds(never_twice_below, **DEEP, examples=100)


# Races


def race_of_writes(deep, voted):
    acted = []

    @step(effect="write")
    async def write():
        acted.append(0)

    @step
    async def inner():
        await write()

    async def program(runtime):
        @step
        async def main():
            branch = inner() if deep else write()
            return await (vote([branch]) if voted else first(branch))

        error = await outcome_of(runtime.run(main()))
        assert not acted, "a write acted in a race"
        assert isinstance(error, WriteRefused | NotEnough)

    virtually(program)


def test_law_5_holds_in_races():
    holds(race_of_writes, deep=st.booleans(), voted=st.booleans(), examples=10)


def test_law_5_rejects_writes_in_races():
    def lenient(call):
        return None

    for voted in (False, True):
        drawn = {"deep": st.just(True), "voted": st.just(voted)}
        rejects(race_of_writes, **drawn, mutant=replaced(refuse_write_below_race, lenient))


def test_a_write_takes_no_hedge():
    with pytest.raises(ValueError, match="write"):
        step(effect="write", hedge=Hedge(after=1))(lambda: None)
