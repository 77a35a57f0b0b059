"""The text of a PDF, put together of the lines of its pages, written as Markdown.

Problem: a PDF holds lines at places, and neither paragraphs nor headings; sentences must be
whole, and each must lead back to its page. Algorithm: lines that stand at the head or foot of
several pages, page numbers masked, are dropped (running heads); a paragraph ends at a wider
gap, an indent, another size, or a short line with a full stop; a larger or bolder line is a
heading, ranked by size; a word cut by a hyphen is joined, with the hyphen where the
document writes it so elsewhere; a paragraph that a page cuts goes on. Cost: linear. Where a
reader gives no places (pypdf), blank lines and short last lines part the paragraphs.
Rejected: models of layout (hundreds of megabytes for columns and tables).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from fanwise.documents._assembly import Assembly
from fanwise.documents._page import Line, Page
from fanwise.documents._values import Origin

_LIGATURES: Final = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl",
                     0xFB05: "st", 0xFB06: "st", 0xAD: None, 0xA0: " ", 0x200B: None}  # fmt: skip
_CONTROLS: Final = dict.fromkeys((*range(32), 0x7F, 0xFFFE, 0xFFFF))
_AS_READ: Final = _CONTROLS | _LIGATURES | {9: " ", 10: " ", 13: " "}
_LEADER: Final = re.compile(r"(?:\s?\.){4,}\s*")
_NUMBER: Final = re.compile(r"\d+|\b[ivxlc]+\b")
_PAGE_NUMBER: Final = re.compile(r"(?:page )?[-–] ?#(?: ?[-–])?$|(?:page )?#(?: ?(?:/|of) ?#)?$", re.IGNORECASE)  # fmt: skip  # noqa: E501
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BULLET: Final = re.compile(r"(?:[•◦▪‣·∗–*-]|\(?(?:\d{1,2}|[a-z])[.)])\s+\S")  # noqa: RUF001
_CAPTION: Final = re.compile(r"(?:figure|fig\.|table|listing)\s+\d", re.IGNORECASE)
_ENDED: Final = re.compile(r"[.!?:;…][\"'”’)\]]*$")
_EDGE: Final = 2
_FEWEST_PAGES: Final = 3
_SAME_HEIGHT: Final = 3.0
_LONGEST_HEADING: Final = 120
_FEWEST_LETTERS: Final = 3
_LARGER: Final = 1.1
_BOLDER: Final = 100
_MOST_LEVELS: Final = 6


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a PDF says: its title, its text as Markdown, and the page of each line."""

    title: str
    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Placed:
    """A line with the number of its page."""

    line: Line
    page: int


@dataclass(frozen=True, slots=True)
class _Type:
    """The type in which most of a document is set; `leading` is from line to line."""

    size: float
    weight: int
    leading: float
    right: float


def extract(pages: Sequence[Page]) -> Extracted:
    """Give the text of pages, in order; never raises."""
    cleaned = [[_cleaned(line) for line in page.lines] for page in pages]
    heads = _running(cleaned)
    placed = [
        _Placed(line, number)
        for number, lines in enumerate(cleaned, 1)
        for at, line in enumerate(lines)
        if not (_is_edge(at, lines) and _is_running(line, heads))
    ]
    body = _body(placed)
    known = Counter(word for each in placed for word in _WORD.findall(each.line.text.lower()))
    blocks = list(_blocks(placed, body))
    levels = _levels(blocks, body)
    assembly = Assembly("page")
    for block in blocks:
        _write(block, levels.get(_rank(block[0].line), 0) if _is_heading(block, body) else 0,
               known, assembly)  # fmt: skip
    return Extracted(_title(blocks, body), assembly.text(), assembly.origin())


def _cleaned(line: Line) -> Line:
    """Normalise what fonts and layout did to a text: ligatures, blanks, dotted leaders."""
    text = " ".join(_LEADER.sub(" ... ", line.text.translate(_AS_READ)).split())
    return Line(text, line.left, line.right, line.base, line.size, line.weight, line.hyphen)


def _is_edge(at: int, lines: list[Line]) -> bool:
    return at < _EDGE or at >= len(lines) - _EDGE


def _masked(line: Line) -> str:
    return _NUMBER.sub("#", line.text.lower())


def _running(pages: list[list[Line]]) -> dict[str, list[float]]:
    """Find the lines, numbers masked, that stand at the edges of three pages or more."""
    found: dict[str, list[float]] = {}
    for lines in pages:
        for at, line in enumerate(lines):
            if line.text and _is_edge(at, lines):
                found.setdefault(_masked(line), []).append(line.base)
    return {
        text: bases
        for text, bases in found.items()
        if _PAGE_NUMBER.match(text) or _most_together(bases) >= _FEWEST_PAGES
    }


def _most_together(bases: list[float]) -> int:
    """Count how often the commonest height occurs."""
    return Counter(round(base / _SAME_HEIGHT) for base in bases).most_common(1)[0][1]


def _is_running(line: Line, heads: dict[str, list[float]]) -> bool:
    text = _masked(line)
    if _PAGE_NUMBER.match(text):
        return True
    near = [base for base in heads.get(text, ()) if abs(base - line.base) <= _SAME_HEIGHT]
    return len(near) >= _FEWEST_PAGES


def _body(placed: list[_Placed]) -> _Type:
    """Find the size and weight of most characters, and the usual distance of two lines."""
    kinds: Counter[tuple[float, int]] = Counter()
    for each in placed:
        kinds[round(each.line.size, 1), each.line.weight] += len(each.line.text)
    size, weight = kinds.most_common(1)[0][0] if kinds else (0.0, 0)
    steps = [
        one.line.base - two.line.base
        for one, two in pairwise(placed)
        if one.page == two.page and abs(one.line.size - size) < 1 and abs(two.line.size - size) < 1
    ]
    falls = [step for step in steps if 0 < step < 3 * size]
    rights = [each.line.right for each in placed if abs(each.line.size - size) < 1]
    far = sorted(rights)[len(rights) * 9 // 10] if rights else 0.0
    return _Type(size, weight, median(falls) if falls else 1.2 * size, far)


def _blocks(placed: list[_Placed], body: _Type) -> Iterator[list[_Placed]]:
    """Group lines into paragraphs and headings."""
    held: list[_Placed] = []
    for each in placed:
        if not each.line.text or (held and _parts(held, each, body)):
            if held:
                yield held
            held = []
        if each.line.text:
            held.append(each)
    if held:
        yield held


def _parts(held: list[_Placed], new: _Placed, body: _Type) -> bool:
    """Tell whether a paragraph ends before this line."""
    before, line = held[-1].line, new.line
    if before.hyphen:
        return False
    leads = " ... " in before.text + line.text
    if leads or _BULLET.match(line.text) or _differ(before, line, body):
        return True
    ended = _ENDED.search(before.text) is not None
    other_page = held[-1].page != new.page
    if other_page or before.base - line.base < -line.size:  # another page or column
        return ended or not line.text[0].islower() or not _is_full(held, body)
    if not line.size:
        return ended and len(before.text) < 0.75 * max(len(each.line.text) for each in held)
    short = before.right < body.right - 5 * line.size
    return (ended and short) or _stands_off(held, line, body)


def _is_full(held: list[_Placed], body: _Type) -> bool:
    """Tell whether the last line goes to the edge of its column, as no caption does."""
    before = held[-1].line
    if _CAPTION.match(held[0].line.text):
        return False
    if not before.size:
        longest = max(len(each.line.text) for each in held)
        return len(held) > 1 and len(before.text) > 0.75 * longest
    edge = max(each.line.right for each in held) if len(held) > 1 else body.right
    return before.right > edge - 5 * before.size


def _stands_off(held: list[_Placed], line: Line, body: _Type) -> bool:
    """Tell whether a line stands lower than the next one would, or is indented or outdented."""
    before = held[-1].line
    if before.base - line.base > 1.3 * max(body.leading, 1.1 * line.size):
        return True
    shift = (line.left - before.left) / line.size
    if len(held) > 1:
        return abs(shift) > 0.7
    return shift < -2.2 or (shift > 0.7 and not _BULLET.match(before.text))


def _differ(one: Line, two: Line, body: _Type) -> bool:
    """Tell whether two lines are set in different types: size, or the weight of a heading."""
    if abs(one.size - two.size) > 0.12 * max(one.size, two.size):
        return True
    bold = [line.weight >= body.weight + _BOLDER for line in (one, two)]
    return bold[0] != bold[1]


def _is_heading(block: list[_Placed], body: _Type) -> bool:
    """Tell whether a block is short, and larger or bolder than the rest."""
    text = " ".join(each.line.text for each in block)
    line = block[0].line
    stands_out = line.size >= _LARGER * body.size or line.weight >= body.weight + _BOLDER
    letters = sum(map(str.isalpha, text))
    opens = next((c for c in text if c.isalnum()), "a")
    return (
        bool(body.size)
        and stands_out
        and line.size >= 0.95 * body.size
        and len(text) <= _LONGEST_HEADING
        and letters >= max(_FEWEST_LETTERS, len(text) // 2)
        and not opens.islower()  # a label of a figure, as a rule
        and text[-1] not in ".,;:"
    )


def _rank(line: Line) -> float:
    return round(line.size, 0)


def _levels(blocks: list[list[_Placed]], body: _Type) -> dict[float, int]:
    """Rank the sizes of headings, the largest first."""
    sizes = {_rank(block[0].line) for block in blocks if _is_heading(block, body)}
    ordered = sorted(sizes, reverse=True)
    return {size: min(_MOST_LEVELS, level) for level, size in enumerate(ordered, 1)}


def _title(blocks: list[list[_Placed]], body: _Type) -> str:
    """Give the largest heading of the first page that has one among the first three."""
    for page in range(1, 4):
        found = [b for b in blocks if b[0].page == page and _is_heading(b, body)]
        if found:
            largest = max(found, key=lambda block: block[0].line.size)
            return " ".join(each.line.text for each in largest)
    return ""


def _write(block: list[_Placed], level: int, known: Counter[str], assembly: Assembly) -> None:
    """Write a paragraph or heading on one line."""
    assembly.glue("\n\n")
    if level:
        assembly.add("#" * level + " ", block[0].page)
    for text, page in _joined(block, known):
        assembly.add(text, page)


def _joined(block: list[_Placed], known: Counter[str]) -> Iterable[tuple[str, int]]:
    """Give the lines with what joins each to the next: a blank, a hyphen, or nothing."""
    for one, two in pairwise(block):
        yield _before(one.line, two.line.text, known), one.page
    yield block[-1].line.text, block[-1].page


def _before(line: Line, following: str, known: Counter[str]) -> str:
    """Give a line as it stands before the next one."""
    text = line.text
    cut = line.hyphen or (text[-1:] == "-" and text[-2:-1].isalpha() and following[0].islower())
    if not cut:
        return f"{text} "
    bare = text.removesuffix("-")
    start, end = _last_word(bare), _first_word(following)
    whole, parted = known[(start + end).lower()], known[f"{start}-{end}".lower()]
    return f"{bare}-" if parted > whole else bare


def _last_word(text: str) -> str:
    words = _WORD.findall(text[-60:])
    return words[-1] if words else ""


def _first_word(text: str) -> str:
    found = _WORD.match(text)
    return found[0] if found else ""
