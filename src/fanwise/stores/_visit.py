"""A visit: what a worker says and asks at a shared limit, and what it is told.

Problem: workers of many machines share requests, tokens and slots. Nothing may be admitted above
burst + rate x t, whatever they do, and whichever of them dies; most admissions must be local.
Method: a bucket with fractions (a meter of what is spent, which runs off at the rate), decided for
all dimensions at once, where the bucket stands (a *board*). A worker, a *holder*, takes more than
it needs when there is plenty: a lease, its *pocket*. What lies in pockets, and what is reserved
and not settled, keeps its place in the bucket: what is spent never runs off below it. So pockets
and bucket together never hold more than the burst, and no window ever sees more than
burst + rate x t, whenever the provider counts: leases admit nothing extra.
A holder says absolutely what it holds (slots, what is kept) and numbers its visits: one that is
sent again is answered again and does nothing, and no count can drift. One that is not seen for its
*lapse* holds nothing any more; its unsettled reservations stay spent, and run off.
Those who must wait stand in line by the order of their first question, with what they need; who
comes later is told to wait behind that. A dead one leaves the line by its lapse.
Cost: O(holders) for a visit; leases make visits rare.
Rejected: a key for every reservation (settled once by its number where it was made; the board sees
numbered visits, and forgets nothing that it would need), counters of slots (a lost answer makes
them drift), INCR with EXPIRE (a fixed window lets through twice the rate), a GCRA of one number for
each dimension (its instants have fractions wherever 60,000,000 / rate has).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from fanwise.core import Amount
    from fanwise.stores._standing import LimitStanding
    from fanwise.stores._till import Till

DIMENSIONS: Final = ("requests", "tokens", "input_tokens", "output_tokens")
MICROSECONDS: Final = 1_000_000
EXACT: Final = 1 << 53  # Lua counts in doubles, which are exact up to here

Four = tuple[int, int, int, int]
NOTHING: Final[Four] = (0, 0, 0, 0)
ALL: Final[Four] = (EXACT, EXACT, EXACT, EXACT)


class BoardLost(Exception):
    """The board does not answer; whether the visit took place is unknown."""


class Rate(NamedTuple):
    """One dimension: a bucket of `capacity`, into which `refill`/`scale` flow in a microsecond.

    `refill` and `scale` are the terms of the exact fraction, so that integers lose nothing.
    """

    capacity: int
    refill: int
    scale: int

    @classmethod
    def per_minute(cls, amount: float | Fraction, capacity: int) -> Rate:
        """Give the rate of `amount` in a minute, written as a decimal number means it.

        Raises ValueError where integers of 53 bits cannot hold it.
        """
        exact = Fraction(str(amount)) / (60 * MICROSECONDS)
        rate = cls(capacity, exact.numerator, exact.denominator)
        if amount <= 0 or capacity < 1:
            raise ValueError(f"a shared rate is above 0 and a burst at least 1, got {rate}")
        if 2 * capacity * rate.scale + rate.refill > EXACT:
            raise ValueError(
                f"{amount} a minute with a burst of {capacity:,} is too fine to be counted exactly "
                "on a server: round the rate, such as 1_000_000 for 999_983"
            )
        return rate

    def left(self, spent: int, elapsed: float) -> float:
        """Give what is left at most, so many microseconds after so much was spent."""
        return self.capacity - max(0.0, spent - elapsed * self.refill) / self.scale

    def ceiling(self, left: int) -> int:
        """Give what may be left at most, within what can be counted."""
        return max(-self.capacity, min(left, self.capacity))

    def part(self, share: Fraction) -> Rate:
        """Give `share` of the rate and of the burst, rounded down."""
        exact = Fraction(self.refill, self.scale) * share
        return Rate(int(self.capacity * share), exact.numerator, exact.denominator)


class Terms(NamedTuple):
    """What a shared limit allows: `at_once` slots (`None`: any) and a rate for each dimension.

    A full bucket begins to refill `delay` microseconds after something is taken of it: that of the
    provider begins when the first request has arrived, and later ones may come faster.
    """

    name: str
    at_once: int | None
    rates: tuple[Rate | None, Rate | None, Rate | None, Rate | None]
    delay: int = 0

    def part(self, share: Fraction) -> Terms:
        """Give `share` of everything, rounded down."""
        at_once = None if self.at_once is None else int(self.at_once * share)
        requests, tokens, read, written = (rate and rate.part(share) for rate in self.rates)
        return Terms(self.name, at_once, (requests, tokens, read, written), self.delay)

    def left(self, spent: Four, elapsed: float) -> list[float]:
        """Give what is left at most, so many microseconds after so much was spent."""
        return [
            0.0 if rate is None else rate.left(each, elapsed)
            for rate, each in zip(self.rates, spent, strict=True)
        ]

    def room(self, spent: Four) -> dict[str, float]:
        """Give the share of each rate's bucket that is there, where so much is spent."""
        return {
            f"{name}_per_minute": 1 - each / (rate.capacity * rate.scale)
            for name, rate, each in zip(DIMENSIONS, self.rates, spent, strict=True)
            if rate is not None
        }

    def needs(self, amount: Amount) -> Four:
        """Give what an attempt takes, by dimension; what is not limited takes nothing."""
        read, written = amount.tokens_in, amount.tokens_out
        asked = (amount.requests, read + written, read, written)
        a, b, c, d = (
            n if rate is not None else 0 for n, rate in zip(asked, self.rates, strict=True)
        )
        return (a, b, c, d)


class Visit(NamedTuple):
    """What a holder says and asks.

    `owed` is what it used beyond its grants (below 0: what it gives back), `kept` what of them
    keeps its place in the bucket (in its pocket, or in flight), `held` its slots; it asks for
    `need` and `slots`, and would take `more` and `more_slots`. `pause` stops the limit for
    everybody, for so long; `left` is what the provider says there is at most. `known_until` is the
    instant until which the bucket must be known there; a board that forgot it begins with an empty
    one. Instants and lengths in microseconds.
    """

    holder: str
    number: int
    born: bool
    lapse: int
    known_until: int = 0
    pause: int = 0
    held: int = 0
    slots: int = 0
    more_slots: int = 0
    owed: Four = NOTHING
    left: Four = ALL
    kept: Four = NOTHING
    need: Four = NOTHING
    more: Four = NOTHING


DONE: Final = 0
GRANTED: Final = 1
WAIT: Final = 2
LOST: Final = 3


class Reply(NamedTuple):
    """What a holder is told at `now`: a status, and with it what it needs to know.

    DONE: nothing was asked. GRANTED: `slots` and `grants`, which lie in its pocket now. WAIT: ask
    again in `wait` microseconds, or when woken. LOST: the board does not know this holder.
    `waiting` says whether somebody else stands in line, `paused` for how long nobody is admitted,
    `spent` what is gone of each bucket, in parts of its rate's `scale`.
    """

    status: int
    now: int
    wait: int = 0
    known_until: int = 0
    waiting: bool = False
    paused: int = 0
    slots: int = 0
    grants: Four = NOTHING
    spent: Four = NOTHING


class Listener(Protocol):
    """Who is told what happens at a board."""

    def woken(self, holder: str, wait: int, /) -> None:
        """Hear that the first in line has to wait so long only, in microseconds."""

    def recalled(self, holder: str, /) -> None:
        """Hear that `holder` waits now: what others keep idle should go back."""

    def halted(self, holder: str, wait: int, /) -> None:
        """Hear from `holder` that nobody is to be admitted for so long, in microseconds."""


class Board(Protocol):
    """Where buckets of shared limits stand."""

    async def visit(self, terms: Terms, visit: Visit, /) -> Reply:
        """Decide a visit, at once and for all dimensions.

        Raises `BoardLost` where nobody answers, and `LimitUnavailable` where the answer is a
        refusal that stays. A cancelled visit may have taken place.
        """

    async def listen(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` what happens at a limit, from now on; what is missed is only late."""

    def unlisten(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` nothing more."""

    async def standing(self) -> list[LimitStanding]:
        """Give the limits that are known here, by name; changes nothing.

        Raises `BoardLost` where nobody answers.
        """

    def till(self) -> Till:
        """Give where the budgets of tenants are counted; asked once a tenant."""

    async def aclose(self) -> None:
        """Let go of the connections, unless somebody still listens."""


__all__ = [
    "ALL", "DIMENSIONS", "DONE", "EXACT", "GRANTED", "LOST", "MICROSECONDS", "NOTHING", "WAIT",
    "Board", "BoardLost", "Four", "Listener", "Rate", "Reply", "Terms", "Visit",
]  # fmt: skip
