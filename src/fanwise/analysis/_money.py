"""What a run cost, from its record (A8): exact sums, what is estimated, what nobody knows."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.core import AttemptRow, CallRow

CUT: Final = ("length", "cut")
_NOTHING: Final = Decimal(0)
_DOLLAR: Final = Decimal(1)
_FEWEST: Final = 4  # digits of less than a dollar


class Money(NamedTuple):
    """US dollars: `cost` as far as prices are known (`None`: of nothing), `estimated` of it.

    `unpriced` counts the calls with an answer whose price is not known.
    """

    cost: Decimal | None = None
    estimated: Decimal = _NOTHING
    unpriced: int = 0

    def plus(self, other: Money) -> Money:
        """Add two."""
        known = [each for each in (self.cost, other.cost) if each is not None]
        cost = sum(known, _NOTHING) if known else None
        return Money(cost, self.estimated + other.estimated, self.unpriced + other.unpriced)

    def __str__(self) -> str:
        """Tell it in a line, empty where nothing was paid for."""
        said = []
        if self.cost is not None:
            part = f", of which {dollars(self.estimated)} estimated" if self.estimated else ""
            said.append(f"{dollars(self.cost)}{part}")
        if self.unpriced:
            said.append(f"{self.unpriced:,} call{'s' * (self.unpriced != 1)} of unknown price")
        return "; ".join(said)


NO_MONEY: Final = Money()


def money_of(rows: Iterable[CallRow | AttemptRow]) -> Money:
    """Add up what rows cost."""
    return added(row.facts for row in rows if row.facts)


def added(groups: Iterable[Mapping[str, object]]) -> Money:
    """Add up what the facts of rows say of money."""
    cost: Decimal | None = None
    estimated, unpriced = _NOTHING, 0
    for facts in groups:
        one = amount(facts.get("cost"))
        if one is not None:
            cost = one + (cost or _NOTHING)
        estimated += amount(facts.get("cost_estimated")) or _NOTHING
        unpriced += "unpriced" in facts
    return Money(cost, estimated, unpriced)


def amount(text: object) -> Decimal | None:
    """Read an amount of a record; `None` where there is none, or none that can be read."""
    try:
        found = None if text is None else Decimal(str(text))
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def dollars(value: Decimal) -> str:
    """Write an amount for people: cents, and below a dollar two digits that say something."""
    if not value:
        return "$0"
    digits = 2 if abs(value) >= _DOLLAR else max(_FEWEST, 1 - value.adjusted())
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0") if digits > _FEWEST else text
    return f"${text}" if value >= 0 else f"-${text[1:]}"
