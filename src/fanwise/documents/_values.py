"""What reading gives: a document, or a gap with its reason."""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from fanwise.text import Markup


class Reason(StrEnum):
    """Why a document, or a part of one, could not be read."""

    BINARY = "binary"
    DAMAGED = "damaged"
    DANGLING_LINK = "dangling link"
    EMPTY = "empty"
    LINK_LOOP = "loop of links"
    MISSING_EXTRA = "missing extra"
    NOT_A_FILE = "not a file"
    NOT_A_PDF = "not a PDF"
    NOT_FOUND = "not found"
    NOT_UTF8 = "not UTF-8"
    NO_DOCUMENTS = "no documents"
    NO_PAGES = "no pages"
    NO_TEXT = "no text"
    PASSWORD = "password-protected"  # noqa: S105 - a reason, not a secret
    SCANNED = "scanned"
    TOO_LARGE = "too large"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Gap:
    """A document, or a part of one, that is not there: its name, why, what exactly was seen."""

    name: str
    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        """Say name, reason and detail in one line."""
        return f"{self.name}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the characters of an extracted text stand in their file: on which page or line.

    What begins at offset `starts[i]` stands on page or line `numbers[i]`, both counted as
    people do, pages and lines from 1. `starts` rises.
    """

    unit: Literal["page", "line"]
    starts: tuple[int, ...]
    numbers: tuple[int, ...]

    def __repr__(self) -> str:
        """Show the unit and how many places there are."""
        return f"<Origin {len(self.starts)} {self.unit}s>"

    def at(self, offset: int) -> int:
        """Give the page or line of the character at `offset`."""
        return self.numbers[max(0, bisect_right(self.starts, offset) - 1)]

    def within(self, start: int, end: int) -> "Origin":
        """Give what is needed for the characters from `start` to `end` alone."""
        first = max(0, bisect_right(self.starts, start) - 1)
        last = max(first + 1, bisect_right(self.starts, end - 1))
        return Origin(self.unit, self.starts[first:last], self.numbers[first:last])

    def named(self, start: int, end: int) -> str:
        """Say where the characters from `start` to `end` stand: `page 7`, `lines 3-4`."""
        first, last = self.at(start), self.at(max(start, end - 1))
        return f"{self.unit} {first}" if first == last else f"{self.unit}s {first}-{last}"


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    `text` of Markdown, plain text and reStructuredText is the file's bytes as UTF-8 with
    nothing changed (line ends and a byte order mark stay), so that its character offsets
    are those of `bytes.decode()`. Of HTML and PDF it is what was extracted, written as
    Markdown, the same at every reading; then `origin` leads back to the line of the source
    or the page. `gaps` name parts that could not be read, such as scanned pages.
    """

    name: str
    text: str
    markup: Markup
    title: str = ""
    origin: Origin | None = None
    gaps: tuple[Gap, ...] = ()

    def __repr__(self) -> str:
        """Show name, markup and length, not the text."""
        return f"<Document {self.name!r} {self.markup}, {len(self.text)} characters>"


@dataclass(frozen=True, slots=True)
class Raw:
    """A document's bytes before they are decoded, and the name of the format they are in."""

    name: str
    data: bytes
    form: str

    def __repr__(self) -> str:
        """Show name, format and length, not the bytes."""
        return f"<Raw {self.name!r} {self.form}, {len(self.data)} bytes>"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: names to read, sorted, and what is known to be missing."""

    names: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
