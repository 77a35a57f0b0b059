"""The nine cases at which every peer that was tried fails at least once (issue 2, section 3)."""

import asyncio
import logging

import pytest

from fanwise import (
    Hedge,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    bind,
    current,
    deadline,
    fan_map,
    fan_out,
    step,
)
from fanwise.errors import CallDropped, LimitHeld, StrayCancel, TimedOut
from fanwise.testing import no_orphans, run_virtual
from tests.patterns.steps import (
    all_rows,
    cancelled_at,
    fails,
    gives,
    hangs,
    lingers,
    nothing_held,
    now,
)

ORDERS = [("fifo", 0), *(("shuffled", seed) for seed in range(8))]


# 1. No barrier


async def test_a2_ends_at_a_fifth_of_a_second_beside_an_unrelated_slow_one():
    ended = []

    @step
    async def a1():
        await asyncio.sleep(0.1)

    @step
    async def a2(_):
        await asyncio.sleep(0.1)
        ended.append(now())

    await fan_out(bind(a2, a1()), gives("slow", 1.0))
    assert ended == [0.2]
    assert now() == 1.0


# 2. A quorum under a time


async def test_need_1_within_half_a_second_answers_then_with_a_value_and_two_gaps():
    broken = ConnectionError("refused")
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(fails(broken, 0.1), hangs(), gives("done", 0.2), need=1, within=0.5)
        assert now() == 0.5
        nothing_held(runtime)
    assert found.values() == ["done"]
    assert [outcome.status for outcome in found] == ["failed", "timed_out", "ok"]
    assert found["fails"].error is broken
    assert isinstance(found["hangs"].error, TimedOut)
    assert str(found) == (
        "1 of 3 branches are there\n"
        "  fails: failed: ConnectionError: refused\n"
        "  hangs: timed_out: TimedOut: hangs still ran when the 0.5 s of its fan-in were over"
    )


# 3. All are needed and one fails


async def test_the_error_comes_at_once_and_what_finished_is_in_found():
    broken = ConnectionError("refused")
    ended = []

    @step
    async def cleans_up():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(NotEnough) as caught:
            await fan_out(gives("early", 1.0), fails(broken, 2.0), cleans_up())
        assert ended == [2.5]  # cancelled at once, and awaited
        assert now() == 2.5
        nothing_held(runtime)
    found = caught.value.found
    assert caught.value.__cause__ is broken
    assert found.ok == {"gives": "early"}
    assert [outcome.status for outcome in found] == ["ok", "failed", "cancelled"]


# 4. Cancelled from outside


async def test_cancelled_in_its_back_off_it_leaves_nothing():
    tries = []

    @step(retry=Retry(attempts=5, shortest=10.0, longest=10.0), limit="web")
    async def web():
        tries.append(now())
        raise ConnectionError

    async with no_orphans(), Runtime(limits={"web": Limit(at_once=1)}, seed=3) as runtime:
        task = await cancelled_at(0.5, runtime.run(web()))
        assert task.cancelled()
        assert now() == 0.5
        assert tries == [0.0]
        assert all_rows(runtime) == {"web": ["cancelled"]}
        nothing_held(runtime)


async def test_cancelled_while_it_hedges_it_leaves_nothing():
    open_bodies = set()

    @step(hedge=Hedge(after=1.0, more=2), limit="web")
    async def web():
        number = current().attempt
        open_bodies.add(number)
        try:
            await asyncio.sleep(100)
        finally:
            open_bodies.discard(number)

    async with no_orphans(), Runtime(limits={"web": Limit(at_once=3)}) as runtime:
        task = asyncio.create_task(runtime.run(web()))
        await asyncio.sleep(2.5)
        assert open_bodies == {1, 2, 3}
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert open_bodies == set()
        assert all_rows(runtime) == {"web": ["cancelled"]}
        nothing_held(runtime)


async def test_cancelled_while_it_waits_for_a_limit_it_leaves_nothing():
    begun = []

    @step(limit="web")
    async def web(name):
        begun.append(name)
        await asyncio.sleep(10)

    async with no_orphans(), Runtime(limits={"web": Limit(at_once=1)}) as runtime:
        holder = asyncio.create_task(runtime.run(web("holder")))
        await asyncio.sleep(1)
        task = await cancelled_at(2.0, runtime.run(web("waits")))
        assert task.cancelled()
        assert runtime.statistics().limits[0].waiting == 0
        await holder
        assert begun == ["holder"]
        assert all_rows(runtime) == {"web": ["skipped", "ok"]}
        nothing_held(runtime)


async def test_cancelled_over_an_async_source_it_closes_the_generator():
    closed = []

    async def source():
        try:
            while True:
                await asyncio.sleep(1)
                yield "item"
        finally:
            await asyncio.sleep(0.25)
            closed.append(now())

    async with no_orphans(), Runtime() as runtime:
        task = await cancelled_at(3.5, runtime.run(fan_map(lingers, source(), at_once=2)))
        assert task.cancelled()
        assert len(closed) == 1
        nothing_held(runtime)


# 5. A shared call


async def test_of_two_fan_ins_one_gives_up_and_the_other_still_gets_the_shared_call():
    async with no_orphans():
        shared = gives("both want it", 2.0)
        hasty = fan_out(shared, need=0, within=1.0)
        patient = fan_out(shared, gives("more", 1.0))
        found = await fan_out(hasty, patient)
    gap = found[hasty].value[shared]
    assert gap.status == "timed_out"
    assert found[patient].value.values() == ["both want it", "more"]
    assert await shared == "both want it"
    assert now() == 2.0


async def test_a_fan_in_that_fails_leaves_the_shared_call_to_the_other():
    shared = gives("both want it", 2.0)
    fragile = fan_out(shared, fails(ValueError("no"), 1.0))
    found = await fan_out(fragile, fan_out(shared), need=1)
    assert found.outcomes[0].status == "failed"
    assert found.outcomes[1].value.values() == ["both want it"]


# 6. A width that an ancestor holds


async def test_the_same_width_below_itself_is_refused_at_once_and_both_are_named():
    @step(limit="db")
    async def inner():
        return 1

    @step(limit="db")
    async def outer():
        await asyncio.sleep(1)
        return await inner()

    async with Runtime(limits={"db": Limit(at_once=1)}) as runtime:
        with pytest.raises(LimitHeld, match=r"inner asks for the limit 'db', which outer holds"):
            await outer()
        assert now() == 1.0
        nothing_held(runtime)


async def test_the_same_width_is_found_through_steps_and_patterns_between():
    @step(limit="db")
    async def inner(_):
        return 1

    @step
    async def between():
        return await fan_map(inner, [1, 2], at_once=2)

    @step(limit="db")
    async def outer():
        return await fan_out(between())

    async with Runtime(limits={"db": Limit(at_once=1)}) as runtime:
        with pytest.raises(NotEnough) as caught:
            await outer()
        nothing_held(runtime)
    error = caught.value
    while isinstance(error, NotEnough):
        error = error.__cause__
    assert isinstance(error, LimitHeld)
    assert "inner" in str(error)
    assert "outer" in str(error)


# 7. A CancelledError that nobody sent


async def test_a_stray_cancel_is_a_failure_of_that_branch_alone():
    @step
    async def stray():
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    found = await fan_out(stray(), gives("fine", 2.0), need=1)
    assert now() == 2.0
    assert found["stray"].status == "failed"
    assert isinstance(found["stray"].error, StrayCancel)
    assert isinstance(found["stray"].error.__cause__, asyncio.CancelledError)
    assert found.ok == {"gives": "fine"}
    with pytest.raises(StrayCancel, match="stray raised a CancelledError that nobody had sent"):
        await stray()


async def test_awaiting_a_task_that_somebody_else_cancelled_is_such_a_failure_too():
    other = asyncio.create_task(asyncio.sleep(100))
    asyncio.get_running_loop().call_at(1.0, other.cancel)
    found = await fan_out(other, gives("fine", 2.0), need=1)
    assert isinstance(found.outcomes[0].error, StrayCancel)
    assert found.values() == ["fine"]


# 8. Two things on one instant


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_a_branch_ends_while_enough_is_reached(order, seed):
    async def main():
        async with no_orphans(), Runtime() as runtime:
            found = await fan_out(
                gives("a", 1.0), gives("b", 1.0), gives("c", 1.5), need=1, enough=1
            )
            assert now() == 1.0
            rows = all_rows(runtime)["gives"]
            assert len(rows) == 3
            assert rows.count("ok") >= len(found.values()) >= 1
            assert found["gives 3"].status == "cancelled"
            for outcome in found:
                assert (outcome.status == "ok") == (outcome.error is None)
            nothing_held(runtime)

    run_virtual(main(), order=order, seed=seed)


@pytest.mark.parametrize("first_to_act", ["slot", "cancel"])
@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_a_slot_is_granted_while_its_waiter_is_cancelled(order, seed, first_to_act):
    async def main():
        @step(limit="db")
        async def work(name, seconds):
            await asyncio.sleep(seconds)
            return name

        loop = asyncio.get_running_loop()
        async with no_orphans(), Runtime(limits={"db": Limit(at_once=1)}) as runtime:
            if first_to_act == "cancel":
                loop.call_at(1.0, lambda: second.cancel())  # noqa: PLW0108 - made later
            first = asyncio.create_task(runtime.run(work("first", 1.0)))
            await asyncio.sleep(0.25)
            second = asyncio.create_task(runtime.run(work("second", 1.0)))
            if first_to_act == "slot":
                loop.call_at(1.0, second.cancel)
            await asyncio.sleep(0.25)
            third = asyncio.create_task(runtime.run(work("third", 1.0)))
            await asyncio.wait([first, second, third])
            assert (first.result(), third.result()) == ("first", "third")
            assert second.cancelled()
            assert now() == 2.0
            assert len(all_rows(runtime)["work"]) == 3
            nothing_held(runtime)

    run_virtual(main(), order=order, seed=seed)


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_a_watcher_leaves_while_the_call_ends(order, seed):
    async def main():
        async def watches(call):
            return await call

        async with no_orphans(), Runtime() as runtime:

            @step
            async def asks():
                shared = gives("value", 1.0)
                stays = asyncio.create_task(watches(shared))
                leaves = asyncio.create_task(watches(shared))
                asyncio.get_running_loop().call_at(1.0, leaves.cancel)
                await asyncio.wait([stays, leaves])
                assert stays.result() == "value"
                assert leaves.cancelled() or leaves.result() == "value"

            await asks()
            assert all_rows(runtime) == {"gives": ["ok"], "asks": ["ok"]}
            nothing_held(runtime)

    run_virtual(main(), order=order, seed=seed)


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_the_last_watcher_leaves_while_the_call_ends(order, seed):
    async def main():
        async with no_orphans(), Runtime() as runtime:
            call = gives("value", 1.0)
            task = await cancelled_at(1.0, runtime.run(call))
            (status,) = all_rows(runtime)["gives"]
            assert status in ("ok", "cancelled")
            if status == "ok":
                assert await call == "value"
            else:
                assert task.cancelled()
                with pytest.raises(CallDropped):
                    await call
            nothing_held(runtime)

    run_virtual(main(), order=order, seed=seed)


# 9. A step that swallows its cancellation


async def test_a_swallowed_cancellation_is_awaited_and_its_late_value_kept():
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(lingers("late", 100.0, 2.0), gives("fine"), need=1, within=1.0)
        assert now() == 3.0
        nothing_held(runtime)
        (row,) = [row for row in runtime.runs[-1].record().calls if row.step == "lingers"]
        assert row.status == "cancelled"
        assert row.facts["late"] is True
        assert row.facts["stubborn"] is True
    assert found["lingers"].status == "timed_out"
    assert found["lingers"].late == "late"
    assert "its late value is kept" in str(found)


async def test_it_is_named_in_the_log_after_one_second(caplog):
    told = []

    class Clock(logging.Filter):
        def filter(self, record):
            told.append((now(), record.getMessage()))
            return True

    with caplog.filtering(Clock()):
        await fan_out(lingers("late", 100.0, 2.0), need=0, within=1.0)
    assert told == [(2.0, "lingers was cancelled 1 s ago and still runs: it swallows cancellation")]
    assert now() == 3.0


async def test_a_step_that_ends_within_the_second_is_not_named(caplog):
    await fan_out(lingers("late", 100.0, 0.75), need=0, within=1.0)
    assert caplog.messages == []


async def test_a_swallowed_deadline_is_awaited_too():
    with pytest.raises(TimedOut), deadline(1.0):
        await lingers("late", 100.0, 0.5)
    assert now() == 1.5
