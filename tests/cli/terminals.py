"""A command on a terminal in memory: what it shows is read as a person would see it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pyte

SRC = str(Path(__file__).parents[2] / "src")
START = [sys.executable, "-c", "from fanwise.cli import main; main()"]
ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONPATH": SRC}
QUIET = ("CI", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES")


def environment(**more):
    """The environment without what decides about colours and views, then with `more`."""
    return {n: v for n, v in os.environ.items() if n not in QUIET} | ENVIRONMENT | more


class Terminal:
    """A terminal of so many columns and rows, with one command that it controls.

    Standard output goes to a pipe, so that the result can be told from everything else.
    """

    def __init__(self, arguments, *, cwd, columns=80, rows=24, start=None, **variables):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.ours, its = pty.openpty()
        self.its = its
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes = termios.tcgetattr(its)
        self.process = subprocess.Popen(
            [*(start or START), *arguments],
            cwd=cwd,
            env=environment(**variables),
            stdin=its,
            stdout=subprocess.PIPE,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(its, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        for end in (self.ours, self.its):
            os.close(end)

    @property
    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self):
        return "\n".join(self.lines)

    def read(self):
        data = os.read(self.ours, 65536)
        self.raw += data
        self.stream.feed(data)

    def until(self, *texts):
        """Read until all of these are on the screen; the time limit of the test ends the wait."""
        while not all(text in self.text for text in texts):
            self.read()

    def end(self):
        """Wait for the end of the process; give its exit code and standard output."""
        out, _ = self.process.communicate(timeout=15)
        self.drain()
        return self.process.returncode, out.decode()

    def drain(self):
        """Read what is there already."""
        os.set_blocking(self.ours, False)
        try:
            while True:
                self.read()
        except BlockingIOError:
            os.set_blocking(self.ours, True)

    def press(self, key):
        os.write(self.ours, key)

    def check_untouched(self):
        """The terminal's modes are what they were, and its cursor was never hidden."""
        assert termios.tcgetattr(self.its) == self.modes
        assert b"\x1b[?" not in self.raw
        assert not self.screen.cursor.hidden
