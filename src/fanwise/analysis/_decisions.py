"""Where a fan-in, race or bound call was decided before all of its calls had ended, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from fanwise.analysis._graph import Graph
    from fanwise.core import CallRow

GOOD: Final = ("ok", "reused")
LET_GO: Final = ("cancelled", "skipped")
DECIDED: Final = ("enough", "out of reach")
TIMED: Final = "within"


class Decision(NamedTuple):
    """The instant at which `call` let go of the rest, and the calls whose ends decided it.

    Where time decided, there are no deciders. `level` counts the decided calls around it.
    """

    call: int
    time: int
    deciders: tuple[int, ...]
    level: int = 0


def decided_by_a_branch(row: CallRow) -> bool:
    """Say whether the end of a branch or input let the rest go, rather than time or a cancel."""
    if row.pattern is None:
        return bool(row.edges)
    closed = row.facts.get("closed")
    if row.pattern == "speculate":  # which says nothing where it was cancelled itself
        return closed is not None
    return closed in DECIDED or "winner" in row.facts


def decisions_of(graph: Graph) -> tuple[dict[int, Decision], dict[int, Decision]]:
    """Give the decisions by the call that made them, and by the calls that they let go."""
    made: dict[int, Decision] = {}
    let_go: dict[int, Decision] = {}
    for row in graph.ends:
        if row.facts or (row.edges and row.status == "skipped"):
            found = decision_of(graph, row)
            if found is not None:
                made[row.call] = found
    if not made:
        return made, let_go
    levels = _levels(graph, made)
    made = {call: found._replace(level=levels[call]) for call, found in made.items()}
    for row in reversed(graph.ends):  # the outermost first: what it lets go is let go by it
        found = let_go.get(row.call) or made.get(row.call)
        if found is not None:
            for each in graph.awaited.get(row.call, ()):
                if each.status in LET_GO and each.end >= found.time:
                    let_go.setdefault(each.call, found)
    return made, let_go


def _levels(graph: Graph, made: Container[int]) -> dict[int, int]:
    """Count, for each call, the decided ones that waited for it, and for those around it."""
    levels: dict[int, int] = {}
    for row in reversed(graph.ends):  # a call ends before those that wait for it
        above = graph.awaiters.get(row.call, row.call)
        levels[row.call] = levels.get(above, 0) + (above != row.call and above in made)
    return levels


def decision_of(graph: Graph, row: CallRow) -> Decision | None:
    """Give the decision of a call that stopped waiting for some of its own, else None."""
    timed = row.facts.get("closed") == TIMED
    known = row.facts.get("decided")
    if not timed and not decided_by_a_branch(row):
        return None
    awaited = graph.awaited.get(row.call, [])
    first = next((n for n, each in enumerate(awaited) if each.status in LET_GO), len(awaited))
    if timed:
        if first == len(awaited):
            return None
        time = known if isinstance(known, int) else awaited[first].end
        return Decision(row.call, min(time, awaited[first].end), ())
    deciders = list(_deciders(row, awaited[:first]))
    if not deciders:
        return None
    return Decision(row.call, deciders[-1].end, tuple(each.call for each in deciders))


def _deciders(row: CallRow, ended: Sequence[CallRow]) -> Iterable[CallRow]:
    """Give those of the ended branches or inputs that made the decision, the last one last."""
    good = [each for each in ended if each.status in GOOD]
    if not good or row.facts.get("closed") == "out of reach" or row.pattern is None:
        return [each for each in ended if each.status not in GOOD]
    if "winner" in row.facts:
        last = [each for each in good if each.end == good[-1].end]
        return [min(last, key=lambda each: each.call)]  # ties go by position
    return good
