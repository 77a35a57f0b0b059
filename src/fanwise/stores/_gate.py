"""A gate whose quota is shared with other processes: what a worker does between its visits.

Problem: every attempt asks; a question to a server takes a hundred times as long as the answer is
worth; and the server, or this process, may go away at any time.
Method: a visit brings a lease for the next attempts, which are then admitted from the pocket. It
grows while it is used up and goes back when it idles, or when somebody elsewhere waits. Visits are
the clerk's (`fanwise.stores._clerk`), who may also find no board.
Rejected: a task for every question (cancelling one would leave its visit in doubt), renewing every
reservation (the holder's heartbeat speaks for all), an unlimited gate while the server is gone.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from fanwise.core import GateStatistics
from fanwise.stores._clerk import Asked, Clerk
from fanwise.stores._visit import MICROSECONDS, NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core import Amount, Limit, Remaining
    from fanwise.stores._clerk import Manner
    from fanwise.stores._visit import Board, Terms

HELD_SHARE = 0.75  # of a bucket's refill: for so long a reservation keeps its place


class SharedGate(Clerk):
    """The quota of one limit that stands on a board, as one worker sees it."""

    def __init__(
        self,
        terms: Terms,
        board: Board,
        manner: Manner,
        describe: Callable[[Limit], tuple[Terms, Manner]] | None = None,
    ) -> None:
        """Stand before a board; nothing is asked before the first attempt.

        `describe` gives terms and manner of another limit, where it may become one.
        """
        super().__init__(terms, board, manner)
        self._describe = describe

    def wake_with(self, wake: Callable[[], None], /) -> None:
        """Take what is called when the answer may change."""
        self._wake = wake

    def admit_nowait(self, number: int, amount: Amount, /) -> float | None:
        """Admit from the pocket and give 0.0, or `None`: only `admit` can say."""
        purse = self._purse
        if number in purse.in_use:
            return 0.0  # it was sent again
        if left := self.paused():
            return left
        need = self.terms.needs(amount)
        if not self._fits(need):
            return None
        self._enter(number, amount)
        return 0.0

    async def admit(self, number: int, amount: Amount, /) -> float:
        """Ask the board, and give 0.0, or the seconds until it is worth asking again."""
        wait = self.admit_nowait(number, amount)
        if wait is not None:
            return wait
        asked = Asked(number, amount, self.terms.needs(amount), self._loop.create_future())
        self._asked = asked
        self._left = False
        self._poke()
        try:
            return await asked.answer
        finally:
            if self._asked is asked:
                self._asked = None

    def forgo(self) -> None:
        """Leave the line at the board: nobody here waits any more."""
        self._left = True
        if self._wanted is not None:
            self._wanted = None
            self._poke()

    def has_room(self, amount: Amount, /) -> bool:
        """Say whether the pocket would admit it."""
        return not self.paused() and self._fits(self.terms.needs(amount))

    def least_wait(self, amount: Amount, /) -> float:
        """Give the rest of a pause, or the seconds in which so much comes free.

        The latter where somebody waits, so that no leases can come back, and if of all that is
        spent so much came back as did here until now.
        """
        wait = self.paused()
        if self._wanted is None and not self._crowded:
            return wait
        back = self._refunded / max(1, self._refunded + self._used)
        levels = self._levels(self._loop.time())
        for d, rate in enumerate(self.terms.rates):
            if rate is not None:
                room = levels[d] + back * self._spent[d] / rate.scale
                lacks = self.terms.needs(amount)[d] - room
                wait = max(wait, lacks * rate.scale / rate.refill / MICROSECONDS)
        return wait

    def pause(self, seconds: float, /) -> None:
        """Admit nothing for so many seconds, here and wherever else the limit is used."""
        if self._said.pause(self._loop.time(), seconds):
            self._poke()

    def paused(self) -> float:
        """Give the seconds that are left of a pause."""
        return self._said.paused(self._loop.time())

    def correct(self, number: int, left: Remaining, /) -> None:
        """Tell the board what an answer said is left, where the board seems to have more."""
        since = self._purse.answered(number)
        if since is None:
            return
        now = self._loop.time()
        if self._said.remains(left, since, now, self._levels(now)):
            self._corrections += 1
            self._poke()

    def settle(self, number: int, used: Amount, /) -> None:
        """Correct what a reservation took; a second time changes nothing."""
        held = self._purse.settle(number, used, self._loop.time())
        if held is None:
            return
        tokens = used.tokens_in + used.tokens_out
        self._used += tokens
        self._refunded += max(0, held.amount.tokens_in + held.amount.tokens_out - tokens)
        self._came_back()

    def release(self, number: int, /) -> None:
        """Give the slot of a reservation back; a second time changes nothing."""
        purse = self._purse
        if number not in purse.in_use:
            return
        purse.in_use.remove(number)
        if self.terms.at_once is not None:
            purse.spare += 1
        self._came_back()

    def statistics(self) -> GateStatistics:
        """Give this worker's counters, and the room that the board last told of."""
        purse = self._purse
        return GateStatistics(
            len(purse.in_use), purse.admitted, purse.reserved, self._used, self._refunded,
            self.terms.room(self._spent), self._corrections,
        )  # fmt: skip

    def changed_to(self, limit: Limit, /) -> Callable[[], None]:
        """Give what makes this the gate of another limit, from its next visit on."""
        if self._describe is None:
            raise ValueError(f"the limit {self.terms.name!r} cannot be changed here")
        return partial(self._change, *self._describe(limit))

    def _change(self, terms: Terms, manner: Manner) -> None:
        """Go on by other numbers: what lies in the pocket goes back, what is in flight stays."""
        self._purse.count_by(terms, early=manner.early)
        self._said.count_by(terms)
        self.terms, self._manner, self._factor = terms, manner, 1
        self._spent, self._told = NOTHING, -inf  # until the board tells it anew
        if self._number:
            self._poke()
        self._wake()
