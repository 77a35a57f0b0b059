"""Shared limits as lines: a table that is as wide as it may be."""

from collections.abc import Iterator, Sequence
from typing import Final

from fanwise.cli._text import clipped, padded, printable
from fanwise.cli._words import seconds
from fanwise.stores import LimitStanding

_RATES: Final = {
    "requests_per_minute": "requests",
    "tokens_per_minute": "tokens",
    "input_tokens_per_minute": "input",
    "output_tokens_per_minute": "output",
}
_GAP: Final = 2
_LEAST: Final = 8  # columns of a name
_NONE: Final = "-"


def table(standing: Sequence[LimitStanding], columns: int) -> Iterator[str]:
    """Give a head and a line for each limit; rates that no limit has take no place."""
    rates = [name for name in _RATES if any(name in each.sizes for each in standing)]
    heads = ["workers", "waiting", "slots", *(_RATES[name] for name in rates), "paused"]
    rows = [_cells(each, rates) for each in standing]
    widths = [
        max(len(head), *(len(row[place]) for row in rows)) for place, head in enumerate(heads)
    ]
    room = max(_LEAST, columns - sum(widths) - _GAP * len(widths))
    yield _line("limit", heads, widths, room)
    for each, row in zip(standing, rows, strict=True):
        yield _line(printable(each.name), row, widths, room)


def _line(name: str, cells: Sequence[str], widths: Sequence[int], room: int) -> str:
    numbers = (" " * _GAP + cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return padded(clipped(name, room), room) + "".join(numbers)


def _cells(each: LimitStanding, rates: Sequence[str]) -> list[str]:
    slots = _NONE if each.at_once is None else f"{each.held}/{each.at_once}"
    used = each.used
    shares = (f"{used[name]:.0%}" if name in used else _NONE for name in rates)
    paused = seconds(each.paused) if each.paused else _NONE
    return [f"{each.workers:,}", f"{each.waiting:,}", slots, *shares, paused]
