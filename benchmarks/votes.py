"""`vote` against what its published rule gives: how many are asked, and how often it is right.

The yardstick is exact, not simulated: of each score that the rule can come to (so many right, so
many wrong) the probability, from that of the scores before it. Ours are simulated votes, each
through the engine, on the virtual clock. They differ by chance; the figure is that difference in
standard errors of the mean.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, comb, sqrt
from statistics import fmean, median
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Spread
from benchmarks._record import RecordIncomplete
from fanwise import Runtime, step, vote
from fanwise.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

VOTES = 10_000
VOTERS = 40  # as in the paper
RIGHT = 0.7  # how often a voter is right; there is one wrong answer
STOP_AT = 0.95
ERRORS = 3.0  # standard errors: chance alone leaves them once in 370 times
RULE = "the published rule, exactly"


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation of one vote."""

    mean: float
    deviation: float

    def errors(self, found: list[float]) -> float:
        """Give how far the mean of `found` lies from this one, in standard errors."""
        return abs(fmean(found) - self.mean) * sqrt(len(found)) / self.deviation


@dataclass(frozen=True, slots=True)
class Polled:
    """What simulated votes came to: how many each asked, and whether it was right."""

    asked: list[float]
    right: list[float]


def rule(scale: Scale) -> Iterator[Figure]:
    """Measure votes asked one by one, as the paper does, and in waves of four."""
    votes = scale.of(VOTES)
    asked, right = expected(wave=1)
    rounds = [poll(votes, wave=1, seed=seed) for seed in range(scale.rounds)]
    for what, exact, found in (
        ("mean asked", asked, [polled.asked for polled in rounds]),
        ("accuracy", right, [polled.right for polled in rounds]),
    ):
        off = Spread.of([exact.errors(each) for each in found])
        note = f"{median(map(fmean, found)):.4f}, the rule {exact.mean:.4f}; {votes:,} votes"
        yield Figure(f"vote at p = 0.7, wave=1, {what}", off, ERRORS, RULE, "se", note=note)
    yield from waves(scale, votes)


def waves(scale: Scale, votes: int) -> Iterator[Figure]:
    """Measure what waves of four cost: printed, since the paper has none."""
    asked, right = expected(wave=4)
    rounds = [poll(votes, wave=4, seed=seed) for seed in range(scale.rounds)]
    for what, exact, found in (
        ("mean asked", asked, [polled.asked for polled in rounds]),
        ("accuracy", right, [polled.right for polled in rounds]),
    ):
        off = median(exact.errors(each) for each in found)
        note = f"the rule, rounded up to waves, {exact.mean:.4f}: {off:.2f} standard errors"
        means = Spread.of([fmean(each) for each in found])
        yield Figure(f"vote at p = 0.7, wave=4, {what}", means, None, RULE, "number", note=note)


# The rule


@cache
def met(leader: int, runner_up: int) -> bool:
    """Say whether P(p > 1/2) under Beta(leader + 1, runner_up + 1), integrated, reaches STOP_AT."""
    above = total = Fraction(0)
    for k in range(runner_up + 1):  # of x^leader (1 - x)^runner_up, multiplied out
        power = leader + k + 1
        term = Fraction((-1) ** k * comb(runner_up, k), power)
        total += term
        above += term * (1 - Fraction(1, 2**power))
    return above / total >= Fraction(STOP_AT)


def scores(share: float) -> Iterator[tuple[int, int, float]]:
    """Give each score at which the rule stops, or nobody is left, with its probability.

    `share` is how often a voter is right.
    """
    open_scores = {(0, 0): 1.0}
    while open_scores:
        following: dict[tuple[int, int], float] = {}
        for (right, wrong), chance in open_scores.items():
            for score, part in (((right + 1, wrong), share), ((right, wrong + 1), 1 - share)):
                following[score] = following.get(score, 0.0) + chance * part
        open_scores = {}
        for score, chance in following.items():
            if met(max(score), min(score)) or sum(score) == VOTERS:
                yield (*score, chance)
            else:
                open_scores[score] = chance


def expected(*, wave: int, share: float = RIGHT) -> tuple[Moments, Moments]:
    """Give the moments of the number asked, and of being right (half of the ties are)."""
    asked, right = [], []
    for good, bad, chance in scores(share):
        asked.append((ceil((good + bad) / wave) * wave, chance))
        right.append(((1.0 if good > bad else 0.0), chance * (good != bad)))
        right.append((1.0, chance * (good == bad) / 2))
    return moments(asked), moments(right)


def moments(weighed: list[tuple[float, float]]) -> Moments:
    """Give mean and deviation of values with their probabilities."""
    mean = sum(value * chance for value, chance in weighed)
    square = sum(value * value * chance for value, chance in weighed)
    return Moments(mean, sqrt(square - mean * mean))


# The votes


def poll(votes: int, *, wave: int, seed: int) -> Polled:
    """Hold so many votes, one after the other, of voters who take 1 to 2 s."""
    chance = random.Random(f"votes {seed}")
    polled = Polled([], [])

    @step
    async def voter() -> bool:
        await asyncio.sleep(1 + chance.random())
        return chance.random() < RIGHT

    @step
    async def program() -> None:
        for _ in range(votes):
            found = await vote([voter() for _ in range(VOTERS)], stop_at=STOP_AT, wave=wave)
            polled.asked.append(found.asked)
            polled.right.append(found.answer)

    async def main() -> None:
        async with Runtime() as runtime:
            await runtime.run(program())
            rows = Counter(row.step for row in runtime.runs[-1].record().calls)
        if rows["voter"] != sum(polled.asked) or rows["program/vote"] != votes:
            raise RecordIncomplete(f"{sum(polled.asked)} voters were asked, the record has {rows}")

    log = logging.getLogger("fanwise")
    level = log.level
    log.setLevel(logging.ERROR)  # ties at forty votes are low agreement, a hundred times
    try:
        run_virtual(main(), horizon=float("inf"))
    finally:
        log.setLevel(level)
    return polled
