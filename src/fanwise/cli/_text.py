"""Text from a record, made safe and measured for a terminal."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

_NO_WIDTH: Final = ("Mn", "Me")
_LINES: Final = ("Zl", "Zp")


def printable(text: str) -> str:
    """Show control characters, line ends and what turns the direction of text as escapes."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in _LINES:
        return character.encode("unicode_escape").decode("ascii")
    return character


def columns(text: str) -> int:
    """Count the columns that printable text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clipped(text: str, width: int, dots: str = "…") -> str:
    """Cut text to so many columns, and say with dots that something is missing."""
    if columns(text) <= width:
        return text
    if columns(dots) > width:
        return dots[: max(0, width)]
    found, left = [], width - columns(dots)
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        found.append(character)
    return "".join(found) + dots


def padded(text: str, width: int) -> str:
    """Fill text up to so many columns."""
    return text + " " * (width - columns(text))


def wrapped(
    pieces: Iterable[str], width: int, first: str = "", rest: str = "", dots: str = "…"
) -> Iterator[str]:
    """Fill lines with pieces and a space between them; only what fits no line is clipped.

    The first line begins with `first`, the others with `rest`.
    """
    line, empty = first, True
    for piece in pieces:
        if not empty and columns(line) + 1 + columns(piece) > width:
            yield line
            line, empty = rest, True
        line, empty = clipped(line + piece if empty else f"{line} {piece}", width, dots), False
    yield line
