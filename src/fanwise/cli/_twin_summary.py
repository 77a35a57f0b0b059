"""What a twin saw, as a table: a line a model."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from fanwise.cli._words import plain
from fanwise.testing.twin import Entry, Ledger

_HEADS: Final = (
    "model", "requests", "answered", "429", "failed", "left",
    "tokens in", "cached", "tokens out", "dollars",
)  # fmt: skip
_LIMITED: Final = 429


def summary(ledger: Ledger) -> Iterator[str]:
    """Give the lines of the table; `left` are requests whose caller left before the end."""
    if not len(ledger):
        yield "no requests"
        return
    models = sorted({entry.model for entry in ledger})
    rows = [_row(model, [each for each in ledger if each.model == model]) for model in models]
    if len(rows) > 1:
        rows.append(_row("all", ledger.entries))
    table = [_HEADS, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(_HEADS))]
    for row in table:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join((row[0].ljust(len(first)), *rest))


def _row(model: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    answered = sum(each.finish is not None for each in entries)
    limited = sum(each.status == _LIMITED for each in entries)
    left = sum(each.closed for each in entries)
    numbers = (
        len(entries),
        answered,
        limited,
        sum(each.ended_at is not None for each in entries) - answered - limited - left,
        left,
        sum(each.counts.tokens_in for each in entries),
        sum(each.counts.cached for each in entries),
        sum(each.counts.tokens_out for each in entries),
    )
    name = plain(model) if model else "(none)"
    return (name, *(f"{number:,}" for number in numbers), _dollars(entries))


def _dollars(entries: Iterable[Entry]) -> str:
    """Give the sum; a plus where the price of some is not known."""
    costs = [each.cost for each in entries if each.counts.tokens_in]
    known = [cost for cost in costs if cost is not None]
    if not known:
        return "unknown" if costs else "0"
    more = "+" if len(known) < len(costs) else ""
    return f"{sum(known, Decimal(0)):.4f}{more}"
