"""How often a vote is right, where the right votes and the likeness of wrong ones are known.

Problem: of n votes k are right; the answer with most votes wins, a tie by lot. Whether k are enough
depends on how the n - k wrong ones spread over wrong answers. Model: Ewens' sampling formula
("The sampling theory of selectively neutral alleles", 1972), the one-parameter law of random
partitions in which two wrong votes are alike with chance s = 1 / (1 + theta): at s = 1 all wrong
votes are the same answer (a question of yes or no), at 0 no two are. The chance that no wrong
answer has more than m votes is n! / theta^(n) times the nth coefficient of
exp(theta sum(x^j / j, j <= m)), whose recursion is w c(w) = theta (c(w - 1) + ... + c(w - m)).
Cost: about n^3 / 12 products for n votes. Checked against all partitions in the tests.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log
from typing import Final

from fanwise.models._beta_binomial import chances

ALIKE: Final = 1 - 1e-9
UNLIKE: Final = 1e-9


def right_with(mean: float, rho: float, votes: int, same: float) -> float:
    """Give the chance that a vote of so many is right, on a case of the given law."""
    winning = won_by(votes, same)
    return sum(a * b for a, b in zip(chances(mean, rho, votes), winning, strict=True))


@lru_cache(1024)
def won_by(votes: int, same: float) -> tuple[float, ...]:
    """Give the chance to win with 0, 1, ... right votes out of `votes`."""
    return tuple([_won(right, votes - right, same) for right in range(votes + 1)])


def _won(right: int, wrong: int, same: float) -> float:
    if right > wrong:
        return 1.0
    if right == 0:
        return 0.0
    if same >= ALIKE:
        return 0.5 if right == wrong else 0.0
    if same <= UNLIKE:
        return 1.0 if right > 1 else 1 / (1 + wrong)
    theta = (1 - same) / same
    # With `tied` wrong answers of exactly `right` votes, and none with more.
    below = largest_below(theta, wrong, right)
    total, chance = 0.0, 0.0  # the latter as a logarithm: of `tied` answers of that size
    for tied in range(wrong // right + 1):
        rest = wrong - tied * right
        if below[rest] > 0:
            scale = log_weight(theta, rest) - log_weight(theta, wrong)
            total += below[rest] * exp(chance + scale) / (1 + tied)
        chance += log(theta / right) - log(tied + 1)
    return total


def largest_below(theta: float, wrong: int, size: int) -> list[float]:
    """Give, for 0, 1, ... wrong votes, the chance that every wrong answer has fewer than `size`."""
    found = [1.0]
    for votes in range(1, wrong + 1):
        total = 0.0
        for before in range(max(0, votes - size + 1), votes):
            total += found[before] * exp(log_weight(theta, before) - log_weight(theta, votes))
        found.append(total * theta / votes)
    return found


@lru_cache(4096)
def log_weight(theta: float, votes: int) -> float:
    """Give the logarithm of theta (theta + 1) ... (theta + votes - 1) / votes!."""
    if votes == 0:
        return 0.0
    return log_weight(theta, votes - 1) + log((theta + votes - 1) / votes)
