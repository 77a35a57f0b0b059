"""Slack: how much later a call could have ended, and the run no later.

Problem: of what is not on the critical path, say how far from it each call is.
Algorithm: the backward pass of the critical path method (Kelley & Walker, "Critical-Path Planning
and Scheduling", Eastern Joint Computer Conference 1959) over the starts and ends of calls. An
instant follows from the latest of those that it waited for, plus a gap that stays as it was: the
own work of whoever waited. Going back, what precedes an instant may come later by as much as the
instant may, and by what it was ahead of the latest.
What precedes what:
- a call's start: what whoever asked for it had done before, and what that one had waited for;
- its end: its start, and the calls that it waited for (`Graph` says which);
- the end of a fan-in, race or bound call that was decided: the branches that decided it, or its
  start where time did; then the ends of what was let go, which follow from the decision;
- the admission of a call that waited for a limit: the calls that had ended by then, of steps of
  which any call ever waited for one.
Cost: O(n log n) for n calls, nearly all of it one sort.
Rejected: delaying each call and replaying, which is the definition and quadratic; it is the test.

Assumptions. A body is taken to have waited for those of its calls that had ended when it started
the next one. A place (of `at_once`, of a limit) goes to the same call as before. What a fan-in had
counted when it was decided must still be in time for that. These make slack smaller than it is, if
anything. The others can make it larger: the same branches decide, so that no loser ends by itself
meanwhile, and what is let go stops as quickly as it did; time limits that did not strike, and who
held a limit without ever having waited for one, are not in the record.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fanwise.analysis._decisions import LET_GO, decisions_of
from fanwise.analysis._graph import UNFINISHED, Graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fanwise.analysis._decisions import Decision
    from fanwise.core import CallRow, RunRecord

LIMIT: Final = "limit"
NEVER: Final = 1 << 62  # microseconds
FREE: Final = (-1, NEVER)  # the bound of what no decision waits for
LAST: Final = (NEVER, NEVER)  # comes after every bound


def slack(record: RunRecord) -> Mapping[int, int]:
    """Give, by call, how many microseconds later it could have ended, and the run no later.

    0 on the critical path. Where it is above 0, making the call faster changes nothing. A run that
    goes on is judged by the last end that its record has.
    """
    return slack_of(Graph(record))


def slack_of(graph: Graph) -> Mapping[int, int]:
    """Give the same from a graph that is there."""
    network = Network(graph)
    network.sweep()
    network.ends.pop(UNFINISHED, None)
    spare = network.spare()
    return MappingProxyType({call: spare[node] for call, node in network.ends.items()})


class Network:
    """Instants of a run, each after those that it follows from.

    `before` holds the instants that one follows from, `lagged` one that it follows at a fixed
    distance, `caps` the time of the decision after which a finished branch would have been let go.
    """

    __slots__ = ("before", "caps", "decided", "decisions", "ends", "gates", "graph", "lagged",
                 "limited", "loose", "made", "pending", "queue", "starts", "times")  # fmt: skip

    def __init__(self, graph: Graph) -> None:
        """Begin without instants."""
        self.graph = graph
        self.decisions, self.decided = decisions_of(graph)
        self.times: list[int] = []
        self.before: list[list[int]] = []
        self.lagged: dict[int, int] = {}
        self.caps: dict[int, tuple[int, int]] = {}
        self.starts: dict[int, int] = {}  # call that was decided -> instant of its start
        self.ends: dict[int, int] = {}  # call -> instant of its end
        self.gates: dict[int, int] = {}  # call -> the last thing that it did
        self.pending: dict[int, list[int]] = {}  # call -> what ended for it since then
        self.limited: frozenset[str] = frozenset()  # steps of which a call waited for a limit
        self.queue: list[int] = []  # what the next admission follows
        self.made: dict[Decision, int] = {}
        self.loose: set[int] = set()  # ends of what was let go

    def sweep(self) -> None:
        """Take every instant in an order in which nothing precedes what it follows from."""
        admissions = self._admissions()
        place = 0
        for time, row, ends in self._instants():
            while place < len(admissions) and admissions[place][0] < time:
                self._admit(*admissions[place])
                place += 1
            if ends:
                self._end(row)
            else:
                self._start(row)

    def _instants(self) -> Iterator[tuple[int, CallRow, bool]]:
        """Merge the starts, in the order of the ids, with the ends, in that of the rows."""
        rows, main = self.graph.ends, self.graph.main
        starts = sorted(rows, key=lambda row: (row.start, row.call))
        if main.call not in self.graph.rows:
            starts, rows = [main, *starts], [*rows, main]
        coming = iter((*starts, None))
        begins = next(coming)
        for row in rows:
            while begins is not None and (begins.start < row.end or row.call not in self.gates):
                yield begins.start, begins, False
                begins = next(coming)
            yield row.end, row, True

    def _admissions(self) -> list[tuple[int, int]]:
        """Give when calls that waited for a limit were admitted, in that order."""
        waited = [row for row in self.graph.ends if LIMIT in row.waits]
        self.limited = frozenset(row.step for row in waited)
        return sorted((time, row.call) for row in waited for time in self._admitted(row))

    def _admitted(self, row: CallRow) -> list[int]:
        """Give the starts of the attempts: a call that had only one has no row for it."""
        known = [attempt.start for attempt in self.graph.attempts.get(row.call, ())]
        launch = self.graph.launch(row) + sum(row.waits.values())
        return known if row.attempts > 1 and known else [min(launch, row.end)]

    def _add(self, time: int, before: list[int]) -> int:
        self.times.append(time)
        self.before.append(before)
        return len(self.times) - 1

    def _start(self, row: CallRow) -> None:
        asker = self.graph.askers.get(row.call)
        if asker is None or asker not in self.gates:
            self.gates[row.call] = self._add(row.start, [])
            self.starts[row.call] = self.gates[row.call]
            return
        above = self.graph.rows.get(asker)
        if above is not None and above.edges and row.call not in above.edges:
            self._take_inputs(above)
        before = self.pending.pop(asker, [])
        before.append(self.gates[asker])
        self.gates[row.call] = self.gates[asker] = node = self._add(row.start, before)
        if row.call in self.decisions:
            self.starts[row.call] = node

    def _take_inputs(self, row: CallRow) -> None:
        known = [self.ends[each] for each in row.edges if each in self.ends]
        self.pending.setdefault(row.call, []).extend(known)

    def _admit(self, time: int, call: int) -> None:
        if call not in self.gates or call in self.ends:
            return
        own = self.gates[call]
        self.gates[call] = node = self._add(time, self.queue)
        self.lagged[node] = own
        self.queue = [node]

    def _end(self, row: CallRow) -> None:
        call = row.call
        if row.edges:
            self._take_inputs(row)
        before = self.pending.pop(call, [])
        before.append(self.gates[call])
        decision = self.decided.get(call) or self.decisions.get(call)
        if decision is not None:
            before = self._since(decision, before)
        self.ends[call] = node = self._add(row.end, before)
        if row.status in LET_GO:
            self.loose.add(node)
        if row.step in self.limited:
            self.queue.append(node)
        above = self.graph.awaiters.get(call)
        if above is not None and above not in self.ends:
            self.pending.setdefault(above, []).append(node)

    def _since(self, decision: Decision, before: list[int]) -> list[int]:
        """Let an end follow from a decision, and keep what had come before in time for it."""
        made = self.made.get(decision)
        if made is None:
            made = self.made[decision] = self._decide(decision)
        time = self.times[made]
        since = [made]
        for node in before:
            if node in self.loose or self.times[node] > time:
                since.append(node)
            elif node not in self.before[made]:
                cap = (decision.level, time)
                self.caps[node] = min(cap, self.caps.get(node, cap))
        return since

    def _decide(self, decision: Decision) -> int:
        deciders = [self.ends[each] for each in decision.deciders if each in self.ends]
        node = self._add(decision.time, deciders)
        start = self.starts.get(decision.call)
        if not deciders and start is not None:
            self.lagged[node] = start
        return node

    def spare(self) -> list[int]:
        """Give how much later each instant could have been."""
        found = self._until_the_end()
        for node, (_, until) in self._until_too_late().items():
            found[node] = max(0, min(found[node], until))
        return found

    def _until_the_end(self) -> list[int]:
        """Give how much later each instant could be, and the end of the run no later."""
        times = self.times
        end = self.graph.main.end
        found = [max(0, end - time) for time in times]
        for node in range(len(times) - 1, -1, -1):
            before = self.before[node]
            if len(before) == 1:  # as nearly always
                own = before[0]
                found[own] = min(found[own], found[node])
            elif before:
                latest = found[node] + max([times[each] for each in before])
                for each in before:
                    found[each] = min(found[each], latest - times[each])
            if node in self.lagged:
                own = self.lagged[node]
                found[own] = min(found[own], found[node])
        return found

    def _until_too_late(self) -> dict[int, tuple[int, int]]:
        """Give how much later an instant could be, and what it leads to be in time for a decision.

        Of several decisions the outermost counts, since it is what an instant before an inner one
        leads to; what leads to the end of the run is in time for ever.
        """
        if not self.caps:
            return {}
        times = self.times
        bounds: dict[int, tuple[int, int]] = {}
        for node in range(len(times) - 1, -1, -1):
            if node in self.caps:
                level, time = self.caps[node]
                bounds[node] = min(bounds.get(node, LAST), (level, time - times[node]))
            level, until = bounds.setdefault(node, FREE)
            before = self.before[node]
            ahead = max([times[each] for each in before], default=0)
            for each in before:
                later = (level, until + ahead - times[each])
                bounds[each] = min(bounds.get(each, LAST), later)
            if node in self.lagged:
                own = self.lagged[node]
                bounds[own] = min(bounds.get(own, LAST), (level, until))
        return bounds

    def __repr__(self) -> str:
        """Count."""
        return f"<Network of {len(self.times)} instants>"
