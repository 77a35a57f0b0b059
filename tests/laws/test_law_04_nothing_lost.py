"""Law 4: nothing paid for is lost: what concerns one process.

A failing group hands over what finished; a retried step takes over its finished children; a run
that is started again with its journal repeats no call whose result was committed.
"""

import asyncio

from hypothesis import strategies as st

from fanwise.core import NotEnough, Retry, step
from fanwise.core._identity import identified, key_of
from fanwise.patterns import fan_map, fan_out
from fanwise.patterns._flow import Flow
from fanwise.patterns._gathering import Gathering
from fanwise.stores import MemoryJournal
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
from tests.stores.journals import results_of

BRANCHES = {
    "branches": st.lists(st.tuples(ticks(), st.booleans()), min_size=1, max_size=7),
    "mapped": st.booleans(),
    "order": ORDERS,
}


def handed_over(branches, mapped, order):
    """All are needed: everything that ended well before the first failure is in the error."""
    finished = []

    @step
    async def branch(index):
        seconds, ok = branches[index]
        await asyncio.sleep(seconds)
        if not ok:
            raise ValueError(index)
        finished.append(index)
        return index

    @step
    async def main():
        numbers = range(len(branches))
        if mapped:
            return await fan_map(branch, numbers, at_once=len(branches))
        return await fan_out(*[branch(index) for index in numbers])

    async def program(runtime):
        try:
            found = await runtime.run(main())
        except NotEnough as error:
            found = error.found
            assert not all(ok for _, ok in branches)
        assert sorted(it.value for it in found if it.status == "ok") == sorted(finished)
        assert [it.value for it in found if it.status == "ok"] == found.values()

    virtually(program, order=order)


def test_law_4_holds_for_failing_groups():
    holds(handed_over, **BRANCHES, examples=100)


def test_law_4_rejects_a_fan_out_that_fails_with_nothing():
    let_go = Gathering.let_go

    async def all_gone(self):
        statuses = await let_go(self)
        return dict.fromkeys(range(len(self.calls)), "cancelled") if statuses else statuses

    rejects(handed_over, **BRANCHES, mutant=changed((Gathering, "let_go", all_gone)))


def test_law_4_rejects_a_map_that_fails_with_nothing():
    result = Flow.result

    def forgetting(self):
        if self.bad:
            self.landed.values.clear()
            self.landed.rows.clear()
        return result(self)

    rejects(handed_over, **BRANCHES, mutant=changed((Flow, "result", forgetting)))


# A retried parent

PARENTS = {
    "children": st.lists(ticks(0, 4), min_size=1, max_size=5),
    "failures": st.integers(1, 3),
    "order": ORDERS,
}


def taken_over(children, failures, order):
    ran = []

    @step
    async def child(index):
        await asyncio.sleep(children[index])
        ran.append(index)
        return index

    @step(retry=Retry(attempts=4, shortest=0, longest=0))
    async def parent(left):
        found = await fan_out(*[child(index) for index in range(len(children))])
        assert found.values() == list(range(len(children)))
        left.append(0)
        if len(left) <= failures:
            raise ConnectionError

    parent_step = parent

    @step
    async def main():
        await parent_step([])

    async def program(runtime):
        await runtime.run(main())
        assert sorted(ran) == list(range(len(children)))

    virtually(program, order=order)


def test_law_4_holds_for_retried_parents():
    holds(taken_over, **PARENTS)


def test_law_4_rejects_children_that_run_again():
    def forgetful(call, here):
        return call

    rejects(taken_over, **PARENTS, mutant=replaced(identified, forgetful))


# A run that is started again

RESUMED = {
    "children": st.lists(ticks(0, 4), min_size=1, max_size=6),
    "stop_at": ticks(0, 5),
    "order": ORDERS,
}


def resumed(children, stop_at, order):
    journal = MemoryJournal()
    committed = []
    repeated = []

    @step
    async def child(index):
        if index in committed:
            repeated.append(index)
        await asyncio.sleep(children[index])
        return index

    @step
    async def main(count):
        found = await fan_out(*[child(index) for index in range(count)])
        assert [it.value for it in found] == found.values()
        return found.values()

    async def once(runtime, stop):
        runtime.journal = journal
        task = asyncio.create_task(outcome_of(runtime.run(main(len(children)), run_id="one")))
        await asyncio.wait([task], timeout=stop)
        task.cancel()
        await asyncio.wait([task])
        committed.extend(it for it in results_of(journal, "one") if isinstance(it, int))
        return None if task.cancelled() else task.result()

    virtually(lambda runtime: once(runtime, stop_at), order=order)
    value = virtually(lambda runtime: once(runtime, None), order=order)
    assert value == list(range(len(children)))
    assert repeated == []


def test_law_4_holds_for_resumed_runs():
    holds(resumed, **RESUMED)


def test_law_4_rejects_keys_in_the_order_of_completion():
    numbers = iter(range(10**9))

    def unstable(call):
        return next(numbers).to_bytes(8)

    rejects(resumed, **RESUMED, mutant=replaced(key_of, unstable))
