"""A gate whose quota is shared with other processes: what a worker does between its visits.

Problem: every attempt asks; a question to a server takes a hundred times as long as the answer is
worth; and the server, or this process, may go away at any time.
Method: a visit brings a lease for the next attempts, which are then admitted from the pocket. It
grows while it is used up and goes back when it idles, or when somebody elsewhere waits. One task,
the clerk, makes all visits of a gate, one after the other; it lives while anything is held, and
then a heartbeat is a visit that asks for nothing. A visit without an answer is sent again as it
was, and its number keeps it from happening twice. Without the server a gate admits its stated share
of the limit from a bucket of its own, or nothing; what it admitted is owed afterwards.
Rejected: a task for every question (cancelling one would leave its visit in doubt), renewing every
reservation (the holder's heartbeat speaks for all), an unlimited gate while the server is gone.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fanwise.core import GateStatistics
from fanwise.stores._away import Away
from fanwise.stores._purse import Held, Purse, four
from fanwise.stores._visit import (
    DIMENSIONS,
    GRANTED,
    LOST,
    MICROSECONDS,
    NOTHING,
    WAIT,
    BoardLost,
    Visit,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from fanwise.core import Amount, Limit, Remaining
    from fanwise.stores._visit import Board, Four, Reply, Terms

log = logging.getLogger("fanwise")

LAPSE = 2.5  # heartbeats after which a holder that is not seen holds nothing
TRUSTED = 2.0  # heartbeats for which a lease is used without having been renewed
HELD_SHARE = (
    0.75  # of the time in which a bucket refills: for so long a reservation keeps its place
)


class Manner(NamedTuple):
    """How workers share: seconds between `heartbeat`s, the longest `lease` in attempts.

    `without` is the share of the limit that this worker may use while the board is gone (0: none);
    `hold` the seconds for which an unsettled reservation keeps its place; `keeps` says for each
    dimension whether it does.
    """

    heartbeat: float
    lease: int
    without: Fraction
    hold: float
    keeps: tuple[bool, bool, bool, bool]


class Asked(NamedTuple):
    """The question of the line's head."""

    number: int
    amount: Amount
    need: Four
    answer: asyncio.Future[float]


class SharedGate:
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
        self._describe = describe
        self.terms = terms
        self._board = board
        self._manner = manner
        self._purse = Purse(manner.keeps)
        self._wake: Callable[[], None] = nobody
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._clerk: asyncio.Task[None] | None = None
        self._asked: Asked | None = None
        self._wanted: tuple[Four, float] | None = None  # what was refused, asked for until then
        self._away: Away | None = None
        self._holder = uuid4().hex
        self._number = 0
        self._known_until = 0
        self._trusted = 0.0  # until when the pocket may be used
        self._factor = 1  # of a lease, in attempts
        self._busy = False  # since the last visit
        self._closing = False
        self._crowded = False
        self._listening = False
        self._spent: Four = NOTHING
        self._until = 0.0  # when a pause ends
        self._admitted = self._reserved = self._used = self._refunded = 0

    # The gate

    def wake_with(self, wake: Callable[[], None], /) -> None:
        """Take what is called when asking again may have another answer."""
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
        self._enter(number, amount, need)
        return 0.0

    async def admit(self, number: int, amount: Amount, /) -> float:
        """Ask the board, and give 0.0, or the seconds until it is worth asking again."""
        wait = self.admit_nowait(number, amount)
        if wait is not None:
            return wait
        asked = Asked(number, amount, self.terms.needs(amount), self._loop.create_future())
        self._asked = asked
        self._poke()
        try:
            return await asked.answer
        finally:
            if self._asked is asked:
                self._asked = None

    def forgo(self) -> None:
        """Leave the line at the board: nobody here waits any more."""
        if self._wanted is not None:
            self._wanted = None
            self._poke()

    def has_room(self, amount: Amount, /) -> bool:
        """Say whether the pocket would admit it."""
        return not self.paused() and self._fits(self.terms.needs(amount))

    def least_wait(self, amount: Amount, /) -> float:  # noqa: ARG002 - the board's to say
        """Give the rest of a pause: what others give back is not known here."""
        return self.paused()

    def pause(self, seconds: float, /) -> None:
        """Admit nothing here for so many seconds."""
        self._until = max(self._until, self._loop.time() + seconds)

    def paused(self) -> float:
        """Give the seconds that are left of a pause."""
        return max(0.0, self._until - self._loop.time()) if self._until else 0.0

    def correct(self, number: int, left: Remaining, /) -> None:
        """Do nothing: what is left at the provider others take too."""

    def settle(self, number: int, used: Amount, /) -> None:
        """Correct what a reservation took; a second time changes nothing."""
        true = self.terms.needs(used)
        held = self._purse.settle(number, true, self._loop.time())
        if held is None:
            return
        tokens = used.tokens_in + used.tokens_out
        self._used += tokens
        self._refunded += max(0, held.tokens - tokens)
        if self._crowded or self._asked or self._wanted:
            self._poke()
        self._wake()

    def release(self, number: int, /) -> None:
        """Give the slot of a reservation back; a second time changes nothing."""
        purse = self._purse
        if number not in purse.in_use:
            return
        purse.in_use.remove(number)
        if self.terms.at_once is not None:
            purse.spare += 1
        if self._crowded or self._asked or self._wanted:
            self._poke()
        self._wake()

    def statistics(self) -> GateStatistics:
        """Give this worker's counters, and the room that the board last told of."""
        room = {
            f"{name}_per_minute": 1 - spent / (rate.capacity * rate.scale)
            for name, rate, spent in zip(DIMENSIONS, self.terms.rates, self._spent, strict=True)
            if rate is not None
        }
        in_flight = len(self._purse.in_use)
        return GateStatistics(
            in_flight, self._admitted, self._reserved, self._used, self._refunded, room
        )

    def changed_to(self, limit: Limit, /) -> Callable[[], None]:
        """Give what makes this the gate of another limit, from its next visit on."""
        if self._describe is None:
            raise ValueError(f"the limit {self.terms.name!r} cannot be changed here")
        return partial(self._change, *self._describe(limit))

    def _change(self, terms: Terms, manner: Manner) -> None:
        """Go on by other numbers: what lies in the pocket goes back, what is in flight stays."""
        if manner.keeps != self._manner.keeps:
            self._purse.expire(inf)
            self._purse.keeps = manner.keeps
        self._purse.turn_in()
        self.terms, self._manner, self._factor = terms, manner, 1
        if self._number:
            self._poke()
        self._wake()

    # What is heard from the board

    def woken(self, holder: str, wait: int, /) -> None:  # noqa: ARG002 - the line asks anew
        """Let the line ask again: it is this worker's turn, or sooner than it knew."""
        if holder == self._holder:
            self._wake()

    def recalled(self, holder: str, /) -> None:
        """Give back what lies idle: another worker waits."""
        if holder != self._holder:
            self._crowded = True
            if self._purse.spare or any(self._purse.pocket):
                self._poke()

    async def aclose(self) -> None:
        """Give everything back, as far as the board can be reached."""
        self._closing = True
        self._event.set()
        if self._clerk is not None:
            if self._away is not None:
                self._clerk.cancel()
            await asyncio.wait([self._clerk])
        if not self._number or self._purse.empty():
            return
        self._purse.turn_in()
        self._purse.in_use.clear()
        self._wanted = None
        try:
            await self._board.visit(self.terms, self._visit(None))
        except BoardLost as error:
            log.info("limit %s: what was held comes back by itself: %s", self.terms.name, error)

    # From the pocket

    def _fits(self, need: Four) -> bool:
        purse, slotless = self._purse, self.terms.at_once is None
        if slotless and need == NOTHING:
            return True
        slot = slotless or purse.spare > 0
        return slot and self._loop.time() < self._trusted and purse.covers(need)

    def _enter(self, number: int, amount: Amount, need: Four) -> None:
        tokens = amount.tokens_in + amount.tokens_out
        self._purse.take(number, Held(self._loop.time(), need, tokens))
        if self.terms.at_once is not None:
            self._purse.spare -= 1
        self._busy = True
        self._admitted += 1
        self._reserved += tokens

    def _poke(self) -> None:
        """Let the clerk make a visit now."""
        self._event.set()
        if self._clerk is None or self._clerk.done():
            self._clerk = self._loop.create_task(self._serve(), name=f"limit {self.terms.name}")
            self._clerk.add_done_callback(self._ended)

    def _ended(self, clerk: asyncio.Task[None]) -> None:
        """Hand what a clerk failed with (a refused password, a wrong type) to who asks."""
        error = None if clerk.cancelled() else clerk.exception()
        if error is None:
            return
        asked, self._asked = self._asked, None
        if asked is None or asked.answer.done():
            log.error("limit %s: %r", self.terms.name, error)
        else:
            asked.answer.set_exception(error)

    # Visits

    async def _serve(self) -> None:
        """Be the clerk: visit when asked or when the heart beats, as long as anything is held."""
        while True:
            self._event.clear()
            await self._listen()
            asked = self._asked
            visit = self._next_visit(asked)
            answered = await self._sent(visit)
            if answered is None:
                return
            self._hear(*answered, visit, asked)
            idle = self._purse.empty() and self._asked is None and self._wanted is None
            if idle or self._closing:
                return
            await self._beat()

    async def _sent(self, visit: Visit) -> tuple[Reply, float] | None:
        """Give the answer to a visit, and when it was sent; `None` where the gate closes first.

        A connection may have died of old age, so that a visit is sent twice before its board
        counts as gone: its number lets it happen once.
        """
        answered = await self._answer_to(visit)
        if isinstance(answered, BoardLost):
            answered = await self._answer_to(visit)
        if isinstance(answered, BoardLost):
            return None if self._closing else await self._outage(visit, answered)
        return answered

    async def _answer_to(self, visit: Visit) -> tuple[Reply, float] | BoardLost:
        """Give the answer and when it was asked for, or why there is none."""
        sent = self._loop.time()
        try:
            return await self._board.visit(self.terms, visit), sent
        except BoardLost as error:
            return error

    async def _beat(self) -> None:
        """Wait for a reason to visit, no longer than a heartbeat."""
        if self._asked is not None:
            return
        timer = self._loop.call_later(self._manner.heartbeat, self._event.set)
        try:
            await self._event.wait()
        finally:
            timer.cancel()
        if self._wanted is not None and self._loop.time() > self._wanted[1]:
            self._wanted = None

    async def _listen(self) -> None:
        """Be told of others; a board that is gone is listened to when it is back."""
        if not self._listening:
            try:
                await self._board.listen(self.terms.name, self)
                self._listening = True
            except BoardLost:
                return

    def _next_visit(self, asked: Asked | None) -> Visit:
        """Prepare a visit: a lease goes back when it idles, when others wait, or for a new one."""
        self._purse.expire(self._loop.time() - self._manner.hold)
        if asked is not None or self._crowded or not self._busy:
            self._purse.turn_in()
        if asked is None and not self._busy:
            self._factor = 1
        self._busy = False
        return self._visit(asked)

    def _visit(self, asked: Asked | None) -> Visit:
        """Say what is held and owed, and ask for the head of the line."""
        purse, terms = self._purse, self.terms
        need = asked.need if asked is not None else self._wanted[0] if self._wanted else NOTHING
        asks = asked is not None or self._wanted is not None
        more = self._factor - 1 if asked is not None and not self._crowded else 0
        self._number += 1
        owed, purse.owed = four(purse.owed), [0, 0, 0, 0]
        kept = [a + b for a, b in zip(purse.pocket, purse.kept, strict=True)]
        return Visit(
            self._holder,
            self._number,
            born=self._number == 1,
            lapse=int(LAPSE * self._manner.heartbeat * MICROSECONDS),
            known_until=self._known_until,
            held=0 if terms.at_once is None else len(purse.in_use) + purse.spare,
            slots=int(asks and terms.at_once is not None),
            more_slots=more,
            owed=owed,
            kept=four(kept),
            need=need,
            more=four([more * each for each in need]),
        )

    def _hear(self, reply: Reply, sent: float, visit: Visit, asked: Asked | None) -> None:
        """Take an answer."""
        if reply.status == LOST:
            self._forgotten(visit)
            return
        self._known_until = reply.known_until
        self._spent = reply.spent
        self._crowded = reply.waiting
        self._trusted = sent + TRUSTED * self._manner.heartbeat
        if reply.status == GRANTED:
            self._granted(reply)
        elif reply.status == WAIT:
            seconds = reply.wait / MICROSECONDS
            self._wanted = (visit.need, self._loop.time() + seconds + self._manner.heartbeat)
            if asked is not None and asked is self._asked:
                self._answer(seconds)

    def _granted(self, reply: Reply) -> None:
        self._purse.put(reply.slots, reply.grants)
        self._wanted = None
        self._factor = min(self._manner.lease, 2 * self._factor)
        asked = self._asked
        if asked is None or not self._fits(asked.need):
            self._wake()  # it was granted to a head that is gone, or that has not asked again
            return
        self._enter(asked.number, asked.amount, asked.need)
        self._answer(0.0)

    def _answer(self, seconds: float) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(seconds)

    def _forgotten(self, visit: Visit) -> None:
        """Begin anew: the board does not know this holder, whose leases are over.

        Whether a visit without an answer took place is unknown: what it owed is owed again, what it
        gave back is not.
        """
        self._holder = uuid4().hex
        self._number = 0
        self._purse.drop()
        for d, owed in enumerate(visit.owed):
            self._purse.owed[d] += max(0, owed)
        self._event.set()

    # Without the board

    async def _outage(self, visit: Visit, error: BoardLost) -> tuple[Reply, float]:
        """Admit the stated share until the board is back; give its answer to `visit`, and when."""
        manner = self._manner
        what = f"{float(manner.without):.0%} of it" if manner.without else "nothing"
        log.warning("limit %s: its board is gone, %s is admitted: %s", self.terms.name, what, error)
        self._purse.drop()
        self._trusted = -inf
        self._away = away = Away(self.terms, self._manner.without)
        back = self._loop.create_task(self._back(visit), name=f"limit {self.terms.name} probe")
        try:
            while not back.done():
                self._event.clear()
                self._serve_away(away)
                poked = self._loop.create_task(self._event.wait())
                await asyncio.wait((back, poked), return_when=asyncio.FIRST_COMPLETED)
                poked.cancel()
                await asyncio.wait((poked,))
            found = back.result()
        finally:
            back.cancel()
            await asyncio.wait((back,))
            self._away = None
        log.warning("limit %s: its board is back", self.terms.name)
        self._purse.drop()  # slots that ended meanwhile: they are stated anew
        for d, owed in enumerate(away.owed(len(self._purse.in_use))):
            self._purse.owed[d] += owed
        return found

    def _serve_away(self, away: Away) -> None:
        """Answer the head of the line from the bucket of one's own."""
        asked = self._asked
        wait = None if asked is None else away.decide(asked.need, len(self._purse.in_use))
        if asked is None or wait is None:
            return
        if not wait:
            tokens = asked.amount.tokens_in + asked.amount.tokens_out
            self._purse.take_late(asked.number, Held(self._loop.time(), asked.need, tokens))
            self._admitted += 1
            self._reserved += tokens
        self._answer(wait)

    async def _back(self, visit: Visit) -> tuple[Reply, float]:
        """Send a visit again, as it was, until there is an answer."""
        wait = self._manner.heartbeat / 16
        while True:
            await asyncio.sleep(wait)
            wait = min(self._manner.heartbeat, 2 * wait)
            answered = await self._answer_to(visit)
            if not isinstance(answered, BoardLost):
                return answered

    def __repr__(self) -> str:
        """Show what this worker has of it."""
        return f"<SharedGate {self.terms.name}, {self._purse!r}>"


def nobody() -> None:
    """Wake nobody, before a line stands at the gate."""
