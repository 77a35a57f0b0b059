"""A block: a heading, paragraph, list item, code, table; the scanner that finds them.

Problem: chunks and sentences must never be cut through a heading, a code block or a
table, in three markups, with exact offsets. Algorithm: one pass over the lines; a markup
is an ordered list of rules, each of which looks at one line (and at most a few
neighbours) and says where its block stops; the last rule, the paragraph, always applies.
Cost: linear in the text. Rejected: docutils and markdown-it-py, which give trees
without character offsets and would be the largest packages of the base install.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fanwise.text._lines import BOM, Lines

Kind = Literal[
    "heading",
    "paragraph",
    "item",
    "quote",
    "term",
    "code",
    "table",
    "meta",
    "links",
    "rule",
]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a text that belongs together: `text[start:end]`, never blank at its ends.

    `level` is 1 for the topmost kind of heading, and 0 for all that is not a heading;
    `title` is a heading without its marks.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule found: the number of the line behind the block, and its kind."""

    stop: int
    kind: Kind
    level: int = 0
    title: str = ""


Rule = Callable[[Lines, int], Match | None]


def scan(text: str, rules: Sequence[Rule]) -> list[Block]:
    """Cut a text into blocks; each line that is not blank is in exactly one of them."""
    lines = Lines(text)
    found: list[Block] = []
    at = 0
    while at < len(lines):
        if not lines.texts[at]:
            at += 1
            continue
        match = next(match for rule in rules if (match := rule(lines, at)) is not None)
        last = match.stop - 1
        while not lines.texts[last]:
            last -= 1
        start = 0 if at == 0 and text.startswith(BOM) else lines.starts[at]
        found.append(Block(match.kind, start, lines.end(last), match.level, match.title))
        at = match.stop
    return found
