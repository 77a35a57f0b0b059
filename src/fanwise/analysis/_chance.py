"""How likely it is that a number came about by chance: bounds in closed form, standard library."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import exp, inf, log, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """Bound the chance of so many successes or more, where each trial has the chance `share`.

    Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis based on the sum of
    observations", 1952: exp(-n KL(k/n || p)). Never below the true chance.
    """
    if trials == 0 or successes <= share * trials:
        return 1.0
    seen = successes / trials
    rest = (1 - seen) * log((1 - seen) / (1 - share)) if seen < 1 else 0.0
    return exp(-trials * (seen * log(seen / share) + rest))


def least_share(successes: int, trials: int, errors: float = 2.58) -> float:
    """Give the lower end of the interval of Wilson (1927) for a share; 2.58 is 99 %."""
    if trials == 0:
        return 0.0
    seen, square = successes / trials, errors * errors
    middle = seen + square / (2 * trials)
    half = errors * sqrt(seen * (1 - seen) / trials + square / (4 * trials * trials))
    return (middle - half) / (1 + square / trials)


def rank_errors(higher: Sequence[int], lower: Sequence[int]) -> float:
    """Give by how many standard errors one sample exceeds another, by ranks.

    Mann and Whitney, "On a test of whether one of two random variables is stochastically larger
    than the other", 1947, in the normal approximation, ties counted half. `lower` rises.
    """
    n, m = len(higher), len(lower)
    if not n or not m:
        return 0.0
    wins = sum((bisect_left(lower, each) + bisect_right(lower, each)) / 2 for each in higher)
    spread = sqrt(n * m * (n + m + 1) / 12)
    return (wins - n * m / 2) / spread if spread else inf


def middle(values: Sequence[int]) -> int:
    """Give the median, the lower of two."""
    return sorted(values)[(len(values) - 1) // 2]
