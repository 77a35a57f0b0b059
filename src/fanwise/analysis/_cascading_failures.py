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
- *When?* Of the calls of the victims' step, in the order of their ends, the stretch in which they
  most outnumber the others (the maximum segment; Kadane, in Bentley, "Programming Pearls", 1984).
  They do so by ten at least, come from five origins, and would hardly ever do so by chance: of n
  calls of which the share p fails, a surplus of s has at most the chance n (p / (1 - p))^s (Karlin
  and Altschul, 1990, for scores of 1 and -1; p is that outside).
- *Did it grow?* The victims took at least twice as long as the successes of their step, at the
  median, and by three standard errors of the rank test (Mann and Whitney, 1947).

Cost: O(n log n). The load at their starts is told beside it and decides nothing, since any wave
raises it. Rejected: correlation of the steps' failures in time (unrelated ones correlate as soon as
both have bad moments, and the record knows who waited for whom). What only waits for the same limit
is not seen: the record does not say who held one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._chance import middle, rank_errors
from fanwise.analysis._decisions import GOOD, LET_GO
from fanwise.analysis._finding import Finding
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

    from fanwise.core import CallRow, RunRecord

FEWEST_VICTIMS: Final = 10  # more than others in the stretch
FEWEST_ORIGINS: Final = 5
FEWEST_HEALTHY: Final = 10
SLOWER: Final = 2.0
LEVEL: Final = 1e-4
ERRORS: Final = 3.0  # standard errors
FAILED: Final = ("failed", "timed_out")
CURE: Final = (
    "bound it where it began: a shorter timeout= and a breaker= on `{origin}`, and let its callers "
    "do without (need=, a fallback)"
)


class Calls(NamedTuple):
    """The calls of one step that ended of themselves, in the order of their ends.

    `healthy` are the lengths of the successes, rising; `load` is the median at the starts of all.
    """

    rows: Sequence[CallRow]
    healthy: Sequence[int]
    load: int


class Fall(NamedTuple):
    """The stretch of a step's calls in which it fell to another: its victims, and all others."""

    step: str
    victims: Sequence[CallRow]
    others: int
    victims_outside: int
    calls: Calls

    @property
    def slower(self) -> float:
        """How many times the median of the successes the victims' is."""
        return middle(_lengths(self.victims)) / max(1, middle(self.calls.healthy))


def cascading_failures(record: RunRecord) -> tuple[Finding, ...]:
    """Find steps whose failures took the calls that waited for them down, the widest first."""
    return cascading_failures_of(Graph(record))


def cascading_failures_of(graph: Graph) -> tuple[Finding, ...]:
    """Give the same from a graph that is there."""
    origins = origins_of(graph)
    suspects = Counter((row.step, graph.rows[call].step) for call, row in origins.items())
    wide = {
        pair for pair, count in suspects.items() if count >= FEWEST_VICTIMS and pair[0] != pair[1]
    }
    calls = _calls(graph, {step for _, step in wide})
    falls: defaultdict[str, list[Fall]] = defaultdict(list)
    for (origin, step), places in _places(calls, origins, wide).items():
        fall = _fall(step, calls[step], places)
        if _grew(fall, origins):
            falls[origin].append(fall)
    found = [_finding(origin, steps, origins) for origin, steps in falls.items()]
    return tuple(sorted(found, key=lambda each: (-each.evidence["victims"], each.steps)))


def origins_of(graph: Graph) -> dict[int, CallRow]:
    """Give for each step's call that failed the call in which its failure began, maybe itself."""
    origins: dict[int, CallRow] = {}
    for row in graph.ends:
        if row.status in FAILED:
            path, origin = _followed(graph, row, origins)
            origins.update(dict.fromkeys(path, origin))
    return {
        call: origin
        for call, origin in origins.items()
        if graph.rows[call].status in FAILED and graph.rows[call].pattern is None
    }


def _followed(
    graph: Graph, row: CallRow, known: Mapping[int, CallRow]
) -> tuple[Collection[int], CallRow]:
    """Give the calls from a failure down to its origin, or to one whose origin is known; and that.

    No call is met twice, whatever a record says.
    """
    path = {row.call: None}
    while row.call not in known:
        cause = cause_of(graph, row)
        if cause is None or cause.call in path:
            return path, row
        row = cause
        path[row.call] = None
    return path, known[row.call]


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


def _calls(graph: Graph, steps: Container[str]) -> dict[str, Calls]:
    """Give the calls of these steps."""
    found: defaultdict[str, list[CallRow]] = defaultdict(list)
    for row in graph.ends:
        if row.step in steps and row.pattern is None and row.status in (*FAILED, "ok"):
            found[row.step].append(row)
    return {
        step: Calls(
            rows,
            sorted(_lengths(row for row in rows if row.status == "ok")),
            middle([row.load for row in rows]),
        )
        for step, rows in found.items()
    }


def _places(
    calls: Mapping[str, Calls], origins: Mapping[int, CallRow], wide: Container[tuple[str, str]]
) -> dict[tuple[str, str], list[int]]:
    """Give by origin and step where victims stand among the calls of their step, rising."""
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for step, (rows, _, _) in calls.items():
        for place, row in enumerate(rows):
            if row.call in origins and (origins[row.call].step, step) in wide:
                found[origins[row.call].step, step].append(place)
    return found


def _fall(step: str, calls: Calls, places: Sequence[int]) -> Fall:
    first, last = densest(places)
    inside = places[first:last]
    return Fall(
        step=step,
        victims=[calls.rows[place] for place in inside],
        others=inside[-1] - inside[0] + 1 - len(inside),
        victims_outside=len(places) - len(inside),
        calls=calls,
    )


def densest(places: Sequence[int]) -> tuple[int, int]:
    """Give the slice of rising places that most outnumber the places left out between them.

    The first of equal ones.
    """
    best, span, total, start = 0, (0, 0), 0, 0
    for number, place in enumerate(places):
        total -= place - places[number - 1] - 1 if number else 0
        if total <= 0:
            total, start = 0, number
        total += 1
        if total > best:
            best, span = total, (start, number + 1)
    return span


def _grew(fall: Fall, origins: Mapping[int, CallRow]) -> bool:
    """Say whether the victims are enough, together, and slower than their step is in health."""
    victims, healthy = fall.victims, fall.calls.healthy
    began = {origins[row.call].call for row in victims}
    if len(victims) - fall.others < FEWEST_VICTIMS or len(began) < FEWEST_ORIGINS:
        return False
    if len(healthy) < FEWEST_HEALTHY or fall.slower < SLOWER:
        return False
    return _by_chance(fall) <= LEVEL and rank_errors(_lengths(victims), healthy) >= ERRORS


def _by_chance(fall: Fall) -> float:
    """Bound the chance of such a stretch, where calls fail as often as outside of it."""
    calls = len(fall.calls.rows)
    share = fall.victims_outside / max(1, calls - len(fall.victims) - fall.others)
    odds = share / (1 - share) if share < 1 else 1.0
    return calls * min(1.0, odds) ** (len(fall.victims) - fall.others)


def _lengths(rows: Iterable[CallRow]) -> list[int]:
    return [row.end - row.start for row in rows]


def _finding(origin: str, falls: Sequence[Fall], origins: Mapping[int, CallRow]) -> Finding:
    falls = sorted(falls, key=lambda each: (-len(each.victims), each.step))
    victims = [row for fall in falls for row in fall.victims]
    began = {origins[row.call].call: origins[row.call] for row in victims}
    worst = max(falls, key=lambda each: each.slower)
    load = middle([row.load for row in worst.victims])
    names = ", ".join(f"`{each.step}` {len(each.victims):,} times" for each in falls)
    start, end = min(row.start for row in began.values()), max(row.end for row in victims)
    return Finding(
        kind="cascading failure",
        steps=(origin, *(each.step for each in falls)),
        start=start,
        end=end,
        strength=round(worst.slower, 2),
        what=(
            f"{len(began):,} failures of `{origin}`, from {time_text(start)} to {time_text(end)}, "
            f"took down {names}; `{worst.step}` took {worst.slower:.1f} times as long to fail as "
            f"to succeed; load {load:,} at the median of these, {worst.calls.load:,} of all"
        ),
        cure=CURE.format(origin=origin),
        evidence={
            "origins": len(began),
            "victims": len(victims),
            "slower": round(worst.slower, 3),
            "victim_median": middle(_lengths(worst.victims)),
            "healthy_median": middle(worst.calls.healthy),
            "load": load,
            "load_of_all": worst.calls.load,
        },
    )
