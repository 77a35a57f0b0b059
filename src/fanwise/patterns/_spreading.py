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
    from fanwise.core import Call


class Spread:
    """Takes the items of one stream as pieces of the item that it is about."""

    __slots__ = ("begun", "call", "count", "piece", "station", "waited")

    begun: bool
    waited: float

    def __init__(self, station: SpreadStation, piece: Piece, call: Call[Any]) -> None:
        """Read `call`, which `station` made for `piece`."""
        self.station = station
        self.piece = piece
        self.call = call
        self.begun = False
        self.waited = 0.0
        self.count = 0

    async def put(self, value: object) -> None:
        """Send an item on, and return when there was room for it."""
        self.begun = True
        station = self.station
        piece = self.next_piece(value, station.line.runtime.time())
        if piece.item.over or station.line.reason:
            await station.line.loop.create_future()  # this call is being cancelled
        piece.item.open += 1
        group = Group((piece,), station.line.loop.create_future())
        station.hand_on(group)
        if not group.pieces:
            return
        try:
            await group.gone  # type: ignore[misc] # it was made above
        finally:
            self.waited += station.line.runtime.time() - piece.since
            if group in station.held:
                station.held.remove(group)

    def next_piece(self, value: object, since: float) -> Piece:
        """Make the next piece; its number stands behind those before it."""
        number = (self.piece.number << PIECE_BITS) + self.count
        self.count += 1
        return Piece(self.piece.item, number, value, since, self.call.id)

    def __repr__(self) -> str:
        """Count."""
        return f"<Spread of {self.call!r}, {self.count} pieces>"


class SpreadStation(GroupStation):
    """A stage at work whose step is a stream."""

    __slots__ = ()

    many = True

    def prepare(self, call: Call[Any], started: Any) -> None:  # noqa: ANN401
        """Read the stream."""
        if isinstance(call, StreamCall):
            call.reader = Spread(self, started, call)
            call.taken = True

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
            call.reader = None
            self.free += 1
        else:  # an equal call that an earlier attempt had made: its list is there
            spread = Spread(self, piece, call)
            since = max(piece.since, call.ended)
            pieces = [spread.next_piece(value, since) for value in call.result]
            item.open += len(pieces)
            self.hand_on(Group(pieces))
        self.line.close_part(item, call.ended)
