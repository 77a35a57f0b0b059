"""Width limits in process: how many calls may hold a name at once, first come first served.

A 429 pauses the name: no slot is granted for as long as it asks, and then one after the other, over
as long again, so that those who waited do not come all at once. A timer stands for the next slot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from math import inf, isinf
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fanwise.core._frozen import Frozen
from fanwise.core._transient import TOO_MANY, http_status, refusal, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._policies import Limit
    from fanwise.core._protocols import GateStatistics
    from fanwise.core._run import Run
    from fanwise.core._step import Definition

    Tell = Callable[["LimitEvents", str, float, Run | None], None]

PAUSE = 1.0  # seconds, where a 429 names none
LONGEST = 60.0  # seconds of a pause without end, and of an opening
STEPS = 16  # in which a width opens after a pause


LimitEvents = Literal["waits", "admitted", "left", "refused", "paused", "width", "spent"]


class LimitEvent(NamedTuple):
    """Something that happened at a limit or a budget, told to `Runtime(listeners=)` at once.

    `time` is Unix seconds. `run` and `call` (its number in the record) say whose it is; `None`
    where it is nobody's. What `value` is depends on `what`:

    - "waits": a call begins to wait for the limit `name`; 0
    - "admitted": it was let in, after so many seconds
    - "left": it gave up, or was refused, after so many seconds
    - "refused": the provider answered 429; the seconds of its `Retry-After`, 0 without one
    - "paused": nobody is let in for so many seconds
    - "width": so many slots there are from now on (`inf`: any number)
    - "spent": nothing more is started under the budget `name`; what is left of it
    """

    what: LimitEvents
    name: str
    time: float
    value: float = 0.0
    run: str | None = None
    call: int | None = None


class LimitStatistics(Frozen):
    """A limit at one instant: its width, slots taken, calls waiting, and slots granted so far.

    `quota` has the counters of its rates, where it has any (else `None`); `used` maps each rate to
    the share of it that was used since the first call (above 1 while the first burst is spent).
    `width` is what is open of a width that follows its failures (`None`: all), `falls` how often it
    fell. `refused` counts 429s, `pauses` how often nobody was let in after one; that goes on for
    `paused` seconds from now.
    """

    name: str
    at_once: int | None
    in_flight: int
    waiting: int
    granted: int
    quota: GateStatistics | None = None
    width: float | None = None
    falls: int = 0
    refused: int = 0
    paused: float = 0.0
    pauses: int = 0
    used: Mapping[str, float] | None = None


class Width:
    """The slots of one limit and the calls that wait for one, in order."""

    __slots__ = ("_handle", "_loop", "_pauses", "_refused", "_until", "at_once", "full", "granted",
                 "name", "nested", "tell", "used", "waiting")  # fmt: skip

    at_once: int | None  # now; less than `full` in a pause, and for a while after it
    full: int | None
    _loop: asyncio.AbstractEventLoop
    granted: int
    is_held = True  # by a call that may not wait for another of it
    name: str
    nested: bool
    tell: Tell
    used: int

    def __init__(self, name: str, limit: Limit) -> None:
        """Make a limit with all its slots free."""
        self.name = name
        self.at_once = self.full = limit.at_once
        self.used = 0
        self.granted = 0
        self.tell = nobody
        self._refused = self._pauses = 0
        self._until = 0.0  # when a pause ends
        self._handle: asyncio.TimerHandle | None = None
        self.nested = False  # whether a call that held it ever waited for another
        self.waiting: deque[asyncio.Future[None]] = deque()

    def has_room(self) -> bool:
        """Say whether a slot is free and nobody waits for it."""
        return not self.waiting and (self.at_once is None or self.used < self.at_once)

    def load(self, step: Definition[Any], args: tuple[Any, ...], more: int) -> float:  # noqa: ARG002 - as that of one with rates
        """Give the part that is taken when `more` have come; below 1 one has its slot at once.

        Above 1 it counts those who wait, so that the least loaded of several is where to wait.
        """
        if self.at_once is None:
            return 0.0
        taken = self.used + max(len(self.waiting), more)
        if self.at_once == 0:  # paused
            return 1.0 + taken + max(0.0, self._until - self._loop.time())
        return taken / self.at_once

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
            if self.at_once is not None and self.used > self.at_once:
                break  # it was narrowed
            turn = self.waiting.popleft()
            if not turn.done():  # a cancelled turn stays in line until its task has its say
                self.granted += 1
                turn.set_result(None)
                return
        self.used -= 1

    def refused(self, error: BaseException, run: Run | None = None) -> None:
        """Pause where a failure says "too many" (429), for as long as it asks, else a second."""
        if http_status(refusal(error)) == TOO_MANY:
            said = retry_after(error)
            self._refused += 1
            self.tell("refused", self.name, said, run)
            asked = said or PAUSE
            self._pause(LONGEST if isinf(asked) else asked, run)

    def _pause(self, seconds: float, run: Run | None) -> None:
        self._loop = loop = asyncio.get_running_loop()
        now = loop.time()
        until = now + seconds
        if until <= self._until:
            return
        self._pauses += self._until <= now  # one that is made longer is still one
        self._until = until
        self.tell("paused", self.name, seconds, run)
        most = self.used if self.full is None else self.full
        step = -(-most // STEPS)
        self.close()
        self.at_once = 0
        self._handle = loop.call_at(until, self._open, step, most, min(seconds, LONGEST) / most)

    def _open(self, step: int, most: int, seconds: float) -> None:
        """Open one slot at first, then `step` at a time; each of them takes so many seconds.

        Until `most` are open; where there is no bound, until nobody waits either.
        """
        opened = self.at_once + step if self.at_once else 1
        most = most if self.full is None else min(most, self.full)
        self._handle = None
        if opened < most or (self.full is None and len(self.waiting) > opened - self.used):
            self._handle = self._loop.call_later(seconds * step, self._open, step, most, seconds)
            self.at_once = opened
        else:
            self.at_once = self.full
        self.tell("width", self.name, inf if self.at_once is None else self.at_once, None)
        self._let_in()

    def _let_in(self) -> None:
        while self.waiting and (self.at_once is None or self.used < self.at_once):
            self.used += 1
            self.give()

    def changed_to(self, limit: Limit) -> Callable[[], None]:
        """Give what makes it another limit; raise ValueError where that cannot be.

        Narrowed, it takes back slots as they return.
        """
        if not limit.is_width:
            msg = (
                f"limit {self.name!r} had a width only, and {self.used} calls hold it while "
                f"{len(self.waiting)} wait: it can have rates when nobody does, or where limits "
                'come from a file, Runtime(limits="limits.toml")'
            )
            raise ValueError(msg)
        return partial(self._change, limit)

    def _change(self, limit: Limit) -> None:
        self.full = limit.at_once
        if self._handle is None:  # else it is paused, or opens
            self.at_once = self.full
        elif self.full is not None and self.at_once is not None:
            self.at_once = min(self.at_once, self.full)
        self._let_in()

    def refuse_all(self, error: Exception) -> None:
        """Let everybody who waits fail with `error`."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    def close(self) -> None:
        """Leave nothing on the loop."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def statistics(self) -> LimitStatistics:
        """Give the limit's counters."""
        waiting = sum(not turn.done() for turn in self.waiting)
        open_now = None if self.at_once == self.full else self.at_once
        paused = max(0.0, self._until - self._loop.time()) if self.at_once == 0 else 0.0
        return LimitStatistics(
            self.name, self.full, self.used, waiting, self.granted, width=open_now,
            refused=self._refused, paused=paused, pauses=self._pauses,
        )  # fmt: skip

    def __repr__(self) -> str:
        """Show name and fill."""
        return f"<Width {self.name} {self.used}/{self.at_once}, {len(self.waiting)} waiting>"


def nobody(_what: LimitEvents, _name: str, _value: float, _run: Run | None) -> None:
    """Tell nobody: nobody listens yet."""
