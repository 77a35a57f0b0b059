"""A stage whose step is a stream: one item in, pieces out, each as soon as it is there.

The stage is the stream's reader, without a task of its own: an item that the generator yields goes
on at once, and where there is no room the generator waits, in its call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core import StreamCall
from fanwise.patterns._groups import Group, GroupStation
from fanwise.patterns._stations import PIECE_BITS, Piece

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from fanwise.core import Call


class Spread:
    """Takes the items of one stream as pieces of the item that it is about."""

    __slots__ = ("begun", "count", "edge", "piece", "station", "waited")

    begun: bool
    waited: float

    def __init__(self, station: SpreadStation, piece: Piece) -> None:
        """Read the call that `station` made for `piece`."""
        self.station = station
        self.piece = piece
        self.edge: int | None = None  # the call's id, once it has one; it refers to this
        self.begun = False
        self.waited = 0.0
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether a piece waits for room."""
        return any(piece.edge == self.edge for piece in self.station.held_pieces())

    def offer(self, value: object) -> bool:
        """Send an item on where there is room; say whether there was."""
        self.begun = True
        station, item = self.station, self.piece.item
        following = station.next
        if station.held or item.over or station.line.reason:
            return False
        if following is not None and not following.has_room():
            return False
        item.open += 1
        piece = self.next_piece(value, station.line.runtime.time())
        if following is None:
            station.line.arrive(piece)
        else:
            following.offer(piece)
        return True

    async def put(self, value: object) -> None:
        """Send an item on when there is room for it, and return then.

        Cancelled, which a generator with timeouts of its own may do, it lets the item go on alone.
        """
        station, item = self.station, self.piece.item
        room: asyncio.Future[None] = station.line.loop.create_future()
        since = station.line.runtime.time()
        if not (item.over or station.line.reason):  # else this call is being cancelled
            item.open += 1
            station.hand_on(Group((self.next_piece(value, since),), room))
        try:
            await room
        finally:
            self.waited += station.line.runtime.time() - since

    def next_piece(self, value: object, since: float) -> Piece:
        """Make the next piece; its number stands behind those before it."""
        number = (self.piece.number << PIECE_BITS) + self.count
        self.count += 1
        return Piece(self.piece.item, number, value, since, self.edge)

    def __repr__(self) -> str:
        """Count."""
        return f"<Spread of {self.piece!r}, {self.count} pieces>"


class SpreadStation(GroupStation):
    """A stage at work whose step is a stream."""

    __slots__ = ()

    many = True

    def prepare(self, call: Call[Any], started: Any) -> None:  # noqa: ANN401
        """Read the stream."""
        if isinstance(call, StreamCall):
            call.reader = Spread(self, started)
            call.taken = True

    def note(self, call: Call[Any], pieces: Sequence[Piece]) -> None:
        """Let the reader know the call's id."""
        super().note(call, pieces)
        if isinstance(call.reader, Spread):
            call.reader.edge = call.id

    def settle(self, call: Call[Any], piece: Piece) -> None:
        """Take the end of a stream: its own part of the item has ended."""
        item = piece.item
        item.attempts += call.attempts
        if call.status != "ok" or item.over:
            self.free += 1
            self.line.fail(item, call)
            return
        if call.facts:
            item.add(call.facts)
        if call.taken:
            self.free += 1
        else:  # an equal call that an earlier attempt had made: its list is there
            spread = Spread(self, piece)
            spread.edge = call.id
            since = max(piece.since, call.ended)
            pieces = [spread.next_piece(value, since) for value in call.result]
            item.open += len(pieces)
            self.hand_on(Group(pieces))
        self.line.close_part(item, call.ended)
