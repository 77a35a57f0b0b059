"""Head-of-line blocking: short calls stand in line while a few long ones hold the places.

The problem: a long line is no failure mode; it says that there is more work than places. It becomes
one where few calls that take many times as long as the others hold the places, so that most of the
waiting is for them, and a line of their own would end it (Karol, Hluchyj and Morgan, "Input versus
output queueing on a space-division packet switch", 1987; the mean wait in a line grows with the
square of the service times: Pollaczek, 1930; Khinchine, 1932).

The method: over the calls of one step, which share its limit or pool, a sweep over starts and ends.
At each instant, who waits there waits for the calls that run, in equal parts. Blocked is a step
whose long calls (ten times the median or more) are at most a tenth of it and got more than half of
the waiting of the short ones, of which at least ten waited for them three times the median or
longer. Cost: O(n log n).

Calls that were tried more than once are left out: the record has the sum of their waits only. Steps
are told apart, since the record does not name the limit for which somebody waited. Rejected: the
variance of the lengths alone (nobody may have waited), and the share of the time that long calls
take (they may run when nobody waits).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._chance import middle
from fanwise.analysis._finding import Finding
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fanwise.core import CallRow, RunRecord

FEWEST: Final = 10  # calls that were blocked
LONG: Final = 10.0  # times the median
FEW: Final = 0.1  # of the calls, at most, are long
MOST: Final = 0.5  # of the waiting, at least, is for them
WAITED: Final = 3.0  # times the median
LINES: Final = ("limit", "pool")
CURE: Final = (
    "give the long ones a line of their own, as by `{step}.using(limit=...)`, or a timeout=, or "
    "cut their work into parts"
)


class Turn(NamedTuple):
    """A call in line: since when it waited, when it was let in, and when it ended."""

    since: int
    start: int
    end: int


def head_of_line_blocking(record: RunRecord) -> tuple[Finding, ...]:
    """Find steps in which short calls waited for places that a few long ones held."""
    return head_of_line_blocking_of(Graph(record))


def head_of_line_blocking_of(graph: Graph) -> tuple[Finding, ...]:
    """Give the same from a graph that is there."""
    waited = {row.step for row in graph.ends if _in_line(row)}
    turns: defaultdict[str, list[Turn]] = defaultdict(list)
    for row in graph.ends if waited else ():
        if row.step in waited and row.attempts == 1:
            since = graph.launch(row)
            turns[row.step].append(Turn(since, min(row.end, since + _in_line(row)), row.end))
    found = (_judged(step, each) for step, each in sorted(turns.items()))
    return tuple(each for each in found if each is not None)


def _in_line(row: CallRow) -> int:
    return sum(row.waits.get(kind, 0) for kind in LINES) if row.waits else 0


def _judged(step: str, turns: Sequence[Turn]) -> Finding | None:
    usual = middle([turn.end - turn.start for turn in turns])
    long = [turn for turn in turns if turn.end - turn.start >= LONG * max(1, usual)]
    if not long or len(long) > FEW * len(turns):
        return None
    short = [turn for turn in turns if turn.end - turn.start < LONG * max(1, usual)]
    waits = waits_for(long, short)
    blocked = [
        (turn, wait)
        for turn, wait in zip(short, waits, strict=True)
        if wait >= WAITED * max(1, usual)
    ]
    all_waiting = sum(turn.start - turn.since for turn in short)
    if len(blocked) < FEWEST or sum(waits) <= MOST * all_waiting:
        return None
    typical = round(sorted(wait for _, wait in blocked)[(len(blocked) - 1) // 2])
    held = middle([turn.end - turn.start for turn in long])
    return Finding(
        kind="head-of-line blocking",
        steps=(step,),
        start=min(turn.since for turn, _ in blocked),
        end=max(turn.start for turn, _ in blocked),
        strength=round(typical / max(1, usual), 2),
        what=(
            f"{len(blocked):,} calls of `{step}`, which takes {time_text(usual)} at the median, "
            f"waited {time_text(typical)} for places that {len(long):,} of {len(turns):,} calls "
            f"held for {time_text(held)}; "
            f"{sum(waits) / all_waiting:.0%} of the waiting was for them"
        ),
        cure=CURE.format(step=step),
        evidence={
            "blocked": len(blocked),
            "long": len(long),
            "calls": len(turns),
            "median": usual,
            "long_median": held,
            "waited_median": typical,
            "share": round(sum(waits) / all_waiting, 3),
        },
    )


def waits_for(long: Iterable[Turn], short: Sequence[Turn]) -> list[float]:
    """Give how long each short call waited for long ones: at each instant, their part of all runs.

    That part is summed over time once; a call's own wait is a difference of two of these sums.
    """
    changes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for weight, turns in ((1, long), (0, short)):
        for turn in turns:
            for instant, step in ((turn.start, 1), (turn.end, -1)):
                changes[instant][0] += step * weight
                changes[instant][1] += step
    for turn in short:
        changes[turn.since]  # a sum is wanted there too
    sums: dict[int, float] = {}
    total, before, held, running = 0.0, 0, 0, 0
    for instant in sorted(changes):
        total += (instant - before) * held / running if running else 0.0
        sums[instant], before = total, instant
        held += changes[instant][0]
        running += changes[instant][1]
    return [sums[turn.start] - sums[turn.since] for turn in short]
