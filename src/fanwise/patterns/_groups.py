"""A stage whose calls give several values: each place is taken until all of them have gone on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from fanwise.patterns._stations import Item, Piece, Station, without

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable


class Group:
    """Values of one call that wait for room. `gone` is told when a call waits for that as well."""

    __slots__ = ("gone", "pieces")

    def __init__(self, pieces: Iterable[Piece], gone: asyncio.Future[None] | None = None) -> None:
        """Hold `pieces`, of a call that has ended, or of one that waits until they are `gone`."""
        self.pieces = deque(pieces)
        self.gone = gone

    def __repr__(self) -> str:
        """Count."""
        return f"<Group of {len(self.pieces)}{'' if self.gone is None else ', a stream waits'}>"


class GroupStation(Station):
    """A stage at work whose calls give several values."""

    __slots__ = ()

    def hand_on(self, group: Group) -> None:
        """Let the values of a call go on, behind those that wait already."""
        self.held.append(group)
        self.release()

    def release(self) -> None:
        """Let values go on, as far as there is room."""
        following = self.next
        while self.held:
            group: Group = self.held[0]
            while group.pieces and (following is None or following.has_room()):
                if following is None:
                    self.line.arrive(group.pieces.popleft())
                else:
                    following.offer(group.pieces.popleft())
            if group.pieces:
                return
            if self.held and self.held[0] is group:
                self.held.popleft()
                self.gone(group)

    def gone(self, group: Group) -> None:
        """Fill the place of a call of which everything has gone on, or let a stream go on."""
        if group.gone is None:
            self.free += 1
            self.refill()
        elif not group.gone.done():
            group.gone.set_result(None)

    # Closing

    def purge(self, item: Item) -> None:
        """Forget an item that has ended; a call for several runs on while any is wanted."""
        for group in list(self.held):
            without(group.pieces, item)
            if not group.pieces:
                self.held.remove(group)
                self.free += group.gone is None
        super().purge(item)

    def purge_held(self, item: Item) -> None:
        """Nothing more: the groups are done."""

    def held_pieces(self) -> Iterable[Piece]:
        """Give what is held up."""
        return [piece for group in self.held for piece in group.pieces]

    def pieces_of(self, started: Any) -> Iterable[Piece]:  # noqa: ANN401
        """Give the pieces for which a call runs."""
        return (started,)
