"""Chunks of a text, cut where a reader would cut.

Problem: pieces of at most `size_tokens` that a model can read alone, each an exact span.
Algorithm: greedy packing over a list of units that never need a cut inside: blocks,
or, of a block that is too large, its sentences (of code and tables the lines), or, of a
sentence that is too large, its words. Before a heading a chunk is closed when the section
does not fit into what is left and at least a quarter is filled; a heading is never left
at the end of a chunk alone. Cost: linear. Rejected: recursive splitting on separators
(quadratic in the worst case, loses offsets) and overlap (each statement would be found twice).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fanwise.text._block import Block
from fanwise.text._blocks import Markup, Outline, blocks
from fanwise.text._sentences import PROSE, sentences_of
from fanwise.text._tokens import BYTES_PER_TOKEN, bytes_of

_WORD: Final = re.compile(r"\S+")
_LINE: Final = re.compile(r"[^\n]*\S[^\n]*")
_LEAST_FILLED: Final = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text, `text[start:end]`, under its path of headings.

    `tokens` is estimated. `heading` holds the headings over its first character, the
    outermost first; a heading that opens the chunk is the last of them.
    """

    start: int
    end: int
    heading: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is kept in one piece; `section` counts the bytes down to the next heading."""

    start: int
    end: int
    size: int
    heading: bool = False
    section: int = 0


def chunks(text: str, size_tokens: int, markup: Markup = "plain") -> list[Chunk]:
    """Cut a text into chunks of at most `size_tokens` estimated tokens, in order.

    Borders are headings, then paragraphs, then sentences; only a sentence that alone is
    larger is cut, between words (a word that alone is larger, between characters). All
    that is not blank is in exactly one chunk. Raises ValueError for `size_tokens` below 1
    and for an unknown `markup`.
    """
    if size_tokens < 1:
        message = f"size_tokens={size_tokens!r} is too small; a chunk needs at least 1 token"
        raise ValueError(message)
    found = blocks(text, markup)
    outline = Outline(found)
    most = size_tokens * BYTES_PER_TOKEN
    units = _with_sections([u for block in found for u in _units(text, block, most)])
    return [
        Chunk(start, end, outline.at(start), -(-bytes_of(text[start:end]) // BYTES_PER_TOKEN))
        for start, end in _packed(text, units, most)
    ]


def _units(text: str, block: Block, most: int) -> Iterator[_Unit]:
    """Give a block, or its parts where it is larger than a chunk."""
    size = bytes_of(text[block.start : block.end])
    if size <= most:
        yield _Unit(block.start, block.end, size, block.kind == "heading")
        return
    for start, end in _parts(text, block):
        part = bytes_of(text[start:end])
        if part <= most:
            yield _Unit(start, end, part)
        else:
            yield from _words(text, start, end, most)


def _parts(text: str, block: Block) -> Iterable[tuple[int, int]]:
    if block.kind in PROSE:
        return ((s.start, s.end) for s in sentences_of(text, block))
    lines = _LINE.finditer(text, block.start, block.end)
    return (_stripped(text, line.start(), line.end()) for line in lines)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    line = text[start:end]
    return start + len(line) - len(line.lstrip()), end - (len(line) - len(line.rstrip()))


def _words(text: str, start: int, end: int, most: int) -> Iterator[_Unit]:
    for word in _WORD.finditer(text, start, end):
        size = bytes_of(word[0])
        if size <= most:
            yield _Unit(word.start(), word.end(), size)
        else:
            yield from _characters(text, word.start(), word.end(), most)


def _characters(text: str, start: int, end: int, most: int) -> Iterator[_Unit]:
    """Cut a word of any length; a character has at most four bytes."""
    step = max(1, most // 4)
    for at in range(start, end, step):
        stop = min(end, at + step)
        yield _Unit(at, stop, bytes_of(text[at:stop]))


def _with_sections(units: list[_Unit]) -> list[_Unit]:
    """Tell each heading the bytes of its section, itself included."""
    result: list[_Unit] = []
    section = 0
    for unit in reversed(units):
        section += unit.size + 1
        if unit.heading:
            result.append(_Unit(unit.start, unit.end, unit.size, heading=True, section=section))
            section = 0
        else:
            result.append(unit)
    result.reverse()
    return result


def _packed(text: str, units: list[_Unit], most: int) -> Iterator[tuple[int, int]]:
    """Pack units into spans of at most `most` bytes, the blanks between them included."""
    held: list[_Unit] = []
    filled = 0
    for unit in units:
        gap = bytes_of(text[held[-1].end : unit.start]) if held else 0
        if held and (filled + gap + unit.size > most or _closes(unit, filled, most)):
            carried = _carried(text, held, unit, most)
            kept = held[: len(held) - len(carried)]
            yield kept[0].start, kept[-1].end
            held = carried
            filled = bytes_of(text[held[0].start : held[-1].end]) if held else 0
            gap = bytes_of(text[held[-1].end : unit.start]) if held else 0
        held.append(unit)
        filled += gap + unit.size
    if held:
        yield held[0].start, held[-1].end


def _closes(unit: _Unit, filled: int, most: int) -> bool:
    """Tell whether a chunk should end before this heading."""
    fits = filled + unit.section <= most
    return unit.heading and not fits and filled * _LEAST_FILLED >= most


def _carried(text: str, held: list[_Unit], unit: _Unit, most: int) -> list[_Unit]:
    """Take the headings at the end of a full chunk over into the next one, if they fit there."""
    count = size = 0
    while count < len(held) - 1 and held[-1 - count].heading:
        size += held[-1 - count].size
        if size * _LEAST_FILLED > most:
            break
        count += 1
    if count == 0 or bytes_of(text[held[-count].start : unit.end]) > most:
        return []
    return held[-count:]
