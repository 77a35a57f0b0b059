"""Workers before shared gates, as a runtime makes them: a line, whose head asks alone."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import NamedTuple

from fanwise.core import Amount
from fanwise.stores._clerk import Manner
from fanwise.stores._gate import SharedGate
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._visit import LOST, BoardLost, Rate, Terms

BEAT = 1.0


def manner(**given):
    usual = Manner(BEAT, 8, Fraction(0), 1e9, False)
    return usual._replace(**given)


def terms(at_once=None, requests=None, tokens=None, read=None, written=None, name="smart"):
    """A rate is (a minute, burst)."""
    rates = [rate and Rate.per_minute(*rate) for rate in (requests, tokens, read, written)]
    return Terms(name, at_once, tuple(rates))


class Admitted(NamedTuple):
    """One attempt: when it was admitted and settled, what was reserved and used."""

    worker: int
    number: int
    began: float
    ended: float
    reserved: tuple
    used: tuple


class Worker:
    """One process: a first-come line before one gate."""

    def __init__(self, index, terms, board, manner, numbers):
        self.index = index
        self.terms = terms
        self.gate = SharedGate(terms, board, manner)
        self.numbers = numbers
        self.line = asyncio.Lock()
        self.woken = asyncio.Event()
        self.gate.wake_with(self.woken.set)
        self.done = []
        self.in_use = 0
        self.waits = []

    async def turn(self, amount):
        """Wait for the admission of one attempt; give its number."""
        number = next(self.numbers)
        asked = asyncio.get_running_loop().time()
        async with self.line:
            while True:
                self.woken.clear()
                wait = self.gate.admit_nowait(number, amount)
                if wait is None:
                    wait = await self.gate.admit(number, amount)
                if wait == 0:
                    self.waits.append(asyncio.get_running_loop().time() - asked)
                    return number
                try:
                    async with asyncio.timeout(wait):
                        await self.woken.wait()
                except TimeoutError:
                    pass

    async def attempt(self, amount, used, seconds, ready=None):
        number = await self.turn(amount)
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.in_use += 1
        try:
            if ready is not None:
                ready()
            await asyncio.sleep(seconds)
        finally:
            self.in_use -= 1
            self.gate.settle(number, used)
            self.gate.release(number)
        self.done.append(
            Admitted(
                self.index,
                number,
                began,
                loop.time(),
                self.terms.needs(amount),
                self.terms.needs(used),
            )
        )

    async def killed(self):
        """End as a process that gets kill -9: nothing is said."""
        clerk = self.gate._clerk
        if clerk is not None:
            clerk.cancel()
            await asyncio.wait([clerk])
        self.gate._poke = lambda: None  # what its calls do from now on nobody hears


class Far:
    """A board that is `latency` seconds away, and whose answers are lost where `losses` says so.

    A loss is "asked" (the visit never arrived), "answered" (it took place) or None.
    """

    def __init__(self, board, latency=0.0, losses=()):
        self.board = board
        self.latency = latency
        self.losses = list(losses)
        self.visits = 0
        self.gone = False
        self.lost = False  # whether a worker was forgotten

    async def visit(self, terms, visit):
        self.visits += 1
        loss = self.losses.pop(0) if self.losses else None
        await asyncio.sleep(self.latency)
        if self.gone or loss == "asked":
            raise BoardLost("gone" if self.gone else "the question was lost")
        reply = await self.board.visit(terms, visit)
        self.lost = self.lost or reply.status == LOST
        await asyncio.sleep(self.latency)
        if loss == "answered":
            raise BoardLost("the answer was lost")
        return reply

    async def listen(self, name, listener):
        if self.gone:
            raise BoardLost("gone")
        await self.board.listen(name, listener)

    def unlisten(self, name, listener):
        self.board.unlisten(name, listener)

    async def aclose(self):
        await self.board.aclose()


def memory_board():
    """A board in memory, on the loop's clock."""
    loop = asyncio.get_running_loop()
    return MemoryBoard(lambda: int(loop.time() * 1_000_000))


__all__ = ["BEAT", "Admitted", "Amount", "Far", "Worker", "manner", "memory_board", "terms"]
