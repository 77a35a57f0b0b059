"""What a run did and spent, in a few sums over its record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fanwise.analysis._graph import Graph
from fanwise.analysis._money import CUT, NO_MONEY, Money, money_of
from fanwise.analysis._parts import time_text
from fanwise.analysis._spans import running
from fanwise.analysis._waste import Waste, waste_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.core import CallRow, RunRecord

WAITS: Final = (
    "limit", "budget", "pool", "buffer", "backoff", "cache", "prefix", "batch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums over a run; times are microseconds.

    `work` adds up the innermost calls, waits left out: what they would have taken in a row, had
    each gone no faster alone. `gaps` counts the calls that did not succeed by their status, where
    steps only are counted, not the patterns around them. `wasted` is time of innermost calls that
    gave no value: failed attempts, losing hedges, calls that were cancelled or failed, and all of
    a wrong guess; `wasted_usage` and `wasted_money` what such calls used. `cut` counts the answers
    of models that ended at their greatest length or broke off, `unretried` the calls that were to
    be retried when the run's share of retries was spent, `unfunded` those that were not started
    since too little of a budget was left. `answered` says for each name of models how often which
    deployment answered, `failed_over` how many of their attempts failed before another one did;
    what those failed of is no gap.
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
    money: Money = NO_MONEY
    wasted_money: Money = NO_MONEY
    cut: int = 0
    unretried: int = 0
    unfunded: int = 0
    answered: dict[str, dict[str, int]] = field(default_factory=dict)
    failed_over: int = 0

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
    return summary_of(graph, waste_of(graph))


def summary_of(graph: Graph, lost: Waste) -> Summary:
    """Give the same from a graph that is there."""
    record = graph.record
    steps = [row for row in record.calls if row.pattern is None]
    around = graph.around
    leaves = [row for row in steps if row.call not in around]
    named = {row.call: row for row in steps if "deployment" in row.facts}
    own = [row for row in steps if row.parent not in named]
    again = [attempt for attempt in record.attempts if attempt.attempt > 1]
    return Summary(
        calls=len(record.calls),
        wall=graph.main.end - graph.main.start,
        work=sum(running(graph, row) for row in leaves),
        waits=_added(row.waits for row in record.calls),
        usage=_added(row.usage for row in record.calls),
        estimated=any(row.facts.get("estimated") for row in record.calls),
        gaps=dict(Counter(row.status for row in own if row.status not in ("ok", "reused"))),
        retries=sum(not attempt.hedge for attempt in again),
        hedges=sum(attempt.hedge for attempt in again),
        wasted=lost.microseconds,
        wasted_usage=lost.usage,
        money=money_of(record.calls),
        wasted_money=lost.money,
        cut=sum(
            row.facts.get("finish") in CUT
            for row in record.calls
            if row.status == "ok" or row.parent not in named
        ),
        unretried=sum("retries_spent" in row.facts for row in record.calls),
        unfunded=sum("budget" in row.facts for row in record.calls),
        answered=_answered(named.values()),
        failed_over=sum(int(row.facts.get("failed_over", 0)) for row in named.values()),
    )


def _answered(named: Iterable[CallRow]) -> dict[str, dict[str, int]]:
    """Count for each name which deployment answered, the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for row in named:
        counts.setdefault(row.step, Counter())[str(row.facts["deployment"])] += 1
    return {name: dict(count.most_common()) for name, count in counts.items()}


def _added(groups: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for group in groups:
        if group:
            total.update(group)
    return dict(total)


def _lines(found: Summary) -> Iterable[str]:
    yield (
        f"{_counted(found.calls, 'call')} in {time_text(found.wall)}; the innermost in a row "
        f"{time_text(found.work)} ({found.ratio:.1f} x)"
    )
    waits = [f"{kind} {time_text(found.waits[kind])}" for kind in WAITS if found.waits.get(kind)]
    if waits:
        yield f"waited for: {', '.join(waits)}"
    if found.usage:
        counts = ", ".join(f"{name} {count:,}" for name, count in found.usage.items())
        yield f"used: {counts}{' (estimated)' if found.estimated else ''}"
    if str(found.money):
        yield f"cost: {found.money}"
    if found.cut:
        yield f"not complete: {_counted(found.cut, 'answer')} cut off"
    if found.gaps:
        yield "gaps: " + ", ".join(f"{count} {status}" for status, count in found.gaps.items())
    if found.retries or found.hedges:
        retries = "1 retry" if found.retries == 1 else f"{found.retries:,} retries"
        yield f"{retries}, {_counted(found.hedges, 'hedge')}"
    if found.unretried:
        yield f"not retried: {_counted(found.unretried, 'call')}, as the share of retries was spent"
    if found.unfunded:
        yield f"budget spent: {_counted(found.unfunded, 'call')} not started"
    yield from _named_lines(found)
    if found.wasted:
        spent = f", {found.wasted_money}" if str(found.wasted_money) else ""
        yield f"wasted: {time_text(found.wasted)}{spent}"


def _named_lines(found: Summary) -> Iterable[str]:
    for name, counts in found.answered.items():
        each = ", ".join(f"{deployment} {count:,}" for deployment, count in counts.items())
        yield f"{name} was answered by: {each}"
    if found.failed_over:
        yield f"failed over: {_counted(found.failed_over, 'attempt')}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
