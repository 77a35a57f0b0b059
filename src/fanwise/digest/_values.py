"""What a digest consists of: statements with their places, what is missing, the whole."""

from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Final

from fanwise.models import Usage
from fanwise.text import terms

_NOTHING: Final = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence quoted from a document: `text` is exactly its characters `start` to `end`.

    `heading` is the path of headings over it, the document's title first.
    """

    text: str
    source: str
    start: int
    end: int
    heading: tuple[str, ...]

    @property
    def place(self) -> str:
        """The document's name with the character offsets: `file:start-end`."""
        return f"{self.source}:{self.start}-{self.end}"

    def narrowed(self, start: int, end: int) -> "Statement":
        """Give the part of this statement from `start` to `end`, counted within it."""
        if start == 0 and end == len(self.text):
            return self
        text = self.text[start:end]
        return replace(self, text=text, start=self.start + start, end=self.start + end)


@dataclass(frozen=True, slots=True)
class Missing:
    """A document, or a part of one, that is not in the digest, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        """Say both in one line."""
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of some chunks: their best statements, the best first.

    `answered` of `chunks` chunks of `documents` documents went into it; `asked` counts the
    questions to the model, `dropped` the lines of answers that could not be found in their
    passage and so are not shown.
    """

    statements: tuple[Statement, ...] = ()
    documents: int = 0
    chunks: int = 0
    answered: int = 0
    asked: int = 0
    dropped: int = 0
    usage: Usage = _NOTHING
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Digest:
    """The answer to a task over documents.

    `part` holds the statements, the best first, and what went into them: counts, usage,
    and what is missing.
    """

    task: str
    model: str
    part: Part

    @property
    def complete(self) -> bool:
        """Whether every document that was found went into it, whole."""
        return not self.part.missing


def joined(parts: list[Part], statements: tuple[Statement, ...]) -> Part:
    """Add up the counts of parts, under the statements chosen from them."""
    return Part(
        statements,
        documents=sum(part.documents for part in parts),
        chunks=sum(part.chunks for part in parts),
        answered=sum(part.answered for part in parts),
        asked=sum(part.asked for part in parts),
        dropped=sum(part.dropped for part in parts),
        usage=sum((part.usage for part in parts), _NOTHING),
        missing=tuple(gap for part in parts for gap in part.missing),
    )


def in_turn(parts: list[Part], most: int, task: str) -> tuple[Statement, ...]:
    """Give up to `most` statements without asking anybody.

    First those that share most terms with the task; among equals the best of each part,
    then the second of each.
    """
    wanted = frozenset(terms(task))
    rows = zip_longest(*(part.statements for part in parts))
    found = [statement for statement in chain.from_iterable(rows) if statement is not None]
    found.sort(key=lambda statement: -len(wanted.intersection(terms(statement.text))))
    return tuple(found[:most])
