"""Fan-ins in figures: their branches' times, and what gathering them cost beyond these (F2, A4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from fanwise.analysis._decisions import LET_GO
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import named, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fanwise.core import CallRow, RunRecord


@dataclass(frozen=True, slots=True)
class FanInTimes:
    """The figures of one fan-in; times are microseconds.

    `outcomes` counts its branches by status. `p50`, `p90`, `p99` and `longest` are of the time from
    start to end of those that ended by themselves (of all, where none did), by nearest rank;
    `slowest` is the branch with the longest. `closed` is the instant at which it stopped waiting,
    `reason` why, where it had gaps. `wait` adds up what ended branches waited until then.
    `orchestration` is its time with no branch under way, `errors` its time after the last success,
    spent on branches that then gave nothing.
    """

    call: int
    name: str
    pattern: str
    status: str
    branches: int
    outcomes: Mapping[str, int]
    need: int | None
    reason: str | None
    start: int
    closed: int
    end: int
    p50: int
    p90: int
    p99: int
    longest: int
    slowest: int | None
    slowest_name: str
    wait: int
    orchestration: int
    errors: int

    def __str__(self) -> str:
        """Tell it in a line."""
        outcomes = ", ".join(f"{count:,} {status}" for status, count in self.outcomes.items())
        return (
            f"{self.name}: {outcomes}; p50 {time_text(self.p50)}, p99 {time_text(self.p99)}, "
            f"slowest {self.slowest_name} {time_text(self.longest)}; "
            f"fan-in wait {time_text(self.wait)}"
        )


def percentile(ordered: Sequence[int], per_cent: int) -> int:
    """Give a percentile by nearest rank: the least value that so many per cent do not exceed.

    `ordered` rises and has at least one value; the one given is always one of them.
    """
    return ordered[max(0, -(-per_cent * len(ordered) // 100) - 1)]


def fan_ins(record: RunRecord) -> tuple[FanInTimes, ...]:
    """Give the figures of every fan-in of a run that had branches, in the order of their starts.

    Fan-ins are the calls of `fan_out`, `fan_map`, `first`, `tree_reduce` and any other pattern.
    """
    return fan_ins_of(Graph(record))


def fan_ins_of(graph: Graph) -> tuple[FanInTimes, ...]:
    """Give the same from a graph that is there."""
    numbers = graph.numbers
    return tuple(
        _times(graph.rows[call], branches, numbers)
        for call, branches in sorted(graph.branches().items())
    )


def _times(row: CallRow, branches: Sequence[CallRow], numbers: Mapping[int, int]) -> FanInTimes:
    own = [each for each in branches if each.status not in LET_GO]
    ordered = sorted(each.end - each.start for each in own or branches)
    slowest = max(own or branches, key=lambda each: (each.end - each.start, -each.call))
    ends = [each.end for each in own]
    closed = row.facts.get("decided")
    if not isinstance(closed, int):
        closed = max(ends, default=row.end)
    need, reason = row.facts.get("need"), row.facts.get("closed")
    return FanInTimes(
        call=row.call,
        name=row.step,
        pattern=row.pattern or "",
        status=row.status,
        branches=len(branches),
        outcomes=MappingProxyType(dict(Counter(each.status for each in branches))),
        need=need if isinstance(need, int) else None,
        reason=None if reason is None else str(reason),
        start=row.start,
        closed=closed,
        end=row.end,
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        longest=ordered[-1],
        slowest=slowest.call,
        slowest_name=named(slowest, numbers),
        wait=sum(max(0, closed - end) for end in ends),
        orchestration=row.end - row.start - _covered(row, branches),
        errors=_errors(own, closed),
    )


def _covered(row: CallRow, branches: Iterable[CallRow]) -> int:
    """Give the time of a fan-in in which at least one branch was under way."""
    covered, now = 0, row.start
    for each in sorted(branches, key=lambda each: each.start):
        start, end = max(now, each.start), min(each.end, row.end)
        if start < end:
            covered += end - start
            now = end
    return covered


def _errors(own: Iterable[CallRow], closed: int) -> int:
    """Give the time from the last success to the end of what failed after it."""
    good = [each.end for each in own if each.status in ("ok", "reused")]
    bad = [each.end for each in own if each.status not in ("ok", "reused")]
    start = max(good, default=min((each.start for each in own), default=closed))
    return max(0, min(closed, max(bad, default=start)) - start)
