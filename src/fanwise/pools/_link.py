"""A worker process and the socket to it: started, asked, killed, reaped.

All of it blocks but what is named `..._now`, for which the socket does not while nobody else asks.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import spawn, util
from pathlib import Path
from typing import Any

from fanwise.pools._channel import Channel

FOLDER = str(Path(__file__).parents[2])
BOOT = """
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv[2]]  # until the parent's own path is there
from fanwise.pools._worker import main
main(int(sys.argv[3]))
"""


class Link:
    """One process, in a group of its own, for its whole life."""

    __slots__ = ("_channel", "_events", "_killing", "_pidfd", "_process", "_socket", "watched")

    _events: Any  # `select.poll` or `select.epoll`, which are functions
    _pidfd: int | None
    watched: int | None

    def __init__(self, name: str) -> None:
        """Start the process; raises `OSError` where none is to be had."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _started(name, theirs.fileno())
            except BaseException:
                self._socket.close()
                raise
        self._socket.settimeout(0)
        self._channel = Channel(self._socket)
        self._killing = threading.Lock()
        self._pidfd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        if self._pidfd is None:
            self._events = select.poll()
            self.watched = None
        else:
            self._events = select.epoll()
            self._events.register(self._pidfd, select.POLLIN)
            self.watched = self._events.fileno()
        self._events.register(self._socket.fileno(), select.POLLIN)

    def ask(self, message: memoryview) -> bytes | bytearray:
        """Send a message and wait for the answer; raises `OSError` or `EOFError` at the end."""
        self._socket.settimeout(None)
        self._channel.send(message)
        return self.answer()

    def answer(self) -> bytes | bytearray:
        """Wait for the answer to what was sent; raises `OSError` or `EOFError` at the end."""
        self._socket.settimeout(None)
        self._channel.send_rest()
        if not self._channel.has_whole():
            # What a function has forked holds the socket open: then the end shows at the pid alone.
            heard = self._events.poll()
            if all(descriptor == self._pidfd for descriptor, _ in heard):
                self._kill_group()
        message = self._channel.receive()
        self._socket.settimeout(0)
        return message

    def send_now(self, message: memoryview) -> bool:
        """Send a small message at once; where that fails say so, and `answer` sends the rest.

        Then `watched` is readable when `answer_now` has something to say.
        """
        return self._channel.send_now(message)

    def answer_now(self) -> bytes | None:
        """Give a plain answer that is there; `None` where it takes `answer`."""
        return self._channel.receive_now()

    def is_gone(self) -> bool:
        """Say of a process that was asked nothing whether it has ended."""
        return bool(self._events.poll(0))

    def end(self, message: memoryview, seconds: float) -> int:
        """Send the last message, give the process so long to end of itself, and reap it."""
        self._channel.send_now(message)  # a loop may still listen here, which must not wait
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.reap()

    def kill(self) -> None:
        """End the process and what it has started, at once."""
        if self._killing.acquire(blocking=False):  # else it is being reaped already
            try:
                self._kill_group()
            finally:
                self._killing.release()

    def reap(self) -> int:
        """Take away what is left of the process, and give its exit code."""
        with self._killing:
            self._kill_group()
            code = self._process.wait()
        self._socket.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        return code

    def _kill_group(self) -> None:
        if self._process.returncode is None:  # not reaped, so that the number is still its own
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def __repr__(self) -> str:
        """Show the process."""
        return f"<Link to {self._process.pid}>"


def _started(name: str, descriptor: int) -> subprocess.Popen[bytes]:
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001 - as spawn does
    command = [spawn.get_executable(), *flags, "-c", BOOT]
    command += [f"fanwise worker {name}", FOLDER, str(descriptor)]
    return subprocess.Popen(  # noqa: S603 - this Python, our own code
        command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, process_group=0
    )


def main_module(name: str) -> dict[str, Any]:
    """Give what `multiprocessing.spawn.prepare` needs to import the program's main module.

    Its own `get_preparation_data` fixes the program's start method, and sends workers to another
    folder than the current one.
    """
    main = sys.modules["__main__"]
    path = [each or str(Path.cwd()) for each in sys.path]
    data: dict[str, Any] = {"name": name, "sys_path": path, "sys_argv": sys.argv}
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None:
        data["init_main_from_name"] = spec.name
    elif file is not None and Path(file).exists():
        data["init_main_from_path"] = str(Path(file).absolute())
    return data


def ended(code: int) -> str:
    """Say how a process ended."""
    if code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
