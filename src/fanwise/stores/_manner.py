"""How workers share a limit, and what the head of a line asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from fractions import Fraction

    from fanwise.core import Amount
    from fanwise.stores._visit import Four

HELD_SHARE = 0.75  # of a bucket's refill: for so long a reservation keeps its place


class Manner(NamedTuple):
    """How workers share: seconds between `heartbeat`s, the longest `lease` in attempts.

    `without` is the share of the limit that this worker may use while the board is gone (0: none);
    `hold` the seconds for which an unsettled reservation keeps its place; `early` says that what
    may be written is charged at admission, and keeps none.
    """

    heartbeat: float
    lease: int
    without: Fraction
    hold: float
    early: bool


class Asked(NamedTuple):
    """The question of the line's head."""

    number: int
    amount: Amount
    need: Four
    answer: asyncio.Future[float]
