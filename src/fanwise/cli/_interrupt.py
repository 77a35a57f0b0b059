"""Ctrl-C: the first one stops new work, the second one stops at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Final, Self

from fanwise.cli._exit import Exit
from fanwise.cli._streams import say
from fanwise.cli._terminal import is_terminal

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A block in which the first SIGINT or SIGTERM calls `drain` and the second ends the process.

    `asked` tells whether there was a first one; `drain` is called on the loop. The second is heard
    also where the loop is blocked. The process is ended without waiting for threads, with the
    terminal as it was: nothing here changes its modes.
    """

    def __init__(self, drain: Callable[[], object]) -> None:
        """Keep what stops new work."""
        self.asked = False
        self._drain = drain
        self._before: dict[signal.Signals, object] = {}

    def __repr__(self) -> str:
        """Show whether a signal came."""
        return f"<Interrupt asked={self.asked}>"

    def __enter__(self) -> Self:
        """Take the signals over."""
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type] # what `signal` itself gave

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal's
        if self.asked:
            _stop()
        self.asked = True
        self._loop.call_soon_threadsafe(self._stop_new_work)

    def _stop_new_work(self) -> None:
        say("stopping: no new work is started; once more to stop at once", "yellow")
        self._drain()


def _stop() -> None:
    """Say so past every buffer, one of which may be in use, and end the process."""
    with suppress(OSError):
        start = b"\n" if sys.__stderr__ is not None and is_terminal(sys.__stderr__) else b""
        os.write(2, start + b"fanwise: stopped\n")
    os._exit(Exit.INTERRUPTED)
