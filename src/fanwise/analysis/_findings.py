"""Every failure mode that a record shows, by all detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.analysis._cascading_failures import cascading_failures_of
from fanwise.analysis._decisions import GOOD
from fanwise.analysis._graph import Graph
from fanwise.analysis._head_of_line import head_of_line_blocking_of
from fanwise.analysis._rate_limit_cascades import rate_limit_cascades_of
from fanwise.analysis._synchronised_retries import synchronised_retries_of
from fanwise.analysis._tries import tries_again

if TYPE_CHECKING:
    from fanwise.analysis._finding import Finding
    from fanwise.core import RunRecord


def findings(record: RunRecord) -> tuple[Finding, ...]:
    """Give what the detectors find in a record, in the order of its beginning (F5).

    Each is silent where there is too little to tell by: a finding is worth a look, none is no
    proof of health.
    """
    return findings_of(Graph(record))


def findings_of(graph: Graph) -> tuple[Finding, ...]:
    """Give the same from a graph that is there."""
    found = [*head_of_line_blocking_of(graph)]
    if graph.attempts or any(row.status not in GOOD for row in graph.ends):
        tries = tries_again(graph)
        found += cascading_failures_of(graph)
        found += rate_limit_cascades_of(graph, tries)
        found += synchronised_retries_of(tries)
    return tuple(sorted(found, key=lambda each: (each.start, each.kind, each.steps)))
