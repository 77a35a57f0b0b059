"""What the answers of a runtime cost: asked when somebody looks at a row, never by the call itself.

Problem: a table of prices takes 0.3 s to load, and the loop must not stand still for it. Method: a
row holds what each answer used, and the cost is worked out where a view of the row is made: by the
thread that writes the record, by whoever asks for it (a listener's rows, made on the loop, go
without it until the table is there). A thread begins to load the table when the
first usage of a model is told, so that it is there when somebody looks. Rejected: to hold back the
end of a call until the table is there, and to load it with every runtime.
"""

from __future__ import annotations

import logging
from _thread import start_new_thread
from typing import TYPE_CHECKING, Any, cast

from fanwise.core import _registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal
    from typing import Protocol

    from fanwise.core._settlement import Told


log = logging.getLogger("fanwise")

FOREIGN = (ArithmeticError, AttributeError, ImportError, LookupError, TypeError, ValueError)
MOST_NAMED = 100

if TYPE_CHECKING:  # a protocol takes half a millisecond of every import

    class Priced(Protocol):
        """A user's own price of a model."""

        def dollars(self, told: Told, /) -> Decimal | None:
            """Give what an answer costs; `None` where this price does not say."""

    class PriceTable(Protocol):
        """Prices of models by name."""

        def cost(self, model: str, told: Told, at: float, /) -> Decimal | None:
            """Give what an answer cost at a Unix time; `None` where the price is not known."""

        def at_hand(self, model: str, /) -> bool:
            """Say whether a cost can be given without loading anything."""

        def load(self) -> None:
            """Load what is large, in this thread."""


class Bills:
    """Gives costs; what a user's own table does not price, the known one is asked for."""

    __slots__ = ("_expected", "_failed", "_own", "_table", "ready")

    ready: bool

    def __init__(self, own: Mapping[str, Priced] | None = None) -> None:
        """Take the user's own prices; raise `TypeError` where they are none."""
        _check(own)
        self._own = {} if own is None else dict(own)
        self._table: PriceTable | None = None
        self._expected = False
        self._failed: set[str] = set()  # models, said once each
        self.ready = True  # unless a thread loads

    @property
    def table(self) -> PriceTable:
        """The prices, own and known; the first use imports them."""
        if self._table is None:
            make = cast(
                "Callable[[Mapping[str, Priced]], PriceTable]", _registry.load("money", "prices")
            )
            self._table = make(self._own)
        return self._table

    def expect(self) -> None:
        """Begin to load the known prices in a thread, once: they will be asked for."""
        if not self._expected:
            self._expected = True
            self.ready = False
            start_new_thread(self._load, ())  # `Thread.start` would wait for it

    def _load(self) -> None:
        try:
            self.table.load()
        finally:
            self.ready = True

    def facts(self, told: Iterable[Told], model: str | None, at: float) -> dict[str, Any]:
        """Give what answers cost together, as facts of a row; `model` is of those without one."""
        costs = [(self._cost(each, model, at), each) for each in told]
        known = [cost for cost, _ in costs if cost is not None]
        guessed = [cost for cost, each in costs if cost is not None and each[3]]
        unknown = len(costs) - len(known)
        facts: dict[str, Any] = {}
        if known:
            facts["cost"] = plain(_sum(known))
        if guessed:
            facts["cost_estimated"] = plain(_sum(guessed))
        if unknown and any(each[1] or model for cost, each in costs if cost is None):
            facts["unpriced"] = unknown
        return facts

    def total(self, told: Iterable[Told], model: str | None, at: float) -> Decimal | None:
        """Give what answers cost together, as far as prices are known."""
        costs = [self._cost(each, model, at) for each in told]
        known = [cost for cost in costs if cost is not None]
        return _sum(known) if known else None

    def _cost(self, told: Told, model: str | None, at: float) -> Decimal | None:
        name = told[1] or model
        if name is None:
            return None
        try:
            return self.table.cost(name, told, at)
        except FOREIGN:  # a record is more than its prices
            if name not in self._failed and len(self._failed) < MOST_NAMED:
                self._failed.add(name)
                log.warning("the price of %s could not be worked out", name, exc_info=True)
            return None

    def __repr__(self) -> str:
        """Count the user's own."""
        return f"<Bills, {len(self._own)} own prices>"


def _sum(amounts: list[Decimal]) -> Decimal:
    """Add up without the number 0 of another type, and without importing the module for it."""
    return sum(amounts[1:], amounts[0])


def plain(amount: Decimal) -> str:
    """Give an amount as a decimal string, without an exponent or zeros at its end."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _check(own: object) -> None:
    if own is None:
        return
    example = 'prices maps models to Price, such as prices={"my-model": Price(input=1, output=4)}'
    items = getattr(own, "items", None)
    if not callable(items):
        msg = f"{example}, got {own!r}"
        raise TypeError(msg)
    for name, price in items():
        if not isinstance(name, str) or not callable(getattr(price, "dollars", None)):
            msg = f"{example}, got {price!r} for {name!r}"
            raise TypeError(msg)
