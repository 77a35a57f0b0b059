"""Everything that is known of a run, computed once from its record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fanwise.analysis._blame import Blame, blame_of
from fanwise.analysis._critical_path import CriticalPath, path_of
from fanwise.analysis._fan_ins import FanInTimes, fan_ins_of
from fanwise.analysis._findings import findings_of
from fanwise.analysis._finish import finish_of
from fanwise.analysis._graph import Graph
from fanwise.analysis._outline import Outline, outline_of
from fanwise.analysis._slack import slack_of
from fanwise.analysis._summary import Summary, summary_of
from fanwise.analysis._tax import Tax, tax_of
from fanwise.analysis._waste import Waste, waste_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.analysis._finding import Finding
    from fanwise.core import RunRecord


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a run; each field is what the function of its name gives.

    `path` is the critical path. `outline()` gives the calls for a picture.
    """

    record: RunRecord = field(repr=False)
    _graph: Graph = field(repr=False)
    path: CriticalPath
    blame: Blame
    slack: Mapping[int, int] = field(repr=False)
    fan_ins: tuple[FanInTimes, ...] = field(repr=False)
    waste: Waste = field(repr=False)
    tax: Tax
    summary: Summary
    finish: str
    findings: tuple[Finding, ...] = ()

    def outline(self, most: int = 12) -> Outline:
        """Give the calls as an indented list in which places with more than `most` are folded."""
        if most < 1:
            msg = f"most={most} is not a number of calls: at least 1"
            raise ValueError(msg)
        return outline_of(self._graph, self.path, self.slack, most)


def report(record: RunRecord) -> Report:
    """Give all figures of a run, from its record; cheaper than asking for each of them."""
    graph = Graph(record)
    path = path_of(graph)
    slack = slack_of(graph)
    gathered = fan_ins_of(graph)
    lost = waste_of(graph)
    return Report(
        record=record,
        _graph=graph,
        path=path,
        blame=blame_of(graph, path),
        slack=slack,
        fan_ins=gathered,
        waste=lost,
        tax=tax_of(graph, gathered),
        summary=summary_of(graph, lost),
        finish=finish_of(graph, path, slack),
        findings=findings_of(graph),
    )
