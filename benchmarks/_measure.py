"""How a figure is measured: alternating rounds in one process, the median of their ratios.

Noise of a shared machine comes in waves, which hit a yardstick and the measurement after it alike
where both are short: a round of a noisy figure is cut into slices, which alternate, and their times
are added up. The ratio is taken per round, and only then the median. Time is that of the processor
unless a figure says wall. Collection counts: the collector runs as it always does,
from the same start, since each measurement begins with a full collection.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Span:
    """Seconds spent in a `with` block: of the processor (all threads), and of the wall."""

    __slots__ = ("processor", "wall")

    def __enter__(self) -> Self:
        gc.collect()
        self.wall = perf_counter()
        self.processor = process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.processor = process_time() - self.processor
        self.wall = perf_counter() - self.wall

    def __add__(self, other: Span) -> Span:
        added = Span()
        added.wall, added.processor = self.wall + other.wall, self.processor + other.processor
        return added

    def __repr__(self) -> str:
        return f"<Span {self.processor:.4f} s of processor, {self.wall:.4f} s of wall>"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a round does: `share` of the full sizes, in `rounds` rounds."""

    rounds: int = 5
    share: float = 1.0

    def of(self, size: int, least: int = 1) -> int:
        """Give the size for this scale."""
        return max(least, round(size * self.share))

    def slices(self, most: int) -> int:
        """Give how many slices a round is cut into: one where it is short anyway."""
        return most if self.share == 1 else 1


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Rounds:
    """The spans of yardstick and ours, round by round."""

    pairs: list[tuple[Span, Span]]

    def ratio(self, clock: str = "processor") -> Spread:
        """Give ours over the yardstick."""
        return Spread.of([getattr(o, clock) / getattr(y, clock) for y, o in self.pairs])

    def rate(self, clock: str = "processor") -> Spread:
        """Give the rate of ours over that of the yardstick."""
        return Spread.of([getattr(y, clock) / getattr(o, clock) for y, o in self.pairs])

    def over(self, units: int, clock: str = "wall") -> Spread:
        """Give how much longer ours took, in milliseconds for each of `units`."""
        return Spread.of(
            [(getattr(o, clock) - getattr(y, clock)) * 1e3 / units for y, o in self.pairs]
        )

    def each(self, units: int, clock: str = "processor") -> tuple[float, float]:
        """Give the medians of yardstick and ours, in microseconds for each of `units`."""
        yardsticks, ours = zip(*self.pairs, strict=True)
        return tuple(
            median(getattr(s, clock) for s in side) * 1e6 / units for side in (yardsticks, ours)
        )


async def alternate(
    scale: Scale,
    yardstick: Callable[[], Awaitable[Span]],
    ours: Callable[[], Awaitable[Span]],
    slices: int = 1,
) -> Rounds:
    """Measure one after the other, `scale.rounds` times; first once each, uncounted, to warm up.

    A round is `slices` of both, in turn; each call of `yardstick` or `ours` does one slice.
    """
    await yardstick()
    await ours()
    return Rounds([await _round(yardstick, ours, slices) for _ in range(scale.rounds)])


async def _round(
    yardstick: Callable[[], Awaitable[Span]], ours: Callable[[], Awaitable[Span]], slices: int
) -> tuple[Span, Span]:
    theirs, mine = await yardstick(), await ours()
    for _ in range(slices - 1):
        theirs += await yardstick()
        mine += await ours()
    return theirs, mine
