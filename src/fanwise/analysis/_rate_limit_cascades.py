"""Rate-limit cascades: what was refused for its rate comes back and is refused again.

The problem: a 429 is no failure mode; it is how a provider says "later". It becomes one where the
refused come back into the same second, so that the retries themselves keep the limit exhausted
(Beyer et al., "Site Reliability Engineering", 2016, chapter 21, "Handling Overload": retries that
are rejected cost what they were to save).

The method: of the tries that follow a refusal, the share that is refused once more. Where callers
wait as long as they are told to, most pass. A cascade is a share of which the lower end of Wilson's
99 % interval (1927) is above a half: at least ten retries, nearly all of them in vain, or more with
a share nearer to it. Besides, there are twenty refusals in all, and at least half of them have
another try of the same step in the second after. Cost: O(n log n).

The record has the text of an error, not its status: refused is what tells HTTP 429, or what a
client names so. Steps are told apart; who shares a limit is not in the record. Rejected: the plain
count of 429s (a ramp meets a few, and calls without retries many, and neither feeds itself).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fanwise.analysis._chance import least_share
from fanwise.analysis._finding import Finding
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text
from fanwise.analysis._tries import tries_again

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from fanwise.analysis._tries import Again
    from fanwise.core import RunRecord

FEWEST_REFUSED: Final = 20
FEWEST_AGAIN: Final = 10
SECOND: Final = 1_000_000
CURE: Final = (
    "let a limit= hold calls back before the provider does, wait as long as Retry-After says, and "
    "retry less: Retry(attempts=2, shortest=1.0)"
)
REFUSED: Final = re.compile(
    r"\b(?:http|(?:status[ _]?)?code|status)\W{0,3}429\b"
    r"|\b429 (?:too many|client error|resource)|too ?many ?requests|resource_?exhausted"
    r"|\brate[ _-]?limit|(?-i:RateLimit)",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def is_refusal(error: str | None) -> bool:
    """Say whether the text of an error tells of a rate limit: HTTP 429, or a client's name."""
    return error is not None and REFUSED.search(error) is not None


def rate_limit_cascades(record: RunRecord) -> tuple[Finding, ...]:
    """Find steps whose refused calls kept coming back into the refusal; in order of names."""
    graph = Graph(record)
    return rate_limit_cascades_of(graph, tries_again(graph))


def rate_limit_cascades_of(graph: Graph, tries: Iterable[Again]) -> tuple[Finding, ...]:
    """Give the same from a graph that is there, and its tries."""
    refused = _refused(graph)
    if not refused:
        return ()
    again: defaultdict[str, list[Again]] = defaultdict(list)
    for each in tries:
        if each.step in refused and is_refusal(each.error) and each.status != "cancelled":
            again[each.step].append(each)
    starts = _starts(graph, refused, again)
    found = (
        _judged(step, ends, again[step], starts.get(step, ()))
        for step, ends in sorted(refused.items())
    )
    return tuple(each for each in found if each is not None)


def _refused(graph: Graph) -> dict[str, list[int]]:
    """Give by step when tries were refused, rising, where there are enough of them."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row in graph.ends:
        plain = row.error is not None and row.pattern is None and row.call not in graph.attempts
        if plain and is_refusal(row.error):
            found[row.step].append(row.end)
    for call, attempts in graph.attempts.items():
        if call in graph.rows:
            ends = [each.end for each in attempts if is_refusal(each.error)]
            found[graph.rows[call].step] += ends
    return {step: sorted(ends) for step, ends in found.items() if len(ends) >= FEWEST_REFUSED}


def _judged(
    step: str, refused: Sequence[int], again: Sequence[Again], starts: Sequence[int]
) -> Finding | None:
    vain = [each for each in again if is_refusal(each.ended_with)]
    if len(vain) < FEWEST_AGAIN or least_share(len(vain), len(again)) <= 0.5:
        return None
    followed = sum(bisect_right(starts, end + SECOND) > bisect_left(starts, end) for end in refused)
    if 2 * followed < len(refused):
        return None
    callers = len({each.caller for each in again})
    tries = (callers + len(again)) / callers
    soon = sorted(each.start - each.failed for each in again)[(len(again) - 1) // 2]
    return Finding(
        kind="rate-limit cascade",
        steps=(step,),
        start=refused[0],
        end=refused[-1],
        strength=round(tries, 2),
        what=(
            f"of {len(again):,} retries of `{step}` after a 429, {len(vain):,} met another, "
            f"{time_text(soon)} later at the median; {len(refused):,} refusals in all, "
            f"{followed:,} of them with another try in the second after; "
            f"{tries:.1f} tries by each caller that came back"
        ),
        cure=CURE,
        evidence={
            "refused": len(refused),
            "retries": len(again),
            "refused_again": len(vain),
            "followed": followed,
            "callers": callers,
            "median_delay": soon,
        },
    )


def _starts(
    graph: Graph, steps: Container[str], again: Mapping[str, Sequence[Again]]
) -> Mapping[str, Sequence[int]]:
    """Give when tries of these steps began, as far as the record has rows for them, rising."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row in graph.ends:
        if row.step in steps and row.call not in graph.attempts:
            found[row.step].append(row.start + sum(row.waits.values()))
    return {
        step: sorted([*found[step], *(each.start for each in again.get(step, ()))])
        for step in {*found, *again}
    }
