"""What every request was, and what it cost: the twin's own account, and the bill of last resort."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._values import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fanwise.testing.twin._values import Finish, Protocol

_MILLION: Final = Decimal(1_000_000)
_SHORT: Final = Decimal("1.25")
_LONG: Final = Decimal(2)
_READ: Final = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars a million tokens, as text or Decimal, so that they stay exact.

    `cached` is the price of a token read from the cache, `written` of one written to it, and
    `written_long` of one written for an hour; `None`: 0.1, 1.25 and 2 times `input` for Anthropic's
    wire, and `input` for a write on OpenAI's, which charges none of its own. `batch` is the share
    that a token of a batch costs.
    """

    input: Decimal | str
    output: Decimal | str
    cached: Decimal | str | None = None
    written: Decimal | str | None = None
    written_long: Decimal | str | None = None
    batch: Decimal | str = "0.5"

    def __post_init__(self) -> None:
        """Refuse what is no price; a float would not be exact."""
        for name in ("input", "output", "cached", "written", "written_long", "batch"):
            given = getattr(self, name)
            if given is not None and not _is_price(given):
                msg = f"{name}={given!r}: dollars of 0 or more, as text or Decimal"
                raise ValueError(msg)

    def cost(self, counts: Counts, protocol: Protocol, *, batch: bool = False) -> Decimal:
        """Give the dollars of so many tokens, exactly."""
        base = Decimal(self.input)
        written, long = (base * _SHORT, base * _LONG) if protocol == "anthropic" else (base, base)
        plain = counts.tokens_in - counts.cached - counts.written
        total = (
            plain * base
            + counts.cached * _or(self.cached, base * _READ)
            + (counts.written - counts.written_long) * _or(self.written, written)
            + counts.written_long * _or(self.written_long, long)
            + counts.tokens_out * Decimal(self.output)
        ) / _MILLION
        return total * Decimal(self.batch) if batch else total


def _is_price(given: object) -> bool:
    try:
        price = Decimal(given) if isinstance(given, str | Decimal) else None
    except InvalidOperation:
        return False
    return price is not None and price.is_finite() and price >= 0


def _or(given: Decimal | str | None, otherwise: Decimal) -> Decimal:
    return otherwise if given is None else Decimal(given)


@dataclass(slots=True)
class Entry:
    """One request; its fields are filled while it goes on. Times in seconds of the loop's clock.

    `status` is 0 until it is answered (and stays 0 where the caller left before); `sent` counts
    the tokens of output streamed so far; `closed_at` is when the twin saw its caller leave early
    (`None`: it did not); `fault` is the fault that hit it, `error` what it was refused for. `cost`
    is `None` where the model has no price: unknown, never 0.
    """

    number: int
    time: float
    model: str
    protocol: Protocol
    endpoint: str
    key: str = ""
    batch: bool = False
    stream: bool = False
    status: int = 0
    finish: Finish | None = None
    counts: Counts = field(default_factory=Counts)
    cost: Decimal | None = None
    sent: int = 0
    ended_at: float | None = None
    closed_at: float | None = None
    fault: str = ""
    error: str = ""

    @property
    def closed(self) -> bool:
        """Whether the caller left before the end."""
        return self.closed_at is not None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the twin has seen so far; `cost` sums the entries whose price is known."""

    requests: int
    running: int
    statuses: Mapping[int, int]
    closed: int
    faults: int
    counts: Counts
    cost: Decimal
    unpriced: int


class Ledger:
    """All requests, in the order in which they came, but for those that were taken out."""

    __slots__ = ("entries", "prices", "taken")

    prices: Mapping[str, Price]
    taken: int

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self.prices = prices
        self.entries: list[Entry] = []
        self.taken = 0

    def __repr__(self) -> str:
        """Show how many requests there were and what they cost."""
        return f"<Ledger {len(self)} requests, {self.cost} dollars>"

    def __len__(self) -> int:
        """Give the number of requests."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        """Go over the requests."""
        return iter(self.entries)

    def __getitem__(self, place: int) -> Entry:
        """Give the request at a place."""
        return self.entries[place]

    def number(self) -> int:
        """Give the number of the next request, from 1."""
        return self.taken + len(self.entries) + 1

    def take(self) -> list[Entry]:
        """Give the requests that are over and forget them: for a twin that runs for days.

        Places, sums and statistics are of what is left; numbers go on.
        """
        over = [each for each in self.entries if each.ended_at is not None]
        self.entries = [each for each in self.entries if each.ended_at is None]
        self.taken += len(over)
        return over

    @property
    def cost(self) -> Decimal:
        """The dollars of all requests whose price is known."""
        return sum((each.cost for each in self if each.cost is not None), Decimal(0))

    def settle(self, entry: Entry, counts: Counts) -> None:
        """Charge an entry for its tokens."""
        entry.counts = counts
        price = self.prices.get(entry.model) or self.prices.get("*")
        if price is not None:
            entry.cost = price.cost(counts, entry.protocol, batch=entry.batch)

    def statistics(self) -> Statistics:
        """Count what there is."""
        paid = [each.counts for each in self]
        return Statistics(
            requests=len(self),
            running=sum(each.ended_at is None for each in self),
            statuses=Counter(each.status for each in self if each.status),
            closed=sum(each.closed for each in self),
            faults=sum(bool(each.fault) for each in self),
            counts=Counts(
                sum(each.tokens_in for each in paid),
                sum(each.cached for each in paid),
                sum(each.written for each in paid),
                sum(each.tokens_out for each in paid),
                sum(each.written_long for each in paid),
            ),
            cost=self.cost,
            unpriced=sum(each.cost is None and each.counts != Counts() for each in self),
        )
