"""How often each way of a race wins, over a runtime's life."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("fanwise")

LEAST = 50  # races, before anything is said of their shares
TOO_OFTEN = 0.1  # of races won by the last way
NAMES = 1000  # that are remembered; the oldest goes first


class RaceStatistics(Frozen):
    """The races of one name; `started`, `won` and `cancelled` count by position of the way."""

    name: str
    races: int
    started: tuple[int, ...]
    won: tuple[int, ...]
    cancelled: tuple[int, ...]


class Races:
    """The counters of all races, by name."""

    __slots__ = ("counts", "told")

    def __init__(self) -> None:
        """Start empty."""
        self.counts: dict[str, RaceStatistics] = {}
        self.told: set[str] = set()

    def count(
        self, name: str, ways: int, winner: int | None, gaps: Mapping[int, str], *, staggered: bool
    ) -> None:
        """Count a race of so many ways; `gaps` has the statuses of all but the winner.

        Warns, once a name, where the last way of a staggered race wins too often: the ways before
        it then cost more, in calls and in waiting, than they save.
        """
        before = self.counts.pop(name, None)
        if before is None or len(before.won) != ways:
            nothing = (0,) * ways
            before = RaceStatistics(name, 0, nothing, nothing, nothing)
            self.told.discard(name)
            if len(self.counts) >= NAMES:
                oldest = next(iter(self.counts))
                del self.counts[oldest]
                self.told.discard(oldest)
        self.counts[name] = after = RaceStatistics(
            name,
            before.races + 1,
            tuple([n + (gaps.get(i) != "skipped") for i, n in enumerate(before.started)]),
            tuple([n + (i == winner) for i, n in enumerate(before.won)]),
            tuple([n + (gaps.get(i) == "cancelled") for i, n in enumerate(before.cancelled)]),
        )
        if staggered and after.races >= LEAST and after.won[-1] > TOO_OFTEN * after.races:
            self._tell(after)

    def _tell(self, races: RaceStatistics) -> None:
        if races.name in self.told:
            return
        self.told.add(races.name)
        log.warning(
            "%s: the last and dearest of %d ways won %.0f %% of %d races: those before it are "
            "not worth waiting for",
            races.name,
            len(races.won),
            100 * races.won[-1] / races.races,
            races.races,
        )

    def statistics(self) -> tuple[RaceStatistics, ...]:
        """Give the counters, the least lately used first."""
        return tuple(self.counts.values())

    def __repr__(self) -> str:
        """Count."""
        return f"<Races of {len(self.counts)} names>"
