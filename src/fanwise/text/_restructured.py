"""Blocks of reStructuredText (docutils' body elements, as far as cutting needs them).

Titles take their level from the order in which their marks first appear, as docutils
does. A preamble of `Name: value` lines, as the PEPs have, is one block that is not prose.
"""

import re
from typing import Final

from fanwise.text._block import Block, Match, Rule, scan
from fanwise.text._lines import Lines

_MARKS: Final = re.compile(r"([!-/:-@\[-`{-~])\1*$")
_PREAMBLE: Final = re.compile(r":?[A-Za-z][\w-]*:(?:\s|$)")
_FIELD: Final = re.compile(r":[^:\s`][^:`]*:(?:\s|$)")
_ITEM: Final = re.compile(r"(?:[-*+•]|\(?(?:\d{1,3}|#|[a-zA-Z]|[ivx]{1,4})[.)])\s+\S")
_GRID: Final = re.compile(r"\+[-=+]+\+$")
_COLUMNS: Final = re.compile(r"=+(?:\s+=+)+$")
_EXPLICIT: Final = re.compile(r"\.\.(?:\s|$)")
_ADMONITION: Final = re.compile(
    r"\.\. (?:note|warning|important|tip|caution|danger|attention|hint|error|admonition|"
    r"seealso|epigraph|versionadded|versionchanged|deprecated|topic|sidebar)::"
)
_LEAST_MARKS: Final = 3
_LONGEST_TABLE: Final = 500


def _is_marks(line: str) -> bool:
    return len(line) >= _LEAST_MARKS and _MARKS.match(line) is not None


def _preamble(lines: Lines, at: int) -> Match | None:
    if lines.above[at] >= 0 or not _PREAMBLE.match(lines.texts[at]):
        return None
    stop = lines.while_filled(at)
    several = stop > at + 1 and (lines.indents[at + 1] or _PREAMBLE.match(lines.texts[at + 1]))
    return Match(stop, "meta") if several else None


def _literal(lines: Lines, at: int) -> Match | None:
    above = lines.above[at]
    if above < 0 or above == at - 1 or not lines.texts[above].endswith("::"):
        return None
    base = lines.indents[above]
    if lines.indents[at] <= base or _EXPLICIT.match(lines.texts[above]):
        return None
    return Match(lines.while_deeper(at, base), "code")


def _title(lines: Lines, at: int) -> Match | None:
    """Find a title with its underline; the level is the mark, made a rank afterwards."""
    title = lines.texts[at]
    if lines.indents[at] or at + 1 >= len(lines) or _is_marks(title):
        return None
    mark = lines.texts[at + 1]
    long_enough = len(mark) >= min(len(title), 4)
    if not _is_marks(mark) or not long_enough or lines.indents[at + 1]:
        return None
    return Match(at + 2, "heading", ord(mark[0]), title)


def _overlined(lines: Lines, at: int) -> Match | None:
    if at + 2 >= len(lines) or not _is_marks(lines.texts[at]) or not lines.texts[at + 1]:
        return None
    over, under = lines.texts[at], lines.texts[at + 2]
    if over[0] != under[:1] or not _is_marks(under) or _is_marks(lines.texts[at + 1]):
        return None
    return Match(at + 3, "heading", 256 + ord(over[0]), lines.texts[at + 1])


def _grid(lines: Lines, at: int) -> Match | None:
    if not _GRID.match(lines.texts[at]):
        return None
    return Match(lines.while_filled(at), "table")


def _columns(lines: Lines, at: int) -> Match | None:
    """Find a simple table: to its last border, which stands before a blank line."""
    if not _COLUMNS.match(lines.texts[at]):
        return None
    for number in range(at + 1, min(len(lines), at + _LONGEST_TABLE)):
        if _COLUMNS.match(lines.texts[number]):
            blank_below = number + 1 >= len(lines) or not lines.texts[number + 1]
            if blank_below:
                return Match(number + 1, "table")
    return Match(lines.while_filled(at), "table")


def _explicit(lines: Lines, at: int) -> Match | None:
    """Find a directive, comment, footnote or target with its body.

    Of an admonition only the marker is taken, so that its body is read as prose.
    """
    line = lines.texts[at]
    if not _EXPLICIT.match(line):
        return None
    if _ADMONITION.match(line):
        return Match(at + 1, "meta")
    stop = max(at + 1, lines.while_deeper(at + 1, lines.indents[at]))
    return Match(stop, "links" if line.startswith((".. _", ".. [", ".. |")) else "code")


def _doctest(lines: Lines, at: int) -> Match | None:
    if not lines.texts[at].startswith(">>>"):
        return None
    return Match(lines.while_filled(at), "code")


def _field(lines: Lines, at: int) -> Match | None:
    if not _FIELD.match(lines.texts[at]):
        return None
    return Match(max(at + 1, _same_paragraph(lines, at, lines.indents[at] + 1)), "meta")


def _item(lines: Lines, at: int) -> Match | None:
    if not _ITEM.match(lines.texts[at]):
        return None
    return Match(_same_paragraph(lines, at, lines.indents[at] + 1), "item")


def _rule(lines: Lines, at: int) -> Match | None:
    if any(c.isalnum() for c in lines.texts[at]):
        return None
    return Match(at + 1, "rule")


def _term(lines: Lines, at: int) -> Match | None:
    """Find the term of a definition list: one line over a more indented one."""
    below = at + 1
    if below >= len(lines) or not lines.texts[below]:
        return None
    return Match(below, "term") if lines.indents[below] > lines.indents[at] else None


def _paragraph(lines: Lines, at: int) -> Match | None:
    stop = _same_paragraph(lines, at, lines.indents[at])
    return Match(stop, "quote" if lines.indents[at] else "paragraph")


def _same_paragraph(lines: Lines, at: int, indent: int) -> int:
    """Go on over filled lines that are indented by at least `indent`."""
    at += 1
    while at < len(lines) and lines.texts[at] and lines.indents[at] >= indent:
        at += 1
    return at


_RULES: Final[tuple[Rule, ...]] = (
    _preamble,
    _literal,
    _overlined,
    _title,
    _grid,
    _columns,
    _explicit,
    _doctest,
    _field,
    _item,
    _rule,
    _term,
    _paragraph,
)


def restructured_blocks(text: str) -> list[Block]:
    """Cut reStructuredText into blocks, titles ranked by first appearance of their marks."""
    found = scan(text, _RULES)
    ranks: dict[int, int] = {}
    for block in found:
        if block.kind == "heading":
            ranks.setdefault(block.level, len(ranks) + 1)
    return [_ranked(block, ranks) for block in found]


def _ranked(block: Block, ranks: dict[int, int]) -> Block:
    if block.kind != "heading":
        return block
    return Block("heading", block.start, block.end, ranks[block.level], block.title)
