"""How long a model takes: time to the first token, tokens a second, a slow tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fanwise.testing.twin._values import is_number

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class Pace:
    """What a law drew for one request: seconds to the first token, and between two tokens."""

    first: float
    step: float

    def due(self, token: int) -> float:
        """Give the seconds from the start to token `token`, counted from 0."""
        return self.first + token * self.step

    def until_whole(self, tokens: int) -> float:
        """Give the seconds from the start to the last of so many tokens."""
        return self.due(max(tokens - 1, 0))

    def made(self, seconds: float, tokens: int) -> int:
        """Give how many of so many tokens are made after some seconds."""
        if seconds < self.first:
            return 0
        if self.step == 0:
            return tokens
        return min(tokens, int((seconds - self.first) / self.step) + 1)


@dataclass(frozen=True, slots=True)
class Law:
    """How long a model takes.

    `first` is the seconds to the first token and `per_second` the tokens a second after it
    (`None`: all at once). A share `slow_share` of requests (0 to 1) takes `slow_factor` times as
    long in both. `jitter` (0 to 1) draws each of the two evenly between 1 - jitter and
    1 + jitter times its value. `draws` says what the draws follow besides the seed: the "number" of
    the request, or its "content", so that the same question takes as long each time.
    """

    first: float = 0.0
    per_second: float | None = None
    slow_share: float = 0.0
    slow_factor: float = 10.0
    jitter: float = 0.0
    draws: Literal["number", "content"] = "number"

    def __post_init__(self) -> None:
        """Refuse what no model can do."""
        if not (is_number(self.first) and 0 <= self.first < math.inf):
            raise ValueError(f"first={self.first!r}: seconds to the first token, 0 or more")
        rate = self.per_second
        if rate is not None and not (is_number(rate) and 0 < rate < math.inf):
            msg = f"per_second={self.per_second!r}: tokens a second, above 0, or None for no wait"
            raise ValueError(msg)
        for name, share in (("slow_share", self.slow_share), ("jitter", self.jitter)):
            if not (is_number(share) and 0 <= share <= 1):
                raise ValueError(f"{name}={share!r}: a share between 0 and 1")
        if self.draws not in ("number", "content"):
            raise ValueError(f'draws={self.draws!r}: "number" or "content"')
        if not (is_number(self.slow_factor) and 1 <= self.slow_factor < math.inf):
            raise ValueError(f"slow_factor={self.slow_factor!r}: a factor of 1 or more")

    def draw(self, luck: random.Random) -> Pace:
        """Draw the pace of one request."""
        slow = self.slow_factor if luck.random() < self.slow_share else 1.0
        first = self.first * slow * luck.uniform(1 - self.jitter, 1 + self.jitter)
        gap = 0.0 if self.per_second is None else slow / self.per_second
        return Pace(first, gap * luck.uniform(1 - self.jitter, 1 + self.jitter))
