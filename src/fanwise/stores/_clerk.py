"""The clerk of a shared limit: its visits to the board, and what it does while there is none.

One task makes all visits of a worker at one limit, one after the other; it lives while anything is
held, and then a heartbeat is a visit that asks for nothing. A visit without an answer is sent again
as it was, and its number keeps it from happening twice. Without the server the stated share of the
limit is admitted from a bucket of the worker's own, or nothing; what was is owed afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fanwise.core import LimitUnavailable
from fanwise.stores._away import Away
from fanwise.stores._dismissed import dismissed
from fanwise.stores._purse import Purse, four
from fanwise.stores._said import Said
from fanwise.stores._visit import (
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

    from fanwise.core.gates import Amount
    from fanwise.stores._visit import Board, Four, Reply, Terms

log = logging.getLogger("fanwise")

LAPSE = 2.5  # heartbeats after which a holder that is not seen holds nothing
TRUSTED = 2.0  # heartbeats for which a lease is used without having been renewed


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


class Clerk:
    """What a worker holds of one limit, and the visits that tell of it."""

    def __init__(
        self,
        terms: Terms,
        board: Board,
        manner: Manner,
    ) -> None:
        """Stand before a board; nothing is asked before the first attempt."""
        self.terms = terms
        self._board = board
        self._manner = manner
        self._purse = Purse(terms, early=manner.early)
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
        self._said = Said(terms)
        self._factor = 1  # of a lease, in attempts
        self._busy = False  # since the last visit
        self._closing = False
        self._crowded = False
        self._news = False  # something came back, or is not wanted any more, since the last visit
        self._left = False  # nobody here waits any more, since the last visit
        self._listening = False
        self._spent: Four = NOTHING
        self._told = -inf  # when the board said that so much is spent
        self._used = self._refunded = self._corrections = 0

    def _levels(self, now: float) -> list[float]:
        """Give what the board may have at most of each dimension, with what lies here."""
        left = self.terms.left(self._spent, (now - self._told) * MICROSECONDS)
        return [a + b for a, b in zip(left, self._purse.pocket, strict=True)]

    # What is heard from the board

    def paused(self) -> float:
        """Give the seconds that are left of a pause."""
        return self._said.paused(self._loop.time())

    def woken(self, holder: str, wait: int, /) -> None:  # noqa: ARG002 - the line asks anew
        """Let the line ask again: it is this worker's turn, or sooner than it knew."""
        if holder == self._holder:
            self._wake()

    def recalled(self, holder: str, /) -> None:
        """Give back what lies idle: another worker waits."""
        if holder != self._holder:
            self._crowded = True
            if self._news or self._purse.idles():
                self._poke()

    def halted(self, holder: str, wait: int, /) -> None:  # noqa: ARG002 - one's own does no harm
        """Let nobody in for so long: somebody was told "too many"."""
        self._said.halt(self._loop.time(), wait / MICROSECONDS)

    async def aclose(self) -> None:
        """Give everything back, as far as the board can be reached."""
        self._closing = True
        self._event.set()
        if self._clerk is not None:
            if self._away is not None:
                self._clerk.cancel()
            await asyncio.wait([self._clerk])
        if self._listening:
            self._board.unlisten(self.terms.name, self)
        if not self._number or (self._purse.empty() and not self._news):
            return
        self._purse.turn_in()
        self._purse.in_use.clear()
        self._wanted = None
        try:
            await self._board.visit(self.terms, self._visit(None))
        except (BoardLost, LimitUnavailable) as error:
            log.info("limit %s: what was held comes back by itself: %s", self.terms.name, error)

    # From the pocket

    def _came_back(self) -> None:
        """Tell of it, where somebody waits; else the next visit is soon enough."""
        self._news = True
        if self._crowded or self._asked or self._wanted:
            self._poke()
        self._wake()

    def _fits(self, need: Four) -> bool:
        purse, slotless = self._purse, self.terms.at_once is None
        if slotless and need == NOTHING:
            return True
        slot = slotless or purse.spare > 0
        return slot and self._loop.time() < self._trusted and purse.covers(need)

    def _enter(self, number: int, amount: Amount) -> None:
        self._purse.take(number, self._purse.describe(self._loop.time(), amount))
        if self.terms.at_once is not None:
            self._purse.spare -= 1
        self._busy = True
        if not self._number:  # without any bound a board is only heard of pauses
            self._poke()

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
            try:
                answered = await self._sent(visit)
            except LimitUnavailable:  # it did not take place
                self._said.again()
                self._purse.owe(visit.owed)
                raise
            if answered is None:
                return
            self._hear(*answered, visit, asked)
            waits = self._asked is not None or self._wanted is not None
            untold = self._news or not self._purse.empty()
            if self._closing or not (waits or untold):
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
        if not self._listening and not self._closing:
            try:
                await self._board.listen(self.terms.name, self)
                self._listening = True
            except BoardLost:
                return

    def _next_visit(self, asked: Asked | None) -> Visit:
        """Prepare a visit: a lease goes back when it idles, when others wait, or for a new one."""
        self._purse.expire(self._loop.time() - self._manner.hold)
        if asked is not None or self._crowded or self._said.less() or not self._busy:
            self._purse.turn_in()
        if asked is None and not self._busy:
            self._factor = 1
        self._busy = self._left = self._news = False
        return self._visit(asked)

    def _visit(self, asked: Asked | None) -> Visit:
        """Say what is held and owed, and ask for the head of the line."""
        purse, terms = self._purse, self.terms
        need = asked.need if asked is not None else self._wanted[0] if self._wanted else NOTHING
        slots = int(terms.at_once is not None and (asked or self._wanted) is not None)
        more = self._factor - 1 if asked is not None and not self._crowded else 0
        self._number += 1
        now = self._loop.time()
        owed, purse.owed = four(purse.owed), [0, 0, 0, 0]
        kept = [a + b for a, b in zip(purse.pocket, purse.kept, strict=True)]
        return Visit(
            self._holder,
            self._number,
            born=self._number == 1,
            lapse=int(LAPSE * self._manner.heartbeat * MICROSECONDS),
            known_until=self._known_until,
            pause=self._said.untold(now),
            held=0 if terms.at_once is None else len(purse.in_use) + purse.spare,
            slots=slots,
            more_slots=more,
            owed=owed,
            left=self._said.ceilings(now, purse.coming),
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
        self._spent, self._told = reply.spent, sent
        self._crowded = reply.waiting
        now, waited = self._loop.time(), reply.waiting or reply.status == WAIT
        self._said.has(now, self._levels(sent), crowded=waited)
        self._trusted = sent + TRUSTED * self._manner.heartbeat
        if reply.paused:
            self.halted(self._holder, reply.paused)
        if reply.status == GRANTED:
            self._granted(reply)
        elif reply.status == WAIT and not self._left:
            seconds = reply.wait / MICROSECONDS
            self._wanted = (visit.need, now + seconds + self._manner.heartbeat)
            if asked is not None and asked is self._asked:
                self._answer(seconds)
        if self._left and (reply.status == WAIT or (reply.waiting and self._purse.idles())):
            self._news = True  # whoever asked gave up meanwhile, and keeps nobody waiting
            self._event.set()

    def _granted(self, reply: Reply) -> None:
        self._purse.put(reply.slots, reply.grants)
        self._wanted = None
        self._factor = min(self._manner.lease, 2 * self._factor)
        asked = self._asked
        if asked is None or not self._fits(asked.need):
            self._wake()  # it was granted to a head that is gone, or that has not asked again
            return
        self._enter(asked.number, asked.amount)
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
        self._said.again()
        self._purse.drop()
        self._purse.owe(four([max(0, owed) for owed in visit.owed]))
        self._event.set()

    # Without the board

    async def _outage(self, visit: Visit, error: BoardLost) -> tuple[Reply, float]:
        """Admit the stated share until the board is back; give its answer to `visit`, and when."""
        manner = self._manner
        what = f"{float(manner.without):.0%} of it" if manner.without else "nothing"
        said = "limit %s: %r does not answer, %s is admitted until it does: %s"
        log.warning(said, self.terms.name, self._board, what, error)
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
            await dismissed(back)
            self._away = None
        log.warning("limit %s: %r is back", self.terms.name, self._board)
        self._purse.drop()  # slots that ended meanwhile: they are stated anew
        self._purse.owe(four(away.owed(len(self._purse.in_use))))
        return found

    def _serve_away(self, away: Away) -> None:
        """Answer the head of the line from the bucket of one's own."""
        asked = self._asked
        if asked is None:
            return
        wait = self.paused() or away.decide(asked.need, len(self._purse.in_use))
        if wait is None:
            return
        if not wait:
            held = self._purse.describe(self._loop.time(), asked.amount)
            self._purse.take_late(asked.number, held)
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
        return f"<{type(self).__name__} {self.terms.name}, {self._purse!r}>"


def nobody() -> None:
    """Wake nobody, before a line stands at the gate."""
