"""What an attempt will use of a limit's tokens, before anybody knows.

Problem: a reservation that is too small lets too many in, and one that is too large (`max_tokens`)
leaves most of the quota unused until it is settled.
Method: for each step the 90th percentile (nearest rank) of its last hundred settled attempts: of
what was written, and of what was read over what was said beforehand of that very question, since
questions differ in length. Before there is any, two and a half times what the step says of itself,
else a whole bucket: the first attempt of a step of which nothing is known goes alone. Until ten are
settled, the largest one counts up to twice and what was said up to so much, less with each: guesses
are often half of the truth, and those who end first have written least. Of what a provider takes at
admission, more than was reserved is a refusal, and what was too much comes back when it is settled:
there the largest of the hundred is reserved of what is read.
Rejected: the mean (half of all attempts would use more), and a percentile over all steps.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, insort
from collections import deque
from math import ceil, inf, isinf
from typing import TYPE_CHECKING

from fanwise.core._policies import RATES
from fanwise.core._protocols import Amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core._policies import Limit
    from fanwise.core._protocols import Need

log = logging.getLogger("fanwise")
WINDOW = 100  # settled attempts
RANK = 9  # of ten
MOST = 10
SURE = 10  # settled attempts, until which there is doubt
ROUNDING = 1e-6  # of a token
DOUBT = 2.5  # times what is said, at first: one that is half of the truth must not be too little
FAR = 4  # times what is written is far above it


class Percentile:
    """A percentile of the last values, the 90th, by nearest rank; `None` before there is one."""

    __slots__ = ("_latest", "_rank", "_sorted", "value")

    value: float | None

    def __init__(self, rank: int = RANK) -> None:
        """Know nothing; `rank` is in tenths."""
        self._rank = rank
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []
        self.value = None

    def add(self, value: float) -> None:
        """Take a value; the oldest of many is forgotten."""
        if len(self._latest) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(value)
        insort(self._sorted, value)
        count = len(self._sorted)
        self.value = self._sorted[-(-self._rank * count // 10) - 1]

    def sure(self) -> float | None:
        """Give it once enough values are known."""
        return self.value if len(self._latest) >= SURE else None

    def doubtful(self, said: float | None) -> float | None:
        """Give it, or more while few values are known; `said` is what was said beforehand."""
        count = len(self._latest)
        if count >= SURE:
            return said if self.value is None else self.value
        doubt = 1 - count / SURE
        seen = None if self.value is None else self.value * (1 + doubt)
        told = None if said is None else said * DOUBT * doubt
        return max((each for each in (seen, told) if each is not None), default=None)

    def __repr__(self) -> str:
        """Show it."""
        return f"<Percentile {self.value} of {len(self._latest)}>"


class Expected:
    """What attempts of one step are expected to use of one limit."""

    __slots__ = (
        "_asked",
        "_early",
        "_latest",
        "_over",
        "_sizes",
        "_step",
        "_warned",
        "_whole",
        "_written",
    )

    def __init__(self, step: str, limit: Limit) -> None:
        """Know nothing but the sizes of the buckets."""
        self._step = step
        self._early = limit.charge == "admission"
        self._sizes = Sizes(limit)
        self._whole = self._sizes.whole()
        self._latest: tuple[Need | None, Amount] = (None, self._whole)
        rank = MOST if self._early else RANK
        self._asked = Percentile(rank)  # where nothing was said beforehand
        self._over = Percentile(rank)  # read over what was said of it
        self._written = Percentile()
        self._warned = False

    def change(self, limit: Limit) -> None:
        """Know other sizes of the buckets, and the same of the step."""
        self._early = limit.charge == "admission"
        self._sizes = Sizes(limit)
        self._whole = self._sizes.whole()
        self._latest = (None, self._whole)

    def amount(self, need: Need | None) -> Amount:
        """Give what to reserve for an attempt that says this of itself."""
        if need is not None and need is self._latest[0]:
            return self._latest[1]
        amount = self._amount(need)
        self._latest = (need, amount)
        return amount

    def _amount(self, need: Need | None) -> Amount:
        read = self._read(need)
        written = self._written.doubtful(None if need is None else need.tokens_out)
        if read is None or written is None:
            return self._whole
        if need is not None and need.most is not None and (self._early or written > need.most):
            written = need.most
        return self._within(read, written)

    def learn(self, need: Need | None, used: Amount) -> None:
        """Take what a settled attempt used."""
        self._latest = (None, self._whole)
        if need is None or not need.tokens_in:
            self._asked.add(used.tokens_in)
        else:
            self._over.add(used.tokens_in / need.tokens_in)
        self._written.add(used.tokens_out)
        if self._early and need is not None and not self._warned:
            self._warn_of_most(need.most)

    def _warn_of_most(self, most: int | None) -> None:
        """Say once that most of what is charged at admission is never used."""
        usual = self._written.sure()
        if most is None or usual is None or most <= FAR * max(1.0, usual):
            return
        self._warned = True
        log.warning(
            "%s asks for max_tokens=%d, of which nine of ten answers use %.0f or less: under "
            'charge="admission" each takes all of it and gives nothing back, so that most of the '
            "limit is never used; max_tokens=%.0f would do",
            self._step, most, usual, 2 * usual,
        )  # fmt: skip

    def said_nothing(self, need: Need | None) -> None:
        """Say once that a success told nothing of what it used, where nothing else does either."""
        if not self._warned and need is None and self._written.value is None:
            self._warned = True
            log.warning(
                "%s is under a limit of tokens and tells nothing of what it uses, so that each "
                "attempt counts as a whole bucket: say @step(needs=Need(1500, 300)), tell "
                "current().usage(tokens_in=..., tokens_out=...), or return the client's response",
                self._step,
            )

    def _read(self, need: Need | None) -> float | None:
        if need is None or not need.tokens_in:
            return self._asked.doubtful(None if need is None else 0.0)
        return need.tokens_in * (self._over.doubtful(1.0) or 0.0)

    def _within(self, read: float, written: float) -> Amount:
        """Give whole numbers; a guess that is larger than a bucket is cut to it."""
        sizes = self._sizes
        asked, said = ceil(read - ROUNDING), round(written)
        if asked > sizes.tokens_in:
            asked = int(sizes.tokens_in)
        if said > sizes.tokens_out or asked + said > sizes.tokens:
            said = int(sizes.rest(asked))
        return Amount(1, asked, said)

    def __repr__(self) -> str:
        """Name the step."""
        return f"<Expected of {self._step}: {self._asked}, {self._over}, {self._written}>"


class Sizes:
    """How much the full buckets of a limit hold, in whole requests and tokens."""

    __slots__ = ("_sizes", "tokens", "tokens_in", "tokens_out")

    tokens: float  # `inf` where there is no bound
    tokens_in: float
    tokens_out: float

    def __init__(self, limit: Limit) -> None:
        """Count them."""
        self._sizes = {name: int(rate * limit.burst / 60) for name, rate in limit.rates.items()}
        self.tokens = total = self._sizes.get(RATES[1], inf)
        self.tokens_in = min(self._sizes.get(RATES[2], inf), total)
        self.tokens_out = min(self._sizes.get(RATES[3], inf), total)

    @property
    def bound(self) -> bool:
        """Whether any tokens are counted."""
        return not self._sizes.keys() <= {RATES[0]}

    def hold(self, need: Need, *, early: bool) -> bool:
        """Say whether a bucket holds what is needed in any case: what is read, and `early` all."""
        if need.tokens_in > self.tokens_in:
            return False
        return not early or need.most is None or need.most <= self.rest(need.tokens_in)

    def rest(self, read: float) -> float:
        """Give how many tokens may be written beside those that are read."""
        return min(self.tokens_out, self.tokens - read)

    def whole(self) -> Amount:
        """Give an amount that empties every bucket of tokens."""
        read = 0 if isinf(self.tokens_in) else int(self.tokens_in)
        rest = self.rest(read)
        return Amount(1, read, 0 if isinf(rest) else int(rest))

    def each(self, amount: Amount) -> Iterator[tuple[str, int, int]]:
        """Give of each rate its name, what an amount takes of it, and the size of its bucket."""
        requests, read, written = amount
        taken = dict(zip(RATES, (requests, read + written, read, written), strict=True))
        return ((name, taken[name], size) for name, size in self._sizes.items())

    def part(self, amount: Amount) -> float:
        """Give the greatest part of a bucket that an amount takes; 1 of a limit without rates."""
        return max((taken / size for _, taken, size in self.each(amount)), default=1.0)

    def __repr__(self) -> str:
        """Show them."""
        return f"<Sizes {self._sizes}>"
