"""Law 7: deadlines travel down: a branch gets the smaller of its own time and what is left."""

import asyncio

from hypothesis import strategies as st

from fanwise.core import DEADLINE, current, deadline, step
from fanwise.core import _timed as timed_module
from fanwise.patterns import fan_map, fan_out
from fanwise.patterns._fan_out import effective_within
from tests.laws.proving import changed, holds, now, outcome_of, rejects, replaced, ticks, virtually

LAYER = st.tuples(
    st.sampled_from(["deadline", "fan_out", "fan_map", "timeout", "nothing"]),
    ticks(1, 12),
    ticks(0, 2),
)
PROGRAM = {"layers": st.lists(LAYER, max_size=5), "seconds": ticks(1, 12)}


def travels_down(layers, seconds):
    """Layers lie in one another; each starts a while after the one around it."""
    seen = {}

    @step
    async def leaf(_):
        seen["left"] = current().deadline_left
        seen["begun"] = now()
        try:
            await asyncio.sleep(seconds)
        finally:
            seen["ended"] = now()

    def layer(number):
        if number == len(layers):
            return leaf
        kind, bound, pause = layers[number]
        inner = layer(number + 1)

        @step(timeout=bound if kind == "timeout" else None)
        async def around(_):
            await asyncio.sleep(pause)
            if kind == "deadline":
                with deadline(bound):
                    await inner(0)
            elif kind == "fan_out":
                await fan_out(inner(0), within=bound)
            elif kind == "fan_map":
                await fan_map(inner, [0], at_once=1, within=bound)
            else:
                await inner(0)

        return around

    async def program(runtime):
        await outcome_of(runtime.run(layer(0)(0)))

    virtually(program)
    check(seen, layers, seconds)


def check(seen, layers, seconds):
    instant, until = 0.0, []
    for kind, bound, pause in layers:
        if kind == "timeout":
            until.append(instant + bound)
        instant += pause
        if kind not in ("timeout", "nothing"):
            until.append(instant + bound)
    last = min(until, default=None)
    if "begun" not in seen:
        assert last is not None
        assert last <= instant
        return
    assert seen["begun"] == instant
    assert seen["left"] == (None if last is None else last - instant)
    assert seen["ended"] == (instant + seconds if last is None else min(instant + seconds, last))


def test_law_7_holds():
    holds(travels_down, **PROGRAM, examples=120)


def test_law_7_rejects_a_within_that_does_not_travel():
    def stays(call, within):
        return within

    rejects(travels_down, **PROGRAM, mutant=replaced(effective_within, stays))


def test_law_7_rejects_a_timeout_that_forgets_what_is_left():
    class Forgetful:
        """Stands in for the context variable: sets, but as if nothing had been set before."""

        def set(self, until):
            attempt_until = self.own(until)
            return DEADLINE.set(attempt_until)

        def own(self, until):
            return until + 1

        get = DEADLINE.get

    rejects(travels_down, **PROGRAM, mutant=changed((timed_module, "DEADLINE", Forgetful())))


def test_law_7_rejects_a_block_that_forgets_the_outer_one():
    enter = deadline.__enter__

    def forgetful(self):
        token = DEADLINE.set(None)
        enter(self)
        assert token is not None

    rejects(travels_down, **PROGRAM, mutant=changed((deadline, "__enter__", forgetful)))
