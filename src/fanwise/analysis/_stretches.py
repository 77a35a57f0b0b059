"""What a call did at each instant, for a picture: its own spans, with what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fanwise.analysis._decisions import GOOD, LET_GO
from fanwise.analysis._spans import Span, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fanwise.analysis._graph import Graph
    from fanwise.core import AttemptRow, CallRow

OWN: Final = ("running", "coordination")


def stretches(graph: Graph, row: CallRow, calls: Sequence[CallRow]) -> tuple[Span, ...]:
    """Cut the life of a call for a picture, in order and without gaps.

    To the kinds of its spans come `inside` (one of its `calls` was under way), `retried` (an
    attempt that gave nothing) and `cancelled` (it was let go, and ran for nothing).
    """
    found = spans(graph, row)
    if calls:
        found = _painted(found, _joined((each.start, each.end) for each in calls), "inside")
    elif row.status in LET_GO:
        found = _painted(found, [(row.start, row.end)], "cancelled")
    elif row.call in graph.attempts:
        found = _painted(found, _lost(graph.attempts[row.call], row), "retried")
    return tuple(found)


def _lost(attempts: Iterable[AttemptRow], row: CallRow) -> list[tuple[int, int]]:
    """Give the times at which only attempts that gave nothing were under way.

    A call that succeeded has a row for the attempt that did, unless it was the first.
    """
    known = list(attempts)
    good = [(each.start, each.end) for each in known if each.status == "ok"]
    if row.status in GOOD and not good:
        return []
    lost = _joined((each.start, each.end) for each in known if each.status != "ok")
    for start, end in good:
        before = [(low, min(high, start)) for low, high in lost]
        after = [(max(low, end), high) for low, high in lost]
        lost = sorted((low, high) for low, high in (*before, *after) if low < high)
    return lost


def _joined(times: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(times):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _painted(found: Sequence[Span], times: Sequence[tuple[int, int]], kind: str) -> list[Span]:
    """Give another kind to those parts of a call's own spans that lie in `times`."""
    painted: list[Span] = []
    place = 0
    for span in found:
        now = span.start
        if span.kind in OWN:
            while place < len(times) and times[place][1] <= now:
                place += 1
            at = place
            while at < len(times) and times[at][0] < span.end:
                start, end = max(now, times[at][0]), min(span.end, times[at][1])
                painted += [Span(now, start, span.kind), Span(start, end, kind)]
                now = end
                at += 1
        painted.append(Span(now, span.end, span.kind))
    return [span for span in painted if span.start < span.end]
