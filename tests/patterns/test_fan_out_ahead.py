"""`fan_out` of all its branches: begun by whoever asks, without a task while all goes well."""

import asyncio
import gc

import pytest

from fanwise import NotEnough, Runtime, fan_out, step
from fanwise.patterns._ahead import DEEPEST, WIDEST
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, cancelled_at, fails, gives, now


def tasks_named(name):
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


@step
async def seen(name):
    return [name, len(tasks_named("fan_out"))]


async def test_it_has_no_task():
    found = await fan_out(seen("a"), seen("b"), c=seen("c"))
    assert dict(found.ok) == {"seen": ["a", 0], "seen 2": ["b", 0], "c": ["c", 0]}


async def test_a_wide_one_has_a_task():
    found = await fan_out(*(seen(n) for n in range(WIDEST + 1)))
    assert found.values()[-1] == [WIDEST, 1]


async def test_a_failure_is_judged_in_a_task_when_all_that_report_at_once_have():
    async with Runtime() as runtime:
        with no_orphans():
            call = fan_out(fails(OSError(), 1.0), gives("a", 1.0), gives("b", 2.0), need=2)
            assert list((await call).ok.values()) == ["a", "b"]
            late = fan_out(fails(OSError(), 1.0), gives("a", 1.0), gives("b", 2.0))
            with pytest.raises(NotEnough) as raised:
                await late
        statuses = [each.status for each in raised.value.found.outcomes]
        assert statuses == ["failed", "ok", "cancelled"]
        assert all_rows(runtime)["fan_out"] == ["ok", "failed"]


async def test_dropped_it_leaves_every_branch_and_awaits_their_ends():
    ends = []

    @step
    async def slow(seconds):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(seconds)
            ends.append(now())

    call = fan_out(slow(1.0), slow(2.0))
    with no_orphans():
        asker = await cancelled_at(10.0, _awaits(call))
    assert asker.cancelled()
    assert call.status == "cancelled"
    assert (ends, now()) == ([11.0, 12.0], 12.0)


async def test_dropped_between_its_decision_and_its_judgement_it_is_cancelled():
    async with Runtime():
        with no_orphans():
            last = gives("b", 2.0)
            call = fan_out(fails(OSError(), 1.0), last)
            asker = asyncio.create_task(_awaits(call))
            await asyncio.sleep(0)  # so that the timers of its branches come first
            asyncio.get_running_loop().call_at(
                1.0, asyncio.get_running_loop().call_soon, asker.cancel
            )
            await asyncio.wait([asker])
            assert asker.cancelled()
        assert (call.status, last.status) == ("cancelled", "cancelled")


def test_a_loop_that_ends_between_its_decision_and_its_judgement_does_not_hang():
    calls = []

    @step
    async def breaks(main):
        main.set_result(
            None
        )  # the main task ends in the turn in which the judging task would begin
        raise OSError

    async def main():
        over = asyncio.get_running_loop().create_future()
        calls.append(fan_out(breaks(over), gives("a", 60.0)))
        other = asyncio.ensure_future(_awaits(calls[0]))
        await over
        return other

    other = asyncio.run(main())
    assert other.cancelled() or isinstance(other.exception(), NotEnough)
    assert calls[0].status in ("failed", "cancelled")


async def _awaits(call):
    return await call


async def test_one_inside_the_other_needs_no_deep_stack():
    call = gives(1)
    for _ in range(40 * DEEPEST):
        call = fan_out(call)
    found = await call
    for _ in range(40 * DEEPEST - 1):
        found = found.values()[0]
    assert list(found.values()) == [1]


async def test_a_chain_that_was_asked_for_one_by_one_ends_without_a_deep_stack():
    call = gives(1, 1.0)
    asked = []
    for _ in range(40 * DEEPEST):
        call = fan_out(call)
        asked.append(asyncio.ensure_future(_awaits(call)))
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert call.status == "ok"


async def test_it_leaves_nothing_for_the_collector():
    @step
    async def breaks():
        raise OSError

    async with Runtime() as runtime:

        @step
        async def program():
            for _ in range(100):
                await fan_out(gives(1), gives(2))
                await fan_out(gives(1), breaks(), need=1)

        await runtime.run(program())  # what the first one loads stays
        gc.collect()
        await runtime.run(program())
        assert gc.collect() == 0


async def test_it_ends_in_the_turn_in_which_its_last_branch_ends():
    loop = asyncio.get_running_loop()
    turns = []

    def turn():
        turns.append(None)
        if len(turns) < 10:
            loop.call_soon(turn)

    @step
    async def last():
        turns.clear()
        loop.call_soon(turn)

    await fan_out(gives(1), last())
    assert len(turns) == 1  # the asker wakes in the next one
