"""Width limits in process: how many calls may hold a name at once, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from fanwise.core._call import Call
    from fanwise.core._policies import Limit
    from fanwise.core._protocols import GateStatistics


class LimitStatistics(Frozen):
    """A limit at one instant: its width, slots taken, calls waiting, and slots granted so far.

    `quota` has the counters of its rates, where it has any.
    """

    name: str
    at_once: int | None
    in_flight: int
    waiting: int
    granted: int
    quota: GateStatistics | None = None


class Width:
    """The slots of one limit and the calls that wait for one, in order."""

    __slots__ = ("at_once", "granted", "name", "nested", "used", "waiting")

    at_once: int | None
    granted: int
    is_held = True  # by a call that may not wait for another of it
    name: str
    nested: bool
    used: int

    def __init__(self, name: str, limit: Limit) -> None:
        """Make a limit with all its slots free."""
        self.name = name
        self.at_once = limit.at_once
        self.used = 0
        self.granted = 0
        self.nested = False  # whether a call that held it ever waited for another
        self.waiting: deque[asyncio.Future[None]] = deque()

    def has_room(self) -> bool:
        """Say whether a slot is free and nobody waits for it."""
        return not self.waiting and (self.at_once is None or self.used < self.at_once)

    def load(self, call: Call[Any], more: int) -> float:  # noqa: ARG002 - as that of one with rates
        """Give the part that is taken when `more` have come; below 1 `call` has its slot at once.

        Above 1 it counts those who wait, so that the least loaded of several is where to wait.
        """
        if self.at_once is None:
            return 0.0
        return (self.used + max(len(self.waiting), more)) / self.at_once

    def take_plainly(self) -> bool:
        """Take a slot where there is room and nobody ever held one while waiting for a call."""
        if self.nested or self.waiting or (self.at_once is not None and self.used >= self.at_once):
            return False
        self.used += 1
        self.granted += 1
        return True

    def take_nowait(self) -> bool:
        """Take a slot if there is room."""
        if not self.has_room():
            return False
        self.used += 1
        self.granted += 1
        return True

    async def wait_turn(self) -> None:
        """Wait for a slot, in order of arrival; a cancelled wait gives its place, or slot, back."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                if turn.exception() is None:  # granted on the instant of the cancellation
                    self.give()
            elif turn in self.waiting:  # else `give` met it first and dropped it
                self.waiting.remove(turn)
            raise

    def give(self) -> None:
        """Hand a slot to the first in line, or free it."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():  # a cancelled turn stays in line until its task has its say
                self.granted += 1
                turn.set_result(None)
                return
        self.used -= 1

    def refuse_all(self, error: Exception) -> None:
        """Let everybody who waits fail with `error`."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    def close(self) -> None:
        """Leave nothing on the loop: there is nothing."""

    def statistics(self) -> LimitStatistics:
        """Give the limit's counters."""
        waiting = sum(not turn.done() for turn in self.waiting)
        return LimitStatistics(self.name, self.at_once, self.used, waiting, self.granted)

    def __repr__(self) -> str:
        """Show name and fill."""
        return f"<Width {self.name} {self.used}/{self.at_once}, {len(self.waiting)} waiting>"
