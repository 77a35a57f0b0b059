"""What fanwise.testing takes from asyncio's inside: fails where a version of Python changes it."""

import asyncio
import re
import socket
from collections import deque
from pathlib import Path

import fanwise.testing
from fanwise.testing import VirtualLoop
from fanwise.testing._internals import awaited_by, generators_of, timers_of, transport_of


def test_no_name_of_ours_hides_one_of_asyncio():
    plain, ours = asyncio.SelectorEventLoop(), VirtualLoop(watchdog=None)
    added = set(vars(ours)) - set(vars(plain))
    plain.close(), ours.close()
    assert added.isdisjoint(dir(asyncio.SelectorEventLoop))
    assert "_alarms" in added


def test_the_ready_queue_takes_handles_that_exist():
    loop, ran = asyncio.SelectorEventLoop(), []
    assert type(loop._ready) is deque
    loop._ready.append(asyncio.TimerHandle(0.0, ran.append, (1,), loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert ran == [1]


def test_a_cancelled_timer_tells_its_loop():
    loop = VirtualLoop(watchdog=None)
    loop.call_later(1, print).cancel()
    loop.close()
    assert loop._dead_alarms == 1


def test_asyncio_asks_the_selector_with_zero_or_none():
    loop, asked = VirtualLoop(watchdog=None), []
    turn = loop._input.turn
    loop._input.turn = lambda timeout: asked.append(timeout) or turn(timeout)
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    assert set(asked) == {0, None}


def test_timers_of_a_plain_loop_are_seen():
    async def main():
        loop = asyncio.get_running_loop()
        kept, dropped = loop.call_later(9, print), loop.call_later(9, print)
        dropped.cancel()
        assert timers_of(loop) == [kept]

    asyncio.run(main())


def test_open_generators_are_seen_until_they_end():
    async def items():
        yield 1

    async def main():
        loop, it = asyncio.get_running_loop(), items()
        assert generators_of(loop) == []
        await anext(it)
        assert generators_of(loop) == [it]
        await it.aclose()
        assert generators_of(loop) == []

    asyncio.run(main())


def test_the_transport_of_a_socket_is_found():
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
            assert transport_of(loop, left.fileno()) is transport
            transport.close()
            await asyncio.sleep(0)

    asyncio.run(main())


def test_what_a_task_waits_for_is_known():
    async def main():
        inner = asyncio.create_task(asyncio.sleep(1))

        async def waits():
            await inner

        outer = asyncio.create_task(waits())
        await asyncio.sleep(0)
        assert awaited_by(outer) is inner
        outer.cancel()
        await asyncio.gather(inner, outer, return_exceptions=True)

    asyncio.run(main())


def test_private_names_of_asyncio_stand_in_one_file():
    private = re.compile(r"(?<!self)\._(ready|scheduled|asyncgens|transports|fut_waiter|when)\b")
    for path in Path(fanwise.testing.__file__).parent.glob("*.py"):
        if path.name != "_internals.py":
            assert not private.search(path.read_text()), path
