"""The state of a breaker: closed, open, half-open.

Attempts are counted in ten buckets that together span the window, so that memory and time a call
are constant (a list of instants would grow with the traffic that it is meant to stop).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fanwise.core._errors import BreakerOpen
from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from fanwise.core._policies import Breaker

BUCKETS = 10


class BreakerStatistics(Frozen):
    """A breaker at one instant: state, attempts and failures in its window, times it opened."""

    name: str
    state: Literal["closed", "open", "half-open"]
    attempts: int
    failures: int
    opened: int


class BreakerState:
    """What a runtime knows of one step's failures."""

    __slots__ = ("counts", "name", "opened", "policy", "probing", "row", "span", "until")

    name: str
    opened: int
    policy: Breaker
    probing: bool
    span: float

    def __init__(self, name: str, policy: Breaker) -> None:
        """Start closed and empty."""
        self.name = name
        self.policy = policy
        self.span = policy.window / BUCKETS
        self.counts: list[list[float]] = []  # [start of the bucket, attempts, failures]
        self.until: float | None = None
        self.probing = False
        self.opened = 0
        self.row = 0  # failures one after the other

    def admit(self, now: float) -> bool:
        """Let an attempt through and say whether it is the probe, or raise `BreakerOpen`."""
        if self.until is None:
            return False
        if now < self.until or self.probing:
            wait = max(0.0, self.until - now)
            msg = f"{self.name} failed too often; its breaker lets a probe through in {wait:.3g} s"
            raise BreakerOpen(msg, wait)
        self.probing = True
        return True

    def closed(self) -> bool:
        """Say whether attempts pass freely (an open breaker takes no hedges)."""
        return self.until is None

    def ended(self, now: float, *, failed: bool, probe: bool) -> None:
        """Count an attempt that ended of itself."""
        if probe:
            self.probing = False
            if failed:
                self._open(now)
            else:
                self.until = None
                self.counts.clear()
            return
        if self.until is not None:
            return  # admitted before the breaker opened: known already
        bucket = self._bucket(now)
        bucket[1] += 1
        if failed:
            bucket[2] += 1
            self.row += 1
            self._judge(now)
        elif self.row:
            self.row = 0

    def withdrawn(self) -> None:
        """Give back the right to probe: the attempt was cancelled and says nothing."""
        self.probing = False

    def _bucket(self, now: float) -> list[float]:
        counts = self.counts
        if counts and now < counts[-1][0] + self.span:
            return counts[-1]
        counts.append([now, 0, 0])
        while counts[0][0] <= now - self.policy.window:
            del counts[0]
        return counts[-1]

    def _judge(self, now: float) -> None:
        recent = [c for c in self.counts if c[0] > now - self.policy.window]
        attempts = sum(c[1] for c in recent)
        failures = sum(c[2] for c in recent)
        enough = attempts >= self.policy.minimum and failures >= self.policy.share * attempts
        row = self.policy.in_a_row
        if enough or (row is not None and self.row >= row):
            self._open(now)

    def _open(self, now: float) -> None:
        self.until = now + self.policy.pause
        self.opened += 1
        self.row = 0
        self.counts.clear()

    def statistics(self, now: float) -> BreakerStatistics:
        """Give the breaker's counters."""
        if self.until is None:
            state: Literal["closed", "open", "half-open"] = "closed"
        else:
            state = "open" if now < self.until else "half-open"
        attempts, failures = (int(sum(c[i] for c in self.counts)) for i in (1, 2))
        return BreakerStatistics(self.name, state, attempts, failures, self.opened)

    def __repr__(self) -> str:
        """Show name and whether it is open."""
        return f"<Breaker {self.name} {'closed' if self.closed() else 'open'}>"
