"""Where a limit may stand: in this process, on a board in memory, on a Redis server.

On a server the real script decides, over a real connection, but at the instants of the loop: so a
law holds on the virtual clock there too, and an hour costs nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count

import redis

from fanwise.core import Runtime
from fanwise.stores import SharedLimits
from fanwise.stores._redis import SCRIPT, RedisBoard, numbers_of, reply_of
from tests.laws.proving import changed
from tests.stores.workers import Far, memory_board

LONG = 1_000.0
"""Seconds between heartbeats, longer than any test: whatever goes on was told."""

PREFIXES = count()
CLOCK = """local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
"""
AT = "local now = tonumber(ARGV[3])\n"
EXPIRY = "local ms = math.ceil((bucket[UNTIL] - now) / 1000) + 1\n"
KEPT = "local ms = 600000\n"  # real ones, beside which the clock of the loop runs fast


class RedisAt:
    """A board over Redis whose script is told what time it is."""

    def __init__(self, url, script):
        assert script.count(CLOCK) == script.count(EXPIRY) == 1
        script = script.replace(CLOCK, AT).replace(EXPIRY, KEPT)
        self.names = RedisBoard(url, prefix=f"at{next(PREFIXES)}")
        self.client = redis.Redis.from_url(url, protocol=2)
        self.script = self.client.register_script(script)
        self.ear = self.client.pubsub()
        self.loop = asyncio.get_running_loop()

    async def visit(self, terms, visit):
        now = int((self.loop.time() + 1e9) * 1e6)  # a server's clock is not the loop's
        line = self.script(
            self.names.keys(terms.name), (visit.holder, numbers_of(terms, visit), now)
        )
        self.hear()
        return reply_of(line)

    def hear(self):
        """Hand on what was published until now: what the answer to a ping comes after."""
        self.ear.ping()
        while (message := self.ear.get_message(timeout=10))["type"] != "pong":
            if message["type"] == "message":
                self.names._tell(message["channel"], message["data"].decode().split())

    async def listen(self, name, listener):
        channel = self.names.keys(name)[0]
        self.ear.subscribe(channel)
        self.names._listeners.setdefault(channel.encode(), []).append(listener)

    def unlisten(self, name, listener):
        self.names.unlisten(name, listener)

    async def aclose(self):
        """Do nothing: others share it."""

    def close(self):
        self.ear.close()
        self.client.close()


class Skewed:
    """The loop as one sees it whose clock shows another time and runs at another pace."""

    def __init__(self, loop, ahead, pace):
        self.loop, self.ahead, self.pace = loop, ahead, pace
        self.create_task, self.create_future = loop.create_task, loop.create_future

    def time(self):
        return self.ahead + self.pace * self.loop.time()

    def call_later(self, delay, callback):
        return self.loop.call_later(delay / self.pace, callback)


class OneOf(SharedLimits):
    """The shared limits of one worker, with a clock of its own."""

    def __init__(self, board, skew, **given):
        super().__init__(board, **given)
        self.skew = skew

    def gate(self, name, limit):
        gate = super().gate(name, limit)
        gate._loop = Skewed(asyncio.get_running_loop(), *self.skew)
        return gate


class Here:
    """A limit of this process, which all its workers use."""

    name = "process"

    @asynccontextmanager
    async def workers(self, size, limit, **_):
        async with Runtime(limits={"thing": limit}, seed=1) as runtime:
            yield [runtime] * size


class InMemory:
    """A limit on a board in memory: a runtime for each worker."""

    name = "memory"

    @contextmanager
    def board(self):
        yield memory_board()

    @asynccontextmanager
    async def workers(self, size, limit, lease=8, heartbeat=1.0, skew=None, **far):
        async with AsyncExitStack() as stack:
            board = Far(stack.enter_context(self.board()), **far)
            found = []
            for skewed in skew or [(0.0, 1.0)] * size:
                how = {"lease": lease, "heartbeat": heartbeat, "delay": 0.0}  # nothing is far
                shared = OneOf(board, skewed, **how)
                runtime = Runtime(limits={"thing": limit}, shared=shared, seed=1)
                found.append(await stack.enter_async_context(runtime))
            yield found


class OnServer(InMemory):
    """The same on a Redis server."""

    name = "redis"

    def __init__(self, url):
        self.url = url
        self.script = SCRIPT

    @contextmanager
    def board(self):
        board = RedisAt(self.url, self.script)
        try:
            yield board
        finally:
            board.close()

    def without(self, original, broken):
        """A mutant: another script."""
        assert SCRIPT.count(original) == 1, original
        return changed((self, "script", SCRIPT.replace(original, broken)))
