"""A task that talks to a server ends, also where its client loses a cancel."""

import asyncio

from fanwise.stores._dismissed import dismissed


def loses(cancels):
    """Give a task that goes on after so many cancels."""
    lost = []

    async def asks():
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                lost.append(None)
                if len(lost) > cancels:
                    raise

    return asyncio.create_task(asks()), lost


async def test_a_task_is_cancelled_once_where_that_is_enough():
    task, lost = loses(0)
    await asyncio.sleep(0)
    await dismissed(task)
    assert task.cancelled()
    assert len(lost) == 1


async def test_a_cancel_that_is_lost_is_sent_again():
    task, lost = loses(3)
    await asyncio.sleep(0)
    await dismissed(task)
    assert task.cancelled()
    assert len(lost) == 4


async def test_a_task_that_has_ended_is_left_alone():
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task
    await dismissed(task)
    assert task.result() == "done"
