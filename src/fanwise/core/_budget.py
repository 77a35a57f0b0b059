"""`Budget`: a total of tokens or dollars that does not come back."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Literal

from fanwise.core._frozen import Frozen
from fanwise.core._policies import whole

if TYPE_CHECKING:
    from decimal import Decimal

EXAMPLE = "Budget(dollars=0.50) or Budget(tokens=20_000)"


class Budget(Frozen):
    """A total that calls may use together, and never more, however many run at once.

    `tokens` counts all that are read and written, `dollars` are US dollars (a float means what it
    shows: 0.15 is fifteen cents); `None` is no bound, 0 is nothing. `per="day"` makes the total
    anew with each day (UTC), for a tenant or a runtime. `most` bounds the tokens of an answer for
    which nobody says `max_tokens`, since what has no bound cannot be reserved.

    Raises TypeError or ValueError, naming the argument, for what cannot be meant.
    """

    tokens: int | None = None
    dollars: Decimal | float | str | None = None
    per: Literal["day"] | None = None
    most: int = 4096

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.tokens is self.dollars is None:
            msg = f"Budget() bounds nothing: {EXAMPLE}"
            raise ValueError(msg)
        if self.tokens is not None:
            whole("Budget(tokens=)", self.tokens, 0)
        if self.dollars is not None:
            check_dollars("Budget(dollars=)", self.dollars)
        if self.per not in (None, "day"):
            msg = f'Budget(per=) is "day" or None, got {self.per!r}'
            raise ValueError(msg)
        whole("Budget(most=)", self.most, 1)


def check_dollars(name: str, amount: object) -> None:
    """Raise, naming the argument, where `amount` is no amount of at least 0."""
    number = -1.0
    if not isinstance(amount, bool):
        try:
            number = float(amount)  # type: ignore[arg-type] # what is no number raises
        except (TypeError, ValueError):
            number = -1.0
    if not isfinite(number) or number < 0:
        msg = f"{name} is US dollars, at least 0, such as 0.50, got {amount!r}"
        raise ValueError(msg)


def check_budget(name: str, budget: object, *, day: bool = False) -> None:
    """Raise, naming the argument, where `budget` is none, or is by the `day` where none is kept."""
    if budget is None:
        return
    if not isinstance(budget, Budget):
        msg = f"{name} is a Budget, such as {EXAMPLE}, got {budget!r}"
        raise TypeError(msg)
    if budget.per is not None and not day:
        msg = (
            f'{name} is over with what it is for, and per="day" is for a tenant or a runtime: '
            'Runtime(budgets={"acme": Budget(dollars=5, per="day")}), got '
            f"{budget!r}"
        )
        raise ValueError(msg)


def check_budgets(budgets: object) -> None:
    """Raise where `budgets` does not map tenants to budgets."""
    if budgets is None:
        return
    example = 'budgets maps tenants to Budget, such as budgets={"acme": Budget(dollars=5)}'
    items = getattr(budgets, "items", None)
    if not callable(items):
        msg = f"{example}, got {budgets!r}"
        raise TypeError(msg)
    for tenant, budget in items():
        if not isinstance(tenant, str) or not tenant:
            msg = f"{example}, got {tenant!r} for a tenant"
            raise TypeError(msg)
        check_budget(f"budgets[{tenant!r}]", budget, day=True)
        if budget is None:
            msg = f"{example}, got None for {tenant!r}: leave out who has none"
            raise TypeError(msg)
