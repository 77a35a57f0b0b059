"""What a call did at each instant of its life, its own calls left aside.

The record has the sum of each kind of wait and a row for each attempt that failed or was not the
first. An attempt begins when it is admitted, so that what lies outside attempts is waiting: before
the first one for a limit and then a pool, before the others for the back-off first. Where a call
waited for several things several times, the sums are right and their places are a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.analysis._graph import Graph
    from fanwise.core import AttemptRow, CallRow

BACKOFF: Final = "backoff"
BEFORE_FIRST: Final = ("buffer", "budget", "limit", "pool")


class Span(NamedTuple):
    """A stretch of a call's life, in microseconds since the anchor."""

    start: int
    end: int
    kind: str


def spans(graph: Graph, row: CallRow) -> list[Span]:
    """Cut the life of a call into stretches of one kind; they partition it exactly."""
    if row.pattern is not None:
        return [Span(row.start, row.end, "coordination")] if row.start < row.end else []
    if _plain(graph, row):
        return [Span(row.start, row.end, "running")] if row.start < row.end else []
    launch = graph.launch(row)
    found = [Span(row.start, launch, "wait inputs")]
    busy = _busy(row, launch, graph.attempts.get(row.call, []))
    left = dict(row.waits)
    before = launch
    for number, (start, end) in enumerate([*busy, (row.end, row.end)]):
        found += _waits(before, start, left, first=number == 0)
        found.append(Span(start, end, "running"))
        before = end
    return [span for span in found if span.start < span.end]


def _busy(row: CallRow, launch: int, attempts: list[AttemptRow]) -> list[tuple[int, int]]:
    """Give the times at which an attempt ran, hedges joined to what they overlap."""
    known = [(attempt.start, attempt.end) for attempt in attempts]
    if row.attempts and all(attempt.attempt != 1 for attempt in attempts):
        waited = sum(time for kind, time in row.waits.items() if kind != BACKOFF)
        known.append((launch + waited, row.end))
    joined: list[tuple[int, int]] = []
    for times in sorted(known):
        start, end = (min(max(each, launch), row.end) for each in times)
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _waits(start: int, end: int, left: dict[str, int], *, first: bool) -> Iterator[Span]:
    """Cut a gap between attempts by what was waited for; what is over is the engine's own."""
    order = BEFORE_FIRST if first else (BACKOFF, *BEFORE_FIRST)
    known = (*order, *sorted(left.keys() - {BACKOFF, *BEFORE_FIRST}))
    for kind in known:
        time = min(left.get(kind, 0), end - start)
        if time > 0:
            left[kind] -= time
            yield Span(start, start + time, f"wait {kind}")
            start += time
    yield Span(start, end, "coordination")


def running(graph: Graph, row: CallRow) -> int:
    """Give the time in which a call ran, its waits left out."""
    if _plain(graph, row):
        return row.end - row.start
    return sum(span.end - span.start for span in spans(graph, row) if span.kind == "running")


def _plain(graph: Graph, row: CallRow) -> bool:
    """Say whether a step's call ran once from start to end, as nearly all do."""
    odd = row.waits or row.edges or row.pattern is not None or not row.attempts
    return not odd and row.call not in graph.attempts
