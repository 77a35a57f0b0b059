"""What a person sees of a run while it lives: frames on a terminal, lines elsewhere, or nothing.

A thread looks, so that a loop that is busy, or a terminal that is slow, holds nobody up: the run
tells it nothing and waits for it never. It ends of itself where it fails; the run goes on.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from time import monotonic, thread_time
from types import FrameType
from typing import TYPE_CHECKING, Final, Self, TextIO, cast

from fanwise.analysis import Look, Lookout
from fanwise.cli._streams import say
from fanwise.cli._terminal import shows_view, size_of
from fanwise.cli._words import counts, seconds
from fanwise.core import Run

if TYPE_CHECKING:
    from fanwise.cli._screen import Screen

_FRAME: Final = 0.25  # seconds: four frames in one
_LINE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_SHARE: Final = 0.05  # of the processor's time, the most that looking may take
_PATIENCE: Final = 1.0
_SETTLED: Final = 0.01  # seconds after which lines that came fast are taken to have ended

Told = Callable[[], str]


class View:
    """Shows runs on standard error: `with View(...) as view:` and in it `with view.of(run):`.

    `name` says what runs; `told`, asked at every look, what its own program tells of it. While the
    outer block lasts, lines that others write to standard error stand above the frame; with
    `aside`, what they write to standard output goes there too.
    """

    def __init__(
        self, name: str, told: Told = str, *, quiet: bool = False, aside: bool = False
    ) -> None:
        """Choose how to show it."""
        self._name = name
        self._told = told
        self._quiet = quiet
        self._aside = aside
        self._stops: Callable[[], bool] = bool
        self._stack = ExitStack()
        self._screen: Screen | None = None

    def __repr__(self) -> str:
        """Tell how it shows what."""
        how = "nothing" if self._quiet else "lines" if self._screen is None else "frames"
        return f"<View of {self._name}: {how}>"

    def __enter__(self) -> Self:
        """Take the streams over, where frames are drawn."""
        stream: TextIO | None = sys.stderr
        if not self._quiet and stream is not None and shows_view(stream):
            self._screen = self._stack.enter_context(_screen(stream))
        if self._aside:
            self._stack.enter_context(redirect_stdout(sys.stderr))
        return self

    def __exit__(self, *_: object) -> None:
        """Take the last frame away and give the streams back."""
        self._stack.close()

    @contextmanager
    def of(self, run: Run, stops: Callable[[], bool] = bool) -> Iterator[Lookout]:
        """Show a run while the block lasts; give what looks at it.

        `stops` tells whether it was asked to stop, which a busy loop may not have heard yet.
        """
        lookout = Lookout(run)
        if self._quiet:
            yield lookout
            return
        self._stops = stops
        over = threading.Event()
        thread = threading.Thread(
            target=self._show, args=(lookout, over), name="fanwise view", daemon=True
        )
        thread.start()
        try:
            yield lookout
        finally:
            over.set()
            if self._screen is not None:
                self._screen.hidden.set()  # it may wait for that
            thread.join(_PATIENCE)  # a terminal that was stopped (Ctrl-S) takes nothing
            if self._screen is not None:
                self._screen.erase()

    def _show(self, lookout: Lookout, over: threading.Event) -> None:
        """Look again and again, in a thread."""
        pause = _LINE if self._screen is None else _FRAME
        try:
            while not self._wait(over, pause):
                began = thread_time()
                pause = self.show(lookout.look())
                pause = max(pause, (thread_time() - began) / _SHARE)
        except Exception as error:  # noqa: BLE001 - whatever is wrong here, the run goes on
            say(f"the live view ends ({type(error).__name__}: {error}); the run goes on")

    def _wait(self, over: threading.Event, pause: float) -> bool:
        """Wait for the next look, and draw a frame again that gave way; say whether it is over."""
        if self._screen is None:
            return over.wait(pause)
        until = monotonic() + pause
        while not over.is_set() and (left := until - monotonic()) > 0:
            if self._screen.hidden.wait(left) and not over.wait(_SETTLED):
                self._screen.again()
        return over.is_set()

    def show(self, look: Look) -> float:
        """Show a look; give the seconds until the next, which is later where nobody draws."""
        told = self._told()
        stopping = ", stopping" if self._stops() else ""
        if self._screen is None:
            say(f"{told or counts(look)}, {seconds(look.seconds)}{stopping}")
            return min(_LONGEST_PAUSE, max(_LINE, look.seconds / 10))
        from fanwise.cli._frame import lines_of  # noqa: PLC0415 - rich, where frames are drawn

        size = size_of(self._screen.stream)
        name = f"{self._name}{stopping}"
        self._screen.draw(lines_of(name, told, look, size.columns - 1, size.lines - 1))
        return _FRAME


@contextmanager
def _screen(stream: TextIO) -> Iterator["Screen"]:
    """Give a screen on `stream`, in front of which standard error stands meanwhile."""
    from fanwise.cli._screen import Aside, Screen  # noqa: PLC0415 - as above

    screen = Screen(stream)
    aside = Aside(screen, stream)

    def go_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal's arguments
        screen.forget()

    before = signal.signal(signal.SIGCONT, go_on)
    try:
        with redirect_stderr(cast("TextIO", aside)):
            yield screen
    finally:
        aside.close_line()
        screen.erase()
        signal.signal(signal.SIGCONT, before)
