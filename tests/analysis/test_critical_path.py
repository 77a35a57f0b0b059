"""The critical path of hand-written programs, run by the real engine on the virtual clock."""

import asyncio

import pytest
from hypothesis import strategies as st

from fanwise import (
    Hedge,
    Limit,
    Retry,
    Runtime,
    batch,
    bind,
    fan_map,
    fan_out,
    first,
    pipeline,
    speculate,
    stage,
    step,
    tree_reduce,
)
from fanwise.analysis import critical_path
from fanwise.analysis._graph import Graph
from fanwise.core import CallRow, Header, RunRecord
from tests.laws.pipelines import PlanOf, StageOf
from tests.laws.proving import changed, holds, rejects, virtually
from tests.laws.test_pipelines import Seen

TICK = 1 / 64  # seconds; a whole number of microseconds, and exact in binary


@step
async def work(ticks):
    await asyncio.sleep(ticks * TICK)
    return ticks


@step
async def again(*ticks):
    await asyncio.sleep(TICK)
    return ticks


async def recorded(call, **limits):
    async with Runtime(limits=limits, seed=1) as runtime:
        run = runtime.start(call)
        await run.wait()
        return run.record()


def ticks(path):
    """Segments as (step, kind, ticks); those of one call and kind are joined already."""
    return [(s.step, s.kind, s.microseconds / (TICK * 1_000_000)) for s in path.segments]


async def test_a_single_call_is_its_own_path():
    path = critical_path(await recorded(work(3)))
    assert ticks(path) == [("work", "running", 3)]
    assert str(path) == "work (0.05 s)"


async def test_calls_in_a_row():
    @step
    async def main():
        await work(1)
        await asyncio.sleep(2 * TICK)
        await again()

    path = critical_path(await recorded(main()))
    assert ticks(path) == [("work", "running", 1), ("main", "running", 2), ("again", "running", 1)]
    assert str(path) == "main (0.03 s) > work (0.02 s) > again (0.02 s)"


async def test_the_slowest_branch_is_on_it_and_the_others_are_not():
    @step
    async def main():
        await fan_out(work(1), work(5), work(2))
        await again()

    path = critical_path(await recorded(main()))
    assert ticks(path) == [("work", "running", 5), ("again", "running", 1)]
    assert str(path) == "main > fan_out > work 2 (0.08 s) > again (0.02 s)"


async def test_six_calls_of_the_requirements():
    """2, 3, 2, 1, 3 and 2: 13 in a row; the first four at once, then two in a row: 8 (A1)."""

    @step
    async def main():
        await fan_out(work(2), work(3), work(2), work(1))
        await work(3)
        await work(2)

    path = critical_path(await recorded(main()))
    assert [each[2] for each in ticks(path)] == [3, 3, 2]


async def test_a_graph_of_bound_calls_goes_through_the_inputs():
    @step
    async def main():
        short = bind(again, work(1))
        long = bind(again, work(4))
        await bind(again, short, long)

    path = critical_path(await recorded(main()))
    assert ticks(path) == [
        ("work", "running", 4),
        ("again", "running", 1),
        ("again", "running", 1),
    ]


async def test_an_input_that_had_begun_before_is_followed_to_its_start():
    """The body's three ticks did not delay the end: the input would have ended no earlier."""

    @step
    async def main():
        slow = work(9)
        background = asyncio.create_task(_awaited(slow))
        await work(3)
        await bind(again, slow)
        await background

    path = critical_path(await recorded(main()))
    assert ticks(path) == [("work", "running", 9), ("again", "running", 1)]


async def _awaited(call):
    return await call


async def test_a_call_that_was_handed_on_is_waited_for_where_it_was_asked_for():
    @step
    async def takes(call):
        await asyncio.sleep(TICK)
        await call

    @step
    async def main():
        await takes(work(5))

    path = critical_path(await recorded(main()))
    assert ticks(path) == [("takes", "running", 1), ("work", "running", 5)]
    assert str(path) == "main > takes (0.02 s) > work (0.08 s)"


async def test_waiting_for_a_limit():
    narrow = work.using(limit="narrow")
    path = critical_path(await recorded(fan_out(narrow(2), narrow(3)), narrow=Limit(at_once=1)))
    assert ticks(path) == [("work", "wait limit", 2), ("work", "running", 3)]
    assert str(path) == "fan_out > work 2 (0.08 s)"
    assert path.parts[1].waited == 2 * TICK * 1_000_000


async def test_a_part_that_mostly_waited_says_so():
    narrow = work.using(limit="narrow")
    path = critical_path(await recorded(fan_out(narrow(3), narrow(2)), narrow=Limit(at_once=1)))
    assert str(path) == "fan_out > work 2 (0.08 s, waiting)"


async def test_a_narrow_map_is_a_chain_of_items():
    path = critical_path(await recorded(fan_map(work, [2, 5, 2, 2], at_once=2)))
    assert ticks(path) == [("work", "running", 2)] * 3
    assert str(path) == "fan_map > work x 3 (0.09 s)"


async def test_back_off_lies_between_the_attempts():
    @step(retry=Retry(attempts=3, shortest=1, longest=1))
    async def flaky():
        await asyncio.sleep(TICK)
        if len(seen) < 2:
            seen.append(1)
            raise ConnectionError

    seen = []
    path = critical_path(await recorded(flaky()))
    kinds = [s.kind for s in path.segments]
    assert kinds == ["running", "wait backoff", "running", "wait backoff", "running"]
    assert path.blame["running"] == 3 * TICK * 1_000_000


async def test_a_hedge_counts_as_running():
    @step(hedge=Hedge(after=TICK))
    async def slow_once():
        seen.append(1)
        await asyncio.sleep(100 if len(seen) == 1 else TICK)

    seen = []
    assert ticks(critical_path(await recorded(slow_once()))) == [("slow_once", "running", 2)]


async def test_a_stagger_is_coordination():
    call = first(work(9), work(1), stagger=(0, 3 * TICK))
    assert ticks(critical_path(await recorded(call))) == [
        ("first", "coordination", 3),
        ("work", "running", 1),
    ]


async def test_a_group_starts_when_its_members_are_there():
    @step
    async def add(numbers):
        await asyncio.sleep(TICK)
        return sum(numbers)

    path = critical_path(
        await recorded(tree_reduce(add, [work(1), work(7), work(2), work(3)], arity=2))
    )
    assert ticks(path) == [("work", "running", 7), ("add", "running", 1), ("add", "running", 1)]
    assert str(path) == "tree_reduce > work 2 (0.11 s) > add x 2 (0.03 s)"


async def test_what_a_fan_in_gave_up_still_explains_its_end():
    call = fan_out(work(1), work(50), need=1, within=4 * TICK)
    assert ticks(critical_path(await recorded(call))) == [("work", "running", 4)]


async def test_losers_explain_nothing_but_their_own_slow_end():
    @step
    async def clings():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2 * TICK)

    call = fan_out(clings(), work(9), work(3), need=1, enough=1)
    assert ticks(critical_path(await recorded(call))) == [
        ("work", "running", 3),
        ("clings", "running", 2),
    ]


async def test_an_input_that_failed_let_the_other_go():
    @step
    async def fails():
        await asyncio.sleep(2 * TICK)
        raise LookupError

    @step
    async def main():
        with pytest.raises(LookupError):
            await bind(again, fails(), work(9))

    assert ticks(critical_path(await recorded(main()))) == [("fails", "running", 2)]


async def test_a_run_that_goes_on_has_a_path_so_far():
    @step
    async def main():
        await work(2)
        await asyncio.sleep(100)

    async with Runtime() as runtime:
        run = runtime.start(main())
        await asyncio.sleep(1)
        path = critical_path(run.record())
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.wait()
    assert ticks(path) == [("work", "running", 2)]
    assert str(path) == "not over > work (0.03 s)"


def test_a_record_without_calls():
    path = critical_path(RunRecord(Header("r", 0, 0), ()))
    assert (path.segments, path.microseconds) == ((), 0)


def row(call, start, end, *, parent=0, step="s", **more):
    blank = {"fan_in": None, "pattern": None, "role": "work", "key": None}
    blank |= {"status": "ok", "attempts": 1, "load": 0}
    return CallRow(call=call, parent=parent, step=step, start=start, end=end, **(blank | more))


def test_twenty_thousand_bound_calls_in_a_chain_are_no_trouble():
    n = 20_000
    rows = [row(i, 0, 10 * i, edges=(i - 1,) if i > 1 else ()) for i in range(1, n + 1)]
    rows.append(row(0, 0, 10 * n, parent=None, step="main"))
    path = critical_path(RunRecord(Header("r", 0, 0), tuple(rows)))
    assert len(path.segments) == n
    assert str(path) == f"main > s x {n} (0.20 s)"


def test_little_things_are_told_in_one_sum():
    rows = [row(1, 0, 5, step="tiny"), row(2, 5, 7, step="small"), row(3, 7, 1000, step="big")]
    rows.append(row(0, 0, 1000, parent=None, step="main"))
    path = critical_path(RunRecord(Header("r", 0, 0), tuple(rows)))
    assert str(path) == "main > big (993 us) (and 7 us elsewhere)"
    assert [part.within for part in path.parts] == [None, 0, 0, 0]


@step
async def planner(of):
    await asyncio.sleep(of * TICK)


@step
async def slow_to_go(ticks):
    try:
        await asyncio.sleep(100 * TICK)
    except asyncio.CancelledError:
        await asyncio.sleep(ticks * TICK)
        raise


async def guessed(of, wanted, *guesses):
    call = speculate(planner(of), lambda _: wanted, guess=guesses)
    return ticks(critical_path(await recorded(call)))


async def test_a_right_guess_leaves_the_longer_of_planner_and_guess():
    assert await guessed(2, work(5), work(5)) == [("work", "running", 5)]
    assert await guessed(5, work(2), work(2)) == [("planner", "running", 5)]


async def test_a_wrong_guess_leaves_planner_and_call_in_a_row():
    row = [("planner", "running", 3), ("work", "running", 2)]
    for wrong in (1, 3, 9):  # done before the planner, with it, cancelled
        assert await guessed(3, work(2), work(wrong)) == row
    assert await guessed(3, work(2), slow_to_go(1)) == row


async def test_a_wrong_guess_is_not_named():
    call = speculate(planner(3), lambda _: work(2), guess=[work(9), work(3)])
    path = critical_path(await recorded(call))
    assert str(path) == "speculate > planner (0.05 s) > work 3 (0.03 s)"


async def test_a_wrong_guess_explains_only_what_its_end_took():
    row = [("planner", "running", 3), ("work", "running", 2), ("slow_to_go", "running", 4)]
    assert await guessed(3, work(2), slow_to_go(6)) == row
    assert await guessed(3, None, slow_to_go(6)) == [row[0], ("slow_to_go", "running", 6)]


async def test_the_right_guess_that_failed_stands_before_the_call():
    tries = []

    @step
    async def fails_once():
        tries.append(1)
        await asyncio.sleep(4 * TICK)
        if len(tries) == 1:
            raise OSError

    found = await guessed(3, fails_once(), fails_once())
    assert found == [("fails_once", "running", 4), ("fails_once", "running", 4)]


async def test_a_speculation_that_was_cancelled_says_nothing_of_its_guesses():
    @step
    async def main():
        await fan_out(speculate(planner(9), work, guess=work(8)), need=0, within=4 * TICK)

    path = critical_path(await recorded(main()))
    assert sum(each for *_, each in ticks(path)) == 4


# Pipelines


def nap(name, length):
    async def body(value):
        await asyncio.sleep(length * TICK)
        return value

    return step(name=name)(body)


async def test_a_pipeline_is_followed_through_its_slowest_stage():
    parts = (stage(nap("load", 1)), stage(nap("parse", 3)), batch(2), stage(nap("embed", 2)))
    path = critical_path(await recorded(pipeline(range(6), *parts)))
    assert path.blame == {"running": path.microseconds}
    assert str(path) == "pipeline > load 1 (0.02 s) > parse x 6 (0.28 s) > embed 3 (0.03 s)"


async def test_a_pipeline_is_followed_through_a_stream():
    @step
    async def pages(count):
        for number in range(count):
            await asyncio.sleep(TICK)
            yield number

    path = critical_path(await recorded(pipeline([3], stage(pages), stage(nap("read", 2)))))
    assert ticks(path) == [
        ("pages", "running", 1), ("read", "running", 2), ("read", "running", 2),
        ("read", "running", 2),
    ]  # fmt: skip


async def test_time_for_which_a_batch_was_lingered_for_is_a_wait():
    async def slow_source():
        yield 1
        await asyncio.sleep(9 * TICK)

    parts = (stage(nap("load", 1)), batch(2, linger=4 * TICK), stage(nap("embed", 2)))
    path = critical_path(await recorded(pipeline(slow_source(), *parts)))
    assert ticks(path) == [
        ("load", "running", 1), ("embed", "wait buffer", 4), ("embed", "running", 2),
        ("pipeline", "coordination", 2),
    ]  # fmt: skip


STAGES = st.builds(
    StageOf,
    st.integers(1, 3),
    st.integers(0, 3),
    st.none() | st.tuples(st.integers(1, 3), st.none()),
)
PIPELINES = st.builds(
    PlanOf,
    seed=st.integers(0, 10_000),
    items=st.integers(1, 8),
    stages=st.lists(STAGES, min_size=1, max_size=4),
)


def always_somebody_works(plan):
    """With the whole input there, each instant of a pipeline's time is one of a running call."""
    seen = Seen(plan)

    async def program(runtime):
        run = runtime.start(pipeline(seen.source(), *seen.parts()))
        await run.wait()
        return run.record()

    path = critical_path(virtually(program))
    waited = sum(time for kind, time in path.blame.items() if kind != "running")
    assert waited <= len(path.segments), "no more than what rounding leaves"
    assert path.segments[0].start == 0
    for before, after in zip(path.segments, path.segments[1:], strict=False):
        assert before.end == after.start


def test_the_path_of_a_pipeline_has_no_hole():
    holds(always_somebody_works, plan=PIPELINES, examples=200)


def test_a_path_that_does_not_ask_who_let_a_call_out_is_rejected():
    mutant = changed((Graph, "releaser", lambda self, row: None))
    rejects(always_somebody_works, plan=PIPELINES, mutant=mutant)


def test_a_path_that_does_not_ask_who_gave_a_value_is_rejected():
    mutant = changed(
        (Graph, "giver", lambda self, row: None), (Graph, "releaser", lambda self, row: None)
    )
    rejects(always_somebody_works, plan=PIPELINES, mutant=mutant)
