"""What a provider says of its limits with each response: the two families of headers.

OpenAI and those who copy it write `x-ratelimit-remaining-requests: 59` with a length of time
(`6m0s`, `20ms`); Anthropic writes `anthropic-ratelimit-requests-remaining: 59` with an instant
(RFC 3339). Both are read as seconds from the response on. Sources: platform.openai.com/docs/guides/
rate-limits, docs.anthropic.com/en/api/rate-limits, RFC 9110 section 10.2.3 (`Retry-After`).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Final, Protocol

_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_SPAN: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|[dhms]))+")
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_SECONDS: Final = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}


@dataclass(frozen=True, slots=True)
class Room:
    """One limit as it stands: what a full bucket holds, what is left, seconds until it is full."""

    limit: int | None
    remaining: int | None
    reset: float | None


_NOTHING: Final = Room(None, None, None)


@dataclass(frozen=True, slots=True)
class Rates:
    """A provider's limits as a response told them; `None` where it says nothing.

    `retry_after` is in seconds. `tokens` is the limit over all tokens; Anthropic tells those read
    and those written apart as well.
    """

    requests: Room | None = None
    tokens: Room | None = None
    tokens_in: Room | None = None
    tokens_out: Room | None = None
    retry_after: float | None = None


class RatesListener(Protocol):
    """Whoever wants to know a provider's limits; called in the loop, and must not wait or raise."""

    def __call__(self, model: str, rates: Rates, /) -> None:
        """Hear what a response to `model` (its address) said of its limits."""
        ...


def read_rates(headers: Mapping[str, str], *, now: float | None = None) -> Rates | None:
    """Read the headers of a response, `None` where none of them is about limits.

    Names are looked up in lower case. Instants count from the response's own `date`, so that clocks
    need not agree, else from `now` (Unix seconds, default: the wall clock). What cannot be read is
    taken as not said.
    """
    if not any("ratelimit" in name or name.startswith("retry-after") for name in headers):
        return None
    instant = _date(headers.get("date")) or (time.time() if now is None else now)
    rates = Rates(
        _room(headers, "requests", instant),
        _room(headers, "tokens", instant),
        _room(headers, "input-tokens", instant),
        _room(headers, "output-tokens", instant),
        read_retry_after(headers, instant),
    )
    return None if rates == Rates() else rates


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read `retry-after-ms`, else `Retry-After` (seconds, or an HTTP date), in seconds from 0."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    given = headers.get("retry-after")
    seconds = _number(given)
    if seconds is not None:
        return max(0.0, seconds)
    date = _date(given)
    return None if date is None else max(0.0, date - now)


def _room(headers: Mapping[str, str], kind: str, now: float) -> Room | None:
    room = Room(
        _count(headers.get(f"x-ratelimit-limit-{kind}")),
        _count(headers.get(f"x-ratelimit-remaining-{kind}")),
        _length(headers.get(f"x-ratelimit-reset-{kind}")),
    )
    if room == _NOTHING:
        prefix = f"anthropic-ratelimit-{kind}"
        room = Room(
            _count(headers.get(f"{prefix}-limit")),
            _count(headers.get(f"{prefix}-remaining")),
            _from_now(headers.get(f"{prefix}-reset"), now),
        )
    return None if room == _NOTHING else room


def _number(given: str | None) -> float | None:
    try:
        number = float(given or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _count(given: str | None) -> int | None:
    number = _number(given)
    return None if number is None else int(number)


def _length(given: str | None) -> float | None:
    """Read `6m0s`, `1h2m3.5s`, `20ms`, or plain seconds."""
    if given is not None and _SPAN.fullmatch(given):
        return sum(float(count) * _SECONDS[unit] for count, unit in _LENGTH.findall(given))
    return _number(given)


def _from_now(given: str | None, now: float) -> float | None:
    try:
        instant = datetime.fromisoformat(given or "")
    except ValueError:
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now)


def _date(given: str | None) -> float | None:
    try:
        return datetime.strptime(given or "", _HTTP_DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
