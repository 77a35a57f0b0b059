"""Prices of models: a user's own, then those that are known; exact, and unknown rather than 0."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from fanwise.core import _registry, current_runtime
from fanwise.models._usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fanwise.core import Told
    from fanwise.core._bills import Priced

    Amount = Decimal | int | str | float

MILLION: Final = Decimal(1_000_000)
BATCH: Final = "batch"
_DATE: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")  # which responses add to a name


class KnownPrices(Protocol):
    """Prices that somebody else keeps."""

    def price(self, model: str, tier: str | None, at: float, /) -> Rates | None:
        """Give what a model costs at a Unix time in a tier; `None` where that is not known."""


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens; `None` is the rate of what it is a part of.

    `above` are rates that hold for the whole of an answer which read more than so many tokens.
    """

    input: Decimal | None
    output: Decimal | None
    cached: Decimal | None = None
    written: Decimal | None = None
    written_hour: Decimal | None = None
    above: tuple[tuple[int, Rates], ...] = ()

    def dollars(self, told: Told) -> Decimal | None:
        """Give what an answer costs; `None` where it has tokens without a rate."""
        _, _, _, _, read, made, cached, written, hour = told
        for limit, rates in self.above:
            if read > limit:
                return rates.dollars(told)
        if (self.input is None and read) or (self.output is None and made):
            return None
        each = Decimal(0) if self.input is None else self.input
        keep = each if self.written is None else self.written
        longer = keep if self.written_hour is None else self.written_hour
        total = each * (read - cached - written)
        total += (each if self.cached is None else self.cached) * cached
        total += keep * (written - hour) + longer * hour
        total += (self.output or Decimal(0)) * made
        return total / MILLION


class Price:
    """A price of your own: US dollars for a million tokens.

    `cached` is for what is read from the provider's cache, `written` for what is written into it,
    `written_hour` for what is kept there for an hour (`None`: as other input, as `written`).
    `batch` is the share of all these that batches cost, 0.5 for half (`None`: not known). A float
    means what it shows: 0.15 is fifteen cents.

    Raises ValueError for what is no amount of at least 0.
    """

    __slots__ = ("batch", "rates")

    batch: Decimal | None
    rates: Rates

    def __init__(
        self,
        *,
        input: Amount,  # noqa: A002 - the word of every price list
        output: Amount,
        cached: Amount | None = None,
        written: Amount | None = None,
        written_hour: Amount | None = None,
        batch: Amount | None = None,
    ) -> None:
        """Take the amounts."""
        self.batch = _given("batch", batch)
        if self.batch is not None and self.batch > 1:
            msg = f"Price(batch=) is the share of the price, such as 0.5 for half, got {batch!r}"
            raise ValueError(msg)
        self.rates = Rates(
            _amount("input", input),
            _amount("output", output),
            _given("cached", cached),
            _given("written", written),
            _given("written_hour", written_hour),
        )

    def dollars(self, told: Told) -> Decimal | None:
        """Give what an answer costs; `None` for a tier that this price says nothing of."""
        if told[2] is None:
            return self.rates.dollars(told)
        whole = self.rates.dollars(told) if told[2] == BATCH else None
        return None if whole is None or self.batch is None else whole * self.batch

    def __eq__(self, other: object) -> bool:
        """Compare the amounts."""
        if not isinstance(other, Price):
            return NotImplemented
        return (self.rates, self.batch) == (other.rates, other.batch)

    def __hash__(self) -> int:
        """Agree with `==`."""
        return hash((self.rates, self.batch))

    def __repr__(self) -> str:
        """Show the amounts that were given."""
        names = ("input", "output", "cached", "written", "written_hour")
        given = {name: getattr(self.rates, name) for name in names} | {"batch": self.batch}
        shown = [f"{name}={each}" for name, each in given.items() if each is not None]
        return f"Price({', '.join(shown)})"


FREE: Final = Rates(Decimal(0), Decimal(0))


class Prices:
    """Prices by the name of a model: the first of your own that fits, else the known one.

    A name fits as it is written, with a slash for the colon after its provider, or without the
    provider; then likewise without its date. Patterns such as "openai/*" fit names with a provider.
    Models at `local:` cost nothing.
    """

    def __init__(self, own: Mapping[str, Priced] | None = None) -> None:
        """Take your own, which come first."""
        self._own = {} if own is None else dict(own)
        self._find = lru_cache(1024)(partial(_own_of, self._own))  # not of a method: no cycle

    def cost(self, model: str, told: Told, at: float) -> Decimal | None:
        """Give what an answer cost at a Unix time; `None` where the price is not known."""
        own = self._find(model)
        if own is not None:
            return own.dollars(told)
        known = known_prices()
        rates = None if known is None else known.price(model, told[2], at)
        return None if rates is None else rates.dollars(told)

    def at_hand(self, model: str) -> bool:
        """Say whether a price can be given without loading the known ones."""
        return self._find(model) is not None or known_prices.cache_info().currsize > 0

    def load(self) -> None:
        """Load the known prices."""
        known_prices()

    def __repr__(self) -> str:
        """Count the user's own."""
        return f"<Prices, {len(self._own)} own>"


def _own_of(own: Mapping[str, Priced], model: str) -> Priced | None:
    names = list(_spelled(model))
    for name in (*names, *(_DATE.sub("", each) for each in names)):
        if name in own:
            return own[name]
    for pattern, price in own.items():
        if any(fnmatchcase(name, pattern) for name in names):
            return price
    return FREE if model.startswith("local:") else None


def _spelled(model: str) -> Iterator[str]:
    yield model
    provider, colon, name = model.partition(":")
    if colon and "/" not in provider:
        yield f"{provider}/{name}"
        yield name
        return
    provider, slash, name = model.partition("/")
    if slash:
        yield f"{provider}:{name}"
        yield name


@lru_cache(1)
def known_prices() -> KnownPrices | None:
    """Give the known prices, loaded at the first call; `None` where they are not installed."""
    try:
        return cast("KnownPrices", _registry.load("money", "known"))
    except ModuleNotFoundError as error:
        if error.name != "genai_prices":
            raise
        return None


async def price_of(
    model: str, usage: Usage, *, tier: str | None = None, at: float | None = None
) -> Decimal | None:
    """Give what an answer of `model` costs in US dollars, by the prices of the running runtime.

    `tier` is "batch" or another that has prices of its own; `at` is Unix time (`None`: now). Gives
    `None` where the price is not known. The first use waits 0.3 s for the known prices, which a
    thread loads.
    """
    if not isinstance(model, str):
        msg = f'model is a name, such as "openai:gpt-5-mini", got {model!r}'
        raise TypeError(msg)
    if not isinstance(usage, Usage):
        msg = f"usage is a Usage, such as Usage(tokens_in=900, tokens_out=40), got {usage!r}"
        raise TypeError(msg)
    runtime = current_runtime()
    table = runtime.bills.table
    # On the virtual clock nothing happens beside the loop.
    if runtime.threads is not None and not table.at_hand(model):
        await asyncio.to_thread(table.load)
    told = (
        1, model, tier, usage.estimated, usage.tokens_in, usage.tokens_out, usage.cached,
        usage.written, 0,
    )  # fmt: skip
    return table.cost(model, told, time.time() if at is None else at)


def _given(name: str, value: Amount | None) -> Decimal | None:
    return None if value is None else _amount(name, value)


def _amount(name: str, value: Amount) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        what = "the share of the price" if name == "batch" else "US dollars for a million tokens"
        raise ValueError(f"Price({name}=) is {what}, at least 0, got {value!r}")
    return amount


def prices(_address: str) -> Callable[[Mapping[str, Priced]], Prices]:
    """Give what makes a table of a runtime's own prices and the known ones."""
    return Prices
