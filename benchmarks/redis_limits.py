"""Limits over Redis: the script of three dimensions against a bare INCR script, and leases.

The server is a `redis-server` of its own, on a free port. The INCR script is the shortest limiter
in use: a counter with an expiry. Both are called one after the other from one connection.
"""

from __future__ import annotations

import asyncio
import shutil
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Span, Spread, alternate
from fanwise.core import Amount
from fanwise.stores._clerk import Manner
from fanwise.stores._gate import SharedGate
from fanwise.stores._redis import RedisBoard
from fanwise.stores._visit import GRANTED, Rate, Terms, Visit
from tests.stores.servers import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._measure import Rounds

VISITS = 2_000
ATTEMPTS = 20_000
INCR = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return n
"""
RATE = 60_000_000  # a minute: nobody waits
TERMS = Terms(
    "bench",
    None,
    (
        Rate.per_minute(RATE, 10_000_000),
        Rate.per_minute(RATE, 10_000_000),
        Rate.per_minute(RATE, 10_000_000),
        None,
    ),
)


def decided(scale: Scale) -> Iterator[Figure]:
    """Measure visits a second, the processor's time of client and server on one machine."""
    if shutil.which("redis-server") is None:
        return
    count_of = scale.of(VISITS, 20)
    with redis_server() as server:
        rounds = asyncio.run(_scripts(scale, server.url, count_of))
    incr, ours = rounds.each(count_of, "wall")
    note = f"{ours:.0f} µs a visit, {incr:.0f} an INCR, round trip and client included"
    what = "Redis, 3 dimensions in one script"
    yield Figure(
        what, rounds.rate("wall"), 0.5, "INCR and EXPIRE in a script", at_least=True, note=note
    )


def leased(scale: Scale) -> Iterator[Figure]:
    """Measure admissions and settlements a second, with leases and without."""
    if shutil.which("redis-server") is None:
        return
    attempts = scale.of(ATTEMPTS, 200)
    with redis_server() as server:
        rounds = asyncio.run(_gates(scale, server.url, attempts))
    pairs = rounds.pairs
    rates = Spread.of([y.wall * 10 / o.wall for y, o in pairs])
    ours = sorted(o.wall for _, o in pairs)[len(pairs) // 2] * 1e6 / attempts
    note = f"{ours:.1f} µs an attempt, admitted and settled"
    yield Figure(
        "Redis, leases of 64", rates, 10.0, "the same gate, lease=1", at_least=True, note=note
    )


async def _scripts(scale: Scale, url: str, visits: int) -> Rounds:
    board = RedisBoard(url)
    numbers = count(1)
    incr = board._client.register_script(INCR)

    async def bare() -> Span:
        with Span() as span:
            for _ in range(visits):
                await incr(keys=["bench"], args=[60])
        return span

    async def ours() -> Span:
        with Span() as span:
            for _ in range(visits):
                visit = Visit("bench", next(numbers), True, 2_500_000, need=(1, 20, 10, 0))
                reply = await board.visit(TERMS, visit)
                assert reply.status == GRANTED
        return span

    try:
        return await alternate(scale, bare, ours)
    finally:
        await board.aclose()


async def _gates(scale: Scale, url: str, attempts: int) -> Rounds:
    """The yardstick does a tenth of the attempts: it is so much slower."""
    board = RedisBoard(url)
    numbers = count(1)
    amount = Amount(1, 10, 10)

    async def admitted(lease: int, name: str, times: int) -> Span:
        manner = Manner(1.0, lease, Fraction(0), 45.0, False)
        gate = SharedGate(TERMS._replace(name=name), board, manner)
        with Span() as span:
            for _ in range(times):
                number = next(numbers)
                if gate.admit_nowait(number, amount) is None:
                    assert await gate.admit(number, amount) == 0.0
                gate.settle(number, amount)
                gate.release(number)
        await gate.aclose()
        return span

    try:
        return await alternate(
            scale,
            lambda: admitted(1, "asked", max(1, attempts // 10)),
            lambda: admitted(64, "leased", attempts),
        )
    finally:
        await board.aclose()
