"""Synchronised retries: callers that failed together and come back together (thundering herd).

The problem: a record has the instants of retries, not the policy behind them. What a herd is has to
be said without knowing it.

The method rests on a property of full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015):
a delay that is uniform from 0 to any bound, or a mixture of such, has a density that never rises
(Khinchine, 1938: the unimodal distributions with mode 0 are these mixtures). So after the same
failures, no later window may hold more retries than those before it, but for chance. Two tests, on
windows of 10 ms and of 100 ms that overlap by half:

- *After a pause*: of callers that failed at least three windows earlier, the window holds four
  times as many as its six neighbours do on average, and the binomial tail is below the level. The
  three neighbours after it keep a jitter on top of `Retry-After` from being taken for a herd,
  which has an edge too, but no peak.
- *At once*: of the callers that failed in the last 30 ms, the window of 10 ms holds four tenths or
  more. The default policy, with its shortest back-off of 0.1 s, would leave a tenth.

The level is 1e-4 over all windows that are tested (Bonferroni). Ten callers are the fewest. Retries
that a limit or a pool let in are left out: that bounds them already. Cost: O(n log n).

Rejected: the index of dispersion of the starts (it finds any wave of calls, retries or not), a
test of the delays against one uniform distribution (a run mixes policies and numbers of attempts),
and a scan statistic against the mean delay (a `Retry-After` makes that meaningless).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._chance import binomial_tail
from fanwise.analysis._finding import Finding
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text
from fanwise.analysis._tries import good, tries_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fanwise.analysis._tries import Again
    from fanwise.core import RunRecord

FEWEST: Final = 10  # callers
WIDTHS: Final = (10_000, 100_000)  # microseconds
SIDE: Final = 3  # windows before, and after
RATIO: Final = 4.0
LEVEL: Final = 1e-4
DEFAULT_SHARE: Final = 0.1  # of retries within 10 ms, where the back-off is uniform in 0 to 0.1 s
CURE: Final = (
    "spread them: Retry(shortest=, longest=) with more room than the callers need one after the "
    "other, or a limit= that lets them in by turns"
)


class Burst(NamedTuple):
    """A window with too many retries; `expected` is what jitter would have left in it."""

    start: int
    width: int
    callers: int
    expected: float
    members: tuple[Again, ...]


def synchronised_retries(record: RunRecord) -> tuple[Finding, ...]:
    """Find steps whose callers, having failed together, tried again together; in order of names.

    Retries are attempts, and calls that a body repeats by hand after failures.
    """
    return synchronised_retries_of(tries_again(Graph(record)))


def synchronised_retries_of(tries: Iterable[Again]) -> tuple[Finding, ...]:
    """Give the same from the tries, which rise by their starts."""
    by_step: defaultdict[str, list[Again]] = defaultdict(list)
    for again in tries:
        if not again.held:
            by_step[again.step].append(again)
    found = ((step, _apart(bursts(retries))) for step, retries in sorted(by_step.items()))
    return tuple(_finding(step, apart) for step, apart in found if apart)


def bursts(retries: Sequence[Again]) -> list[Burst]:
    """Give the windows that hold too many of one step's retries, which rise by their starts."""
    failures = sorted(again.failed for again in retries)
    tested: list[tuple[float, Burst]] = []
    for width in WIDTHS:
        for offset in (0, width // 2):
            tested += _tested(retries, failures, width, offset)
    level = LEVEL / max(1, len(tested))
    return [burst for chance, burst in tested if chance <= level]


def _tested(
    retries: Iterable[Again], failures: Sequence[int], width: int, offset: int
) -> Iterator[tuple[float, Burst]]:
    """Give each window of one grid that holds enough, with its chance."""
    windows: defaultdict[int, list[Again]] = defaultdict(list)
    for again in retries:
        windows[(again.start - offset) // width].append(again)
    for place, members in windows.items():
        start = place * width + offset
        if len(members) >= FEWEST:
            sides = [
                each
                for number in range(place - SIDE, place + SIDE + 1)
                if number != place
                for each in windows.get(number, ())
            ]
            yield from _after_a_pause(start, width, members, sides)
            if width == WIDTHS[0]:
                yield from _at_once(start, width, members, failures)


def _after_a_pause(
    start: int, width: int, members: Iterable[Again], sides: Iterable[Again]
) -> Iterator[tuple[float, Burst]]:
    since = start - SIDE * width
    late = tuple(again for again in members if again.failed <= since)
    callers = len({again.caller for again in late})
    near = sum(again.failed <= since for again in sides)
    mean = near / (2 * SIDE)
    if callers >= FEWEST and callers >= RATIO * mean:
        longest = max(start + width - again.failed for again in late)
        expected = max(mean, callers * width / longest)
        chance = binomial_tail(callers, callers + near, 1 / (2 * SIDE + 1))
        yield chance, Burst(start, width, callers, expected, late)


def _at_once(
    start: int, width: int, members: Iterable[Again], failures: Sequence[int]
) -> Iterator[tuple[float, Burst]]:
    since = start - SIDE * width
    soon = tuple(again for again in members if again.failed > since)
    callers = len({again.caller for again in soon})
    failed = bisect_left(failures, start + width) - bisect_right(failures, since)
    expected = DEFAULT_SHARE * failed
    if callers >= FEWEST and callers >= RATIO * expected:
        chance = binomial_tail(callers, failed, DEFAULT_SHARE)
        yield chance, Burst(start, width, callers, expected, soon)


def _apart(found: Iterable[Burst]) -> list[Burst]:
    """Leave the strongest of windows that overlap; in the order of their starts."""
    kept: list[Burst] = []
    starts: list[int] = []
    for burst in sorted(found, key=lambda each: (-each.callers, each.width, each.start)):
        place = bisect_left(starts, burst.start)
        before = kept[place - 1] if place else None
        after = kept[place] if place < len(kept) else None
        clear = before is None or before.start + before.width <= burst.start
        if clear and (after is None or burst.start + burst.width <= after.start):
            kept.insert(place, burst)
            starts.insert(place, burst.start)
    return kept


def _finding(step: str, found: Sequence[Burst]) -> Finding:
    worst = max(found, key=lambda burst: (burst.callers, burst.callers / burst.expected))
    first = min(again.start for again in worst.members)
    last = max(again.start for again in worst.members)
    failed = sum(not good(again.status) for again in worst.members)
    times = "once" if len(found) == 1 else f"{len(found):,} times"
    return Finding(
        kind="synchronised retries",
        steps=(step,),
        start=min(again.start for burst in found for again in burst.members),
        end=max(again.start for burst in found for again in burst.members),
        strength=round(worst.callers / worst.expected, 2),
        what=(
            f"{worst.callers:,} callers of `{step}` tried again within {time_text(last - first)}, "
            f"{time_text(first)} into the run ({times}; jitter would leave {worst.expected:.1f} of "
            f"them in a window of {time_text(worst.width)}); {failed:,} failed again"
        ),
        cure=CURE,
        evidence={
            "callers": worst.callers,
            "window": worst.width,
            "expected": round(worst.expected, 3),
            "failed_again": failed,
            "bursts": len(found),
            "shortest_delay": min(again.start - again.failed for again in worst.members),
            "longest_delay": max(again.start - again.failed for again in worst.members),
        },
    )
