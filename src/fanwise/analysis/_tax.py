"""The coordination tax: what fan-outs cost beyond the time of their branches (A4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanwise.analysis._fan_ins import FanInTimes, fan_ins_of
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fanwise.core import RunRecord


@dataclass(frozen=True, slots=True)
class Tax:
    """Four costs of a run's fan-outs in microseconds, apart from the branches' own time.

    `merge` and `dedupe` add up the calls of that role, `errors` and `orchestration` those of the
    fan-ins. Fan-ins run at the same time, so that a sum may be longer than the run.
    """

    merge: int
    dedupe: int
    errors: int
    orchestration: int

    def __str__(self) -> str:
        """Tell it in a line."""
        return (
            f"merge {time_text(self.merge)}, dedupe {time_text(self.dedupe)}, "
            f"errors {time_text(self.errors)}, orchestration {time_text(self.orchestration)}"
        )


def tax(record: RunRecord) -> Tax:
    """Give what coordination cost in a run, from its record."""
    graph = Graph(record)
    return tax_of(graph, fan_ins_of(graph))


def tax_of(graph: Graph, gathered: Iterable[FanInTimes]) -> Tax:
    """Give the same from figures that are there."""
    gathered = tuple(gathered)
    return Tax(
        merge=_of_role(graph, "merge"),
        dedupe=_of_role(graph, "dedupe"),
        errors=sum(each.errors for each in gathered),
        orchestration=sum(each.orchestration for each in gathered),
    )


def _of_role(graph: Graph, role: str) -> int:
    """Add up the outermost calls of a role."""
    rows = graph.rows
    return sum(
        row.end - row.start
        for row in graph.ends
        if row.role == role
        and row.pattern is None
        and (row.parent not in rows or rows[row.parent].role != role)
    )
