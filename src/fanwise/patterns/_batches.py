"""A stage whose step takes a list: what is gathered for it, and how its values are told apart.

A batch is cut when a place is free, and not before: while all places are taken it goes on growing,
up to its size, so that a stage that cannot keep up gets fuller batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from fanwise.core import LIVE, Call, WrongLength, begin, note
from fanwise.patterns._groups import Group, GroupStation

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from fanwise.patterns._line import Line
    from fanwise.patterns._stations import Item, Piece


class BatchStation(GroupStation):
    """A stage after a `batch`. Its buffer counts batches, beside the one that is being gathered."""

    __slots__ = ("cutting", "ended", "linger", "overdue", "timer")

    def __init__(self, line: Line, step: Any, plan: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Gather up to `batch` pieces, or what is there after `linger` seconds."""
        size: int = plan["batch"]
        super().__init__(line, step, plan["at_once"], size * (1 + plan["buffer"]))
        self.size = size
        self.linger: float | None = plan["linger"]
        self.timer: asyncio.TimerHandle | None = None
        self.overdue = self.ended = self.cutting = False

    # In

    def has_room(self) -> bool:
        """Say whether a piece may come."""
        return len(self.queue) < self.buffer

    def offer(self, piece: Piece) -> bool:
        """Add a piece to what is gathered; say whether there was room."""
        if len(self.queue) >= self.buffer:
            return False
        self.queue.append(piece)
        self.refill()
        return True

    def refill(self) -> None:
        """Cut batches that are due, while places are free."""
        if self.cutting:
            return
        self.cutting = True
        queue = self.queue
        while self.free and self._due():
            self._start_batch([queue.popleft() for _ in range(min(self.size, len(queue)))])
            self._forget_timer()
            self.draw()
        self.cutting = False
        if queue and self.timer is None and self.linger is not None and not self.overdue:
            self.timer = self.line.loop.call_at(queue[0].since + self.linger, self._lingered)

    def _due(self) -> bool:
        if not self.queue or self.line.reason:
            return False
        return len(self.queue) >= self.size or self.overdue or self.ended

    def _lingered(self) -> None:
        self.timer = None
        self.overdue = True
        self.refill()
        if self.line.exhausted:
            self.line.check_end()

    def _forget_timer(self) -> None:
        self.overdue = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def dry(self) -> None:
        """Cut the last batch: nothing will come any more."""
        self.ended = True
        self.refill()

    def _start_batch(self, pieces: list[Piece]) -> None:
        values = [piece.value for piece in pieces]
        if not self.plain:
            self.start_with_care(values, pieces, pieces)
            return
        self.free -= 1
        line = self.line
        call = Call.of_item(self.step, values, line.scope, pieces[0].number)
        begin(call, line.scope, line.context)
        for piece in pieces:
            if piece.item.started is None:
                piece.item.started = call.started
        self.note(call, pieces)
        if call.status in LIVE:
            self.live[call] = pieces
            call.watchers = self
        else:
            self.settle(call, pieces)

    def note(self, call: Call[Any], pieces: Sequence[Piece]) -> None:
        """Keep whose values a call took, how many, and how long the last had waited."""
        note(call, items=len(pieces))
        super().note(call, pieces)

    # Out

    def settle(self, call: Call[Any], pieces: Sequence[Piece]) -> None:  # type: ignore[override]
        """Take the end of a call: each of its values goes on; a failure ends all its items."""
        for item in {piece.item: None for piece in pieces}:
            item.attempts += call.attempts
            if call.facts:
                item.add(call.facts, usage=False)  # which share of it?
        if call.status != "ok":
            self.free += 1
            for piece in pieces:
                self.line.fail(piece.item, call)
            return
        problem = self._problem(call.result, len(pieces))
        if problem is not None:
            self.free += 1
            self.line.break_off(pieces, WrongLength(f"{call.name} {problem}"))
            return
        given = []
        for piece, value in zip(pieces, call.result, strict=True):
            if not piece.item.over:
                piece.value = value
                piece.since = max(piece.since, call.ended)
                piece.edge = call.id
                given.append(piece)
        self.hand_on(Group(given))

    def _problem(self, values: object, wanted: int) -> str | None:
        """Say what is wrong with what a step gave for a batch."""
        listed = isinstance(values, Iterable) and isinstance(values, Sized)
        if not listed or isinstance(values, (str, bytes, Mapping, AbstractSet)):
            return f"gave a {type(values).__name__} for a batch of {wanted}: it gives a list"
        if len(values) != wanted:  # type: ignore[arg-type] # Sized, as was asked above
            return f"gave {len(values)} values for a batch of {wanted}: it gives one for each"  # type: ignore[arg-type]
        return None

    # Closing

    def purge(self, item: Item) -> None:
        """Forget an item that has ended; what is gathered may begin with another now."""
        super().purge(item)
        self._forget_timer()

    def pieces_of(self, started: Any) -> Iterable[Piece]:  # noqa: ANN401
        """Give the pieces of a batch."""
        return started  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop the timer."""
        self._forget_timer()
