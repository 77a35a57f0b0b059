"""A page of a PDF as its readers give it: lines with their places, no layout yet."""

from dataclasses import dataclass


class Locked(Exception):
    """A PDF that opens with a password only."""


class Unreadable(Exception):
    """A PDF that a reader cannot read; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page in points: left, right and base count from the left and bottom edge.

    `size` and `weight` are those of its font; all are 0 where the reader does not know
    them. `hyphen` says that the word at its end goes on in the next line.
    """

    text: str
    left: float = 0.0
    right: float = 0.0
    base: float = 0.0
    size: float = 0.0
    weight: int = 0
    hyphen: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of a page, in the order in which they are read; blank ones part paragraphs.

    `pictures` tells whether a picture stands on it.
    """

    lines: tuple[Line, ...]
    pictures: bool

    @property
    def is_picture(self) -> bool:
        """Whether there is a picture and no text, as on a scanned page."""
        return self.pictures and not any(line.text.strip() for line in self.lines)
