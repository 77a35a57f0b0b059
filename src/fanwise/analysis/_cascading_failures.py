"""Cascading failures: one step fails or hangs, and what waits for it fails after it, slower.

The problem: many failures after one another are no cascade. Unrelated ones happen together; callers
of what fails fast fail with it, and nothing is lost but their results. What grows is the failure
that holds its callers first: they keep their slots, calls pile up, and the next level runs into its
own time limits (Beyer et al., "Site Reliability Engineering", 2016, chapter 22, "Addressing
Cascading Failures"; Nygard, "Release It!", 2007: a crack jumps the gap between layers).

The method, in three questions:

- *From where?* A call that failed is followed to the call that it had waited for and that ended
  badly, and so on to one that waited for no such call: its origin. A call that began after the bad
  one and did well breaks the chain, since that failure was dealt with. Failures whose origin is in
  another step are victims. Unrelated failures share no origin, by construction.
- *When?* Of the calls of the victims' step, in the order of their ends, the stretch in which victims
  most outnumber the others (the maximum segment; Kadane, in Bentley, "Programming Pearls", 1984).
  It holds at least ten, from five origins, at twice the share that they have outside.
- *Did it grow?* The victims took at least twice as long as the successes of their step outside of
  that stretch, at the median, by three standard errors of the rank test (Mann and Whitney, 1947).

Cost: O(n log n). The load at their starts is told beside it, and decides nothing, since any wave
raises it. Rejected: correlation of the steps' failures in time (unrelated ones correlate as soon as
both have bad moments, and the record knows who waited for whom). What only waits for the same limit
is not seen: the record does not say who held one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._chance import middle, rank_errors
from fanwise.analysis._decisions import GOOD, LET_GO
from fanwise.analysis._finding import Finding
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fanwise.core import CallRow, RunRecord

FEWEST_VICTIMS: Final = 10
FEWEST_ORIGINS: Final = 5
FEWEST_OUTSIDE: Final = 10
SLOWER: Final = 2.0
CONCENTRATED: Final = 2.0
ERRORS: Final = 3.0  # standard errors
FAILED: Final = ("failed", "timed_out")
CURE: Final = (
    "bound it where it began: a shorter timeout= and a breaker= on `{origin}`, and let its callers "
    "do without (need=, a fallback)"
)


class Stretch(NamedTuple):
    """A part of the calls of one step, in the order of their ends, and what lies outside of it."""

    step: str
    victims: tuple[CallRow, ...]
    others: int
    outside: tuple[CallRow, ...]
    victims_outside: int

    @property
    def slower(self) -> float:
        """How many times the median of the successes outside the victims' median is."""
        return middle(_lengths(self.victims)) / max(1, middle(self.healthy()))

    def healthy(self) -> list[int]:
        """Give the lengths of the successes outside, rising."""
        return sorted(_lengths(row for row in self.outside if row.status == "ok"))


def cascading_failures(record: RunRecord) -> tuple[Finding, ...]:
    """Find steps whose failures took the calls that waited for them down, the widest first."""
    return cascading_failures_of(Graph(record))


def cascading_failures_of(graph: Graph) -> tuple[Finding, ...]:
    """Give the same from a graph that is there."""
    origins = origins_of(graph)
    fallen: defaultdict[str, set[str]] = defaultdict(set)
    for call, origin in origins.items():
        if origin.step != graph.rows[call].step:
            fallen[origin.step].add(graph.rows[call].step)
    if not fallen:
        return ()
    by_step = _by_step(graph, {step for steps in fallen.values() for step in steps})
    found = [
        _finding(origin, stretches, origins)
        for origin, steps in fallen.items()
        if (stretches := _stretches(origin, sorted(steps), by_step, origins))
    ]
    return tuple(sorted(found, key=lambda each: (-each.evidence["victims"], each.steps)))


def origins_of(graph: Graph) -> dict[int, CallRow]:
    """Give for each step's call that failed the call in which its failure began, maybe itself."""
    origins: dict[int, CallRow] = {}
    for row in graph.ends:
        if row.status in FAILED:
            path = {row.call: row}
            cause: CallRow | None = row
            while cause is not None and cause.call not in origins:
                last, cause = cause, cause_of(graph, cause)
                if cause is None or cause.call in path:
                    cause = None
                    origins[last.call] = last
                else:
                    path[cause.call] = cause
            origin = origins[last.call if cause is None else cause.call]
            origins.update(dict.fromkeys(path, origin))
    return {
        call: origin
        for call, origin in origins.items()
        if graph.rows[call].status in FAILED and graph.rows[call].pattern is None
    }


def cause_of(graph: Graph, row: CallRow) -> CallRow | None:
    """Give the call that a failed one had waited for, and whose end left it without a value.

    That is the last one that failed, else the first that was let go unfinished. None where a call
    that began after it did well.
    """
    waited = [each for each in graph.awaited.get(row.call, ()) if each.end <= row.end]
    bad = [each for each in waited if each.status in FAILED]
    if not bad:
        let_go = (each for each in waited if each.status in LET_GO)
        begun = [each for each in let_go if each.attempts or each.waits or each.edges]
        bad = sorted(begun, key=lambda each: (-each.start, -each.call))
    if not bad:
        return None
    cause = bad[-1]
    dealt_with = any(each.status in GOOD and each.start >= cause.end for each in waited)
    return None if dealt_with else cause


def _by_step(graph: Graph, steps: Iterable[str]) -> dict[str, list[CallRow]]:
    """Give the calls of these steps that ended of themselves, in the order of their ends."""
    found: dict[str, list[CallRow]] = {step: [] for step in steps}
    for row in graph.ends:
        if row.step in found and row.pattern is None and row.status in (*FAILED, "ok"):
            found[row.step].append(row)
    return found


def _stretches(
    origin: str,
    steps: Iterable[str],
    by_step: Mapping[str, Sequence[CallRow]],
    origins: Mapping[int, CallRow],
) -> list[Stretch]:
    """Give the stretch of each step in which it fell to `origin` and grew slower, if it did."""
    found = (_stretch(step, by_step[step], origin, origins) for step in steps)
    return [each for each in found if _grew(each, origins)]


def _stretch(
    step: str, rows: Sequence[CallRow], origin: str, origins: Mapping[int, CallRow]
) -> Stretch:
    fell = [row.call in origins and origins[row.call].step == origin for row in rows]
    first, last = densest(fell)
    inside = zip(rows[first:last], fell[first:last], strict=True)
    victims = tuple(row for row, is_victim in inside if is_victim)
    return Stretch(
        step=step,
        victims=victims,
        others=last - first - len(victims),
        outside=(*rows[:first], *rows[last:]),
        victims_outside=sum(fell) - len(victims),
    )


def densest(fell: Sequence[bool]) -> tuple[int, int]:
    """Give the slice in which the true most outnumber the false; the first of equal ones."""
    best, span, total, start = 0, (0, 0), 0, 0
    for place, is_victim in enumerate(fell):
        total += 1 if is_victim else -1
        if total <= 0:
            total, start = 0, place + 1
        elif total > best:
            best, span = total, (start, place + 1)
    return span


def _grew(stretch: Stretch, origins: Mapping[int, CallRow]) -> bool:
    """Say whether the victims are enough, together, and slower than their step is in health."""
    victims, healthy = stretch.victims, stretch.healthy()
    roots = {origins[row.call].call for row in victims}
    if len(victims) < FEWEST_VICTIMS or len(roots) < FEWEST_ORIGINS:
        return False
    if len(healthy) < FEWEST_OUTSIDE or stretch.slower < SLOWER:
        return False
    share = len(victims) / (len(victims) + stretch.others)
    share_outside = stretch.victims_outside / len(stretch.outside)
    together = share >= CONCENTRATED * share_outside
    return together and rank_errors(_lengths(victims), healthy) >= ERRORS


def _lengths(rows: Iterable[CallRow]) -> list[int]:
    return [row.end - row.start for row in rows]


def _finding(origin: str, found: Sequence[Stretch], origins: Mapping[int, CallRow]) -> Finding:
    found = sorted(found, key=lambda each: (-len(each.victims), each.step))
    victims = [row for stretch in found for row in stretch.victims]
    roots = {origins[row.call].call: origins[row.call] for row in victims}
    worst = max(found, key=lambda each: each.slower)
    load = middle([row.load for row in victims])
    load_outside = middle([row.load for stretch in found for row in stretch.outside])
    names = ", ".join(f"`{each.step}` {len(each.victims):,} times" for each in found)
    start, end = min(row.start for row in roots.values()), max(row.end for row in victims)
    return Finding(
        kind="cascading failure",
        steps=(origin, *(each.step for each in found)),
        start=start,
        end=end,
        strength=round(worst.slower, 2),
        what=(
            f"{len(roots):,} failures of `{origin}`, from {time_text(start)} to {time_text(end)}, "
            f"took down {names}; `{worst.step}` took {worst.slower:.1f} times as long as else "
            f"before it failed; load {load:,} at the median, else {load_outside:,}"
        ),
        cure=CURE.format(origin=origin),
        evidence={
            "origins": len(roots),
            "victims": len(victims),
            "slower": round(worst.slower, 3),
            "victim_median": middle(_lengths(worst.victims)),
            "healthy_median": middle(worst.healthy()),
            "load": load,
            "load_outside": load_outside,
        },
    )
