"""What a worker has of a shared limit: a pocket, what it owes, its slots, its reservations."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from fanwise.core import Amount

if TYPE_CHECKING:
    from fanwise.stores._visit import Four, Terms


class Held(NamedTuple):
    """A reservation that is not settled: since when, and what it took of each dimension.

    `kept` is the part of it that keeps its place until it is known, `coming` are the tokens of
    which its provider has yet to say that it took them.
    """

    since: float
    need: Four
    kept: Four
    amount: Amount
    coming: int


class Purse:
    """What a holder has: its pocket, what it owes, its slots, its reservations."""

    __slots__ = ("admitted", "coming", "expired", "held", "in_use", "kept", "owed", "pocket",
                 "reserved", "spare", "_early", "_terms")  # fmt: skip

    def __init__(self, terms: Terms, *, early: bool) -> None:
        """Have nothing; `early`: what may be written is charged at admission."""
        self._terms = terms
        self._early = early
        self.admitted = self.reserved = 0  # so far: attempts, their tokens
        self.coming = 0
        self.pocket = [0, 0, 0, 0]
        self.kept = [0, 0, 0, 0]
        self.owed = [0, 0, 0, 0]
        self.held: OrderedDict[int, Held] = OrderedDict()
        self.expired: dict[int, Held] = {}
        self.in_use: set[int] = set()
        self.spare = 0

    def covers(self, need: Four) -> bool:
        """Say whether the pocket has so much of everything."""
        a, b, c, d = self.pocket
        return a >= need[0] and b >= need[1] and c >= need[2] and d >= need[3]

    def describe(self, since: float, amount: Amount) -> Held:
        """Describe a reservation; a request never keeps a place, what is read always does."""
        coming = 0 if self._early else amount.tokens_out
        kept = self._terms.needs(Amount(0, amount.tokens_in, coming))
        return Held(since, self._terms.needs(amount), kept, amount, coming)

    def take(self, number: int, held: Held) -> None:
        """Admit an attempt from the pocket."""
        for d, need in enumerate(held.need):
            if need:
                self.pocket[d] -= need
                self.kept[d] += held.kept[d]
        self.held[number] = held
        self.coming += held.coming
        self._enter(number, held)

    def answered(self, number: int) -> float | None:
        """Take note of an answer, of which nothing may be to come; give since when it was due."""
        held = self.held.get(number)
        if held is None:
            return None
        self.coming -= held.coming
        self.held[number] = held._replace(coming=0)
        return held.since

    def take_late(self, number: int, held: Held) -> None:
        """Take note of an attempt whose place is not kept: nothing comes back of it."""
        self.expired[number] = held
        self._enter(number, held)

    def _enter(self, number: int, held: Held) -> None:
        self.in_use.add(number)
        self.admitted += 1
        self.reserved += held.amount.tokens_in + held.amount.tokens_out

    def settle(self, number: int, used: Amount, now: float) -> Held | None:
        """Correct a reservation, once; give it, or `None` where that was done.

        What keeps no place comes back only of one that is withdrawn as soon as it was taken.
        """
        held, late = self.held.pop(number, None), False
        if held is None:
            held, late = self.expired.pop(number, None), True
        if held is None:
            return None
        if not late:
            self.coming -= held.coming
        true = self.describe(now, used)
        withdrawn = not used.requests and held.since == now
        for d, kept in enumerate(held.kept):
            more = true.kept[d] - kept
            rest = (true.need[d] - true.kept[d]) - (held.need[d] - kept)
            if late:
                self.owed[d] += max(0, more) + max(0, rest)
            else:
                self.kept[d] -= kept
                self.owed[d] += more + (rest if withdrawn else max(0, rest))
        return held

    def expire(self, before: float) -> None:
        """Let reservations from before that instant lose their place; they stay spent."""
        while self.held:
            number, held = next(iter(self.held.items()))
            if held.since > before:
                return
            del self.held[number]
            self.coming -= held.coming
            self.expired[number] = held
            for d, kept in enumerate(held.kept):
                self.kept[d] -= kept

    def count_by(self, terms: Terms, *, early: bool) -> None:
        """Go on by other terms; what is in flight keeps no place where these count other things."""
        counted = [(rate is None) for rate in terms.rates]
        if early != self._early or counted != [(rate is None) for rate in self._terms.rates]:
            self.expire(inf)
        self.turn_in()
        self._terms, self._early = terms, early

    def owe(self, owed: Four) -> None:
        """Say again what was said in vain."""
        for d, each in enumerate(owed):
            self.owed[d] += each

    def turn_in(self) -> None:
        """Give back what lies in the pocket, and the slots that nobody uses."""
        for d in range(4):
            self.owed[d] -= self.pocket[d]
            self.pocket[d] = 0
        self.spare = 0

    def drop(self) -> None:
        """Let go of a lease that is over; what was in it counts as used."""
        self.pocket = [0, 0, 0, 0]
        self.spare = 0

    def put(self, slots: int, grants: Four) -> None:
        """Take what was granted."""
        self.spare += slots
        for d, grant in enumerate(grants):
            self.pocket[d] += grant

    def idles(self) -> bool:
        """Say whether anything lies here that nobody uses."""
        return self.spare > 0 or any(self.pocket)

    def empty(self) -> bool:
        """Say whether nobody has to be told anything."""
        return not (self.in_use or self.held or any(self.owed) or self.idles())

    def __repr__(self) -> str:
        """Show what is there."""
        return f"<Purse {self.pocket}, owes {self.owed}, {len(self.held)} in flight>"


def four(values: list[int]) -> Four:
    """Give a tuple of four."""
    a, b, c, d = values
    return (a, b, c, d)
