"""How alike the voters on one case err: the beta-binomial model, by maximum likelihood.

Problem: of n votes on a case k are right. Votes on one case depend on each other, since cases
differ in how hard they are. Model: case i has its own chance p of a right vote, p ~ Beta(a, b)
(Skellam 1948); with the mean m = a / (a + b) and the intra-item correlation r = 1 / (a + b + 1)
the logarithm of the likelihood is, with t = r / (1 - r),
sum(log(m + j t), j < k) + sum(log(1 - m + j t), j < n - k) - sum(log(1 + j t), j < n)
(Griffiths 1973; Smith, AS 189, 1983): the cases enter as counts of those sums only, so that its
cost is the greatest n, however many cases there are. For a fixed r it is concave in m, whose best
value is found by bisection of the slope; what remains is a curve in r alone, searched by a grid
around the estimate by moments (the analysis of variance) and golden sections. The range of r is
that of its profile likelihood: where twice the loss is below 3.84 (chi squared, 1 degree, 95 %).
Rejected: SciPy for one curve; Wald ranges, which leave [0, 1] just where they matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST: Final = 1 - 1e-9  # the greatest correlation that is tried: at 1 all logarithms end
LOSS: Final = 3.841458820694124 / 2  # of logarithms, at the ends of a range of 95 %
GOLDEN: Final = (sqrt(5) - 1) / 2
GRID: Final = (0.0, 0.001, 0.003, 0.01, 0.03, *(n / 20 for n in range(1, 20)), 0.98, 0.995, MOST)


class Measured(NamedTuple):
    """A number and its range of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it with its range."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of counts (right, of) under a mean and a correlation."""

    counts: tuple[tuple[int, int], ...]

    @cached_property
    def sums(self) -> tuple[list[int], list[int], list[int]]:
        """For each j: how many cases have more than j right votes, wrong ones, votes."""
        longest = max(of for _, of in self.counts)
        sums = ([0] * longest, [0] * longest, [0] * longest)
        for right, of in self.counts:
            for column, length in zip(sums, (right, of - right, of), strict=True):
                if length:
                    column[length - 1] += 1
        for column in sums:
            for j in range(longest - 2, -1, -1):
                column[j] += column[j + 1]
        return sums

    def at(self, mean: float, rho: float) -> float:
        """Give the logarithm of the likelihood."""
        t = rho / (1 - rho)
        total = 0.0
        for j, (right, wrong, votes) in enumerate(zip(*self.sums, strict=True)):
            if right:
                total += right * log(mean + j * t)
            if wrong:
                total += wrong * log(1 - mean + j * t)
            if votes:
                total -= votes * log(1 + j * t)
        return total

    def slope(self, mean: float, rho: float) -> float:
        """Give the slope in the mean."""
        t = rho / (1 - rho)
        other = 1 - mean
        total = 0.0
        for j, (right, wrong, _) in enumerate(zip(*self.sums, strict=True)):
            total += right / (mean + j * t) - wrong / (other + j * t)
        return total

    def mean_at(self, rho: float) -> float:
        """Give the likeliest mean under a correlation."""
        return bisect(lambda mean: self.slope(mean, rho), 1e-12, 1 - 1e-12)

    def profile(self, rho: float) -> float:
        """Give the logarithm of the likelihood with the likeliest mean."""
        return self.at(self.mean_at(rho), rho)

    @cached_property
    def best(self) -> tuple[float, float]:
        """The likeliest mean and correlation."""
        tried = sorted({*GRID, moments(self.counts)})
        heights = [self.profile(rho) for rho in tried]
        top = max(range(len(tried)), key=heights.__getitem__)
        low, high = tried[max(top - 1, 0)], tried[min(top + 1, len(tried) - 1)]
        rho = max(golden(self.profile, low, high), tried[top], key=self.profile)
        return self.mean_at(rho), rho

    @cached_property
    def floor(self) -> float:
        """The least logarithm of the likelihood that belongs to the range of 95 %."""
        return self.at(*self.best) - LOSS

    @cached_property
    def correlation(self) -> Measured:
        """The likeliest correlation, with its range by profile likelihood."""
        _, rho = self.best

        def inside(at: float) -> float:
            return self.profile(at) - self.floor

        low = 0.0 if inside(0.0) >= 0 else bisect(lambda at: -inside(at), 0.0, rho, halvings=20)
        high = 1.0 if inside(MOST) >= 0 else bisect(inside, rho, MOST, halvings=20)
        return Measured(rho, low, high)

    def region(self, slices: int = 16) -> list[tuple[float, float]]:
        """Give pairs of mean and correlation that cut through the joint range of 95 % for one.

        The range of any function of the two, by profile likelihood, is that of its values there.
        """
        low, high = self.correlation[1:]
        steps = [low + (min(high, MOST) - low) * n / slices for n in range(slices + 1)]
        return [(mean, rho) for rho in (*steps, self.best[1]) for mean in self._means(rho)]

    def _means(self, rho: float) -> list[float]:
        """Give the least, the likeliest and the greatest mean inside, and two between."""
        top = self.mean_at(rho)

        def inside(mean: float) -> float:
            return self.at(mean, rho) - self.floor

        if inside(top) <= 0:
            return [top]
        low = bisect(lambda mean: -inside(mean), 1e-12, top, halvings=20)
        high = bisect(inside, top, 1 - 1e-12, halvings=20)
        return [low, (low + top) / 2, top, (top + high) / 2, high]


def bisect(
    falling: Callable[[float], float], low: float, high: float, *, halvings: int = 34
) -> float:
    """Give the place at which a falling function crosses 0, to ten digits of 0 to 1."""
    for _ in range(halvings):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def golden(height: Callable[[float], float], low: float, high: float) -> float:
    """Give the place of a function's only top, by golden sections (Kiefer 1953)."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = height(left), height(right)
    for _ in range(26):
        if at_left >= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = height(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = height(right)
    return (low + high) / 2


def moments(counts: Sequence[tuple[int, int]]) -> float:
    """Give the correlation by the analysis of variance, from 0 to `MOST` (Ridout and others 1999).

    Of counts without two votes on a case, or of one case, nothing can be said: 0.
    """
    votes, cases = sum(of for _, of in counts), len(counts)
    if votes == cases or cases < 2:
        return 0.0
    mean = sum(right for right, _ in counts) / votes
    between = sum(of * (right / of - mean) ** 2 for right, of in counts) / (cases - 1)
    within = sum(right * (of - right) / of for right, of in counts) / (votes - cases)
    usual = (votes - sum(of * of for _, of in counts) / votes) / (cases - 1)
    spread = between + (usual - 1) * within
    return min(max((between - within) / spread, 0.0), MOST) if spread else 0.0


def chances(mean: float, rho: float, votes: int) -> list[float]:
    """Give the chance of 0, 1, ... right votes."""
    t = rho / (1 - rho)
    logs = [0.0]
    for j in range(votes):
        logs.append(logs[-1] + log(1 + j * t))
    right, wrong = [0.0], [0.0]
    for j in range(votes):
        right.append(right[-1] + log(mean + j * t))
        wrong.append(wrong[-1] + log(1 - mean + j * t))
    found = []
    ways = 0.0  # the logarithm of the number of ways
    for k in range(votes + 1):
        found.append(exp(ways + right[k] + wrong[votes - k] - logs[votes]))
        ways += log((votes - k) / (k + 1)) if k < votes else 0.0
    return found
