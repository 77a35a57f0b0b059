"""A stage at work: the buffer before it, the calls that run, what waits for room behind it.

A value goes on at the moment at which its call ends: into a free place of the next stage, else into
its buffer, and where that is full it stays where it is, and with it the place of its call. So a
full stage holds up the ones before it, back to the source, and no end of input is ever queued: a
stage is at its end when nothing is before it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    DEADLINE,
    LIVE,
    Call,
    FanwiseError,
    Step,
    add_wait,
    add_watcher,
    ask,
    begin,
    leave,
    note,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fanwise.patterns._line import Line

PIECE_BITS = 40  # of a piece's number: its place among those of one call


class Item:
    """An item of the source: what its calls have done so far, and how many pieces are open."""

    __slots__ = ("attempts", "facts", "index", "open", "over", "started", "value", "values")

    def __init__(self, index: int, value: object) -> None:
        """Take the item that was read as number `index`."""
        self.index = index
        self.value = value
        self.open = 1
        self.attempts = 0
        self.started: float | None = None
        self.over = False
        self.facts: dict[str, Any] | None = None
        self.values: dict[int, Any] | None = None

    def add(self, facts: Mapping[str, Any], *, usage: bool = True) -> None:
        """Take what only few calls say of themselves."""
        kept = self.facts or {}
        if "ambiguous" in facts:
            kept["ambiguous"] = True
        if usage and "usage" in facts:
            total = kept.setdefault("usage", {})
            for name, count in facts["usage"].items():
                total[name] = total.get(name, 0) + count
        self.facts = kept or None

    def __repr__(self) -> str:
        """Name it."""
        return f"<Item {self.index}, {self.open} open>"


class Piece:
    """What is on its way of an item: one value, since when it is there, and which call gave it."""

    __slots__ = ("edge", "item", "number", "since", "value")

    def __init__(self, item: Item, number: int, value: object, since: float, edge: Any) -> None:  # noqa: ANN401
        """Take `value`, there since `since`; `edge` is `None` where the source gave it."""
        self.item = item
        self.number = number  # stands in the order of the pieces within the item
        self.value = value
        self.since = since
        self.edge: int | None = edge

    def __repr__(self) -> str:
        """Name the item."""
        return f"<Piece {self.number} of {self.item!r}>"


class Station:
    """A stage of a pipeline at work, one value in and one out."""

    __slots__ = ("at_once", "buffer", "context", "free", "held", "line", "live", "next", "owner",
                 "plain", "previous", "queue", "size", "step", "swift")  # fmt: skip

    many = False  # whether an item may leave it in several pieces

    def __init__(self, line: Line, step: Any, at_once: int, buffer: int) -> None:  # noqa: ANN401
        """Stand in `line`, with so many places and so much room before them."""
        self.line = line
        self.owner: Call[Any] | None = line.owner
        self.step = step
        self.at_once = self.free = at_once
        self.buffer = buffer
        self.size = 1  # pieces that one call takes
        self.queue: deque[Piece] = deque()
        self.live: dict[Call[Any], Any] = {}
        self.held: deque[Any] = deque()
        self.next: Station | None = None
        self.previous: Station | None = None
        # Making such a call runs nobody's code, so that no context has to be entered.
        self.plain = type(step) is Step and not (line.scope.digests or step.writes)
        # Nor is anybody to be asked whether it may start, but for a drain.
        self.context = line.context
        planned = line.runtime.plan is not None or self.context.get(DEADLINE) is not None
        self.swift = self.plain and not planned and step.policy.hedge is None
        if line.scope.live is None:
            line.scope.live = {}

    # In

    def has_room(self) -> bool:
        """Say whether a piece may come."""
        return self.free > 0 or len(self.queue) < self.buffer

    def offer(self, piece: Piece) -> bool:
        """Start a piece or let it wait; say whether there was room."""
        if self.free:
            self.start(piece)
        elif len(self.queue) < self.buffer:
            self.queue.append(piece)
        else:
            return False
        return True

    def refill(self) -> None:
        """Start what waits, where a place is free, and let others come after it."""
        queue = self.queue
        previous = self.previous
        while queue and self.free and not self.line.reason:
            self.start(queue.popleft())
            if previous is None:
                self.line.draw()
            elif previous.held:
                previous.release()
        if not queue:
            self.draw()

    def draw(self) -> None:
        """Let pieces come that were held up, or items of the source."""
        previous = self.previous
        if previous is None:
            self.line.draw()
        elif previous.held:
            previous.release()

    def start(self, piece: Piece) -> None:
        """Begin the call of a piece."""
        if not self.plain:
            self.start_with_care(piece.value, piece, (piece,))
            return
        self.free -= 1
        line = self.line
        if self.swift and not line.runtime.draining:
            call = Call.start_item(self.step, piece.value, line.scope, piece.number, self)
        else:
            call = Call.of_item(self.step, piece.value, line.scope, piece.number)
            begin(call, line.scope, line.context)
        item = piece.item
        if item.started is None:
            item.started = call.started
        since = piece.since
        edge = piece.edge
        # See fanwise.core._record.edge_and_wait.
        call.facts = {"fed": complex(-1.0 if edge is None else edge, call.started - since)}
        call.started = since  # it waited for its stage since then
        if call.status in LIVE:
            self.live[call] = piece
            call.watchers = self
        else:
            self.settle(call, piece)

    def start_with_care(self, value: object, started: Any, pieces: Sequence[Piece]) -> None:  # noqa: ANN401
        """Begin a call whose making runs a user's code, or may give an earlier attempt's call."""
        self.free -= 1
        line = self.line
        try:
            call = line.context.run(self.step, value)
        except Exception as error:  # noqa: BLE001 - a wrong argument, a key: the item's own failure
            self.free += 1
            line.refuse(pieces, "failed", error)
            return
        new = call.status == "new"
        if new:
            call.fan_in = line.scope.id
            self.prepare(call, started)
        self.live[call] = started
        try:
            ended = line.context.run(ask, call, self)
        except FanwiseError as error:
            del self.live[call]
            self.free += 1
            line.refuse(pieces, "skipped", error)
            return
        if new:
            self.note(call, pieces)
        for piece in pieces:
            if piece.item.started is None:
                piece.item.started = call.started
        if ended:
            self.settle(call, self.live.pop(call))

    def prepare(self, call: Call[Any], started: Any) -> None:  # noqa: ANN401
        """Make ready a new call that runs for what was `started`."""

    def note(self, call: Call[Any], pieces: Sequence[Piece]) -> None:
        """Keep whose values a call took, and how long the last of them had waited."""
        edges = tuple(dict.fromkeys([each.edge for each in pieces if each.edge is not None]))
        if edges:
            note(call, edges=edges)
        since = max([each.since for each in pieces])
        if since < call.started:
            add_wait(call, "buffer", call.started - since)
            call.started = since

    # Out

    def call_ended(self, call: Call[Any]) -> None:
        """Hand on what a call gave, and start the next in its place."""
        self.settle(call, self.live.pop(call))
        line = self.line
        if not line.reason:
            self.refill()
            if line.exhausted:
                line.check_end()

    def settle(self, call: Call[Any], piece: Piece) -> None:
        """Take the end of a call: its value goes on, or waits for room; a failure ends its item."""
        item = piece.item
        item.attempts += call.attempts
        if call.status != "ok" or item.over:
            self.free += 1
            self.line.fail(item, call)
            return
        facts = call.facts
        if facts and len(facts) > 1:
            item.add(facts)
        piece.value = call.result
        ended = call.ended
        if ended > piece.since:  # noqa: PLR1730 - `max` costs more; an earlier attempt had it
            piece.since = ended
        piece.edge = call.id
        following = self.next
        if following is None:
            self.free += 1
            self.line.arrive(piece)
        elif following.offer(piece):
            self.free += 1
        else:
            self.held.append(piece)

    def release(self) -> None:
        """Let pieces that were held up go on, as far as there is room, and fill their places."""
        held = self.held
        following = self.next
        while held and following.has_room():  # type: ignore[union-attr] # the last holds nothing
            following.offer(held.popleft())  # type: ignore[union-attr]
            self.free += 1
            self.refill()

    def dry(self) -> None:
        """Take note that nothing will come any more."""

    def idle(self) -> bool:
        """Say whether nothing is in this stage."""
        return not (self.queue or self.live or self.held)

    # Closing

    def purge(self, item: Item) -> None:
        """Forget an item that has ended: what waits is dropped, what runs for it alone is left."""
        self.free += len(self.held)
        without(self.queue, item)
        self.purge_held(item)
        self.free -= len(self.held)
        for call, pieces in list(self.live.items()):
            if all(piece.item.over for piece in self.pieces_of(pieces)):
                self.let_go(call)

    def purge_held(self, item: Item) -> None:
        """Forget what is held up of an item."""
        without(self.held, item)

    def let_go(self, call: Call[Any]) -> None:
        """Leave a call whose value is not wanted any more; its place is free when it has ended."""
        if call.status not in LIVE:
            return
        if leave(call, self):
            add_watcher(call, self)
        else:
            del self.live[call]
            self.free += 1

    def pieces_of(self, started: Any) -> Iterable[Piece]:  # noqa: ANN401
        """Give the pieces for which a call runs."""
        return (started,)

    def remaining(self) -> Iterator[tuple[Piece, Call[Any] | None]]:
        """Give every piece that is here, with the call that runs for it."""
        for call, started in self.live.items():
            for piece in self.pieces_of(started):
                yield piece, call
        for piece in (*self.held_pieces(), *self.queue):
            yield piece, None

    def held_pieces(self) -> Iterable[Piece]:
        """Give what is held up."""
        return self.held

    def close(self) -> None:
        """Stop timers."""

    def dissolve(self) -> None:
        """Refer to nobody any more."""
        del self.line
        self.owner = self.next = self.previous = None

    def forget(self) -> None:
        """Forget everything that is here."""
        self.queue.clear()
        self.held.clear()
        self.live.clear()

    def __repr__(self) -> str:
        """Count."""
        return (
            f"<Station {self.step.name}: {len(self.queue)} wait, {len(self.live)} run, "
            f"{len(self.held)} held up>"
        )


def without(pieces: deque[Piece], item: Item) -> None:
    """Take the pieces of an item out."""
    kept = [piece for piece in pieces if piece.item is not item]
    pieces.clear()
    pieces.extend(kept)
