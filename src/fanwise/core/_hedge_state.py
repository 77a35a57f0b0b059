"""What a runtime knows of one step's hedges: when the next is due, and whether it may be sent.

Problem: `after` in seconds is right for one week. What is meant is "when this attempt is slower
than nearly all": a percentile of the step's own latencies, kept up to date.
Algorithm: the nearest-rank percentile of the last thousand first attempts, in a sorted list beside
a queue (insertion and removal by bisection). An attempt that a hedge overtook counts with the time
it had run, which is above the percentile anyway: to leave it out would let the percentile sink with
every hedge. Duplicates do not count. The share of attempts that are hedged is held by a bucket of
tokens (as the retry budget of Finagle): each first attempt puts `share` in, up to ten, and a hedge
takes one, so that a slow hour cannot spend what a calm day has saved.
Rejected: a sketch (t-digest, P-square), smaller and inexact where a thousand floats are cheap; a
decaying histogram, whose edges have to be guessed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._policies import Hedge
    from fanwise.core._scope import Attempt
    from fanwise.core._timers import TimerQueue

WINDOW = 1000  # first attempts
ENOUGH = 20  # of them, before a percentile is believed; more where it lies further out
TOKENS = 10.0
DIGITS = 2  # to which a percentile is rounded up, so that equal times share a queue of timers


class HedgeStatistics(Frozen):
    """The hedges of one step: the seconds after which the next is sent (`None`: not yet known).

    `sent` duplicates, of which `won` gave the value; `held_back` were not sent for want of room or
    share. `wasted` is the seconds of attempts, first ones too, that ran beside one that won.
    """

    name: str
    after: float | None
    attempts: int
    sent: int
    won: int
    held_back: int
    wasted: float


class HedgeState:
    """The hedges of one step, over a runtime's life."""

    __slots__ = ("attempts", "fixed", "held_back", "latest", "least", "name", "policy",
                 "quantile", "queue", "sent", "share", "sorted", "tokens", "wasted",
                 "won")  # fmt: skip

    attempts: int
    fixed: TimerQueue | None  # where `after` is in seconds
    held_back: int
    least: int
    name: str
    policy: Hedge
    quantile: float | None
    queue: Callable[[float], TimerQueue]
    sent: int
    share: float | None
    tokens: float
    wasted: float
    won: int

    def __init__(self, name: str, policy: Hedge, queue: Callable[[float], TimerQueue]) -> None:
        """Start with nothing known and one hedge allowed; `queue` gives timers of a length."""
        self.name = name
        self.policy = policy
        self.queue = queue
        self.quantile = quantile = policy.quantile
        self.share = 1 - quantile if policy.share is None and quantile else policy.share
        self.fixed = None if quantile is not None else queue(float(policy.after))
        self.least = 0 if self.quantile is None else max(ENOUGH, ceil(1 / (1 - self.quantile)))
        self.latest: deque[float] = deque()
        self.sorted: list[float] = []
        self.tokens = 1.0
        self.attempts = self.sent = self.won = self.held_back = 0
        self.wasted = 0.0

    def after(self) -> float | None:
        """Give the seconds after which a first attempt is to be hedged, if that is known."""
        if self.fixed is not None:
            return self.fixed.length
        assert self.quantile is not None  # noqa: S101 - one of the two is set
        count = len(self.sorted)
        if count < self.least:
            return None
        return rounded_up(self.sorted[ceil(self.quantile * count) - 1])

    def arm(self, attempt: Attempt, now: float) -> None:
        """Count a first attempt, which earns its share of a hedge, and start its time."""
        self.attempts += 1
        if self.share is not None:
            self.tokens = min(TOKENS, self.tokens + self.share)
        timer = self.fixed
        if timer is None:
            after = self.after()
            timer = None if after is None else self.queue(after)
        attempt.timer = timer
        if timer is not None:
            timer.arm(attempt, now)

    def disarm(self, attempt: Attempt) -> None:
        """End the time of an attempt."""
        if attempt.timer is not None:
            attempt.timer.armed.pop(attempt, None)

    def took(self, seconds: float) -> None:
        """Take in what a first attempt took, or had taken when a hedge overtook it."""
        if self.fixed is not None:
            return
        if len(self.latest) == WINDOW:
            del self.sorted[bisect_left(self.sorted, self.latest.popleft())]
        self.latest.append(seconds)
        insort(self.sorted, seconds)

    def take(self) -> bool:
        """Say whether the share allows one more hedge, and take it."""
        if self.share is not None:
            if self.tokens < 1.0:
                self.held_back += 1
                return False
            self.tokens -= 1.0
        self.sent += 1
        return True

    def statistics(self) -> HedgeStatistics:
        """Give the counters."""
        return HedgeStatistics(
            self.name,
            self.after(),
            self.attempts,
            self.sent,
            self.won,
            self.held_back,
            self.wasted,
        )

    def __repr__(self) -> str:
        """Count."""
        return f"<HedgeState of {self.name}, {self.sent} sent, {self.won} won>"


def rounded_up(seconds: float) -> float:
    """Round up to two digits, so that there are few different lengths."""
    if seconds <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(seconds)) - DIGITS + 1)
    return ceil(seconds / unit - 1e-9) * unit
