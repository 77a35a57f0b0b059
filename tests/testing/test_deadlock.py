"""A program that cannot go on says so at once, and says who waits where."""

import asyncio
import contextlib
import time

import pytest

from fanwise.testing import Deadlock, run_virtual


async def get_from(queue):
    return await queue.get()  # the place that the report must name


def story(main, **options):
    began = time.monotonic()
    with pytest.raises(Deadlock) as caught:
        run_virtual(main, **options)
    assert time.monotonic() - began < 5
    return str(caught.value)


def test_each_pending_task_is_named_with_the_place_where_it_waits():
    async def main():
        await asyncio.sleep(3)
        task = asyncio.create_task(get_from(asyncio.Queue()), name="consumer")
        asyncio.create_task(asyncio.Event().wait(), name="event")
        await task

    told = story(main())
    line = get_from.__code__.co_firstlineno + 1
    assert "deadlock at 3 s" in told
    assert "pending tasks: 3" in told
    assert f"task 'consumer' waits at {__file__}:{line} in get_from, inside " in told
    assert "queues.py" in told
    assert "task 'event' waits at " in told
    assert ", for task 'consumer'" in told


def test_the_place_is_found_through_generators_and_dunder_await():
    class Hidden:
        def __await__(self):
            return get_from(asyncio.Queue()).__await__()

    async def items():
        yield await Hidden()

    async def main():
        async for _ in items():
            pass

    assert "in get_from" in story(main())


def test_a_deadlock_cannot_be_swallowed_by_the_program():
    async def main():
        while True:
            with contextlib.suppress(Exception):
                await asyncio.Event().wait()

    assert "pending tasks: 1" in story(main())


def test_tasks_are_cancelled_and_awaited_after_a_deadlock():
    ended = []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            ended.append(asyncio.get_running_loop().time())

    async def main():
        await asyncio.gather(waits(), waits())

    story(main())
    assert ended == [1.0, 1.0]


def test_a_set_timer_is_no_deadlock():
    async def main():
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1e5, event.set)
        await event.wait()

    run_virtual(main())


def test_a_cancelled_timer_does_not_hide_a_deadlock():
    async def main():
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1, event.set).cancel()
        await event.wait()

    assert "deadlock at 0 s" in story(main())
