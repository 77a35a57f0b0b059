"""A thread that looks whether a loop still gets on, in real time.

It sleeps a quarter of its patience at a time, so that a loop is found stuck after 1 to 1.25 times
that. What it does then: it prints where the loop is and tells the loop, which raises `LoopStuck` in
its next turn. A loop that makes no turn is inside one callback: there `LoopStuck` is raised too.
Python can raise in another thread only between two of that thread's instructions; a call that
blocks inside C (`time.sleep`, a lock) raises when it comes back. Rejected: signals (only the main
thread has them) and `faulthandler.dump_traceback_later` (one for the process, and pytest uses it).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from fanwise.testing._errors import LoopStuck
from fanwise.testing._places import WATCHDOG, frames_of_thread, stands_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    # What changes when the loop gets on, and the number of its turns.
    Pulse = tuple[object, int]

_DEBUGGERS = frozenset({"pdb", "bdb", "pydevd", "_pydevd_bundle.pydevd"})


class Watchdog:
    """Watches one loop, from `start` to `stop`.

    `pulse` gives the loop's pulse, or None once there is no loop; `tell` is called with the story.
    Both are called in the watchdog's thread.
    """

    def __init__(
        self, patience: float, pulse: Callable[[], Pulse | None], tell: Callable[[str], None]
    ) -> None:
        self._patience = patience
        self._pulse = pulse
        self._tell = tell
        self._ident: int | None = None
        self._stop = threading.Event()

    def __repr__(self) -> str:
        return f"<Watchdog patience={self._patience} thread={self._ident}>"

    def start(self) -> None:
        """Watch the loop, which runs in the calling thread."""
        started = self._ident is not None
        self._ident = threading.get_ident()
        if not started:
            threading.Thread(target=self._watch, name=WATCHDOG, daemon=True).start()

    def stop(self) -> None:
        """Stop watching; the thread ends by itself, soon after."""
        self._stop.set()

    def _watch(self) -> None:
        seen, turns, since = object(), -1, time.monotonic()
        while not self._stop.wait(self._patience / 4):
            pulse = self._pulse()
            if pulse is None:
                return
            if pulse[0] != seen:
                seen, since = pulse[0], time.monotonic()
            elif time.monotonic() - since >= self._patience:
                self._bark(turns=pulse[1] != turns)
                since = time.monotonic()
            turns = pulse[1]

    def _bark(self, *, turns: bool) -> None:
        frames = frames_of_thread(self._ident)
        if self._ident is None or _is_debugged(frames):
            return
        story = (
            f"no progress for {self._patience:g} real seconds; the loop is here:\n{_text(frames)}"
        )
        sys.stderr.write(f"LoopStuck: {story}")
        sys.stderr.flush()
        self._tell(story)
        if turns:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._ident), ctypes.py_object(LoopStuck)
        )


def _text(frames: list[FrameType]) -> str:
    # Without the source lines: a thread that reads files beside a busy one waits for the
    # interpreter at every read, which took seconds.
    return "".join(f"  {stands_at(frame)}\n" for frame in frames)


def _is_debugged(frames: list[FrameType]) -> bool:
    # Whoever sits in a debugger has all the time in the world.
    return any(frame.f_globals.get("__name__") in _DEBUGGERS for frame in frames)


def lifted() -> bool:
    """Tell whether FANWISE_DEBUG lifts time limits, the watchdog's too."""
    return os.environ.get("FANWISE_DEBUG", "") not in ("", "0")
