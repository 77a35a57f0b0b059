"""Requests and tokens a minute: the twin's own buckets, and the headers that tell of them.

The algorithm is the leaky bucket as a meter, in its virtual-scheduling form (GCRA: ITU-T I.371,
annex A): a bucket is one number, the instant at which it will be full. It needs no clock of its
own, and taking is one addition, so that errors of rounding do not add up between two refills.
Rejected: a count and the time of its last refill (each look at it rounds anew).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from fanwise.testing.twin._http import Refused
from fanwise.testing.twin._values import is_number

if TYPE_CHECKING:
    from fanwise.testing.twin._values import Ask, Protocol

_ROUNDING: Final = 1e-9
"""Seconds by which a wait may be missed and still count as over."""
_NAMES: Final = {
    "requests": "requests",
    "tokens": "tokens",
    "input": "input-tokens",
    "output": "output-tokens",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key may use of a model in a minute; `None` is no bound.

    `charge` says when tokens of output count: "admission" takes `max_tokens` with the input when
    a request comes, and gives nothing back; "use" takes the input then and the output as it has
    been made, which may leave a debt. Each bucket holds `burst_s` seconds' worth and refills
    evenly. A refused request takes nothing.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    charge: Literal["admission", "use"] = "admission"
    burst_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse rates that no request could pass."""
        for name, limit in self.limits.items():
            if not (is_number(limit) and 0 < limit < math.inf):
                named = f"{name}_tokens" if name in ("input", "output") else name
                raise ValueError(f"{named}_per_minute={limit!r}: above 0, or None for no bound")
        if self.charge not in ("admission", "use"):
            raise ValueError(f'charge={self.charge!r}: "admission" or "use"')
        if not (is_number(self.burst_s) and 0 < self.burst_s < math.inf):
            raise ValueError(f"burst_s={self.burst_s!r}: seconds' worth that a bucket holds, > 0")

    @property
    def limits(self) -> dict[str, float]:
        """The bounds that there are, a minute: requests, tokens, input, output."""
        every = {
            "requests": self.requests_per_minute,
            "tokens": self.tokens_per_minute,
            "input": self.input_tokens_per_minute,
            "output": self.output_tokens_per_minute,
        }
        return {name: limit for name, limit in every.items() if limit is not None}


class Bucket:
    """One bound: `limit` a minute, of which `size` may be taken at once. Times in seconds."""

    __slots__ = ("full_at", "limit", "rate", "size")

    def __init__(self, limit: float, burst_s: float) -> None:
        self.limit, self.rate = limit, limit / 60
        self.size = self.rate * burst_s
        self.full_at = -math.inf

    def __repr__(self) -> str:
        """Show the bound."""
        return f"<Bucket {self.limit:g} a minute, {self.size:g} at once>"

    def level(self, now: float) -> float:
        """Give what may be taken; below zero where more was used than there was."""
        return self.size - self.until_full(now) * self.rate

    def until_full(self, now: float) -> float:
        """Give the seconds until nothing is missing."""
        return max(0.0, self.full_at - now)

    def wait(self, now: float, amount: float) -> float:
        """Give the seconds until so much may be taken; infinite where it never fits."""
        if amount > self.size:
            return math.inf
        wait = self.until_full(now) - (self.size - amount) / self.rate
        return wait if wait > _ROUNDING else 0.0

    def take(self, now: float, amount: float) -> None:
        """Take an amount, whether it is there or not."""
        self.full_at = max(self.full_at, now) + amount / self.rate


class Gate:
    """The buckets of one key and model."""

    __slots__ = ("buckets", "quota")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.buckets = {name: Bucket(each, quota.burst_s) for name, each in quota.limits.items()}

    def __repr__(self) -> str:
        """Show the buckets."""
        return f"<Gate {self.buckets}>"

    def admit(self, ask: Ask, now: float, tokens: int) -> None:
        """Take what a request costs, or raise Refused (429) and take nothing."""
        most = ask.max_tokens or 0
        ahead = most if self.quota.charge == "admission" else 0
        costs = {"requests": 1, "tokens": tokens + ahead, "input": tokens, "output": ahead}
        # A debt of output shuts the door, though nothing of it is taken before it is made.
        waits = {
            name: bucket.wait(now, max(costs[name], min(1, bucket.size)))
            for name, bucket in self.buckets.items()
        }
        worst = max(waits, key=waits.__getitem__, default="")
        if worst and waits[worst]:
            raise self._refusal(ask, worst, waits[worst], costs[worst])
        for name, bucket in self.buckets.items():
            bucket.take(now, costs[name])

    def used(self, now: float, tokens_out: int) -> None:
        """Take the output that was made, where it was not taken at admission."""
        if self.quota.charge == "use":
            for name in ("tokens", "output"):
                if name in self.buckets:
                    self.buckets[name].take(now, tokens_out)

    def _refusal(self, ask: Ask, name: str, wait: float, cost: int) -> Refused:
        limit = self.buckets[name].limit
        unit = "RPM" if name == "requests" else "TPM"
        where = f"for {ask.model} on {_NAMES[name]} per min ({unit}): Limit {limit:g}"
        if math.isinf(wait):
            text = f"Request too large {where}, Requested {cost}."
            refused = Refused(429, "rate", text, code="rate_limit_exceeded")
            refused.headers = {"x-should-retry": "false"}
            return refused
        again = {"retry-after": str(math.ceil(wait))}
        if ask.protocol == "openai":
            again["retry-after-ms"] = str(math.ceil(wait * 1000))
        text = f"Rate limit reached {where}, Requested {cost}. Please try again in {spell(wait)}."
        return Refused(429, "rate", text, code="rate_limit_exceeded", headers=again)

    def headers(self, protocol: Protocol, now: float, wall: float) -> dict[str, str]:
        """Give the headers of a provider; `wall` is `now` in seconds since 1970."""
        if protocol == "openai":
            return self._openai(now)
        found: dict[str, str] = {}
        for name, bucket in self.buckets.items():
            full = datetime.fromtimestamp(math.ceil(wall + bucket.until_full(now)), UTC)
            start = f"anthropic-ratelimit-{_NAMES[name]}"
            found[f"{start}-limit"] = f"{bucket.limit:.0f}"
            found[f"{start}-remaining"] = str(_left(bucket, now))
            found[f"{start}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
        return found

    def _openai(self, now: float) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in ("requests", "tokens"):
            bucket = self.buckets.get(name)
            if bucket is None:
                continue
            found[f"x-ratelimit-limit-{name}"] = f"{bucket.limit:.0f}"
            found[f"x-ratelimit-remaining-{name}"] = str(_left(bucket, now))
            found[f"x-ratelimit-reset-{name}"] = spell(bucket.until_full(now))
        return found


def _left(bucket: Bucket, now: float) -> int:
    return max(0, math.floor(bucket.level(now) + _ROUNDING))


def spell(seconds: float) -> str:
    """Write seconds as OpenAI does: `20ms`, `1.5s`, `6m0s`, `1h2m3s`; rounded up to the ms."""
    thousandths = math.ceil(round(seconds * 1000, 6))
    if thousandths < 1000:
        return f"{thousandths}ms"
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    told = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{told}"
    return f"{minutes}m{told}" if minutes else told
