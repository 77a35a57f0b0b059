"""What set the finish time of a run, in one sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from fanwise.analysis._critical_path import CriticalPath, path_of
from fanwise.analysis._decisions import LET_GO, TIMED
from fanwise.analysis._graph import UNFINISHED, Graph
from fanwise.analysis._parts import named, time_text
from fanwise.analysis._slack import slack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.analysis._critical_path import Segment
    from fanwise.core import CallRow, RunRecord

WORTH_SAYING: Final = 0.01  # of the whole
ENDS: Final = {
    "ok": "took",
    "failed": "failed after",
    "timed_out": "timed out after",
    "cancelled": "was cancelled after",
    "reused": "took its value from another run in",
}


def finish(record: RunRecord) -> str:
    """Say what set the finish time of a run, and what would change nothing, in one sentence."""
    graph = Graph(record)
    return finish_of(graph, path_of(graph), slack_of(graph))


def finish_of(graph: Graph, path: CriticalPath, slack: Mapping[int, int]) -> str:
    """Give the same from figures that are there."""
    whole = time_text(path.microseconds)
    if graph.main.call == UNFINISHED:
        lead = f"The run is not over: {whole} so far"
    else:
        lead = f"The run {ENDS.get(graph.main.status, 'ended after')} {whole}"
    clauses = [lead, *_longest(graph, path), *_harmless(graph, path, slack)]
    return "; ".join(clauses) + "."


def _longest(graph: Graph, path: CriticalPath) -> Iterable[str]:
    """Name the step that had most of the critical path, and what its calls waited for."""
    groups: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in path.segments:
        groups[segment.step].append(segment)
    if not groups:
        return
    step = max(groups, key=lambda name: sum(each.microseconds for each in groups[name]))
    least = max(1, WORTH_SAYING * path.microseconds)
    times: Counter[str] = Counter()
    each_call: Counter[int] = Counter()
    for each in groups[step]:
        times[each.kind] += each.microseconds
        each_call[each.call] += each.microseconds
    calls = [call for call, time in each_call.items() if time >= least] or list(each_call)
    waits = {k: t for k, t in times.items() if k.startswith("wait ") and t >= least}
    own = sum(times.values()) - sum(waits.values())
    who = _who(graph, [graph.rows.get(call, graph.main) for call in calls])
    if sum(waits.values()) > own:
        kind = max(waits, key=lambda each: waits[each])
        yield f"{time_text(waits[kind])} of it {who} spent {_waiting(kind)}"
        return
    after = " and ".join(f"{time_text(time)} {_waiting(kind)}" for kind, time in waits.items())
    share = time_text(own)
    if own >= path.microseconds - least:
        share = "all" if own >= path.microseconds else "nearly all"
    how = "coordination in " if times["coordination"] > times["running"] else ""
    yield f"{share} of it was {how}{who}" + (f", after {after}" if after else "")


def _who(graph: Graph, rows: list[CallRow]) -> str:
    if len(rows) > 1:
        return f"`{rows[0].step}` ({len(rows):,} calls in a row)"
    (row,) = rows
    around = None if row.fan_in is None else graph.rows.get(row.fan_in)
    timed = around is not None and around.facts.get("closed") == TIMED
    notes = [f"attempt {row.attempts} of {row.attempts}"] if row.attempts > 1 else []
    notes += ["until the time of its fan-in was over"] if timed and row.status in LET_GO else []
    return f"`{named(row, graph.numbers)}`" + (f" ({', '.join(notes)})" if notes else "")


def _waiting(kind: str) -> str:
    waited = kind.removeprefix("wait ")
    if waited == "backoff":
        return "in back-off"
    if waited == "inputs":
        return "waiting for its inputs"
    return f"waiting for a {waited}"


def _harmless(graph: Graph, path: CriticalPath, slack: Mapping[int, int]) -> Iterable[str]:
    """Name the longest innermost step none of whose calls is critical."""
    critical = {graph.rows[each.call].step for each in path.segments if each.call in graph.rows}
    around = graph.around
    longest: dict[str, CallRow] = {}
    spare: dict[str, int] = {}
    for row in graph.ends:
        if row.call not in around and row.attempts and row.step not in critical:
            known = longest.setdefault(row.step, row)
            if row.end - row.start > known.end - known.start:
                longest[row.step] = row
            spare[row.step] = min(slack[row.call], spare.get(row.step, slack[row.call]))
    least = max(1, WORTH_SAYING * path.microseconds)
    found = [row for row in longest.values() if spare[row.step] >= least]
    if found:
        row = max(found, key=lambda each: each.end - each.start)
        yield (
            f"making `{named(row, {}, label=False)}` faster would change nothing "
            f"(slack {time_text(spare[row.step])})"
        )
