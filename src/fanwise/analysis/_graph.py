"""Who may have waited for whom, as far as a record says."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from fanwise.core import CallRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fanwise.core import AttemptRow, RunRecord

MAIN: Final = 0  # the first call to begin is the one that the run is of
UNFINISHED: Final = -1  # stands in for a main call that has no row yet


class Graph:
    """The rows of a run by id, and for each call those that it may have waited for.

    These are the branches that it gathered, the inputs that it was bound to, the calls that it was
    the first to ask for, and the others made in its body, each list in the order of their ends. A
    call that outlives who asked for it first was waited for by the next of these, or by nobody.
    `wrong` are the guesses for which nobody waited.
    """

    def __init__(self, record: RunRecord) -> None:
        """Index a record, in time O(n log n)."""
        self.record = record
        self.rows: dict[int, CallRow] = {row.call: row for row in record.calls}
        self.awaited: dict[int, list[CallRow]] = {}
        self.askers: dict[int, int] = {}  # who started a call: the first that asked for it
        self.attempts: dict[int, list[AttemptRow]] = {}
        for attempt in record.attempts:
            self.attempts.setdefault(attempt.call, []).append(attempt)
        self.main = self.rows.get(MAIN) or self._unfinished(record.calls)
        bound = self._bound(self.rows.values())
        # Rows stand in the order of the ends, which tells calls of one microsecond apart.
        self.ends = sorted(self.rows.values(), key=lambda row: row.end)
        self.awaiters: dict[int, int] = {}
        for row in self.ends:
            if row is not self.main:
                above = self._awaiter(row, bound)
                if above is not None:
                    self.awaiters[row.call] = above
                    self.awaited.setdefault(above, []).append(row)
        self._add_edges(list(self.rows.values()))
        self.wrong = {row.call for row in self.ends if self._is_wrong(row)}

    def _is_wrong(self, row: CallRow) -> bool:
        """Say whether a call was a guess that its `speculate` did not join."""
        place = row.facts.get("guess")
        around = None if row.fan_in is None else self.rows.get(row.fan_in)
        if place is None or around is None or "closed" not in around.facts:
            return False
        return around.facts.get("joined") != place

    def below_wrong(self) -> set[int]:
        """Give the guesses that were not joined, and every call that was made below them."""
        found = set(self.wrong)
        if found:
            for row in sorted(self.rows.values(), key=lambda row: row.call):  # parents begin first
                if row.parent in found:
                    found.add(row.call)
        return found

    def _bound(self, rows: Iterable[CallRow]) -> dict[int, int]:
        """Give the bound call that asked for an input first: it began before the input did."""
        found: dict[int, int] = {}
        for row in rows:
            for each in row.edges:
                if row.call < each:
                    found[each] = max(row.call, found.get(each, MAIN))
        return found

    def _awaiter(self, row: CallRow, bound: Mapping[int, int]) -> int | None:
        """Give the call that waited for `row`, and note in passing which one started it."""
        rows = self.rows
        asker = None
        for each in (row.fan_in, bound.get(row.call), row.facts.get("asked_by"), row.parent):
            above = rows.get(each) if isinstance(each, int) and each != row.call else None
            if above is not None:
                asker = above.call if asker is None else asker
                if above.end >= row.end:
                    self.askers[row.call] = asker
                    return above.call
        self.askers[row.call] = self.main.call if asker is None else asker
        return self.main.call if asker is None else None

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

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Number branches of one fan-in and step from 1, in the order of their starts."""
        groups: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for row in self.rows.values():
            if row.fan_in is not None:
                groups[row.fan_in, row.step].append(row.call)
        several = (sorted(group) for group in groups.values() if len(group) > 1)
        return {call: number for group in several for number, call in enumerate(group, 1)}

    def branches(self) -> dict[int, list[CallRow]]:
        """Give the calls that each pattern gathered, in the order of their ends."""
        found: defaultdict[int, list[CallRow]] = defaultdict(list)
        for row in self.ends:
            if row.fan_in in self.rows and self.rows[row.fan_in].pattern is not None:
                found[row.fan_in].append(row)
        return found

    @cached_property
    def around(self) -> set[int]:
        """Give the calls that have others inside."""
        found = {row.parent for row in self.ends} | {row.fan_in for row in self.ends}
        return {call for call in found if call is not None}

    def __repr__(self) -> str:
        """Count."""
        return f"<Graph of {len(self.rows)} calls>"
