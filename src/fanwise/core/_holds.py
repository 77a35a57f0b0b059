"""What an attempt has reserved of the budgets over it, and what is said where it cannot."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

from fanwise.core._accounts import NANO, Spend, shown
from fanwise.core._errors import BudgetSpent
from fanwise.core._protocols import PREPAID
from fanwise.core._settlement import was_refused
from fanwise.core._transient import http_status

if TYPE_CHECKING:
    from fanwise.core._accounts import Account
    from fanwise.core._call import Call
    from fanwise.core._protocols import Need
    from fanwise.core._spending import Spending
    from fanwise.core._worst import Worst

NOTHING = Spend()
DOUBT = 1.5  # times what an attempt that broke off is estimated to have written
ON_THEIR_WAY = 32  # tokens


class Hold:
    """What one attempt has reserved of the budgets over it."""

    __slots__ = ("accounts", "before", "call", "given", "lent", "need", "number", "ticket", "worst")

    before: Spend  # what the attempt had told before it reserved
    given: bool
    lent: bool  # others have it, while the attempt waits for a limit
    need: Need
    number: int
    ticket: int  # its place in line
    worst: Worst

    def __init__(
        self, call: Call[Any], accounts: tuple[Account, ...], need: Need | None, number: int
    ) -> None:
        """Prepare to reserve, in the order of numbers."""
        self.call = call
        self.accounts = accounts
        self.given = need is not None
        self.need = PREPAID if need is None else need
        self.renew()
        self.number = self.ticket = number
        self.before = NOTHING
        self.lent = False

    def renew(self) -> None:
        """Ask the step what it needs, by what is known now."""
        if not self.given:
            self.need = self.call.policy.need(self.call) or self.need

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Hold {self.number} of {self.call!r}>"


class Ahead:
    """What a call has reserved for requests that it makes at once and reads much later.

    `most` bounds the tokens of each answer that has no bound of its own.
    """

    __slots__ = ("_hold", "_spending", "most")

    most: int

    def __init__(self, spending: Spending, hold: Hold) -> None:
        """Keep what was reserved."""
        self._spending = spending
        self._hold = hold
        self.most = min(account.budget.most for account in hold.accounts)

    def end(self, lost: float) -> None:
        """Let go of it; the part `lost` of it counts as used, since nobody knows."""
        tokens, money = self._hold.worst.spend
        self._spending.close_hold(self._hold, Spend(ceil(tokens * lost), ceil(money * lost)))

    def __repr__(self) -> str:
        """Show what was reserved."""
        return f"<Ahead {self._hold!r}>"


def refusal(hold: Hold, account: Account) -> BudgetSpent:
    """Say what an attempt asked, and what is left."""
    spend, left = hold.worst.spend, account.possible()
    lacking = left.nanodollars is not None and spend.nanodollars > left.nanodollars
    if lacking or left.tokens is None:
        asked = f"${shown(Decimal(spend.nanodollars) / NANO)}"
        there = f"${shown(max(Decimal(0), Decimal(left.nanodollars or 0) / NANO))}"
    else:
        asked, there = f"{spend.tokens:,} tokens", f"{max(0, left.tokens):,} tokens"
    msg = (
        f"{hold.call.name} was not started: it may use {asked}, and of the {account.name} {there} "
        "are left"
    )
    return BudgetSpent(msg, account.name, asked, there)


def in_doubt(used: Spend, written: int, worst: Spend) -> Spend:
    """Give what counts of an attempt that broke off, and of which the use is estimated.

    More of what it has written, and what was on its way, but at most what was reserved; all of that
    where nobody knows what it wrote.
    """
    tokens, money = worst
    if written and used.tokens:
        tokens = min(tokens, ceil(used.tokens + (DOUBT - 1) * written) + ON_THEIR_WAY)
        money = min(money, ceil(used.nanodollars * tokens / used.tokens))
    return Spend(max(used.tokens, tokens), max(used.nanodollars, money))


def said_nothing(call: Call[Any]) -> bool:
    """Say whether a step has told that it used no token."""
    facts = call.facts or {}
    return "usage" in facts and "bill" not in facts


def was_free(error: BaseException) -> bool:
    """Say whether an attempt that ended so, without a word, has used nothing."""
    status = http_status(error)
    return was_refused(error) or (status is not None and status >= 500)
