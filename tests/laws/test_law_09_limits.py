"""Law 9: limits hold under concurrency: n branches together never overshoot (widths).

No slot is lost, none is idle while somebody waits, and the line is served in its order.
"""

import asyncio

from hypothesis import strategies as st

from fanwise.core import Hedge, Limit, Retry, step
from fanwise.core._attempts import Execution
from fanwise.core._limits import Width
from fanwise.patterns import fan_out
from tests.laws.proving import ORDERS, changed, holds, now, rejects, ticks, virtually
from tests.laws.test_law_03_no_barrier import makespan

BRANCH = st.tuples(ticks(), st.sampled_from(["ok", "ok", "flaky", "slow to stop"]))
PROGRAM = {
    "branches": st.lists(BRANCH, min_size=1, max_size=8),
    "width": st.integers(1, 3),
    "policy": st.sampled_from([{}, {"retry": Retry(attempts=2, shortest=0, longest=0)},
                               {"hedge": Hedge(after=0.25)}, {"timeout": 0.5}]),
    "enough": st.none() | st.integers(1, 3),
    "cancel_at": st.none() | ticks(0, 8),
    "drain_at": st.none() | ticks(0, 8),
    "order": ORDERS,
}  # fmt: skip


def never_overshoots(branches, width, policy, enough, cancel_at, drain_at, order):
    inside = [0]
    most = [0]

    @step(limit="thing", **policy)
    async def job(seconds, end):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5 if end == "slow to stop" else 0)
            raise
        finally:
            inside[0] -= 1
        if end == "flaky":
            raise ConnectionError

    @step
    async def main():
        calls = [job(seconds, end) for seconds, end in branches]
        most = None if enough is None else min(enough, len(calls))
        return await fan_out(*calls, need=0, enough=most)

    async def program(runtime):
        task = asyncio.create_task(runtime.run(main()))
        loop = asyncio.get_running_loop()
        if cancel_at is not None:
            loop.call_at(cancel_at, task.cancel)
        if drain_at is not None:
            loop.call_at(drain_at, runtime.drain)
        await asyncio.wait([task])
        await asyncio.sleep(10)
        assert most[0] <= width, "more bodies than slots"
        for slots in runtime.widths.values():
            assert slots.used == 0, "a slot is lost"
            assert not slots.waiting

    virtually(program, order=order, limits={"thing": Limit(at_once=width)})


def test_law_9_holds():
    holds(never_overshoots, **PROGRAM, examples=150)


def rejected(*changes):
    rejects(never_overshoots, **PROGRAM, mutant=changed(*changes))


def test_law_9_rejects_a_width_that_is_not_asked():
    def generous(self):
        self.used += 1
        return True

    rejected((Width, "take_nowait", generous))


def test_law_9_rejects_a_slot_lost_with_a_cancelled_grant():
    async def forgetful(self):
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn

    rejected((Width, "wait_turn", forgetful))


def test_law_9_rejects_slots_given_back_twice():
    give = Execution.give_slots

    def twice(self, attempt):
        give(self, attempt)
        if attempt.number > 1:
            give(self, attempt)

    rejected((Execution, "give_slots", twice))


def test_law_9_rejects_hedges_beside_the_limit():
    take = Execution.take_slots

    async def hedges_are_free(self, attempt, *, probe):
        if not attempt.hedge:
            return await take(self, attempt, probe=probe)
        for width, _ in self.outfit.widths:
            width.used += 1
        return probe

    rejected(
        (Execution, "take_slots", hedges_are_free),
        (Execution, "has_room", lambda self: True),
    )


LINES = {"delays": st.lists(ticks(1, 8), min_size=1, max_size=10), "width": st.integers(1, 3), "order": ORDERS}  # fmt: skip


def served_in_order(delays, width, order):
    begun = []

    @step(limit="thing")
    async def job(index):
        begun.append(index)
        await asyncio.sleep(delays[index])

    @step
    async def main():
        await fan_out(*[job(index) for index in range(len(delays))])

    async def program(runtime):
        await runtime.run(main())
        assert begun == list(range(len(delays)))
        assert now() == makespan(delays, width)
        assert runtime.statistics().limits[0].granted == len(delays)

    virtually(program, order=order, limits={"thing": Limit(at_once=width)})


def test_law_9_holds_for_lines():
    holds(served_in_order, **LINES)


def test_law_9_rejects_a_line_served_from_its_end():
    def last_in_first_out(self):
        while self.waiting:
            turn = self.waiting.pop()
            if not turn.done():
                self.granted += 1
                turn.set_result(None)
                return
        self.used -= 1

    rejects(served_in_order, **LINES, mutant=changed((Width, "give", last_in_first_out)))


def test_law_9_rejects_idle_slots():
    give = Width.give

    def late(self):
        asyncio.get_running_loop().call_later(0.125, give, self)

    rejects(served_in_order, **LINES, mutant=changed((Width, "give", late)))
