"""The account of one budget: what is used, what is reserved, who waits.

An amount is a number of tokens and of nanodollars (billionths of a US dollar), whole numbers both,
so that nothing is lost however many are added; money is rounded up, once an attempt. At any instant
used + reserved <= total, unless an attempt used more than it had reserved.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from fanwise.core._budget import Budget

NANO = Decimal(1_000_000_000)
GRANTED, WAIT, SPENT = range(3)
DAY = 86_400  # seconds


class Spend(NamedTuple):
    """An amount that a budget counts."""

    tokens: int = 0
    nanodollars: int = 0


class Total(NamedTuple):
    """What a budget bounds: `None` is no bound."""

    tokens: int | None
    nanodollars: int | None


class Left(NamedTuple):
    """What is left of a budget, or of several: the least of each; `None` where none bounds it."""

    tokens: int | None
    dollars: Decimal | None


class BudgetStatistics(Frozen):
    """A budget at one instant: its totals, what of them is used and reserved, who waits.

    Dollars are exact. `refused` counts attempts that were not admitted since not enough was left,
    `over` those that used more than they had reserved.
    """

    name: str
    tokens: int | None
    dollars: Decimal | None
    used_tokens: int
    used_dollars: Decimal
    reserved_tokens: int
    reserved_dollars: Decimal
    waiting: int
    refused: int
    over: int

    def __str__(self) -> str:
        """Say in a line how much is used."""
        said = []
        if self.dollars is not None:
            said.append(f"${shown(self.used_dollars)} of ${shown(self.dollars)}")
        if self.tokens is not None:
            said.append(f"{self.used_tokens:,} of {self.tokens:,} tokens")
        return f"{' and '.join(said)} used"


class Account(Protocol):
    """Where one budget is kept: here, or at a server for several processes.

    Reservations have numbers, so that a question may be sent again, and are settled once each. Who
    is told to wait holds nothing.
    """

    name: str
    budget: Budget
    line: Line
    refused: int
    over: int

    def judge(self, most: Spend, /) -> int:
        """Say what `reserve_nowait` would, as far as is known here; takes nothing."""

    def reserve_nowait(self, number: int, most: Spend, /) -> int | None:
        """Take `most` and give GRANTED, or take nothing and give WAIT or SPENT.

        WAIT: what is reserved may flow back. SPENT: not even all of it would do. `None` where only
        `reserve` can say.
        """

    async def reserve(self, number: int, most: Spend, /) -> int:
        """Do as `reserve_nowait`, at whoever knows; cancelled, it takes nothing."""

    def settle(self, number: int, used: Spend, /) -> None:
        """Put what was used in the place of what was reserved, once. Does not wait.

        A reservation that is never settled counts as used.
        """

    def is_past(self) -> bool:
        """Say whether it says no more than a new one: its day is over, and nobody waits."""

    def possible(self) -> Total:
        """Give what would be left if all that is reserved flowed back, as far as is known here."""

    def left(self) -> Total:
        """Give what is neither used nor reserved, as far as is known here."""

    def statistics(self) -> BudgetStatistics:
        """Give the counters, as far as they are known here."""


class Accounts(Protocol):
    """Where the accounts of tenants come from, when several processes share them."""

    def account(self, tenant: str, budget: Budget, /) -> Account:
        """Give the account of a tenant; asked once a runtime and tenant."""


class Turn:
    """One who waits at an account."""

    __slots__ = ("future", "gone", "ticket", "told")

    def __init__(self, ticket: int) -> None:
        """Stand in line by the number of a ticket."""
        self.ticket = ticket
        self.future: Future[None] | None = None
        self.told = self.gone = False

    def tell(self) -> None:
        """Let it ask again."""
        self.told = True
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def __lt__(self, other: Turn) -> bool:
        """Go before who came later."""
        return self.ticket < other.ticket

    def __repr__(self) -> str:
        """Show the ticket."""
        return f"<Turn {self.ticket}>"


class Line:
    """Those who wait at one account: first come, first served. Only the head asks."""

    __slots__ = ("_turns", "count")

    def __init__(self) -> None:
        """Start empty."""
        self._turns: list[Turn] = []
        self.count = 0

    def enter(self, turn: Turn) -> None:
        """Stand in line, by the ticket."""
        turn.gone = False
        heappush(self._turns, turn)
        self.count += 1

    def leave(self, turn: Turn) -> None:
        """Give the place up; the next one may have become the head."""
        turn.gone = True
        self.count -= 1
        self.wake()

    def head(self) -> Turn | None:
        """Give who is next."""
        while self._turns and self._turns[0].gone:
            heappop(self._turns)
        return self._turns[0] if self._turns else None

    def is_ahead_of(self, ticket: int) -> bool:
        """Say whether somebody with an earlier ticket waits."""
        head = self.head()
        return head is not None and head.ticket < ticket

    def wake(self) -> None:
        """Tell the head that asking again may have another answer."""
        head = self.head()
        if head is not None:
            head.tell()

    def wake_all(self) -> None:
        """Tell everybody: the line is over."""
        for turn in self._turns:
            turn.tell()

    def __repr__(self) -> str:
        """Count them."""
        return f"<Line of {self.count}>"


class MemoryAccount:
    """An account of this process. `unix` gives the time, for one that is made anew every day."""

    __slots__ = ("_day", "_held", "_reserved", "_time", "_total", "_used", "budget", "line", "name",
                 "over", "refused")  # fmt: skip

    def __init__(self, name: str, budget: Budget, unix: Callable[[], float]) -> None:
        """Start with all of it."""
        self.name = name
        self.budget = budget
        self.line = Line()
        self.over = self.refused = 0
        self._time = unix
        self._total = total_of(budget)
        self._held: dict[int, Spend] = {}
        self._reserved = self._used = Spend()
        self._day = self._today()

    def judge(self, most: Spend) -> int:
        """Say whether there is so much; of nothing there is always enough."""
        self._turn_day()
        if not any(most):
            return GRANTED
        if not fits(added(self._used, most), self._total):
            return SPENT
        taken = added(self._used, self._reserved)
        return GRANTED if fits(added(taken, most), self._total) else WAIT

    def reserve_nowait(self, number: int, most: Spend) -> int:
        """Take `most` and give GRANTED, or take nothing and give WAIT or SPENT."""
        verdict = self.judge(most)
        if verdict == GRANTED:
            self._held[number] = most
            self._reserved = added(self._reserved, most)
        return verdict

    async def reserve(self, number: int, most: Spend) -> int:
        """Do as `reserve_nowait`, which always knows."""
        return self.reserve_nowait(number, most)

    def settle(self, number: int, used: Spend) -> None:
        """Put what was used in the place of what was reserved; a second time changes nothing."""
        self._turn_day()
        held = self._held.pop(number, None)
        if held is None:  # done, or of a day that is over
            return
        self._reserved = Spend(
            self._reserved.tokens - held.tokens, self._reserved.nanodollars - held.nanodollars
        )
        self._used = added(self._used, used)
        self.line.wake()

    def possible(self) -> Total:
        """Give what would be left if all that is reserved flowed back."""
        self._turn_day()
        return less(self._total, self._used)

    def left(self) -> Total:
        """Give what is neither used nor reserved."""
        self._turn_day()
        return less(self._total, added(self._used, self._reserved))

    def statistics(self) -> BudgetStatistics:
        """Give the counters."""
        self._turn_day()
        return statistics_of(self, self._used, self._reserved)

    def is_past(self) -> bool:
        """Say whether it says no more than a new one: its day is over, and nobody waits."""
        over = self.budget.per is not None and self._today() > self._day
        return over and not self.line.count

    def _today(self) -> int:
        return 0 if self.budget.per is None else int(self._time() // DAY)

    def _turn_day(self) -> None:
        """Begin anew, where the day is another one; what was reserved in the old one is its own."""
        if self.budget.per is None:
            return
        today = self._today()
        if today > self._day:
            self._day = today
            self._held.clear()
            self._reserved = self._used = Spend()
            self.line.wake()

    def __repr__(self) -> str:
        """Show name and state."""
        return f"<MemoryAccount {self.name}: {self._used} used, {self._reserved} reserved>"


def statistics_of(account: Account, used: Spend, reserved: Spend) -> BudgetStatistics:
    """Give the counters of an account with what of it is used and reserved."""
    total = total_of(account.budget)
    return BudgetStatistics(
        account.name, total.tokens, dollars_of(total.nanodollars), used.tokens,
        Decimal(used.nanodollars) / NANO, reserved.tokens, Decimal(reserved.nanodollars) / NANO,
        account.line.count, account.refused, account.over,
    )  # fmt: skip


def total_of(budget: Budget) -> Total:
    """Give the totals of a budget in whole numbers, what is below a nanodollar cut off."""
    given = budget.dollars
    nanodollars = None if given is None else int(Decimal(str(given)) * NANO)
    return Total(budget.tokens, nanodollars)


def nanodollars_of(dollars: Decimal) -> int:
    """Give an amount as nanodollars, rounded up."""
    return int((dollars * NANO).to_integral_value(ROUND_CEILING))


def dollars_of(nanodollars: int | None) -> Decimal | None:
    """Give nanodollars as dollars."""
    return None if nanodollars is None else Decimal(nanodollars) / NANO


def shown(dollars: Decimal) -> str:
    """Give an amount for people: two places at least, no zeros after them."""
    whole, _, part = f"{dollars:.9f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def added(one: Spend, other: Spend) -> Spend:
    """Add two amounts."""
    return Spend(one.tokens + other.tokens, one.nanodollars + other.nanodollars)


def fits(spend: Spend, total: Total) -> bool:
    """Say whether an amount is within a total."""
    within = total.tokens is None or spend.tokens <= total.tokens
    return within and (total.nanodollars is None or spend.nanodollars <= total.nanodollars)


def less(total: Total, spend: Spend) -> Total:
    """Give what an amount leaves of a total; below 0 where it is more."""
    tokens = None if total.tokens is None else total.tokens - spend.tokens
    money = None if total.nanodollars is None else total.nanodollars - spend.nanodollars
    return Total(tokens, money)


def least(one: int | None, other: int | None) -> int | None:
    """Give the lesser of two, of which `None` is no bound."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
