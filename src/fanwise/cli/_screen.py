"""A frame at the bottom of a terminal, drawn over itself, with room for lines above it.

Nothing of the terminal is changed: no mode, no other screen, and the cursor stays visible, below
the frame. So nothing has to be restored, whatever ends the process, SIGKILL included; a frame that
is left behind is text.
"""

from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from threading import Event, RLock
from time import monotonic
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from fanwise.cli._terminal import in_foreground, shows_colours, size_of

_UP: Final = "\x1b[{}A"
_TO_END_OF_LINE: Final = "\x1b[K"
_TO_END: Final = "\x1b[J"
AGAIN: Final = 0.01  # seconds between two drawings of a frame below lines


class Screen:
    """Draws frames on a terminal. Its methods may be called from any thread.

    The lock may be taken again by its holder: a signal can come while a line is written.
    """

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, below what stands there already."""
        self.stream = stream
        self._lock = RLock()
        self._widths: list[int] = []  # of the frame that stands there: columns of each line
        self._gone: list[int] = []  # of the one that is hidden
        self._frame = ""
        self.hidden = Event()  # set where a frame gave way to lines that came fast
        self._drawn = 0.0
        self._console = Console(
            file=StringIO(),
            force_terminal=True,
            force_jupyter=False,
            no_color=not shows_colours(stream),
            highlight=False,
            markup=False,
            emoji=False,
        )

    def __repr__(self) -> str:
        """Show how large the frame is."""
        return f"<Screen with a frame of {len(self._widths)} lines>"

    def draw(self, lines: Sequence[Text]) -> None:
        """Put a frame in the place of the last one, where the terminal is ours to draw on."""
        if not in_foreground(self.stream):
            self.forget()
            return
        frame = f"{_TO_END_OF_LINE}\n".join([*self._rendered(lines), ""])
        with self._lock:
            self._write(f"\r{self._back()}{frame}{_TO_END}")
            self._widths = [line.cell_len for line in lines]
            self._frame, self._drawn = frame, monotonic()
            self.hidden.clear()

    def above(self, text: str) -> None:
        """Write whole lines where the frame stands, and the frame below them.

        Where lines come fast it is left to `again`: a frame is longer than a line.
        """
        with self._lock:
            if not self._widths:
                self._write(text)
            elif monotonic() - self._drawn < AGAIN:
                self._write(f"{self._back()}{_TO_END}{text}")
                self._hide()
            else:
                self._write(f"{self._back()}{_TO_END}{text}{self._frame}")
                self._drawn = monotonic()

    def again(self) -> None:
        """Draw the frame that gave way to lines."""
        with self._lock:
            if self.hidden.is_set() and in_foreground(self.stream):
                self.hidden.clear()
                self._write(self._frame)
                self._widths, self._drawn = self._gone, monotonic()

    def erase(self) -> None:
        """Take the frame away; a terminal that is gone is no reason to fail."""
        with self._lock, suppress(OSError, ValueError):
            if self._widths:
                self._write(f"{self._back()}{_TO_END}")
            self.forget()

    def forget(self) -> None:
        """Leave the frame where it stands: after a stop (Ctrl-Z) the cursor is elsewhere."""
        self._widths = []
        self.hidden.clear()

    def _hide(self) -> None:
        self._gone, self._widths = self._widths, []
        self.hidden.set()

    def _back(self) -> str:
        """Go to the frame's first line; a terminal that became narrower has wrapped its lines."""
        columns = size_of(self.stream).columns
        lines = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\r{_UP.format(lines)}" if lines else ""

    def _rendered(self, lines: Sequence[Text]) -> list[str]:
        console = self._console
        with console.capture() as captured:
            console.print(Text("\n").join(lines), no_wrap=True, overflow="ignore", crop=False)
        return captured.get().splitlines()

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


class Aside:
    """A standard stream while a frame is drawn: whole lines go above it, others wait.

    What it has not itself, such as `encoding` and `fileno`, is that of the stream behind it.
    """

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        """Stand in front of `stream`."""
        self._screen = screen
        self._stream = stream
        self._rest = ""
        self._lock = RLock()

    def __getattr__(self, name: str) -> object:
        """Give what the stream behind it has."""
        return getattr(self._stream, name)

    def __repr__(self) -> str:
        """Name the stream."""
        return f"<Aside of {self._stream!r}>"

    def write(self, text: str) -> int:
        """Write the lines that are whole; a terminal that is gone is no reason to fail."""
        with self._lock, suppress(OSError, ValueError):
            whole, newline, self._rest = (self._rest + text).rpartition("\n")
            if newline:
                self._screen.above(whole + newline)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write several."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: what was written is there, and part of a line would be drawn over."""

    def close_line(self) -> None:
        """Write the rest, as a line."""
        if self._rest:
            self.write("\n")
