"""Blocks of Markdown (CommonMark's block structure, as far as cutting needs it).

Nested lists and quotes are cut item by item rather than as a tree. Tables are those of
GitHub's dialect. Front matter (`---`) and raw HTML are blocks that are not prose.
"""

import re
from typing import Final

from fanwise.text._block import Block, Match, Rule, scan
from fanwise.text._lines import Lines

_FENCE: Final = re.compile(r"(`{3,}|~{3,})")
_ATX: Final = re.compile(r"(#{1,6})(?:\s|$)")
_SETEXT: Final = re.compile(r"(?:=+|-+)$")
_BREAK: Final = re.compile(r"(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$")
_ITEM: Final = re.compile(r"(?:[-*+]|\d{1,9}[.)])\s+\S")
_DELIMITER: Final = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?$")
_DEFINITION: Final = re.compile(r"\[[^\]]+\]:\s")
_HTML: Final = re.compile(r"</?[a-zA-Z][^>]*>?|<!--|<\?|<!")
_INTERRUPTING: Final = (_ATX, _FENCE, _ITEM, _BREAK)
_CODE_INDENT: Final = 4


def _front_matter(lines: Lines, at: int) -> Match | None:
    if at != 0 or lines.texts[0] != "---" or len(lines) == 1 or not lines.texts[1]:
        return None
    for number in range(1, len(lines)):
        if lines.texts[number] in ("---", "..."):
            return Match(number + 1, "meta")
    return None


def _fence(lines: Lines, at: int) -> Match | None:
    opened = _FENCE.match(lines.texts[at])
    if opened is None:
        return None
    mark = opened[1]
    for number in range(at + 1, len(lines)):
        line = lines.texts[number]
        if line.startswith(mark) and not line.strip(mark[0]):
            return Match(number + 1, "code")
    return Match(len(lines), "code")


def _indented(lines: Lines, at: int) -> Match | None:
    above = lines.above[at]
    if lines.indents[at] < _CODE_INDENT or above == at - 1 >= 0 or _in_item(lines, at):
        return None
    return Match(lines.while_deeper(at, _CODE_INDENT - 1), "code")


def _in_item(lines: Lines, at: int) -> bool:
    """Tell whether an indented line continues a list item or another indented line."""
    above = lines.above[at]
    if above < 0:
        return False
    return bool(_ITEM.match(lines.texts[above])) or 0 < lines.indents[above] <= lines.indents[at]


def _atx(lines: Lines, at: int) -> Match | None:
    found = _ATX.match(lines.texts[at])
    if found is None or lines.indents[at] >= _CODE_INDENT:
        return None
    title = lines.texts[at][found.end() :].strip()
    bare = title.rstrip("#")
    closed = not bare or bare[-1].isspace()
    return Match(at + 1, "heading", len(found[1]), bare.rstrip() if closed else title)


def _setext(lines: Lines, at: int) -> Match | None:
    if at + 1 >= len(lines) or not _SETEXT.match(lines.texts[at + 1]):
        return None
    if _starts_block(lines.texts[at]) or "|" in lines.texts[at]:
        return None
    return Match(at + 2, "heading", 1 if lines.texts[at + 1][0] == "=" else 2, lines.texts[at])


def _break(lines: Lines, at: int) -> Match | None:
    return Match(at + 1, "rule") if _BREAK.match(lines.texts[at]) else None


def _table(lines: Lines, at: int) -> Match | None:
    if "|" not in lines.texts[at] or at + 1 >= len(lines):
        return None
    below = lines.texts[at + 1]
    if "|" not in below or not _DELIMITER.match(below):
        return None
    return Match(lines.while_filled(at), "table")


def _definition(lines: Lines, at: int) -> Match | None:
    stop = at
    while stop < len(lines) and _DEFINITION.match(lines.texts[stop]):
        stop += 1
    return Match(stop, "links") if stop > at else None


def _html(lines: Lines, at: int) -> Match | None:
    if not _HTML.match(lines.texts[at]):
        return None
    if not lines.texts[at].startswith("<!--"):
        return Match(lines.while_filled(at), "meta")
    for number in range(at, len(lines)):
        if "-->" in lines.texts[number]:
            return Match(number + 1, "meta")
    return Match(len(lines), "meta")


def _quote(lines: Lines, at: int) -> Match | None:
    stop = at
    while stop < len(lines) and lines.texts[stop].startswith(">"):
        stop += 1
    return Match(stop, "quote") if stop > at else None


def _item(lines: Lines, at: int) -> Match | None:
    if not _ITEM.match(lines.texts[at]):
        return None
    return Match(_to_block(lines, at + 1), "item")


def _paragraph(lines: Lines, at: int) -> Match | None:
    return Match(_to_block(lines, at + 1), "paragraph")


def _to_block(lines: Lines, at: int) -> int:
    while at < len(lines) and lines.texts[at] and not _starts_block(lines.texts[at]):
        at += 1
    return at


def _starts_block(line: str) -> bool:
    """Tell whether a line interrupts a paragraph."""
    if line[0] not in "#`~-*+_>0123456789":
        return False
    return line[0] == ">" or any(mark.match(line) for mark in _INTERRUPTING)


_RULES: Final[tuple[Rule, ...]] = (
    _front_matter,
    _indented,
    _fence,
    _atx,
    _setext,
    _break,
    _table,
    _definition,
    _html,
    _quote,
    _item,
    _paragraph,
)


def markdown_blocks(text: str) -> list[Block]:
    """Cut Markdown into blocks."""
    return scan(text, _RULES)
