"""How often the guesses of a `speculate` are joined, over the life of a runtime."""

from __future__ import annotations

import logging

from fanwise.core._frozen import Frozen

log = logging.getLogger("fanwise")

CASES = 50  # so many before a rate says anything
LEAST = 0.3  # below it, more than two wrong guesses are paid for each that is used
NAMES = 1000  # counted at once; beyond, the one that was counted longest ago is forgotten


class GuessStatistics(Frozen):
    """The guesses under one name: how often the planner chose, how often one was then joined.

    `sent` guesses were started in all; `failed` is how often the right one failed, so that the
    call ran again. Planners that failed or were cancelled are no cases.
    """

    name: str
    cases: int
    joined: int
    failed: int
    sent: int

    @property
    def rate(self) -> float:
        """The part of the cases in which a guess was joined, from 0 to 1; 0 without any case."""
        return self.joined / self.cases if self.cases else 0.0


class Guesses:
    """The counters of a runtime, by the unnumbered name of the pattern's call."""

    __slots__ = ("counts", "told")

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.counts: dict[str, GuessStatistics] = {}
        self.told: set[str] = set()

    def count(self, name: str, sent: int, *, joined: bool, failed: bool) -> None:
        """Take a case into account; the log says once of a name that its guesses do not pay."""
        before = self.counts.pop(name, None)
        if before is None:
            if len(self.counts) >= NAMES:
                oldest = next(iter(self.counts))
                del self.counts[oldest]
                self.told.discard(oldest)
            before = GuessStatistics(name, 0, 0, 0, 0)
        self.counts[name] = now = GuessStatistics(
            name,
            before.cases + 1,
            before.joined + joined,
            before.failed + failed,
            before.sent + sent,
        )
        if now.cases >= CASES and now.rate < LEAST and name not in self.told:
            self.told.add(name)
            log.warning(
                "%s: a guess was joined in %d of %d cases (%.0f %%), and %d were started: "
                "they cost more than they give; the plan {%r: {'at_once': 1}} turns them off",
                *(name, now.joined, now.cases, 100 * now.rate, now.sent, name),
            )

    def statistics(self) -> tuple[GuessStatistics, ...]:
        """Give the counters of every name."""
        return tuple(self.counts.values())

    def __repr__(self) -> str:
        """Count the names."""
        return f"<Guesses under {len(self.counts)} names>"
