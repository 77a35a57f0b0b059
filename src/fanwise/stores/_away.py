"""A gate without its board: a stated share of the limit, from a bucket of the worker's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fanwise.stores._memory import MemoryBoard
from fanwise.stores._visit import MICROSECONDS, NOTHING, Visit

if TYPE_CHECKING:
    from fractions import Fraction

    from fanwise.stores._visit import Four, Reply, Terms

FOREVER: Final = 1 << 52  # microseconds


class Away:
    """A gate's own bucket, of a share of the limit, while its board is gone.

    It begins empty, for what others do with the rest is unknown. Afterwards the board is owed what
    has not run off of it, or what was admitted if that is less: backlogs of parts of a rate sum up
    to at least the backlog of the whole, so that no window sees too much if the shares of all
    workers make no more than one. Nothing comes back of what was reserved meanwhile.
    """

    def __init__(self, terms: Terms, share: Fraction) -> None:
        """Begin with an empty bucket of a share of `terms`."""
        self._loop = asyncio.get_running_loop()
        self._board = MemoryBoard(self._clock)
        self._terms = terms.part(share)
        self._share = share
        self._number = 0
        self._admitted = [0, 0, 0, 0]

    def _clock(self) -> int:
        return int(self._loop.time() * MICROSECONDS)

    def decide(self, need: Four, in_use: int) -> float | None:
        """Admit the head of the line and give 0.0, or the seconds to wait; `None`: nobody knows."""
        if not self._share:
            return None
        reply = self._visited(in_use, need, slots=int(self._terms.at_once is not None))
        for d, grant in enumerate(reply.grants):
            self._admitted[d] += grant
        return reply.wait / MICROSECONDS

    def owed(self, in_use: int) -> list[int]:
        """Give what the board is owed of what was admitted without it."""
        if not self._number:
            return self._admitted
        spent = self._visited(in_use, NOTHING, slots=0).spent
        return [
            0 if rate is None else min(admitted, -(-left // rate.scale))
            for admitted, left, rate in zip(self._admitted, spent, self._terms.rates, strict=True)
        ]

    def _visited(self, in_use: int, need: Four, slots: int) -> Reply:
        self._number += 1
        first = self._number == 1
        known_until = FOREVER if first else 0
        said = Visit(
            "here", self._number, first, FOREVER, known_until, held=in_use, slots=slots, need=need
        )
        return self._board.visit_nowait(self._terms, said)

    def __repr__(self) -> str:
        """Show what was admitted."""
        return f"<Away, admitted {self._admitted}>"
