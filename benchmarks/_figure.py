"""A figure: what was measured, against which bar; and how a table of them looks."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks._measure import Spread

# "se": standard errors between a mean that was measured and the one that it must have.
UNITS = {
    "x": "{:.2f} x",
    "s": "{:.2f} s",
    "ms": "{:.2f} ms",
    "us": "{:.2f} µs",
    "B": "{:.0f} B",
    "MB": "{:.0f} MB",
    "se": "{:.2f} se",
    "/s": "{:,.0f} /s",
    "number": "{:.3f}",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `bar` is `None` for what is only printed.

    A figure passes at or below its bar, or, where `at_least` is set, at or above it. `bound` is the
    least that anything which does the same could measure, taken in the same run: a figure over its
    bar whose bound is over it too is `BOUND`, not `MISS`.
    """

    what: str
    measured: Spread
    bar: float | None
    yardstick: str
    unit: str = "x"
    at_least: bool = False
    note: str = ""
    bound: float | None = None

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return "-"
        value = self.measured.median
        if value >= self.bar if self.at_least else value <= self.bar:
            return "PASS"
        return "BOUND" if self.bound is not None and self.bound > self.bar else "MISS"

    def cells(self) -> tuple[str, ...]:
        """Give the cells of the figure's line."""
        show = UNITS[self.unit].format
        low, high = self.measured.low, self.measured.high
        sign = "≥" if self.at_least else "≤"
        bar = "printed" if self.bar is None else f"{sign} {show(self.bar)}"
        spread = "" if low == high else f"{show(low)} to {show(high)}"
        return (
            self.what,
            show(self.measured.median),
            bar,
            self.verdict,
            spread,
            self.yardstick,
            self.note,
        )


HEADS = ("what", "measured", "bar", "", "rounds", "yardstick", "note")
WIDTHS = (38, 10, 10, 5, 20, 38, 0)


def line(cells: tuple[str, ...]) -> str:
    """Give one line of the table on a terminal."""
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
    return "  ".join(padded).rstrip()


def markdown(figures: list[Figure]) -> str:
    """Give the table as Markdown, for docs/benchmarks.md."""
    heads = ("what", "measured", "bar", "verdict", "rounds", "yardstick", "note")
    rows = [heads, ("---",) * len(heads), *(figure.cells() for figure in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Give the class of the machine, and how busy it was in the last minute."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}"
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}  {cores}, {python}, {load}"
