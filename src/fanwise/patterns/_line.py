"""The watcher behind `pipeline`: items on their way through stages over bounded buffers.

Problem: stages of different speed are to overlap, in bounded memory, without losing an item or
waiting for one that does not come.
Algorithm: no queues with workers at their ends. Each stage counts its places; the end of a call
moves its value on, starts what waits in its place, and lets the stages before it move up, back to
the source (see `Station`). So a stage that is full holds up those before it, and the end of the
input is a fact that every stage can look up, never a message that has to reach each of them.
Cost: O(1) for each call, and O(stages) once the input has ended.
Rejected: an `asyncio.Queue` a stage with workers and a sentinel, which hangs as soon as their
numbers differ, a worker fails, or the consumer leaves.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    LIVE,
    BudgetSpent,
    CallDropped,
    CallSkipped,
    Landed,
    Outcome,
    Status,
    TimedOut,
    leave,
)
from fanwise.patterns._flow import BUILT_IN
from fanwise.patterns._inflow import Inflow, Job
from fanwise.patterns._stations import Item, Piece, Station

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fanwise.core import Call, Ending


class Line(Inflow):
    """Items on their way through the stages of one `pipeline`."""

    __slots__ = ("bound", "built_in", "first", "many", "stations")

    def __init__(
        self,
        owner: Call[Any],
        job: Job,
        plan: Mapping[str, Any],
        builds: Iterable[Callable[[Line], Station]],
    ) -> None:
        """Line up stations for the pattern call `owner`."""
        super().__init__(owner, job, plan, Landed("item", (0, 1, 2)))
        self.stations = [build(self) for build in builds]
        for before, after in zip(self.stations, self.stations[1:], strict=False):
            before.next, after.previous = after, before
        self.first = self.stations[0]
        self.many = any(station.many for station in self.stations)
        self.bound = sum(
            station.at_once * station.size + station.buffer for station in self.stations
        )
        self.built_in = False

    def prepare(self) -> None:
        """See whether reading runs nobody's code."""
        self.built_in = type(self.source) in BUILT_IN

    # Reading

    def has_room(self) -> bool:
        """Say whether another item may be read: there is room, and not too much is untaken."""
        queue = self.job.queue
        if queue is not None and self.read - self.good - self.bad + len(queue) >= self.bound:
            return False
        return self.first.has_room()

    def draw(self) -> None:
        """Read, where there is room again."""
        if self.source is not None:
            if not self.filling and not self.exhausted:
                self.fill()
        elif self.room is not None and not self.room.done() and self.has_room():
            self.room.set_result(None)

    def fill(self) -> None:
        """Read items of a plain iterable, while there is room and no decision."""
        self.filling = True
        source: Any = self.source
        runtime, first = self.runtime, self.first
        streamed, built_in = self.job.queue is not None, self.built_in
        while not self.reason and not self.exhausted and first.has_room():
            if (streamed and not self.has_room()) or (runtime.draining and not self.open()):
                break
            try:
                item = next(source) if built_in else self.context.run(next, source)
            except StopIteration:
                self.input_ended(None)
            except (Exception, CancelledError) as error:  # noqa: BLE001 - NotEnough names it
                self.input_ended(error)
            else:
                self.start_item(item)
        self.filling = False
        if self.exhausted:
            self.check_end()

    def start_item(self, item: object) -> None:
        """Send an item on its way."""
        index = self.read
        self.read = index + 1
        whole = Item(index, item)
        if self.many:
            whole.values = {}
        self.first.offer(Piece(whole, index, item, self.runtime.time(), None))

    def go_on(self) -> None:
        """Read on, where an outcome was taken from a stream."""
        self.draw()
        if self.exhausted:
            self.check_end()

    # Ends

    def busy(self) -> bool:
        """Say whether anything is in a stage; tell those that nothing will reach any more."""
        for station in self.stations:
            station.dry()
            if not station.idle():
                return True
        return False

    def arrive(self, piece: Piece) -> None:
        """Take a value out of the last stage."""
        item = piece.item
        if item.values is not None:
            if not item.over:
                item.values[piece.number] = piece.value
                self.close_part(item, piece.since)
        elif self.job.queue is None and item.facts is None:
            item.over = True
            index = item.index
            landed = self.landed
            landed.values[index] = piece.value
            landed.given[index] = item.value
            landed.rows[index] = (item.started, piece.since, item.attempts)
            self.good += 1
        elif not item.over:
            self._succeed(item, piece.value, piece.since)

    def close_part(self, item: Item, ended: float) -> None:
        """Count a piece that has ended, or a stream that gives no more; the last ends the item."""
        item.open -= 1
        if not item.open and not item.over:
            values = item.values or {}
            self._succeed(item, [values[number] for number in sorted(values)], ended)

    def _succeed(self, item: Item, value: object, ended: float) -> None:
        item.over = True
        index = item.index
        outcome: Outcome[Any] = Outcome(None, "ok", self.landed.name(index), index)
        outcome.result = value
        self._describe(outcome, item, ended)
        self.keep(outcome, item.value)

    def fail(self, item: Item, call: Call[Any]) -> None:
        """End an item of which a call did not succeed."""
        if item.over:
            return
        error = call.error or CallDropped(f"{call.name} was cancelled")
        status: Any = call.status
        if status == "skipped" and item.attempts and not isinstance(error, BudgetSpent):
            status = "timed_out" if isinstance(error, TimedOut) else "cancelled"
        self.end(item, status, error, call)

    def refuse(self, pieces: Sequence[Piece], status: Status, error: BaseException) -> None:
        """End items whose call could not be made or asked for."""
        for piece in pieces:
            if not piece.item.over:
                self.end(piece.item, "failed" if piece.item.attempts else status, error)

    def break_off(self, pieces: Sequence[Piece], error: BaseException) -> None:
        """End the pipeline: nobody can tell any more whose value is whose."""
        self.broken = error
        self.decide("broken batch")
        self.refuse(pieces, "failed", error)

    def end(
        self, item: Item, status: Status, error: BaseException, call: Call[Any] | None = None
    ) -> None:
        """Give an item the outcome of a gap, and forget what else is on its way of it."""
        item.over = True
        outcome = self.gap(None, status, item.index, error)
        self._describe(outcome, item, self.runtime.time())
        facts = None if call is None else call.facts
        if facts is not None:
            outcome.ambiguous = outcome.ambiguous or "ambiguous" in facts
            outcome.late = facts.get("late")
        self.keep(outcome, item.value)
        if item.open > 1 and not self.reason:
            for station in self.stations:
                station.purge(item)
            for station in reversed(self.stations):
                station.refill()
                station.draw()

    @staticmethod
    def _describe(outcome: Outcome[Any], item: Item, ended: float) -> None:
        outcome.attempts = item.attempts
        if item.facts is not None:
            outcome.ambiguous = "ambiguous" in item.facts
            outcome.usage = item.facts.get("usage", outcome.usage)
        if item.attempts or outcome.status == "ok":
            outcome.started = item.started
            outcome.ended = ended

    # Closing

    async def let_go(self) -> None:
        """Close, and forget the stages: they refer to each other."""
        try:
            await super().let_go()
        finally:
            for station in self.stations:
                station.dissolve()
            self.stations.clear()
            del self.first

    def leave_all(self, ending: Ending) -> Callable[[], None]:
        """Leave every call that still runs."""
        left: dict[Item, Call[Any] | None] = {}
        for station in self.stations:
            station.close()
            for piece, call in list(station.remaining()):
                if not piece.item.over:
                    left[piece.item] = call or left.get(piece.item)
                    piece.item.attempts += call.attempts if call is not None else 0
            for call in list(station.live):
                if call.status in LIVE and leave(call, station):
                    ending.add(call)
            station.forget()

        def keep_gaps() -> None:
            for item in sorted(left, key=lambda item: item.index):
                status = self._gap_status(item)
                self.end(item, status, self._cause(item, status), left[item])

        return keep_gaps

    def _gap_status(self, item: Item) -> Status:
        if not item.attempts:
            return "skipped"
        return "timed_out" if self.reason == "within" else "cancelled"

    def _cause(self, item: Item, status: Status) -> BaseException:
        name = self.landed.name(item.index)
        if status == "timed_out":
            return TimedOut(
                f"{name} was still on its way when the {self.within:g} s of its pipeline were over"
            )
        kind = CallSkipped if status == "skipped" else CallDropped
        return kind(f"{name} was let go: its pipeline closed ({self.reason})")
