"""Let a signal wake a loop that waits, whichever thread of the process the system gave it to.

Python runs a signal's function in the main thread, when that next runs Python code. A loop that
waits for the system does not, unless the wait itself was interrupted, and where there are other
threads the system may interrupt one of those: then a Ctrl-C is noticed at the next event, which may
never come. asyncio prevents that for `loop.add_signal_handler` only.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


@contextmanager
def woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Wake `loop` at every signal; does nothing outside the main thread, or where it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
            yield
            return
        try:
            with suppress(NotImplementedError):  # Windows: asyncio's own loop there does all this
                loop.add_reader(reader, _empty, reader)
            yield
        finally:
            signal.set_wakeup_fd(-1)
            with suppress(NotImplementedError):
                loop.remove_reader(reader)


def _empty(reader: socket.socket) -> None:
    with suppress(BlockingIOError):
        while reader.recv(64):
            pass
