"""The orphan check finds each kind of thing that can be left, and nothing else."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fanwise.testing import (
    Orphan,
    OrphansLeft,
    assert_no_orphans,
    find_orphans,
    living,
    no_orphans,
    run_virtual,
)

pytestmark = pytest.mark.blocking_ok


def left(block, **options):
    """The orphans of a block, run under both forms of the context, on both kinds of loop."""

    async def under_async_with():
        async with no_orphans(**options):
            return await block()

    async def under_with():
        with no_orphans(**options):
            return await block()

    found = []
    for run, main in ((run_virtual, under_async_with), (asyncio.run, under_with)):
        with pytest.raises(OrphansLeft) as caught:
            run(main())
        found.append(caught.value)
    assert [it.kind for it in found[0].orphans] == [it.kind for it in found[1].orphans]
    return found[0]


def clean(block, **options):
    async def main():
        async with no_orphans(**options):
            return await block()

    run_virtual(main())
    asyncio.run(main())


async def sleeps():
    await asyncio.sleep(30)


def test_a_task():
    async def block():
        task = asyncio.create_task(sleeps(), name="lost")
        await asyncio.sleep(0)
        return task

    error = left(block, allow=lambda it: it.kind == "timer")
    assert [(it.kind, it.name) for it in error.orphans] == [("task", "'lost'")]
    line = sleeps.__code__.co_firstlineno + 1
    assert f"waits at {__file__}:{line} in sleeps" in str(error)


def test_a_timer():
    async def block():
        return asyncio.get_running_loop().call_later(30, print)

    (orphan,) = left(block).orphans
    assert orphan.kind == "timer"
    assert "print" in orphan.name


def test_a_timer_that_is_equal_to_an_older_one():
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_at(9, print)
        before = living()
        loop.call_at(9, print)
        assert [it.kind for it in find_orphans(before)] == ["timer"]

    run_virtual(main())


def test_an_async_generator():
    async def items():
        yield 1
        yield 2

    kept = []

    async def block():
        kept.append(items())
        await anext(kept[-1])

    (orphan,) = left(block).orphans
    assert orphan.kind == "generator"
    assert orphan.name.endswith("items")
    assert f"{__file__}:" in orphan.where


def test_a_thread():
    release = threading.Event()

    async def block():
        threading.Thread(target=release.wait, args=(10,), name="lost-thread").start()

    error = left(block)
    release.set()
    assert [(it.kind, it.name) for it in error.orphans] == [("thread", "'lost-thread'")]
    assert "threading.py" in str(error)


def test_a_socket():
    kept = []

    async def block():
        kept.extend(socket.socketpair())

    try:
        assert [it.kind for it in left(block).orphans] == ["socket", "socket"]
    finally:
        for it in kept:
            it.close()


def test_a_transport_is_named():
    async def main():
        loop = asyncio.get_running_loop()
        one, two = socket.socketpair()
        before = living()
        with two:
            three, four = socket.socketpair()
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=three)
            with four:
                found = find_orphans(before)
            transport.close()
            await asyncio.sleep(0)
        one.close()
        return found

    first, _ = run_virtual(main())
    assert "_SelectorSocketTransport" in first.where


def test_a_socket_under_the_number_of_one_that_was_closed():
    old = socket.socket()
    before = living()
    old.close()
    with socket.socket() as new:
        found = find_orphans(before)
        assert [it.name.split()[0] for it in found] == [f"fd={new.fileno()}"]


def test_a_probe():
    async def block():
        return None

    error = left(block, probes=[lambda: ["slot of 'search'"], list])
    assert error.orphans == (Orphan("other", "slot of 'search'"),)
    assert str(error) == "1 left over:\n  - other slot of 'search'"


def test_what_is_closed_and_awaited_is_no_orphan():
    async def items():
        yield 1

    async def serve(_, writer):
        writer.close()
        await writer.wait_closed()

    async def block():
        async with asyncio.TaskGroup() as group, asyncio.timeout(5):
            group.create_task(asyncio.sleep(0.01))
        async for _ in items():
            pass
        thread = threading.Thread(target=time.sleep, args=(0.01,))
        thread.start()
        thread.join()
        one, two = socket.socketpair()
        one.close(), two.close()

    clean(block)


def test_what_lived_before_is_no_orphan():
    async def main():
        task = asyncio.create_task(sleeps())
        await asyncio.sleep(0)
        with no_orphans(), socket.socket():
            pass
        task.cancel()

    run_virtual(main())


def test_idle_threads_of_a_pool_are_no_orphans_and_busy_ones_are():
    begun, release = threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        with no_orphans():
            pool.submit(sum, [1, 2]).result()
        before = living()
        pool.submit(work)
        begun.wait(10)
        assert [it.kind for it in find_orphans(before)] == ["thread"]
        release.set()


def test_a_job_of_the_loop_that_has_just_come_back_is_no_orphan():
    async def block():
        for _ in range(20):
            await asyncio.to_thread(time.sleep, 0)

    clean(block)


def test_what_the_block_raises_is_not_hidden():
    async def main():
        async with no_orphans():
            asyncio.create_task(sleeps())
            raise KeyError

    with pytest.raises(KeyError):
        run_virtual(main())


def test_outside_a_loop_a_loop_can_be_given():
    loop = asyncio.new_event_loop()
    before = living(loop)
    task = loop.create_task(sleeps(), name="lost")
    with pytest.raises(OrphansLeft, match="task 'lost'"):
        assert_no_orphans(before)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    assert_no_orphans(before, allow=lambda it: it.kind == "timer")
    loop.close()
