"""How alike voters err, measured on labelled cases, and what that leaves of their number.

Votes that are wrong together give false confidence: ten that always agree are one. On cases whose
truth is known, two things can be measured. The intra-item correlation of being right, by a
beta-binomial model (`_beta_binomial`); and how often two wrong votes on one case say the same.
From both follow the effective number of votes, n / (1 + (n - 1) rho) (Kish, "Survey Sampling",
1965), and how often the majority of n is right (`_majority`): whether more votes still help.
The votes of a case are taken for exchangeable: of models that differ in strength it is the mean.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Final

from fanwise.core import whole
from fanwise.models._beta_binomial import Likelihood, Measured
from fanwise.models._majority import right_with

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

FEWEST: Final = 10  # cases of two votes or more, before anything is said
WIDEST: Final = 0.5  # range of a correlation of which something can be said
RESAMPLES: Final = 400
MOST_VOTES: Final = 101


@dataclass(frozen=True, slots=True)
class Case:
    """The votes on one case whose truth is known: `right` of `of` were right.

    `wrong` has how often each wrong answer was given; `None` where only right and wrong is known.
    """

    right: int
    of: int
    wrong: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, count in (("right", self.right), ("of", self.of)):
            whole(name, count, 0)
        if not 0 <= self.right <= self.of or self.of < 1:
            msg = f"a case has 0 to `of` right votes of at least 1, got {self.right} of {self.of}"
            raise ValueError(msg)
        if self.wrong is not None and (
            min(self.wrong, default=1) < 1 or sum(self.wrong) != self.of - self.right
        ):
            msg = f"wrong adds up to the {self.of - self.right} wrong votes, got {self.wrong}"
            raise ValueError(msg)

    @classmethod
    def voted(
        cls,
        votes: Iterable[Hashable],
        truth: Hashable,
        *,
        key: Callable[[Hashable], Hashable] | None = None,
    ) -> Case:
        """Make a case of votes and the truth, both as `key` counts them (`None`: as they are).

        Leave out votes that were not given: a gap is no wrong answer.
        """
        ballots = [each if key is None else key(each) for each in votes]
        counts = Counter(ballots)
        right = counts.pop(truth if key is None else key(truth), 0)
        return cls(right, len(ballots), tuple(sorted(counts.values(), reverse=True)))

    @classmethod
    def counted(cls, counts: Mapping[Hashable, int], truth: Hashable) -> Case:
        """Make a case of `Vote.counts`. A vote that stopped early leans to its leader."""
        rest = {ballot: count for ballot, count in counts.items() if ballot != truth}
        right = counts.get(truth, 0)
        return cls(right, right + sum(rest.values()), tuple(rest.values()))


@dataclass(frozen=True)
class Correlation:
    """What labelled cases say of voters. Every number comes with its range of 95 %.

    `right` is the chance of one vote, `rho` the intra-item correlation from 0 (independent) to 1
    (all voters as one), `same_wrong` the chance that two wrong votes on a case are alike (by
    resampling cases; `None`: not known). `why` says why nothing can be told; then `rho` is `None`
    or a wide range, and the other questions raise ValueError.
    """

    cases: int
    votes: int
    right: Measured
    rho: Measured | None
    same_wrong: Measured | None
    why: str = ""
    likelihood: Likelihood | None = field(default=None, repr=False)

    @property
    def can_tell(self) -> bool:
        """Whether there are data enough to say anything."""
        return not self.why

    @property
    def _fitted(self) -> Likelihood:
        if self.likelihood is None or self.why:
            msg = f"can't tell: {self.why}"
            raise ValueError(msg)
        return self.likelihood

    @cached_property
    def _region(self) -> list[tuple[float, float]]:
        return self._fitted.region()

    def effective(self, votes: int) -> Measured:
        """Give how many independent votes so many are worth."""
        whole("votes", votes, 1)
        value, low, high = self._fitted.correlation
        return Measured(*(votes / (1 + (votes - 1) * rho) for rho in (value, high, low)))

    def majority(self, votes: int, *, same: float | None = None) -> Measured:
        """Give how often the answer with most of so many votes is right; a tie goes by lot.

        `same` is the chance that two wrong votes are alike: 1 for questions of two answers, 0 where
        no two wrong ones are; `None`: as measured (raises ValueError where it was not).
        """
        return self.gain(0, votes, same=same)

    def gain(self, before: int, votes: int, *, same: float | None = None) -> Measured:
        """Give by how much more often `votes` votes are right than `before` (0: than none)."""
        whole("votes", votes, 1)
        if before:
            whole("before", before, 1)
        alike = self._alike(same)

        def gained(mean: float, rho: float, same: float) -> float:
            most = right_with(mean, rho, votes, same)
            return most - right_with(mean, rho, before, same) if before else most

        ends = {alike.low, alike.high}
        found = [gained(*each, same) for each in self._region for same in ends]
        value = gained(*self._fitted.best, alike.value)
        return Measured(value, min(value, *found), max(value, *found))

    def any_right(self, votes: int) -> Measured:
        """Give how often at least one of so many is right: what a perfect verifier would reach."""
        whole("votes", votes, 1)
        found = [1 - _none(mean, rho, votes) for mean, rho in self._region]
        value = 1 - _none(*self._fitted.best, votes)
        return Measured(value, min(value, *found), max(value, *found))

    def votes_that_help(
        self, *, least: float = 0.005, most: int = 41, same: float | None = None
    ) -> Measured:
        """Give the number of votes from which on two more add less than `least` to being right.

        An odd number from 1 to `most` (at most 101). `low` is where the least gain that the data
        allow falls below, `high` where the greatest does. Votes that are mostly wrong together give
        1: more of them harm.
        """
        whole("most", most, 1)
        if most > MOST_VOTES:
            msg = f"most is at most {MOST_VOTES}, got {most}"
            raise ValueError(msg)
        ends: dict[str, int] = {}
        for votes in range(1, most - 1, 2):
            gain = self.gain(votes, votes + 2, same=same)
            for name, one in gain._asdict().items():
                if one < least:
                    ends.setdefault(name, votes)
            if "high" in ends:
                break
        return Measured(*(ends.get(name, most) for name in Measured._fields))

    def _alike(self, same: float | None) -> Measured:
        if same is not None:
            if isinstance(same, bool) or not 0 <= same <= 1:
                msg = f"same is a chance from 0 to 1, got {same!r}"
                raise ValueError(msg)
            return Measured(same, same, same)
        if self.same_wrong is None:
            msg = (
                "how often two wrong votes are alike was not measured: say same=1 for questions of "
                "two answers, or make the cases with Case.voted"
            )
            raise ValueError(msg)
        return self.same_wrong

    def __str__(self) -> str:
        """Say it in a few lines."""
        head = f"{self.cases} cases, {self.votes} votes: one is right {self.right}"
        if self.why:
            return f"{head}\ncan't tell: {self.why}"
        ten = self.effective(10)
        lines = [head, f"correlation {self.rho}; 10 votes are worth {ten}"]
        if self.same_wrong is not None:
            lines.append(f"two wrong votes are alike {self.same_wrong}")
        return "\n".join(lines)


def correlation(cases: Iterable[Case]) -> Correlation:
    """Measure how alike voters err, on labelled cases of two votes or more.

    Below ten such cases, or where all votes are right, or all wrong, it can't tell, and says why.
    Raises ValueError for no cases at all. It only computes.
    """
    given = list(cases)
    for each in given:
        one: object = each
        if not isinstance(one, Case):
            msg = f"cases are such as Case.voted(votes, truth) or Case(3, 5), got {one!r}"
            raise TypeError(msg)
    if not given:
        msg = "correlation needs labelled cases, such as Case.voted(votes, truth), got none"
        raise ValueError(msg)
    counts = tuple([(each.right, each.of) for each in given])
    right, votes = sum(k for k, _ in counts), sum(of for _, of in counts)
    several = [each for each in counts if each[1] > 1]
    if not several or right in (0, votes):
        why = (
            "no case has two votes"
            if not several
            else f"all {votes} votes are {'right' if right else 'wrong'}"
        )
        return Correlation(len(given), votes, _exact(right, votes), None, None, why)
    likelihood = Likelihood(counts)
    rho = likelihood.correlation
    region = likelihood.region()
    means = [mean for mean, _ in region]
    best = likelihood.best[0]
    return Correlation(
        len(given),
        votes,
        Measured(best, min(means), max(means)),
        rho,
        same_wrong(given),
        _too_little(len(several), rho),
        likelihood,
    )


def _too_little(several: int, rho: Measured) -> str:
    if several < FEWEST:
        return f"{several} cases with two votes or more, and it takes {FEWEST}"
    if rho.high - rho.low > WIDEST:
        return f"the correlation may be anything from {rho.low:.2f} to {rho.high:.2f}"
    return ""


def _exact(right: int, votes: int) -> Measured:
    """Give the share where all votes are right or all wrong (the rule of three, Hanley 1983).

    It takes the votes for independent, which is the best that can be said.
    """
    share, width = right / votes, min(1.0, 3 / votes)
    return Measured(share, share if right == 0 else 1 - width, width if right == 0 else share)


def same_wrong(cases: Sequence[Case]) -> Measured | None:
    """Give the chance that two wrong votes on a case are alike, over all such pairs.

    `None` where fewer than ten cases have two wrong votes whose answers are known. The range is by
    resampling whole cases, seeded (the bootstrap of clusters; Davison and Hinkley 1997).
    """
    pairs = []
    for case in cases:
        wrong = case.of - case.right
        if case.wrong is not None and wrong > 1:
            pairs.append((sum(n * (n - 1) for n in case.wrong), wrong * (wrong - 1)))
    if len(pairs) < FEWEST:
        return None
    random = Random(0)
    drawn = sorted(_ratio(random.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    cut = RESAMPLES // 40
    value = _ratio(pairs)
    return Measured(value, min(value, drawn[cut]), max(value, drawn[-cut - 1]))


def _ratio(pairs: Sequence[tuple[int, int]]) -> float:
    return sum(alike for alike, _ in pairs) / sum(of for _, of in pairs)


def _none(mean: float, rho: float, votes: int) -> float:
    """Give the chance that no vote is right."""
    t = rho / (1 - rho)
    chance = 1.0
    for j in range(votes):
        chance *= (1 - mean + j * t) / (1 + j * t)
    return chance
