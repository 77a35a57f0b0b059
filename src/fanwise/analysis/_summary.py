"""What a run did and spent, in a few sums over its record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text
from fanwise.analysis._spans import spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.core import AttemptRow, CallRow, RunRecord

WAITS: Final = ("limit", "pool", "buffer", "backoff")


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums over a run; times are microseconds.

    `work` adds up the innermost calls, waits left out: what they would have taken in a row, had
    each gone no faster alone. `gaps` counts the calls that did not succeed by their status, where
    steps only are counted, not the patterns around them. `wasted` is time of innermost calls that
    gave no value: failed attempts, losing hedges, calls that were cancelled or failed, and all of
    a wrong guess; `wasted_usage` what such calls used.
    """

    calls: int
    wall: int
    work: int
    waits: dict[str, int]
    usage: dict[str, int]
    estimated: bool
    gaps: dict[str, int]
    retries: int
    hedges: int
    wasted: int
    wasted_usage: dict[str, int]

    @property
    def ratio(self) -> float:
        """How many times the wall the innermost calls would have taken in a row (A1)."""
        return self.work / self.wall if self.wall else 0.0

    def __str__(self) -> str:
        """Tell it in a few lines."""
        return "\n".join(_lines(self))


def summary(record: RunRecord) -> Summary:
    """Give the sums of a run, from its record; one that goes on counts its ended calls."""
    graph = Graph(record)
    steps = [row for row in record.calls if row.pattern is None]
    around = {row.parent for row in record.calls}
    leaves = [row for row in steps if row.call not in around]
    wrong = graph.below_wrong()
    again = [attempt for attempt in record.attempts if attempt.attempt > 1]
    return Summary(
        calls=len(record.calls),
        wall=graph.main.end - graph.main.start,
        work=sum(_running(graph, row) for row in leaves),
        waits=_added(row.waits for row in record.calls),
        usage=_added(row.usage for row in record.calls),
        estimated=any(row.facts.get("estimated") for row in record.calls),
        gaps=dict(Counter(row.status for row in steps if row.status not in ("ok", "reused"))),
        retries=sum(not attempt.hedge for attempt in again),
        hedges=sum(attempt.hedge for attempt in again),
        wasted=sum(_wasted(graph, row, wrong) for row in leaves),
        wasted_usage=_added(
            row.usage for row in record.calls if row.status != "ok" or row.call in wrong
        ),
    )


def _running(graph: Graph, row: CallRow) -> int:
    return sum(span.end - span.start for span in spans(graph, row) if span.kind == "running")


def _wasted(graph: Graph, row: CallRow, wrong: set[int]) -> int:
    if row.status != "ok" or row.call in wrong:
        return _running(graph, row)
    attempts: list[AttemptRow] = graph.attempts.get(row.call, [])
    return sum(attempt.end - attempt.start for attempt in attempts if attempt.status != "ok")


def _added(groups: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for group in groups:
        total.update(group)
    return dict(total)


def _lines(found: Summary) -> Iterable[str]:
    yield (
        f"{found.calls:,} calls in {time_text(found.wall)}; the innermost in a row "
        f"{time_text(found.work)} ({found.ratio:.1f} x)"
    )
    waits = [f"{kind} {time_text(found.waits[kind])}" for kind in WAITS if found.waits.get(kind)]
    if waits:
        yield f"waited for: {', '.join(waits)}"
    if found.usage:
        counts = ", ".join(f"{name} {count:,}" for name, count in found.usage.items())
        yield f"used: {counts}{' (estimated)' if found.estimated else ''}"
    if found.gaps:
        yield "gaps: " + ", ".join(f"{count} {status}" for status, count in found.gaps.items())
    if found.retries or found.hedges:
        yield f"{found.retries} retries, {found.hedges} hedges"
    if found.wasted:
        yield f"wasted: {time_text(found.wasted)}"
