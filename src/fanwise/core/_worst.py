"""The most that an attempt may use of a budget, before anybody knows what it will use.

Problem: a budget must hold however many calls run at once, so each has to reserve its worst case;
and a worst case that is far above the truth leaves room for few calls at once, and in the end a
part of the budget that nobody can have.
Method: what is written is bounded by `max_tokens`, which is set where nobody has set it: as the
budget says, or to what is left of it, as long as that is twice what the step usually writes. What
is read is bounded by its bytes, as no token is shorter than one, until ten attempts of the step
have been counted; then by the estimate times the greatest ratio of the truth to the estimate among
the last hundred, and half as much again. Money is the dearest that so many tokens may cost: all of
them read anew, or into or from the provider's cache.
Rejected: the 90th percentile, by which rates are reserved (every tenth attempt is above it, and
what a budget has given too much never comes back), and the bytes for good (they are about four
times the tokens, so that small budgets would be reserved whole by a few calls).
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from fanwise.core._accounts import Spend, Total, dollars_of, least, nanodollars_of
from fanwise.core._budget import check_dollars
from fanwise.core._errors import BudgetUndeclared, BudgetUnpriced
from fanwise.core._protocols import Need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fanwise.core._accounts import Account
    from fanwise.core._bills import Bills
    from fanwise.core._call import Call

MOST_STEPS = 4096  # of which something is known
WINDOW = 100  # counted attempts
SURE = 10  # of them, from which on the estimate is trusted
MARGIN = 1.5  # above the greatest ratio seen
DOUBT = 2.0  # times what a step says that it reads, where it says nothing of the most
FEWEST = 64  # tokens of an answer that is worth asking for
UNKNOWN = 256  # where nobody knows what the step usually writes
USUAL = 2  # times what the step usually writes, as well


class Worst(NamedTuple):
    """The worst case of an attempt: tokens read, tokens written, and what a budget counts.

    `most` is `None` where what it writes has no bound, as its price has one.
    """

    read: int
    most: int | None
    spend: Spend


class Density:
    """How many tokens the attempts of one step read, over what was said of each beforehand."""

    __slots__ = ("_ratios", "beyond", "plain")

    beyond: float
    plain: int

    def __init__(self) -> None:
        """Know nothing."""
        self._ratios: deque[float] = deque(maxlen=WINDOW)
        self.beyond = 1.0  # the greatest ratio to what was said to be the most
        self.plain = 0  # the greatest number, where nothing was said

    def learn(self, need: Need, read: int) -> None:
        """Take what a counted attempt read."""
        if need.tokens_in:
            self._ratios.append(read / need.tokens_in)
        self.plain = max(self.plain, read)
        if need.most_in:
            self.beyond = max(self.beyond, read / need.most_in)

    def most(self, need: Need) -> int:
        """Give the most that an attempt reads."""
        ratio = max(self._ratios) * MARGIN if len(self._ratios) >= SURE else None
        if not need.tokens_in:
            known = ceil(self.plain * MARGIN)
            return known if need.most_in is None else max(need.most_in, known)
        if need.most_in is None:
            return ceil(need.tokens_in * (DOUBT if ratio is None else ratio))
        bound = ceil(need.most_in * self.beyond)
        return bound if ratio is None else min(bound, ceil(need.tokens_in * ratio))

    def __repr__(self) -> str:
        """Count what was seen."""
        return f"<Density of {len(self._ratios)}>"


class WorstCases:
    """Gives the worst case of each attempt, from what its step says and what the others used."""

    __slots__ = ("_bills", "_densities", "_unix")

    def __init__(self, bills: Bills, unix: Any) -> None:  # noqa: ANN401 - a function of nothing
        """Know nothing but the prices, at the time that `unix` gives."""
        self._bills = bills
        self._densities: dict[str, Density] = {}
        self._unix = unix

    def density(self, step: str) -> Density:
        """Give what is known of what a step reads."""
        found = self._densities.get(step)
        if found is None:
            if len(self._densities) >= MOST_STEPS:  # of a program that makes steps as it runs
                self._densities.clear()
            found = self._densities[step] = Density()
        return found

    def of(self, call: Call[Any], need: Need, accounts: Sequence[Account]) -> Worst:
        """Give the worst case of an attempt that says this of itself.

        Raises BudgetUndeclared where the step does not bound what it uses, BudgetUnpriced where
        that has no price.
        """
        read = self.density(call.step.name).most(need)
        tokens = any(account.budget.tokens is not None for account in accounts)
        money = any(account.budget.dollars is not None for account in accounts)
        most = need.most
        if most is None and need.fits:
            most = self.fitting(call, need, read, accounts)
        if most is None and (tokens or need.dollars is None):
            raise BudgetUndeclared(undeclared(call))
        written = 0 if most is None else most
        cost = self._money(call, need, read, written) if money else 0
        return Worst(read, most, Spend(read + written, cost))

    def fitting(self, call: Call[Any], need: Need, read: int, accounts: Sequence[Account]) -> int:
        """Give the bound of an answer: what its budgets say, or less where they hold less."""
        want = min(account.budget.most for account in accounts)
        room = Total(None, None)
        for account in accounts:
            tokens, money = account.possible()
            room = Total(least(room.tokens, tokens), least(room.nanodollars, money))
        fit = want if room.tokens is None else min(want, room.tokens - read)
        if room.nanodollars is not None:
            base = self._money(call, need, read, 0)
            each = self._money(call, need, read, want) - base
            spare = room.nanodollars - base - 1  # as a price is rounded up
            if each > max(0, spare):
                fit = min(fit, want * max(0, spare) // each)
        known = need.tokens_out
        worth = UNKNOWN if known is None else max(FEWEST, USUAL * known)
        return max(fit, min(want, worth))

    def _money(self, call: Call[Any], need: Need, read: int, written: int) -> int:
        if need.dollars is not None:
            check_dollars(f"needs= of {call.step.name}, Need(dollars=)", need.dollars)
            return nanodollars_of(Decimal(str(need.dollars)))
        if need.model is None:
            raise BudgetUndeclared(undeclared(call, "Need(..., dollars=0.01) or Need(..., model="))
        price = self.price(need.model, read, written)
        if price is None:
            raise BudgetUnpriced(unpriced(call.step.name, need.model))
        return price

    def together(self, needs: Sequence[Need], most: int, tier: str | None) -> Need:
        """Add up requests that are made at once; `most` bounds answers that have no bound.

        All are priced as the longest of them; without dollars where nobody knows its price.
        """
        reads = [need.most_in or need.tokens_in for need in needs]
        writes = [most if need.most is None else need.most for need in needs]
        model, read, written = needs[0].model or "", max(*reads, 1), max(*writes, 1)
        whole, half = self.price(model, read, written, tier), self.price(model, read, 0, tier)
        dollars: Decimal | None = None
        if whole is not None and half is not None:
            asked, said = half * sum(reads) / read, (whole - half) * sum(writes) / written
            dollars = dollars_of(ceil(asked) + ceil(said))
        return Need(0, 0, sum(writes), sum(reads), dollars)

    def price(self, model: str, read: int, written: int, tier: str | None = None) -> int | None:
        """Give the dearest that so many tokens may cost; `None` where nobody knows."""
        kinds = ((0, 0, 0), (read, 0, 0), (0, read, 0), (0, read, read))
        at = self._unix()
        costs = [
            self._bills.total([(1, model, tier, False, read, written, *kind)], None, at)
            for kind in kinds
        ]
        if costs[0] is None:
            return None
        return nanodollars_of(max(cost for cost in costs if cost is not None))

    def __repr__(self) -> str:
        """Count the steps."""
        return f"<WorstCases of {len(self._densities)} steps>"


def undeclared(call: Call[Any], example: str = "") -> str:
    """Say that a step does not bound what it uses, and how it would."""
    name = call.step.name
    if example:
        return (
            f"{name} is under a budget in dollars and does not say what an attempt costs at most: "
            f'@step(needs={example}"openai:gpt-5-mini"))'
        )
    return (
        f"{name} uses tokens under a budget and does not say how many an attempt writes at most: "
        "@step(needs=Need(1500, 300, most=400)), with max_tokens=400 for its client"
    )


def unpriced(step: str, model: str) -> str:
    """Say that nobody knows what a model costs, and how it would be known."""
    return (
        f"{step} is under a budget in dollars, and the price of {model} is not known: "
        f'Runtime(prices={{"{model}": Price(input="0.25", output="2")}}), or a Budget(tokens=...)'
    )
