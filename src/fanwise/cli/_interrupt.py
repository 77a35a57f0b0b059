"""Ctrl-C: the first one stops new work, the second one stops at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from fanwise.cli._exit import Exit
from fanwise.cli._streams import say

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A block in which the first SIGINT or SIGTERM calls `drain` and the second ends the process.

    `asked` tells whether there was a first one. The process is ended without waiting for
    threads, with the terminal as it was: nothing here changes its modes.
    """

    def __init__(self, drain: Callable[[], object]) -> None:
        """Keep what stops new work."""
        self.asked = False
        self._drain = drain

    def __repr__(self) -> str:
        """Show whether a signal came."""
        return f"<Interrupt asked={self.asked}>"

    def __enter__(self) -> Self:
        """Take the signals over."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def _take(self) -> None:
        if self.asked:
            say("stopped")
            sys.stdout.flush()
            os._exit(Exit.INTERRUPTED)
        self.asked = True
        say("stopping: no new work is started; once more to stop at once")
        self._drain()
