"""Where budgets that processes share are counted: the protocol, and the twin in memory.

A till keeps one account a tenant: what is used of it, and each reservation with its number, so that
a question may be sent again and a settlement counts once. With `daily` an account is that of one
day (UTC, by the till's clock): the next day begins with an empty one, and what was reserved before
is not asked for any more. A reservation that is older than `lapse` counts as used, as that of a
worker that was killed: nobody waits for it any longer; settled all the same, it is corrected.
The same decisions as `_account.lua`; one suite compares every answer of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from fanwise.core._accounts import GRANTED, SPENT, WAIT, Spend, Total, added, fits
from fanwise.stores._visit import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable

DAY: Final = 86_400_000  # milliseconds
LAPSE: Final = 600_000


class Sheet(NamedTuple):
    """What a till is told of an account: whose it is, what it bounds, for how long."""

    name: str
    total: Total
    daily: bool = False
    lapse: int = LAPSE  # milliseconds


class Count(NamedTuple):
    """How an account stands: the answer, what is used and reserved, milliseconds to wait at most.

    `day` is the number of the day, 0 of an account that is not `daily`.
    """

    verdict: int
    used: Spend
    reserved: Spend
    wait: int = 0
    day: int = 0


class Till(Protocol):
    """Where accounts of budgets stand that several processes share."""

    async def reserve(self, sheet: Sheet, number: str, most: Spend, /) -> Count:
        """Take `most` under a number, or nothing: all of it in one decision.

        Asked again with the same number, it takes nothing more. Raises `BoardLost` where nobody
        answers: then it may have been taken.
        """

    async def settle(self, sheet: Sheet, number: str, used: Spend, /) -> Count:
        """Put what was used in the place of what was reserved, once."""

    async def listen(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` when something flowed back to an account for which somebody waits."""

    def unlisten(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` no more."""


class Book:
    """One account at a till in memory."""

    __slots__ = ("day", "held", "reserved", "used", "wanted")

    def __init__(self, day: int) -> None:
        """Begin empty."""
        self.day = day
        self.held: dict[str, tuple[int, Spend]] = {}
        self.used = self.reserved = Spend()
        self.wanted = False

    def __repr__(self) -> str:
        """Show what is used and reserved."""
        return f"<Book of day {self.day}: {self.used} used, {self.reserved} reserved>"


class MemoryTill:
    """A till in memory, for one process and for tests: the twin of the one over Redis."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Count on a clock in microseconds since 1970."""
        self.clock = clock
        self.books: dict[str, Book] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    async def reserve(self, sheet: Sheet, number: str, most: Spend, /) -> Count:
        """Take `most` under a number, or nothing."""
        now, book = self._open(sheet)
        if number in book.held:
            return count_of(GRANTED, book)
        taken = added(book.used, book.reserved)
        if not any(most) or fits(added(taken, most), sheet.total):
            book.held[number] = now, most
            book.reserved = added(book.reserved, most)
            return count_of(GRANTED, book)
        fixed, wait = book.used, DAY - now % DAY if sheet.daily else sheet.lapse
        for since, spend in book.held.values():
            if since + sheet.lapse <= now:
                fixed = added(fixed, spend)
            else:
                wait = min(wait, since + sheet.lapse - now)
        if not fits(added(fixed, most), sheet.total):
            return count_of(SPENT, book)
        book.wanted = True
        return count_of(WAIT, book, wait)

    async def settle(self, sheet: Sheet, number: str, used: Spend, /) -> Count:
        """Put what was used in the place of what was reserved, once."""
        _, book = self._open(sheet)
        held = book.held.pop(number, None)
        if held is not None:
            tokens, money = held[1]
            book.reserved = Spend(book.reserved.tokens - tokens, book.reserved.nanodollars - money)
            book.used = added(book.used, used)
            if book.wanted:
                book.wanted = False
                for wake in self._listeners.get(sheet.name, []):
                    wake()
        return count_of(GRANTED, book)

    async def listen(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` when something flowed back for which somebody waits."""
        self._listeners.setdefault(sheet.name, []).append(wake)

    def unlisten(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` no more."""
        wakes = self._listeners.get(sheet.name, [])
        if wake in wakes:
            wakes.remove(wake)

    def _open(self, sheet: Sheet) -> tuple[int, Book]:
        """Give the time, and the account of the day; a clock that was set back turns no page."""
        now = self.clock() // 1000
        day = now // DAY if sheet.daily else 0
        book = self.books.get(sheet.name)
        if book is None or book.day < day:
            book = self.books[sheet.name] = Book(day)
        return now, book

    def __repr__(self) -> str:
        """Count the accounts."""
        return f"<MemoryTill of {len(self.books)} accounts>"


def count_of(verdict: int, book: Book, wait: int = 0) -> Count:
    """Say how an account stands."""
    return Count(verdict, book.used, book.reserved, wait, book.day)


def check_exact(name: str, total: Total) -> None:
    """Raise where a server's script could not count so much exactly."""
    for amount in total:
        if amount is not None and 2 * amount > EXACT:
            raise ValueError(f"the budget of {name} is too large to be counted exactly: {total}")


__all__ = ["Count", "MemoryTill", "Sheet", "Till", "check_exact"]
