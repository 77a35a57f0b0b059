"""What reading gives: a document, or a gap with its reason."""

from dataclasses import dataclass
from enum import StrEnum

from fanwise.text import Markup


class Reason(StrEnum):
    """Why a document could not be read."""

    BINARY = "binary"
    DANGLING_LINK = "dangling link"
    EMPTY = "empty"
    LINK_LOOP = "loop of links"
    NOT_A_FILE = "not a file"
    NOT_FOUND = "not found"
    NOT_UTF8 = "not UTF-8"
    NO_DOCUMENTS = "no documents"
    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Gap:
    """A document that is not there: its name, why, and what exactly was seen."""

    name: str
    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        """Say name, reason and detail in one line."""
        return f"{self.name}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    `text` is the file's bytes as UTF-8 with nothing changed (line ends and a byte order
    mark stay), so that its character offsets are those of `bytes.decode()`.
    """

    name: str
    text: str
    markup: Markup
    title: str = ""

    def __repr__(self) -> str:
        """Show name, markup and length, not the text."""
        return f"<Document {self.name!r} {self.markup}, {len(self.text)} characters>"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: names to read, sorted, and what is known to be missing."""

    names: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
