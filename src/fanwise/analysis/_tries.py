"""Who tried what again: the attempts of calls, and calls that a body repeats by hand.

A record has a row for each attempt of a step with `retry`. Of a loop in a body that asks again
after a failure it has calls: of one step, made by one call, one after the other, all of which
failed but the last. (After a success nobody tries again: where another one follows, the loop was
over items.) Hedges are no retries, and neither are the branches of a pattern.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from fanwise.analysis._decisions import GOOD
from fanwise.analysis._spans import BACKOFF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fanwise.analysis._graph import Graph
    from fanwise.core import AttemptRow, CallRow

FAILED: Final = ("failed", "timed_out", "abandoned")
TOLERANCE: Final = 1000  # microseconds that a wait may last before it counts as one


class Again(NamedTuple):
    """A try after one that had failed; times are microseconds since the anchor.

    `caller` is the call that tries, `failed` when and `error` with what the try before it ended.
    `held` says that a limit or a pool let it in, so that it did not choose its instant.
    """

    step: str
    caller: int
    failed: int
    error: str | None
    start: int
    end: int
    status: str
    ended_with: str | None
    held: bool


def tries_again(graph: Graph) -> list[Again]:
    """Give every try after a failed one, in the order of their starts; in time O(n log n)."""
    found = [again for call in graph.attempts for again in _of_call(graph, call)]
    found += [again for chain in _chains(graph) for again in _of_chain(graph, chain)]
    return sorted(found, key=lambda again: (again.start, again.caller))


def _of_call(graph: Graph, call: int) -> Iterator[Again]:
    """Pair each attempt of a call with the failure before it."""
    row = graph.rows.get(call)
    tries = sorted(
        (each for each in graph.attempts[call] if not each.hedge), key=lambda each: each.attempt
    )
    pairs = [
        (before, after)
        for before, after in pairwise(tries)
        if before.status in FAILED and after.start >= before.end
    ]
    if row is None or not pairs:
        return
    held = _waited_otherwise(row, pairs) > TOLERANCE
    for before, after in pairs:
        yield Again(
            row.step, call, before.end, before.error, after.start, after.end, after.status,
            after.error, held,
        )  # fmt: skip


def _waited_otherwise(row: CallRow, pairs: Iterable[tuple[AttemptRow, AttemptRow]]) -> int:
    """Give what lay between attempts and was no back-off: waiting for a limit or a pool."""
    between = sum(after.start - before.end for before, after in pairs)
    return between - row.waits.get(BACKOFF, 0)


def _chains(graph: Graph) -> Iterator[Sequence[CallRow]]:
    """Give the calls of one step that one body made in a row, each after the failure before it."""
    repeated: defaultdict[tuple[int, str], list[CallRow]] = defaultdict(list)
    for row in graph.ends:
        if row.status in FAILED and _by_hand(graph, row):
            repeated[row.parent or 0, row.step] = []
    for row in graph.ends if repeated else ():
        key = (row.parent or 0, row.step)
        if key in repeated and _by_hand(graph, row):
            repeated[key].append(row)
    for chain in repeated.values():
        pairs = list(pairwise(chain))
        if pairs and all(
            before.status in FAILED and after.start >= before.end for before, after in pairs
        ):
            yield chain


def _by_hand(graph: Graph, row: CallRow) -> bool:
    """Say whether a body that is not retried itself made the call, outside of any pattern."""
    above = graph.rows.get(row.parent) if row.parent is not None else None
    if row.fan_in is not None or row.pattern is not None or row.edges or above is None:
        return False
    return above.pattern is None and above.attempts <= 1


def _of_chain(graph: Graph, chain: Sequence[CallRow]) -> Iterator[Again]:
    for before, after in pairwise(chain):
        tries = graph.attempts.get(after.call, ())
        first = next((each for each in tries if each.attempt == 1), None)
        waited = sum(time for kind, time in after.waits.items() if kind != BACKOFF)
        end, status, error = after.end, after.status, after.error
        if first is not None:
            end, status, error = first.end, first.status, first.error
        yield Again(
            after.step, after.parent or 0, before.end, before.error, after.start, end, status,
            error, waited > TOLERANCE,
        )  # fmt: skip


def good(status: str) -> bool:
    """Say whether a try gave a value."""
    return status in GOOD
