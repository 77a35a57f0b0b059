"""What the provider of a shared limit said to one worker, until its board has been told.

"Too many" is a pause, of everybody. How much is left is a ceiling on what the board may still give:
what was left when the answer was made, and what came since, less what in flight here the provider
has yet to take. When it was made is not known: at the earliest when its attempt was admitted, so
that a whole refill since then may have come. Where somebody waited all the time, nothing lay in
pockets, and the board told each time what it had: then it is what it has more now than at its
lowest. What other workers have in flight is spent at the board already. Told twice, by whomever and
in whatever order, a ceiling lowers nothing twice.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from fanwise.stores._visit import ALL, DIMENSIONS, MICROSECONDS

if TYPE_CHECKING:
    from fanwise.core import Remaining
    from fanwise.stores._visit import Four, Terms

TOLD = 64  # answers of the board that are remembered
WRITTEN = (False, True, False, True)  # dimensions of which a provider takes some at the end


class Said:
    """The pause that is on, and the least that was said to be left of each dimension."""

    __slots__ = ("_ends", "_left", "_refills", "_told", "_untold")

    def __init__(self, terms: Terms) -> None:
        """Know nothing."""
        # When the board told what it had of each dimension, and whether somebody waited then.
        self._told: deque[tuple[float, list[float], bool]] = deque(maxlen=TOLD)
        self._ends = -inf
        self._untold = False
        self.count_by(terms)

    def count_by(self, terms: Terms) -> None:
        """Go on by other terms: only a pause is kept."""
        self._refills = [
            None if rate is None else rate.refill * MICROSECONDS / rate.scale
            for rate in terms.rates
        ]
        self._left = [inf, inf, inf, inf]  # what was left, less what has refilled since time 0
        self._told.clear()

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

    def has(self, now: float, levels: list[float], *, crowded: bool) -> None:
        """Take what the board told that it has, and whether anybody waits there."""
        self._told.append((now, levels, crowded))

    def again(self) -> None:
        """Tell of a pause again: nobody heard it."""
        self._untold = True

    def remains(self, left: Remaining, since: float, now: float, levels: list[float]) -> bool:
        """Take what an answer said, and say whether the board, at `levels`, seems to have more."""
        lowest = self._lowest(since)
        less = False
        for d, (said, refill) in enumerate(zip(left, self._refills, strict=True)):
            if said is None or refill is None:
                continue
            came = (now - since) * refill
            if lowest is not None:
                came = min(came, max(0.0, levels[d] - lowest[d]))
            if levels[d] > said + came:
                self._left[d] = min(self._left[d], said + came - now * refill)
                less = True
        return less

    def _lowest(self, since: float) -> list[float] | None:
        """Give the least that the board had from an instant on, where somebody always waited."""
        lowest: list[float] | None = None
        for at, levels, crowded in reversed(self._told):
            if not crowded:
                return None
            lowest = levels if lowest is None else list(map(min, levels, lowest))
            if at <= since:
                return lowest
        return None

    def less(self) -> bool:
        """Say whether the board is to be told that less is left."""
        return min(self._left) < inf

    def ceilings(self, now: float, coming: int) -> Four:
        """Give what the board may have at most, once; `coming` is what is in flight here."""
        found = list(ALL)
        for d, left in enumerate(self._left):
            refill = self._refills[d]
            if left < inf and refill is not None:
                found[d] = int(left + now * refill) - (coming if WRITTEN[d] else 0)
        self._left = [inf, inf, inf, inf]
        a, b, c, d = found
        return (a, b, c, d)

    def __repr__(self) -> str:
        """Show what is to be told."""
        told = [name for name, left in zip(DIMENSIONS, self._left, strict=True) if left < inf]
        return f"<Said, less is left of {told}>"
