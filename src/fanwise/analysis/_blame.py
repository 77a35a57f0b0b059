"""Blame: the time of a run, split by what its critical path consisted of."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from fanwise.analysis._critical_path import CriticalPath, path_of
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import time_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.core import RunRecord


@dataclass(frozen=True, slots=True)
class Blame:
    """Microseconds of the critical path by what they went to; they sum to `wall` exactly.

    `running` is the steps' own code, `coordination` the patterns' own share (a `stagger` too),
    `engine` what lies between the attempts of a step and is no wait, `waits` what was waited for,
    by kind: inputs, limit, pool, buffer, backoff, and any other in the record.
    """

    wall: int
    running: int
    coordination: int
    engine: int
    waits: Mapping[str, int]

    @property
    def kinds(self) -> dict[str, int]:
        """All of it by kind, the most first, what is 0 left out."""
        waits = {f"wait {kind}": time for kind, time in self.waits.items()}
        own = {"running": self.running, "coordination": self.coordination, "engine": self.engine}
        found = own | waits
        return {kind: found[kind] for kind in sorted(found, key=lambda kind: -found[kind])
                if found[kind]}  # fmt: skip

    def __str__(self) -> str:
        """Tell it in a line, such as `running 1.90 s, wait backoff 0.30 s`."""
        return ", ".join(f"{kind} {time_text(time)}" for kind, time in self.kinds.items())


def blame(record: RunRecord) -> Blame:
    """Split the time of a run, from its record, by what set its finish time."""
    graph = Graph(record)
    return blame_of(graph, path_of(graph))


def blame_of(graph: Graph, path: CriticalPath) -> Blame:
    """Give the same from a path that is there."""
    own = {"running": 0, "coordination": 0, "engine": 0}
    waits: dict[str, int] = {}
    for segment in path.segments:
        name, _, waited = segment.kind.partition(" ")
        if waited:
            waits[waited] = waits.get(waited, 0) + segment.microseconds
            continue
        row = graph.rows.get(segment.call, graph.main)
        if name == "coordination" and row.pattern is None:
            name = "engine"
        own[name] += segment.microseconds
    return Blame(path.microseconds, own["running"], own["coordination"], own["engine"],
                 MappingProxyType(waits))  # fmt: skip
