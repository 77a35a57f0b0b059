"""The critical path: the chain of calls that set the finish time of a run.

Problem: of all that ran at once, name what the end waited for; speeding up anything else changes
nothing.
Algorithm: walk back from the end, as CRISP does (Zhang et al., "CRISP: Critical Path Analysis of
Large-Scale Microservice Architectures", USENIX ATC 2022): in a call at an instant, go to the call
that it waited for and that ended last before it, walk back through that to its start, and go on
from there. What lies between belongs to the call itself. An input that had begun before the call
that it is bound to is followed to its own start, since an earlier start of the bound call would
not have helped. What was let go when a fan-in was decided, and a guess that was wrong, explains no
more than the time from that decision to its own end. Every microsecond is given to one call, so
that the segments add up to the run exactly.
Cost: O(n log n) for n calls; the walk itself sees each call once, on a stack of its own.
Rejected: the longest path over declared edges, which knows nothing of plain `await`s, of widths
and of time in a body.
Limits: the record says who made a call, who gathered it and who asked for it first, not everybody
who awaited it. A call is taken to wait for whichever of its calls ended last.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fanwise.analysis._decisions import LET_GO, decided_by_a_branch
from fanwise.analysis._graph import Graph
from fanwise.analysis._parts import Part, Visit, parts_of, text_of
from fanwise.analysis._spans import Span, spans

if TYPE_CHECKING:
    from fanwise.core import CallRow, RunRecord


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the critical path: `start` to `end` in microseconds since the record's anchor.

    `kind` is "running" (the step's own code), "coordination" (a pattern's, or the engine's, own
    share; for a pattern also its `stagger` and its wait for an async source), or what was waited
    for: "wait inputs", "wait limit", "wait pool", "wait buffer", "wait backoff", or "wait" and
    whatever other kind stands in the record.
    """

    call: int
    step: str
    start: int
    end: int
    kind: str

    @property
    def microseconds(self) -> int:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain that set the finish time of a run.

    `segments` partition the main call from its start to its end, in order; `parts` are the same
    folded by step. As text it is one line.
    """

    segments: tuple[Segment, ...]
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def microseconds(self) -> int:
        """The time of the whole run: the sum of the segments."""
        return sum(segment.microseconds for segment in self.segments)

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.microseconds / 1_000_000

    @property
    def blame(self) -> dict[str, int]:
        """Microseconds by kind: they sum to the whole run."""
        found: dict[str, int] = {}
        for segment in self.segments:
            found[segment.kind] = found.get(segment.kind, 0) + segment.microseconds
        return found

    def __str__(self) -> str:
        """Tell it in a line, such as `answer > fan_out > web (1.20 s) > compose (0.31 s)`."""
        return text_of(self.parts)


def critical_path(record: RunRecord) -> CriticalPath:
    """Give the critical path of a run, from its record.

    Where the main call has no row yet (the run goes on, or was killed), the path leads from the
    first start to the last end that the record has.
    """
    return path_of(Graph(record))


def path_of(graph: Graph) -> CriticalPath:
    """Give the same from a graph that is there."""
    walk = Walk(graph)
    walk.back()
    segments = tuple(reversed(walk.segments))
    times: dict[int, tuple[int, int]] = {}
    for segment in segments:
        own, waited = times.get(segment.call, (0, 0))
        waiting = segment.microseconds if segment.kind.startswith("wait") else 0
        times[segment.call] = own + segment.microseconds, waited + waiting
    return CriticalPath(segments, parts_of(graph, walk.visits, times))


class Walk:
    """The way back from the end of a run."""

    __slots__ = ("graph", "now", "segments", "seen", "stack", "visits")

    def __init__(self, graph: Graph) -> None:
        """Stand at the end of the main call."""
        self.graph = graph
        self.now = graph.main.end
        self.segments: list[Segment] = []
        self.visits: list[Visit] = []
        self.seen: set[int] = set()
        self.stack: list[Frame] = []

    def back(self) -> None:
        """Walk to the start."""
        self._enter(self.graph.main, None)
        while self.stack:
            frame = self.stack[-1]
            row = frame.last_before(self.now, self.seen)
            if row is None:
                self._own(frame, frame.least)
                giver = frame.giver(self.now, self.seen)
                if giver is None:
                    self.stack.pop()
                else:
                    self._enter(giver, frame)
            else:
                self._own(frame, row.end)
                self._enter(row, frame)

    def _enter(self, row: CallRow, frame: Frame | None) -> None:
        self.seen.add(row.call)
        within = None if frame is None else frame.visit
        if frame is not None and (row.call in frame.row.edges or row is frame.releaser):
            within = frame.visit.within  # an input stands beside the call that it is bound to
        floor = self.graph.main.start if frame is None else frame.floor_of(row)
        if frame is not None and floor >= self.now and frame.was_let_go(row):
            return  # it ended with the decision, and explains nothing
        visit = Visit(row, within, self.graph.launch(row))
        self.visits.append(visit)
        self.stack.append(Frame(self.graph, visit, floor))

    def _own(self, frame: Frame, until: int) -> None:
        """Give the time back to `until` to the call of `frame`, unless the walk is past it."""
        row = frame.row
        for span in frame.between(until, self.now):
            self.segments.append(Segment(row.call, row.step, span.start, span.end, span.kind))
        self.now = min(self.now, until)

    def __repr__(self) -> str:
        """Show how far it has come."""
        return f"<Walk at {self.now} us, {len(self.segments)} segments>"


class Frame:
    """A call on the way, and which of those that it waited for come next.

    `floor` is the time before which the call explains nothing.
    """

    __slots__ = ("awaited", "decider", "floor", "graph", "least", "place", "releaser", "row",
                 "spans", "visit")  # fmt: skip

    def __init__(self, graph: Graph, visit: Visit, floor: int) -> None:
        """Stand at the end of a call."""
        self.graph = graph
        self.visit = visit
        self.row = visit.row
        self.floor = floor
        self.releaser = graph.releaser(self.row)
        start = self.row.start if self.releaser is None else self.releaser.end
        self.least = max(floor, start)
        self.awaited = graph.awaited.get(visit.row.call, [])
        self.place = self.decider = len(self.awaited)
        self.spans: list[Span] | None = None

    def last_before(self, now: int, seen: set[int]) -> CallRow | None:
        """Give the call that ended last until `now`, and after this one began; each once."""
        while self.place and now > self.least:
            row = self.awaited[self.place - 1]
            if row.end <= self.least:
                return None
            self.place -= 1
            if row.end <= now and row.call not in seen:
                return row
        return None

    def giver(self, now: int, seen: set[int]) -> CallRow | None:
        """Give the call of a pipeline that made this one start when it did, where that is now."""
        row = self.releaser
        if row is None:
            row = self.graph.giver(self.row) if now == self.row.start else None
        elif now != row.end:
            return None
        return None if row is None or row.call in seen else row

    def floor_of(self, row: CallRow) -> int:
        """Give the floor of the call that was met last: where it was let go, the decision."""
        if not self.was_let_go(row) or not decided_by_a_branch(self.row):
            return self.floor
        self.decider = min(self.decider, self.place)
        while self.decider and self.was_let_go(self.awaited[self.decider - 1]):
            self.decider -= 1
        if not self.decider:
            return self.floor
        return max(self.floor, self.awaited[self.decider - 1].end)

    def was_let_go(self, row: CallRow) -> bool:
        """Say whether nobody wanted the value of a call any more, or ever."""
        return row.status in LET_GO or row.call in self.graph.wrong

    def between(self, start: int, end: int) -> list[Span]:
        """Give what the call itself did from `start` to `end`, the latest first."""
        if start >= end:
            return []
        if self.spans is None:
            self.spans = spans(self.graph, self.row)
        first = bisect_right(self.spans, start, key=lambda span: span.end)
        found = []
        for span in self.spans[first:]:
            if span.start >= end:
                break
            found.append(Span(max(span.start, start), min(span.end, end), span.kind))
        return found[::-1]

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Frame of {self.row.step} #{self.row.call}>"
