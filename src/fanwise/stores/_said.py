"""What the provider of a shared limit said to one worker, until its board has been told.

"Too many" is a pause, of everybody. How much is left is a ceiling on what the board may still give:
what was left when the answer was made, which refills from then on, less what in flight here the
provider has yet to take. When the answer was made is not known: at the earliest when its attempt
was admitted. What other workers have in flight and in their pockets is spent at the board already.
So a ceiling is never lower than the truth, whoever tells it, how often, and in which order.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from fanwise.stores._visit import ALL, DIMENSIONS, MICROSECONDS

if TYPE_CHECKING:
    from fanwise.core import Remaining
    from fanwise.stores._visit import Four, Terms

WRITTEN = (False, True, False, True)  # dimensions of which a provider takes some at the end


class Said:
    """The pause that is on, and the least that was said to be left of each dimension."""

    __slots__ = ("_ends", "_left", "_refills", "_terms", "_untold")

    def __init__(self, terms: Terms) -> None:
        """Know nothing."""
        self._terms = terms
        self._refills = [
            0.0 if rate is None else rate.refill * MICROSECONDS / rate.scale for rate in terms.rates
        ]
        self._left = [inf, inf, inf, inf]  # what was left, less what has refilled since time 0
        self._ends = -inf
        self._untold = False

    def pause(self, now: float, seconds: float) -> bool:
        """Let a pause be on, and say whether it is longer than what was known."""
        if now + seconds <= self._ends:
            return False
        self._ends = now + seconds
        self._untold = True
        return True

    def halt(self, now: float, seconds: float) -> None:
        """Take a pause that the board knows of."""
        self._ends = max(self._ends, now + seconds)

    def paused(self, now: float) -> float:
        """Give the seconds that are left of a pause."""
        return max(0.0, self._ends - now)

    def untold(self, now: float) -> int:
        """Give what the board is to be told of a pause, in microseconds, once."""
        self._untold, untold = False, self._untold
        return int(self.paused(now) * MICROSECONDS) if untold else 0

    def remains(self, left: Remaining, since: float, now: float, levels: list[float]) -> bool:
        """Take what an answer said, and say whether the board, at `levels`, seems to have more."""
        less = False
        for d, said in enumerate(left):
            if said is None or self._terms.rates[d] is None:
                continue
            if levels[d] > said + (now - since) * self._refills[d]:
                self._left[d] = min(self._left[d], said - since * self._refills[d])
                less = True
        return less

    def less(self) -> bool:
        """Say whether the board is to be told that less is left."""
        return min(self._left) < inf

    def ceilings(self, now: float, coming: int) -> Four:
        """Give what the board may have at most, once; `coming` is what is in flight here."""
        found = list(ALL)
        for d, left in enumerate(self._left):
            if left < inf:
                later = coming if WRITTEN[d] else 0
                found[d] = int(left + now * self._refills[d]) - later
        self._left = [inf, inf, inf, inf]
        a, b, c, d = found
        return (a, b, c, d)

    def __repr__(self) -> str:
        """Show what is to be told."""
        told = [name for name, left in zip(DIMENSIONS, self._left, strict=True) if left < inf]
        return f"<Said, less is left of {told}>"
