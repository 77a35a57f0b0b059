"""The waterfall of a run in text: an indented list of its calls, each with a bar over time."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from fanwise.analysis import Fold, Line, Outline, time_text
from fanwise.cli._bars import Glyphs, glyph, histogram, kinds_of, legend, place_of
from fanwise.cli._colour import Paint
from fanwise.cli._text import clipped, columns, padded, wrapped

_TIME: Final = 9
_LEAST_BAR: Final = 12
_LEAST_NAME: Final = 12
_DEEPEST: Final = 12
_NAMES: Final = 0.45  # of the width, at most


class Waterfall:
    """Draws an outline in so many columns."""

    def __init__(self, outline: Outline, width: int, glyphs: Glyphs, paint: Paint) -> None:
        """Share the width among the columns: mark, name, time, slack, bar."""
        self.outline = outline
        self.glyphs = glyphs
        self.paint = paint
        self.width = width
        labels = [self._label(line) for line in outline.lines if isinstance(line, Line)]
        longest = max(map(columns, labels), default=0)
        most = max(_LEAST_NAME, min(int(width * _NAMES), width - 2 * _TIME - _LEAST_BAR - 4))
        self.names = max(_LEAST_NAME, min(longest, most))
        self.bar = max(1, width - self.names - 2 * _TIME - 4)
        self.kinds: set[str] = set()

    def __repr__(self) -> str:
        """Count."""
        return f"<Waterfall of {len(self.outline.lines)} lines>"

    def lines(self) -> Iterator[str]:
        """Give the lines: a head, the calls, what the characters mean."""
        span = time_text(self.outline.end - self.outline.start)
        scale = f"0{span.rjust(self.bar - 1)}" if len(span) < self.bar else span[: self.bar]
        head = f"  {padded('call', self.names)}{'time':>{_TIME}}{'slack':>{_TIME}}  {scale}"
        yield self.paint(head, "faint")
        for line in self.outline.lines:
            if isinstance(line, Fold):
                yield from self._fold(line)
            else:
                yield self._call(line)
        yield from self._legend()

    def _label(self, line: Line) -> str:
        row = line.row
        notes = [row.status] if row.status not in ("ok", "running") else []
        notes += [f"{row.attempts} attempts"] if row.attempts > 1 else []
        notes += [f"+{line.inside:,} inside"] if line.inside else []
        return self._indent(line.depth) + self._name(line) + self._notes(notes)

    def _name(self, line: Line) -> str:
        return self.glyphs.text(line.name) or "(no name)"

    @staticmethod
    def _notes(notes: list[str]) -> str:
        return f" ({', '.join(notes)})" if notes else ""

    def _indent(self, depth: int) -> str:
        """Indent, and count what would be indented too far."""
        if depth <= _DEEPEST:
            return "  " * depth
        return "  " * (_DEEPEST - 2) + f"{depth:>3} "

    def _call(self, line: Line) -> str:
        row = line.row
        name = padded(clipped(self._label(line), self.names, self.glyphs.dots), self.names)
        time = f"{time_text(row.end - row.start):>{_TIME}}"
        spare = "" if line.critical else time_text(line.slack)
        style = "critical" if line.critical else self._style(row.status)
        mark = "* " if line.critical else "  "
        text = self.paint(f"{mark}{name}{time}{spare:>{_TIME}}", style)
        return f"{text}  {self._bar(line)}".rstrip()

    @staticmethod
    def _style(status: str) -> str:
        if status in ("cancelled", "skipped"):
            return "faint"
        return "failed" if status in ("failed", "timed_out") else ""

    def _bar(self, line: Line) -> str:
        start, end = self.outline.start, self.outline.end
        if not line.spans or start >= end:
            place = place_of(line.row.start, start, end, self.bar)
            return " " * place + self.glyphs.instant
        kinds = kinds_of(line.spans, start, end, self.bar)
        self.kinds.update(kinds)
        return "".join(
            self.paint(glyph(kind, self.glyphs) * len(list(cells)), self._shade(kind, line))
            for kind, cells in groupby(kinds)
        ).rstrip()

    def _shade(self, kind: str, line: Line) -> str:
        if kind == "running":
            return "critical" if line.critical else self._style(line.row.status)
        if kind in ("cancelled", "retried"):
            return "failed"
        return "wait" if kind.startswith("wait ") else "faint" if kind else ""

    def _fold(self, fold: Fold) -> Iterator[str]:
        """Write what was folded, in as many lines as it needs."""
        outcomes = ", ".join(
            f"{count:,} {self.glyphs.text(status)}" for status, count in fold.outcomes.items()
        )
        indent = f"  {self._indent(fold.depth)}{self.glyphs.dots} "
        pieces = [
            f"{fold.hidden:,} more; all {fold.calls:,}:",
            f"{outcomes};",
            f"p50 {time_text(fold.p50)},",
            f"p90 {time_text(fold.p90)},",
            f"p99 {time_text(fold.p99)},",
            f"max {time_text(fold.longest)}",
            f"[{histogram(fold.bins, self.glyphs)}]",
        ]
        rest = " " * columns(indent)
        for line in wrapped(pieces, self.width, indent, rest, self.glyphs.dots):
            yield self.paint(line, "faint")

    def _legend(self) -> Iterator[str]:
        pieces = ["* critical path", *legend(self.kinds, self.glyphs)]
        pieces = [f"{piece}," for piece in pieces[:-1]] + pieces[-1:]
        pieces = [self.glyphs.text(piece) for piece in pieces]
        for line in wrapped(pieces, self.width, dots=self.glyphs.dots):
            yield self.paint(line, "faint")
