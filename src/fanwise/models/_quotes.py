"""The text contract between a job over documents and any model.

A model that quotes answers one statement a line, `[n] sentence`, where n is the passage
and the sentence stands in it word for word. Where it is asked to, it also says which passages
deny each other, as `[n] contradicts [m]`. Other lines are remarks and are counted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_AGAINST: Final = re.compile(r"\s*(?:[-*]\s+)?\[(\d{1,9})\] contradicts \[(\d{1,9})\]\W*$")
_LINE: Final = re.compile(r"\s*(?:[-*]\s+)?\[(\d{1,9})\]\s*(\S.*)$")

QUOTING: Final = (
    "Answer with quotes only: one a line, the most important first, each written "
    "[n] sentence, where n is the number of the passage that holds the sentence and the "
    "sentence is copied from it word for word. Write nothing else. Choose sentences that "
    "answer the task and can be understood alone; none twice."
)
"""Instructions that ask a language model for this contract."""

CONTRASTING: Final = (
    "Where two passages deny each other on what the task asks, so that both cannot be true, do not "
    "choose between them: quote both, and add a line [n] contradicts [m] with their numbers."
)
"""Instructions for a prompt over statements of several documents."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence said to stand in passage `passage` (from 1)."""

    passage: int
    text: str

    def __str__(self) -> str:
        """Write the line of the contract; a line break inside becomes a space."""
        return f"[{self.passage}] {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True)
class Quotes:
    """The quotes of an answer, in its order, and the number of lines that are none.

    `conflicts` are the pairs of passages (from 1) that are said to deny each other.
    """

    quotes: tuple[Quote, ...]
    remarks: int
    conflicts: tuple[tuple[int, int], ...] = ()


def write_quotes(quotes: Iterable[Quote]) -> str:
    """Write quotes as the text of an answer."""
    return "\n".join(map(str, quotes))


def read_quotes(text: str) -> Quotes:
    """Read the text of an answer; blank lines do not count."""
    found: list[Quote] = []
    conflicts: list[tuple[int, int]] = []
    remarks = 0
    for line in filter(str.strip, text.splitlines()):
        against = _AGAINST.match(line)
        match = _LINE.match(line)
        if against is not None:
            conflicts.append((int(against[1]), int(against[2])))
        elif match is not None:
            found.append(Quote(int(match[1]), match[2].strip()))
        else:
            remarks += 1
    return Quotes(tuple(found), remarks, tuple(conflicts))
