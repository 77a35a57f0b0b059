"""Who may have waited for whom, as far as a record says."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from fanwise.core import CallRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fanwise.core import AttemptRow, RunRecord

MAIN: Final = 0  # the first call to begin is the one that the run is of
UNFINISHED: Final = -1  # stands in for a main call that has no row yet


class Graph:
    """The rows of a run by id, and for each call those that it may have waited for.

    These are the calls made in its body, those that it was the first to ask for, the branches that
    it gathered, and the inputs that it was bound to, each list in the order of their ends.
    """

    def __init__(self, record: RunRecord) -> None:
        """Index a record, in time O(n log n)."""
        self.rows: dict[int, CallRow] = {row.call: row for row in record.calls}
        self.awaited: dict[int, list[CallRow]] = {}
        self.attempts: dict[int, list[AttemptRow]] = {}
        for attempt in record.attempts:
            self.attempts.setdefault(attempt.call, []).append(attempt)
        self.main = self.rows.get(MAIN) or self._unfinished(record.calls)
        # Rows stand in the order of the ends, which tells calls of one microsecond apart.
        for row in sorted(record.calls, key=lambda row: row.end):
            for above in self._above(row):
                self.awaited.setdefault(above, []).append(row)
        self._add_edges(record.calls)

    def _above(self, row: CallRow) -> Iterable[int]:
        wanted = (row.parent, row.fan_in, row.facts.get("asked_by"))
        known = {each for each in wanted if isinstance(each, int)} & self.rows.keys()
        return known if known or row is self.main else {self.main.call}

    def _add_edges(self, rows: Sequence[CallRow]) -> None:
        order = {row.call: place for place, row in enumerate(rows)}
        for row in rows:
            if self.piped(row):
                continue  # its inputs were there before it began
            inputs = [self.rows[each] for each in row.edges if each in self.rows]
            if inputs:
                waited = {each.call: each for each in (*self.awaited.get(row.call, ()), *inputs)}
                self.awaited[row.call] = sorted(
                    waited.values(), key=lambda each: (each.end, order[each.call])
                )

    @staticmethod
    def _unfinished(rows: Sequence[CallRow]) -> CallRow:
        start = min((row.start for row in rows), default=0)
        end = max((row.end for row in rows), default=0)
        return CallRow(
            UNFINISHED, None, None, "not over", None, "work", None, start, end, "running", 1, 0
        )

    def launch(self, row: CallRow) -> int:
        """Give the time at which a bound call had all its inputs; of any other call its start."""
        if not row.edges or self.piped(row):
            return row.start
        if not row.attempts and not row.waits:
            return row.end
        ends = [self.rows[each].end for each in row.edges if each in self.rows]
        return min(row.end, max((row.start, *ends)))

    def piped(self, row: CallRow) -> bool:
        """Say whether a stage of a pipeline made the call: it began where its input was there."""
        around = None if row.fan_in is None else self.rows.get(row.fan_in)
        return around is not None and around.pattern == "pipeline"

    def giver(self, row: CallRow) -> CallRow | None:
        """Give the call of the stage before that gave what `row` took last, and so made it begin.

        It ended where `row` began, or is a stream, which may go on.
        """
        if not self.piped(row):
            return None
        inputs = [self.rows[each] for each in row.edges if each in self.rows]
        ends = [each for each in inputs if each.start <= row.start <= each.end]
        return min(ends, key=lambda each: (each.end, each.call), default=None)

    def releaser(self, row: CallRow) -> CallRow | None:
        """Give the call whose end let `row` out of the buffer: the last in that time.

        On one instant it is one of the same stage. Where nothing ended meanwhile there is none: a
        batch was lingered for. Of a stream the record does not say when it waited.
        """
        waited = row.waits.get("buffer", 0)
        if not waited or "first_item" in row.facts or not self.piped(row):
            return None
        others = self.awaited[row.fan_in]  # type: ignore[index] # as piped() has seen
        let_out = row.start + waited + 1  # each was rounded to a microsecond
        place = bisect_right(others, let_out, key=lambda each: each.end)
        last: CallRow | None = None
        while place and others[place - 1].end > row.start:
            place -= 1
            found = others[place]
            if last is not None and found.end < last.end:
                break
            if found.call != row.call and (last is None or found.step == row.step):
                last = found
            if last is not None and last.step == row.step:
                break
        return last

    def numbers(self) -> dict[int, int]:
        """Number branches of one fan-in and step from 1, in the order of their starts."""
        groups: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for row in self.rows.values():
            if row.fan_in is not None:
                groups[row.fan_in, row.step].append(row.call)
        several = (sorted(group) for group in groups.values() if len(group) > 1)
        return {call: number for group in several for number, call in enumerate(group, 1)}

    def __repr__(self) -> str:
        """Count."""
        return f"<Graph of {len(self.rows)} calls>"
