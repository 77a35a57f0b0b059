"""Bars of a waterfall: what a call did over time, one character for each slice of it.

Kinds differ by their glyphs, so that a bar is readable without colour.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from fanwise.analysis import Span
from fanwise.cli._text import printable


class Glyphs(NamedTuple):
    """The characters of a picture: bars by kind, the heights of a histogram, dots."""

    bars: Mapping[str, str]
    heights: str
    dots: str
    instant: str
    encoding: str = "utf-8"

    def text(self, text: str) -> str:
        """Show what is no printable character of the encoding as escapes."""
        return printable(text).encode(self.encoding, "backslashreplace").decode(self.encoding)


_WAITS: Final = {"wait limit": "L", "wait pool": "P", "wait buffer": "B"}
RICH: Final = Glyphs(
    {"running": "█", "inside": "─", "coordination": "┄", "cancelled": "░", "retried": "▒",
     "wait backoff": "~", "wait inputs": "·", **_WAITS},
    "▁▂▃▄▅▆▇█", "…", "│",
)  # fmt: skip
PLAIN: Final = Glyphs(
    {"running": "#", "inside": "-", "coordination": "=", "cancelled": "x", "retried": "!",
     "wait backoff": "~", "wait inputs": ".", **_WAITS},
    ".:-=+*%@", "..", "|",
)  # fmt: skip
_OTHER: Final = "W"
_MEANINGS: Final = {
    "running": "running", "inside": "in its calls", "coordination": "coordination",
    "cancelled": "cancelled", "retried": "attempt without value", "wait backoff": "back-off",
    "wait inputs": "waits for inputs", "wait limit": "for a limit", "wait pool": "for a pool",
    "wait buffer": "for a buffer",
}  # fmt: skip


def glyphs_for(encoding: str | None) -> Glyphs:
    """Give the rich glyphs where the encoding has them all."""
    every = "".join((*RICH.bars.values(), RICH.heights, RICH.dots, RICH.instant))
    try:
        every.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return PLAIN._replace(encoding=encoding or "ascii")
    return RICH._replace(encoding=encoding or "ascii")


def kinds_of(spans: Sequence[Span], start: int, end: int, width: int) -> list[str]:
    """Give the kind that fills most of each of `width` slices from `start` to `end`, else ""."""
    whole = end - start
    cells: list[dict[str, int]] = [{} for _ in range(width)]
    for span in spans:
        first = (span.start - start) * width // whole
        last = -(-(span.end - start) * width // whole)
        for place in range(max(0, first), min(width, last)):
            low = max(span.start, start + place * whole // width)
            high = min(span.end, start + -(-(place + 1) * whole // width))
            cells[place][span.kind] = cells[place].get(span.kind, 0) + max(1, high - low)
    return [max(cell, key=lambda kind: cell[kind]) if cell else "" for cell in cells]


def place_of(time: int, start: int, end: int, width: int) -> int:
    """Give the slice in which an instant lies."""
    return min(width - 1, max(0, (time - start) * width // max(1, end - start)))


def glyph(kind: str, glyphs: Glyphs) -> str:
    """Give the character of a kind."""
    return glyphs.bars.get(kind, _OTHER) if kind else " "


def legend(kinds: Iterable[str], glyphs: Glyphs) -> list[str]:
    """Explain the characters of the kinds that were shown."""
    known = set(kinds)
    order = [kind for kind in _MEANINGS if kind in known]
    others = sorted(known - {*order, ""})
    return [f"{glyphs.bars[kind]} {_MEANINGS[kind]}" for kind in order] + [
        f"{_OTHER} {kind}" for kind in others
    ]


def histogram(bins: Sequence[int], glyphs: Glyphs) -> str:
    """Draw counts as a row of heights; what is not 0 is never drawn as 0."""
    most = max(bins)
    steps = len(glyphs.heights) - 1
    return "".join(
        glyphs.heights[max(1, steps * count // most)] if count else glyphs.heights[0]
        for count in bins
    )
