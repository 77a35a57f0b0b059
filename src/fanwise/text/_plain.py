"""Blocks of plain text: paragraphs, list items, and what looks like a heading."""

import re
from typing import Final

from fanwise.text._block import Block, Match, Rule, scan
from fanwise.text._lines import Lines

ITEM: Final = re.compile(r"(?:[-*+•]|\(?(?:\d{1,3}|[a-z])[.)])\s+\S")
UNDERLINE: Final = re.compile(r"(?:=+|-+|~+|\*+)$")
NUMBERED: Final = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+[A-Z]")
_SHORT: Final = 70


def _alone(lines: Lines, at: int) -> bool:
    """Tell whether a line stands between two blank lines."""
    below = at + 1 >= len(lines) or not lines.texts[at + 1]
    above = at == 0 or not lines.texts[at - 1]
    return above and below


def underlined(lines: Lines, at: int) -> Match | None:
    """Find a title whose next line is a row of one mark, at least three of them."""
    if at + 1 >= len(lines) or UNDERLINE.match(lines.texts[at]):
        return None
    mark = lines.texts[at + 1]
    if len(mark) < 3 or not UNDERLINE.match(mark) or len(lines.texts[at]) > _SHORT * 2:
        return None
    return Match(at + 2, "heading", 1 if mark[0] in "=*" else 2, lines.texts[at])


def lone_heading(lines: Lines, at: int) -> Match | None:
    """Find a short line of its own in capitals, or numbered and without a full stop."""
    line = lines.texts[at]
    if len(line) > _SHORT or line[-1] in ".!?:;," or not _alone(lines, at):
        return None
    numbered = NUMBERED.match(line)
    if numbered:
        return Match(at + 1, "heading", numbered[1].count(".") + 1, line)
    if line.isupper() and any(c.isalpha() for c in line):
        return Match(at + 1, "heading", 1, line)
    return None


def rule_line(lines: Lines, at: int) -> Match | None:
    """Find a line of marks alone."""
    line = lines.texts[at]
    if any(c.isalnum() for c in line):
        return None
    return Match(at + 1, "rule")


def item(lines: Lines, at: int) -> Match | None:
    """Find a list item: up to the next item, a blank line or the end."""
    if not ITEM.match(lines.texts[at]):
        return None
    return Match(_until_item(lines, at + 1), "item")


def paragraph(lines: Lines, at: int) -> Match | None:
    """Take the lines up to a blank one or a list item."""
    return Match(_until_item(lines, at + 1), "paragraph")


def _until_item(lines: Lines, at: int) -> int:
    while at < len(lines) and lines.texts[at] and not ITEM.match(lines.texts[at]):
        at += 1
    return at


_RULES: Final[tuple[Rule, ...]] = (underlined, lone_heading, rule_line, item, paragraph)


def plain_blocks(text: str) -> list[Block]:
    """Cut plain text into blocks; a heading is guessed from capitals, number or underline."""
    return scan(text, _RULES)
