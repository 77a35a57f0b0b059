"""Every use of asyncio's private names, each with its reason.

tests/testing/test_internals.py fails where a version of Python changes one of them.

The problem here: timers of one instant must fire in the order in which they were set. asyncio's own
heap compares `when` only, and lets them out in any order. So the timers lie in a binary heap of
our own (CLRS, chapter 6), as tuples `(when, tie, handle)`: O(log n) to set and to fire, compared in
C. Cancelled timers are swept out when they are half of all. Rejected: a TimerHandle with another
`__lt__` in asyncio's heap (correct, but a fan-out of sleeps took 7 to 17 % longer), and a list for
each instant (no gain where the instants differ).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from typing import TYPE_CHECKING, Any, TypeVarTuple

from fanwise.core import TimerQueue

if TYPE_CHECKING:
    import selectors
    from collections import deque
    from collections.abc import Callable, Iterable
    from contextvars import Context
    from types import AsyncGeneratorType

_Ts = TypeVarTuple("_Ts")

# As in asyncio: below this many, sweeping costs more than it gives back.
_FEW = 100


class TimerLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that holds its own timers and whose time stands still until it is moved."""

    # Where asyncio keeps the callbacks that run next. There is no public way to make an
    # existing handle ready: call_soon would wrap it in a second one.
    _ready: deque[asyncio.Handle]

    def __init__(self, selector: selectors.BaseSelector, start: float) -> None:
        self._instant = start
        self._alarms: list[tuple[float, float, asyncio.TimerHandle]] = []
        self._dead_alarms = 0
        # What decides between timers of one instant: a running number, unless replaced.
        self._tie: Callable[[], float] = itertools.count().__next__
        super().__init__(selector)

    def time(self) -> float:
        """Give the virtual time, in seconds."""
        return self._instant

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer for the instant `when`, in virtual seconds; nan is a ValueError."""
        if self.is_closed():
            msg = "this event loop is closed"
            raise RuntimeError(msg)
        if math.isnan(when):
            # It compares as neither early nor late, and would spoil the order of the heap.
            msg = "a timer cannot be set for when=nan"
            raise ValueError(msg)
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._alarms, (when, self._tie(), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer `delay` virtual seconds from now."""
        return self.call_at(self._instant + delay, callback, *args, context=context)

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """List the timers that have neither fired nor been cancelled, in the order of time."""
        return [timer for _, _, timer in sorted(self._alarms) if not timer.cancelled()]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # asyncio calls this from TimerHandle.cancel. A timer that has fired is no longer in the
        # heap, and asyncio.sleep cancels each of its own after it fired: those must not count.
        if handle.when() <= self._instant:
            return
        self._dead_alarms += 1
        if self._dead_alarms > _FEW and 2 * self._dead_alarms > len(self._alarms):
            self._alarms = [alarm for alarm in self._alarms if not alarm[2].cancelled()]
            heapq.heapify(self._alarms)
            self._dead_alarms = 0

    def _next_alarm(self) -> float | None:
        alarms = self._alarms
        while alarms and alarms[0][2].cancelled():
            heapq.heappop(alarms)
        return alarms[0][0] if alarms else None

    def _release_alarms(self) -> None:
        alarms, now, ready = self._alarms, self._instant, self._ready
        while alarms and alarms[0][0] <= now:
            # One that was cancelled meanwhile is passed over by asyncio itself.
            ready.append(heapq.heappop(alarms)[2])

    def _has_ready(self) -> bool:
        # A thread may have made a callback ready while the selector waited.
        return bool(self._ready)


def timers_of(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """List the timers that a loop still holds; none for a loop that is not asyncio's own.

    The engine's queues of timeouts keep one timer each, also when nothing is armed: those are
    idle, as threads of a pool are, and left out.
    """
    if isinstance(loop, TimerLoop):
        scheduled: Iterable[asyncio.TimerHandle] = loop.pending_timers()
    else:  # asyncio gives no public view of the timers that are set
        scheduled = getattr(loop, "_scheduled", ())
    return [timer for timer in scheduled if not timer.cancelled() and not _is_idle(timer)]


def _is_idle(timer: asyncio.TimerHandle) -> bool:
    # A handle keeps its callback to itself.
    queue = getattr(getattr(timer, "_callback", None), "__self__", None)
    return isinstance(queue, TimerQueue) and not queue.armed


def generators_of(loop: asyncio.AbstractEventLoop) -> list[AsyncGeneratorType[Any, Any]]:
    """List the async generators that were started under a loop and have not come to their end."""
    # asyncio keeps them for shutdown_asyncgens and shows them nowhere. A generator that
    # ended or was closed has no frame any more.
    return [it for it in getattr(loop, "_asyncgens", ()) if it.ag_frame is not None]


def transport_of(loop: asyncio.AbstractEventLoop, fd: int) -> object | None:
    """Give the transport that a loop keeps for a file descriptor."""
    # It names a socket that was left open; only asyncio knows which belong together.
    transport: object | None = getattr(loop, "_transports", {}).get(fd)
    return transport


def awaited_by(task: asyncio.Task[Any]) -> object | None:
    """Give the future or task that a pending task waits for."""
    # The frames tell where a task waits; only this tells for which other task.
    future: object | None = getattr(task, "_fut_waiter", None)
    return future
