"""Progress as plain lines, at most one in a while."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from fanwise.cli._streams import say
from fanwise.digest import Part

_FIRST_AFTER: Final = 1.0
_EVERY: Final = 1.0


class Progress:
    """Adds up what a digest tells and writes a line to standard error, once a second at most.

    A digest of less than a second writes none.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, *, quiet: bool = False) -> None:
        """Start counting from the clock's now, in seconds."""
        self._clock = clock
        self._quiet = quiet
        self._started = clock()
        self._next = self._started + _FIRST_AFTER
        self._documents = self._chunks = self._answered = self._missing = 0

    def __repr__(self) -> str:
        """Show the counts."""
        return f"<Progress {self._text()}>"

    def __call__(self, part: Part) -> None:
        """Take one step forward."""
        self._documents += part.documents
        self._chunks += part.chunks
        self._answered += part.answered
        self._missing += len(part.missing)
        now = self._clock()
        if now >= self._next and not self._quiet:
            self._next = now + _EVERY
            say(f"{self._text()}, {now - self._started:.0f} s")

    def _text(self) -> str:
        text = f"{self._documents} documents read, {self._answered} of {self._chunks} chunks done"
        return text + (f", {self._missing} missing" if self._missing else "")
