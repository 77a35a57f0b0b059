"""What a digest consists of: statements with their places, what is missing, the whole."""

from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Final

from fanwise.documents import Origin
from fanwise.models import Usage
from fanwise.patterns import count_of
from fanwise.text import terms

_NOTHING: Final = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence quoted from a document: `text` is exactly its characters `start` to `end`.

    They count in the text that `fanwise.documents` reads. `heading` is the path of headings
    over it, the document's title first. Of HTML and PDF, `origin` leads to line or page.
    """

    text: str
    source: str
    start: int
    end: int
    heading: tuple[str, ...]
    origin: Origin | None = None

    @property
    def place(self) -> str:
        """The document's name with the offsets, and line or page: `a.pdf:10-60 (page 2)`."""
        place = f"{self.source}:{self.start}-{self.end}"
        if self.origin is None:
            return place
        return f"{place} ({self.origin.named(self.start, self.end)})"

    def narrowed(self, start: int, end: int) -> "Statement":
        """Give the part of this statement from `start` to `end`, counted within it."""
        if start == 0 and end == len(self.text):
            return self
        text = self.text[start:end]
        return replace(self, text=text, start=self.start + start, end=self.start + end)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two statements that a model says cannot both be true, in the order of their places."""

    one: Statement
    other: Statement


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

    `answered` of `chunks` chunks of `documents` documents went into it, of `digested`
    documents one chunk at least; `asked` counts the questions to the model, `dropped` the
    lines of answers that could not be found in their passage and so are not shown. `conflicts`
    are statements that a model found to deny each other, whether or not both are among the best.
    """

    statements: tuple[Statement, ...] = ()
    documents: int = 0
    digested: int = 0
    chunks: int = 0
    answered: int = 0
    asked: int = 0
    dropped: int = 0
    usage: Usage = _NOTHING
    missing: tuple[Missing, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Digest:
    """The answer to a task over documents.

    `part` holds the statements, the best first, and what went into them: counts, usage,
    and what is missing. `found` counts the documents that were found, those that cannot be
    read among them; `need` is how many of them it takes, as a count or a share.
    """

    task: str
    model: str
    part: Part
    found: int = 0
    need: int | str = 1

    @property
    def complete(self) -> bool:
        """Whether every document that was found went into it, whole."""
        return not self.part.missing

    @property
    def needed(self) -> int:
        """How many documents it takes."""
        return count_of("need", self.need, self.found)

    @property
    def enough(self) -> bool:
        """Whether as many documents went into it as it takes."""
        return self.part.digested >= self.needed


def joined(parts: list[Part], statements: tuple[Statement, ...]) -> Part:
    """Add up the counts of parts, under the statements chosen from them."""
    return Part(
        statements,
        documents=sum(part.documents for part in parts),
        digested=sum(part.digested for part in parts),
        chunks=sum(part.chunks for part in parts),
        answered=sum(part.answered for part in parts),
        asked=sum(part.asked for part in parts),
        dropped=sum(part.dropped for part in parts),
        usage=sum((part.usage for part in parts), _NOTHING),
        missing=tuple(gap for part in parts for gap in part.missing),
        conflicts=tuple(dict.fromkeys(pair for part in parts for pair in part.conflicts)),
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
