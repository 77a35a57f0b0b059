"""What people write by mistake: refused at once, by name, with the cure, and with nothing left."""

import asyncio
import threading

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
    first,
    run,
    step,
    tree_reduce,
)
from fanwise.errors import CallDropped


@step
async def gives(value, after=0.0):
    await asyncio.sleep(after)
    return value


async def yes(_):
    return True


async def test_an_async_accept_is_refused_else_everything_would_be_accepted():
    with pytest.raises(TypeError, match="accept"):
        await first(gives(1), accept=yes)


async def test_an_async_key_of_a_tree_is_refused():
    with pytest.raises(TypeError, match="key"):
        await tree_reduce(sum, [1, 2], arity=2, key=yes)


def test_an_async_predicate_of_a_retry_is_refused():
    with pytest.raises(TypeError, match=r"Retry\(on=\)"):
        Retry(on=yes)


def test_a_deadline_outside_a_coroutine_says_so():
    text = r"deadline\(\.\.\.\) bounds a block inside a coroutine"
    with pytest.raises(RuntimeError, match=text), deadline(1.0):
        pytest.fail("the block must not be entered")


async def test_run_inside_a_loop_says_what_to_write():
    with pytest.raises(RuntimeError, match=r"await"):
        run(gives(1))


async def test_a_runtime_entered_twice_says_so():
    runtime = Runtime()
    async with runtime:
        with pytest.raises(RuntimeError, match="open"):
            async with runtime:
                pass
        assert await gives(1) == 1


async def test_a_runtime_may_be_opened_again_or_says_that_it_may_not():
    runtime = Runtime(limits={"x": Limit(at_once=1)})
    ran = []
    for value in (1, 2):
        try:
            async with runtime:
                ran.append(await step(gives.function, limit="x", timeout=5.0)(value))
        except RuntimeError as error:
            ran.append(2 if "again" in str(error) else error)
    assert ran == [1, 2]


async def test_current_in_a_plain_task_below_a_step_is_the_steps():
    @step
    async def outer():
        async def inside():
            return current().run_id

        return await asyncio.create_task(inside()) == current().run_id

    assert await outer()


async def test_usage_that_is_not_known_is_refused_by_name():
    @step
    async def spends():
        current().usage(tokens=3)

    with pytest.raises(TypeError, match=r"usage\(tokens=\) is not known; there are: tokens_in"):
        await spends()


@pytest.mark.parametrize(
    "wrong", [{"tokens_in": -1}, {"tokens_out": 1.5}, {"cached": "5"}, {"sent": True}, {"model": 5}]
)
async def test_usage_that_cannot_be_is_refused(wrong):
    @step
    async def spends():
        current().usage(**wrong)

    with pytest.raises((TypeError, ValueError), match=rf"usage\({min(wrong)}=\) is "):
        await spends()


async def test_a_call_that_is_taken_for_its_value_says_how_to_come_by_it():
    call = gives("text")
    with pytest.raises(AttributeError, match=r"'Call' object has no .* \(await \.\.\.\)\.upper"):
        call.upper()
    assert (await call).upper() == "TEXT"
    assert not hasattr(call, "lower")


async def test_a_bool_of_a_call_is_not_its_value():
    """`if search(query):` is always true: a call that is forgotten warns."""
    with pytest.warns(RuntimeWarning, match="made and never awaited"):
        assert gives(False)


async def test_gather_over_calls_runs_them():
    assert await asyncio.gather(gives(1), gives(2)) == [1, 2]


async def test_wait_for_and_shield_take_calls():
    assert await asyncio.wait_for(gives(1), 5) == 1
    assert await asyncio.shield(asyncio.ensure_future(gives(2))) == 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gives(1, 9.0), 1.0)


async def test_task_groups_take_calls_through_a_coroutine():
    async def wait(call):
        return await call

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(gives(n, 1.0))) for n in range(3)]
    assert [task.result() for task in tasks] == [0, 1, 2]


async def test_a_failing_task_group_lets_calls_go():
    calls = [gives(n, 9.0) for n in range(3)]

    async def wait(call):
        return await call

    async def fails():
        await asyncio.sleep(1)
        raise OSError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(wait(call))
            group.create_task(fails())
    assert [call.status for call in calls] == ["cancelled"] * 3
    with pytest.raises(CallDropped):
        await calls[0]


async def test_a_fan_in_is_not_a_boolean_trap():
    """An empty fan-in and one without successes are told apart by `.complete`."""
    found = await fan_out(need=0)
    assert found.complete
    found = await fan_out(fan_out(gives(1)), need=0)
    assert found.complete


async def test_an_exception_group_of_a_branch_is_kept_whole():
    @step
    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())

    async def fails():
        raise OSError("inner")

    with pytest.raises(NotEnough) as caught:
        await fan_out(grouped())
    assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_a_step_that_returns_a_call_gives_the_call():
    inner = gives(1)
    outer = gives(inner)
    assert await outer is inner
    assert await inner == 1


async def test_a_default_argument_that_is_a_call_is_shared_by_all():
    shared = gives("once", 1.0)

    @step
    async def uses(n, source=shared):
        return n, await source

    assert (await fan_map(uses, [1, 2], at_once=2)).values() == [(1, "once"), (2, "once")]


async def test_bind_of_a_step_with_too_few_arguments_is_its_own_failure():
    @step
    async def two(a, b):
        return a + b

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        await bind(two, gives(1))


@pytest.mark.real_clock
async def test_a_hedged_thread_that_loses_is_abandoned_and_waited_for():
    go = threading.Event()
    ended = []

    @step(hedge=Hedge(after=0.02), limit="two")
    def work():
        number = current().attempt
        if number == 1:
            assert go.wait(10)
            ended.append(number)
        return number

    async with Runtime(limits={"two": Limit(at_once=2)}) as runtime:
        assert await work() == 2
        assert runtime.statistics().limits[0].in_flight == 1
        go.set()
    assert ended == [1]


@pytest.mark.real_clock
def test_the_same_steps_in_two_loops():
    async def main():
        return (await fan_out(gives(1), gives(2))).values()

    assert asyncio.run(main()) == asyncio.run(main()) == [1, 2]


@pytest.mark.real_clock
def test_a_call_that_ended_in_another_loop_gives_its_value():
    call = gives(1)

    async def main():
        return await call

    assert asyncio.run(main()) == asyncio.run(main()) == 1
