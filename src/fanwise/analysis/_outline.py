"""The outline of a run: its calls as an indented list, short enough to be read.

Problem: a run has a hundred thousand calls, a page forty lines.
Way: below a call with more than so many others, only the slowest, the slowest that failed and the
slowest on the critical path are named; the rest is one line with a distribution of all of them.
What is named is opened level by level until the page is full, so that no single branch takes all
of it, and a call that stays shut says how many are inside.
Cost: O(n log n), for sorting the calls below each call.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._decisions import GOOD, LET_GO
from fanwise.analysis._fan_ins import percentile
from fanwise.analysis._parts import named
from fanwise.analysis._stretches import stretches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fanwise.analysis._critical_path import CriticalPath
    from fanwise.analysis._graph import Graph
    from fanwise.analysis._spans import Span
    from fanwise.core import CallRow

SLOWEST: Final = 3  # named of a fold
FAILED: Final = 5
CRITICAL: Final = 3
MOST_LINES: Final = 400
BINS: Final = 12


class Line(NamedTuple):
    """A call in an outline. `inside` counts the calls below it that have no line of their own."""

    depth: int
    row: CallRow
    name: str
    critical: bool
    slack: int
    inside: int
    spans: tuple[Span, ...]


class Fold(NamedTuple):
    """Calls of one place that have no lines of their own, `hidden` of `calls`.

    The outcomes and times, in microseconds, are of all `calls`; `bins` count them by time, from the
    shortest to the longest in equal steps.
    """

    depth: int
    hidden: int
    calls: int
    outcomes: Mapping[str, int]
    shortest: int
    p50: int
    p90: int
    p99: int
    longest: int
    bins: tuple[int, ...]


class Outline(NamedTuple):
    """The lines of a run from `start` to `end`, in microseconds, and how many calls it has."""

    lines: tuple[Line | Fold, ...]
    calls: int
    start: int
    end: int


def outline_of(
    graph: Graph, path: CriticalPath, slack: Mapping[int, int], most: int = 12
) -> Outline:
    """Give the outline of a run; places with more than `most` calls are folded."""
    tree = Tree(graph, path, slack, most)
    tree.open()
    return Outline(tuple(tree.lines()), len(graph.rows), graph.main.start, graph.main.end)


class Tree:
    """The calls of a run, each below the one that it is shown under."""

    __slots__ = ("below", "critical", "graph", "most", "numbers", "opened", "sizes", "slack")

    def __init__(
        self, graph: Graph, path: CriticalPath, slack: Mapping[int, int], most: int
    ) -> None:
        """Sort the calls under one another."""
        self.graph = graph
        self.critical = {graph.main.call, *(segment.call for segment in path.segments)}
        self.slack = slack
        self.most = most
        self.numbers = graph.numbers
        self.below: dict[int, list[CallRow]] = {}
        self.sizes: Counter[int] = Counter()
        self.opened: dict[int, list[CallRow]] = {}  # call -> those below it that are named
        for row in sorted(graph.ends, key=lambda row: row.call, reverse=True):
            if row is not graph.main:
                above = self._above(row)
                self.below.setdefault(above, []).append(row)
                self.sizes[above] += 1 + self.sizes[row.call]
                if row.call in self.critical:  # so is what it is shown under, which began before
                    self.critical.add(above)
        for rows in self.below.values():
            rows.sort(key=lambda row: (row.start, row.call))

    def _above(self, row: CallRow) -> int:
        """Give the fan-in, else who asked first, else the maker; each began before the call."""
        for each in (row.fan_in, row.facts.get("asked_by"), row.parent):
            if isinstance(each, int) and each in self.graph.rows and each < row.call:
                return each
        return self.graph.main.call

    def open(self) -> None:
        """Open calls level by level, until there are enough lines."""
        left = MOST_LINES
        waiting = deque([self.graph.main])
        while waiting:
            row = waiting.popleft()
            rows = self.below.get(row.call, [])
            named_rows = self._named(rows)
            if not rows or (len(named_rows) > left and row is not self.graph.main):
                continue
            left -= len(named_rows) + (len(named_rows) < len(rows))
            self.opened[row.call] = named_rows
            waiting.extend(named_rows)

    def _named(self, rows: list[CallRow]) -> list[CallRow]:
        """Give those of a place that get a line."""
        if len(rows) <= self.most:
            return rows
        slow = sorted(rows, key=lambda row: (row.start - row.end, row.call))
        failed = (row for row in slow if row.status not in (*GOOD, *LET_GO))
        critical = (row for row in slow if row.call in self.critical)
        keep = {row.call for row in slow[:SLOWEST]}
        keep |= {row.call for row, _ in zip(failed, range(FAILED), strict=False)}
        keep |= {row.call for row, _ in zip(critical, range(CRITICAL), strict=False)}
        return [row for row in rows if row.call in keep]

    def lines(self) -> Iterator[Line | Fold]:
        """Give what was opened, each call before those below it."""
        stack: list[tuple[int, CallRow | Fold]] = [(0, self.graph.main)]
        while stack:
            depth, row = stack.pop()
            if isinstance(row, Fold):
                yield row
                continue
            yield self._line(depth, row)
            if row.call in self.opened:
                rows, shown = self.below[row.call], self.opened[row.call]
                if len(shown) < len(rows):
                    stack.append((depth + 1, fold_of(depth + 1, rows, len(shown))))
                stack.extend((depth + 1, each) for each in reversed(shown))

    def _line(self, depth: int, row: CallRow) -> Line:
        below = self.below.get(row.call, [])
        return Line(
            depth=depth,
            row=row,
            name=named(row, self.numbers),
            critical=row.call in self.critical,
            slack=self.slack.get(row.call, 0),
            inside=0 if row.call in self.opened else self.sizes[row.call],
            spans=stretches(self.graph, row, below),
        )

    def __repr__(self) -> str:
        """Count."""
        return f"<Tree of {len(self.graph.rows)} calls, {len(self.opened)} open>"


def fold_of(depth: int, rows: Sequence[CallRow], shown: int) -> Fold:
    """Fold the calls of a place, `shown` of which have lines of their own."""
    ordered = sorted(row.end - row.start for row in rows)
    shortest, longest = ordered[0], ordered[-1]
    bins = [0] * BINS
    for time in ordered:
        bins[min(BINS - 1, BINS * (time - shortest) // max(1, longest - shortest))] += 1
    return Fold(
        depth=depth,
        hidden=len(rows) - shown,
        calls=len(rows),
        outcomes=dict(Counter(row.status for row in rows)),
        shortest=shortest,
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        longest=longest,
        bins=tuple(bins),
    )
