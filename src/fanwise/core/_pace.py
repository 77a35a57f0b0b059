"""How much of a limit is open: the width that was found, and how it opens.

Problem: how many attempts a provider bears at once is not known beforehand, and changes; and those
who waited for a pause to end must not all come on the instant on which it ends.
Algorithm: additive increase, multiplicative decrease (Chiu and Jain, 1989), by the factor of CUBIC
(RFC 9438). Where a provider is overloaded the width becomes seven tenths of what is in flight;
while all of it is taken, it rises by a fifth of what it fell from in the time of one round of
attempts. What began before the last fall, or ends within a second of it, belongs to the same burst
(RFC 6582 treats the losses of one window so); and where less than half of the width is in flight,
or one attempt, its fall would change nothing. After a minute a width of which less than half is
used is forgotten (RFC 2861 does so with windows of idle connections). A limit opens at its start
over `Limit(ramp=)` seconds, and after a pause: from one attempt to the whole width, and to the
whole of each bucket, evenly. Instants are worked out when somebody asks: there is no timer.
Cost: an admission compares one flag while all is open.
Rejected: gradients of latency (Vegas; answers of models differ in length by themselves), a rise of
one a round whatever the width was (a thousand rounds after an outage), doubling after a pause (the
first answer may take a minute).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._policies import Limit
    from fanwise.core._protocols import Amount, Gate, GateStatistics, Remaining

FALL = 0.7
STEPS = 5  # rounds of attempts in which a width rises as far as it ever fell from
BURST = 1.0  # seconds
FORGET = 60.0  # seconds after which a width that nobody fills is not known any more
LATE = 5  # of so many attempts, one that is late is a sign of overload
FEW = 3  # late attempts, before which there is none
RECENT = 50  # attempts, of which those that were late are counted


class Pace:
    """The width of one limit, found by its failures, and the opening of it."""

    __slots__ = ("_adapts", "_ceiling", "_fell", "_late", "_opens", "_part", "_peak", "_ramp",
                 "_since", "_span", "_time", "epoch", "falls", "is_open", "running",
                 "width")  # fmt: skip

    epoch: int  # falls, so far: what is admitted in one epoch can end it once
    falls: int
    is_open: bool  # whether nothing is held back
    running: int
    width: float  # that was found; `inf` where none was needed

    def __init__(self, limit: Limit, time: Callable[[], float]) -> None:
        """Begin with the ramp of a limit, if it has one."""
        self._adapts = limit.adapts
        self._ceiling = inf if limit.at_once is None else limit.at_once
        self._ramp = limit.ramp
        self._time = time
        self._opens: float | None = None  # when it begins to open; `None`: with the first who asks
        self._span = limit.ramp
        self._part = 0.0  # of a bucket that was let through since it began to open
        self._peak = 0.0
        self._fell = -inf
        self._late = self._since = 0
        self.epoch = self.falls = self.running = 0
        self.width = inf
        self.is_open = not self._span

    def change(self, limit: Limit) -> None:
        """Follow another limit; the width that was found stays, where it is less."""
        self._adapts = limit.adapts
        self._ceiling = inf if limit.at_once is None else limit.at_once
        self._ramp = limit.ramp
        if not self._adapts or self.width >= self._ceiling:
            self.width = inf
        self.is_open = not self._span and self.width == inf

    @property
    def opening(self) -> bool:
        """Whether it is on its way from closed to open."""
        return self._span > 0

    @property
    def found(self) -> float | None:
        """The width that was found; `None` where none was needed."""
        return None if self.width == inf else self.width

    def wait(self) -> float:
        """Give the seconds until one more may begin: 0.0 for now, `inf` for when one has ended."""
        held = self._until_opened() if self._span else 0.0
        if self.running + 1 > self.width:
            return inf
        if self.running < self.width / 2 and self._time() > self._fell + FORGET:
            self.width = inf
        self.is_open = not self._span and self.width == inf
        return held

    def _until_opened(self) -> float:
        """Give the seconds until the opening lets one more through."""
        now = self._time()
        if self._opens is None:
            self._opens = now
        passed = now - self._opens
        if passed >= self._span:
            self._span = 0.0
            return 0.0
        due = self._part * self._span
        full = min(self.width, self._ceiling)
        if full < inf:
            if self.running >= full:
                return inf
            slots = self.running / (full - 1) if full > 1 else 0.0
            due = max(due, slots * self._span)
        return max(0.0, due - passed)

    def let(self, part: float) -> None:
        """Take note that so much of a bucket was let through, or came back."""
        self._part = max(0.0, self._part + part)

    def reopen(self, left: float, pause: float) -> None:
        """Open anew when a pause is over, in `left` seconds: over the ramp, or for as long again.

        A pause that ends before another one changes nothing.
        """
        opens = self._time() + left
        if self._opens is not None and self._span and opens <= self._opens:
            return
        rest = 0.0 if self._opens is None else self._opens + self._span - opens
        self._opens, self._span, self._part = opens, self._ramp or max(pause, rest), 0.0
        self.is_open = False

    def overloaded(self, epoch: int) -> None:
        """Fall, since an attempt that was admitted in `epoch` met an overload."""
        now = self._time()
        if not self._adapts or epoch != self.epoch or now < self._fell + BURST:
            return
        taken = min(self.width, self._ceiling, self.running)
        if taken <= 1 or (self.width < inf and taken < self.width / 2):
            return
        self._peak = taken if self.width == inf else max(self._peak, taken)
        self._fell = now
        self.width = max(1.0, taken * FALL)
        self.epoch += 1
        self.falls += 1
        self.is_open = False

    def ran_late(self, epoch: int, granted: int) -> None:
        """Take note of an attempt whose time ran out: of many the provider may be overloaded.

        `granted` counts all attempts so far; of the last fifty, or fewer, as many are late.
        """
        if granted - self._since > RECENT:
            self._late //= 2
            self._since = granted - RECENT // 2
        self._late += 1
        if self._late >= FEW and self._late * LATE >= granted - self._since:
            self._late, self._since = 0, granted
            self.overloaded(epoch)

    def went_well(self) -> None:
        """Rise a little, where the width is what holds others back."""
        if self.running + 1 > self.width and not self._span:
            self.width += max(1.0, self._peak / STEPS) / self.width
            if self.width >= self._ceiling:
                self.width = inf
                self.is_open = not self._span

    def __repr__(self) -> str:
        """Show what is open."""
        opening = ", opening" if self._span else ""
        return f"<Pace of {self.width:g}, {self.running} in flight{opening}>"


class Paced:
    """A gate behind a pace: it is asked only when the pace lets somebody through."""

    __slots__ = ("_gate", "_pace", "_part", "_parts")

    def __init__(self, gate: Gate, pace: Pace, part: Callable[[Amount], float]) -> None:
        """Stand before `gate`; `part` is what an amount takes of a bucket, 0.0 without any."""
        self._gate = gate
        self._pace = pace
        self._part = part
        self._parts: dict[int, float] = {}  # of those who were let through while it opened

    def changed_to(self, limit: Limit) -> Callable[[], None]:
        """Do as the gate does."""
        return self._gate.changed_to(limit)

    def measure_by(self, part: Callable[[Amount], float]) -> None:
        """Take what an amount takes of a bucket from now on."""
        self._part = part

    def admit_nowait(self, number: int, amount: Amount, /) -> float | None:
        """Do as the gate does, where the pace lets somebody through."""
        pace = self._pace
        if not pace.is_open and (wait := pace.wait()):
            return wait
        answer = self._gate.admit_nowait(number, amount)
        if answer == 0.0 and pace.is_open:
            pace.running += 1
        elif answer is not None:
            self._answered(number, amount, answer)
        return answer

    async def admit(self, number: int, amount: Amount, /) -> float:
        """Do as the gate does, where the pace lets somebody through."""
        if not self._pace.is_open and (wait := self._pace.wait()):
            return wait
        wait = await self._gate.admit(number, amount)
        self._answered(number, amount, wait)
        return wait

    def _answered(self, number: int, amount: Amount, wait: float) -> None:
        pace = self._pace
        if wait:
            left = self._gate.paused()
            if left:  # others may have met the 429
                pace.reopen(left, left)
            return
        pace.running += 1
        if pace.opening:
            self._parts[number] = part = self._part(amount)
            pace.let(part)

    def forgo(self) -> None:
        """Do as the gate does."""
        self._gate.forgo()

    def has_room(self, amount: Amount, /) -> bool:
        """Say whether it would be admitted now."""
        return (self._pace.is_open or not self._pace.wait()) and self._gate.has_room(amount)

    def least_wait(self, amount: Amount, /) -> float:
        """Do as the gate does: how a width grows is not known beforehand."""
        return self._gate.least_wait(amount)

    def settle(self, number: int, used: Amount, /) -> None:
        """Do as the gate does; what comes back lets others through sooner."""
        if self._parts and (part := self._parts.pop(number, None)) is not None:
            self._pace.let(min(0.0, self._part(used) - part))
        self._gate.settle(number, used)

    def release(self, number: int, /) -> None:
        """Do as the gate does."""
        self._pace.running -= 1
        self._gate.release(number)

    def pause(self, seconds: float, /) -> None:
        """Do as the gate does, and open slowly afterwards."""
        self._gate.pause(seconds)
        self._pace.reopen(self._gate.paused(), seconds)

    def paused(self) -> float:
        """Do as the gate does."""
        return self._gate.paused()

    def correct(self, number: int, left: Remaining, /) -> None:
        """Do as the gate does."""
        self._gate.correct(number, left)

    def wake_with(self, wake: Callable[[], None], /) -> None:
        """Do as the gate does."""
        self._gate.wake_with(wake)

    def statistics(self) -> GateStatistics:
        """Do as the gate does."""
        return self._gate.statistics()

    def __repr__(self) -> str:
        """Show both."""
        return f"<Paced {self._gate!r}, {self._pace!r}>"
