"""Timers of equal length in one queue, behind one timer of the event loop.

Problem: a timeout on each of 10,000 calls would be 10,000 entries in the loop's heap, of which all
but a few are cancelled (`asyncio.timeout` costs 4 microseconds a call, `wait_for` 7 to 20).
Method: timers of one length expire in the order in which they were armed (Varghese and Lauck,
"Hashed and Hierarchical Timing Wheels", 1987, scheme 2 with one list a length). A dict keeps
that order and removes anywhere in constant time. One loop timer a length, set for the oldest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class TimerQueue:
    """Everything armed for one length of time; `action(entry)` is called when it is over."""

    __slots__ = ("action", "armed", "handle", "length", "loop", "time")

    action: Callable[[Any], None]
    length: float
    loop: asyncio.AbstractEventLoop
    time: Callable[[], float]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        time: Callable[[], float],
        length: float,
        action: Callable[[Any], None],
    ) -> None:
        """Make an empty queue for timers of `length` seconds on the clock `time` of `loop`."""
        self.loop = loop
        self.time = time
        self.length = length
        self.action = action
        self.armed: dict[object, float] = {}
        self.handle: asyncio.TimerHandle | None = None

    def arm(self, entry: object, now: float) -> float:
        """Start the time of `entry` at `now`; give the instant at which it will be over."""
        when = now + self.length
        self.armed[entry] = when
        if self.handle is None:
            self.handle = self.loop.call_at(when, self._fire)
        return when

    def disarm(self, entry: object) -> None:
        """Forget `entry`; the loop's timer stays, since the next arming would set it again."""
        self.armed.pop(entry, None)

    def close(self) -> None:
        """Forget everything."""
        self.armed.clear()
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None

    def _fire(self) -> None:
        # The loop fires a timer up to its clock's resolution early.
        now = max(self.time(), self.handle.when() if self.handle else 0.0)
        self.handle = None
        due = []
        for entry, when in self.armed.items():
            if when > now:
                self.handle = self.loop.call_at(when, self._fire)
                break
            due.append(entry)
        for entry in due:
            del self.armed[entry]
            self.action(entry)

    def __repr__(self) -> str:
        """Show length and fill."""
        return f"<TimerQueue {self.length} s, {len(self.armed)} armed>"
