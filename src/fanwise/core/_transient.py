"""Which failures may pass, and how long their sender asks to wait."""

from __future__ import annotations

import time
from math import isnan
from typing import TYPE_CHECKING, Any

from fanwise.core._errors import (
    BreakerOpen,
    BudgetError,
    FanwiseError,
    LimitError,
    NotDone,
    TimedOut,
    WorkerDied,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._policies import Breaker, Retry

# Client libraries that the base install does not have name their connection errors so.
CONNECTION_NAMES = frozenset(
    {
        "APIConnectionError",
        "ClientConnectionError",
        "ModelConnectionError",
        "ServerDisconnectedError",
        "TransportError",
    }
)
TOO_MANY = 429
PASSING_STATUS = frozenset({408, 409, TOO_MANY})
OVERLOADED = frozenset({TOO_MANY, 503, 529})  # 529: Anthropic's own
OUT_OF_TIME = frozenset({408, 504})


def is_transient(error: BaseException) -> bool:
    """Say whether a failure may pass: connection errors, timeouts, HTTP 408, 409, 429, 5xx.

    So may the end of a worker process under a call: the next one may live longer.
    """
    if isinstance(error, FanwiseError):
        return isinstance(error, (TimedOut, NotDone, WorkerDied))
    if isinstance(error, (ConnectionError, TimeoutError, EOFError)):
        return True
    status = http_status(error)
    if status is not None:
        return status in PASSING_STATUS or 500 <= status <= 599
    return any(kind.__name__ in CONNECTION_NAMES for kind in type(error).__mro__)


def leaves_writes_open(error: BaseException) -> bool:
    """Say whether a write that failed so may have happened all the same."""
    return is_transient(error) and not isinstance(error, NotDone)


def is_retried(error: Exception, retry: Retry) -> bool:
    """Say whether `retry` acts on `error`; what a step lists is retried whatever it is."""
    if isinstance(error, (LimitError, BudgetError, BreakerOpen)):
        return False
    return is_listed(error, retry.on) or is_transient(error)


def is_counted(error: BaseException, breaker: Breaker) -> bool:
    """Say whether `breaker` counts `error` as a failure of what is called."""
    if is_transient(error):
        return True
    return bool(breaker.on) and isinstance(error, Exception) and is_listed(error, breaker.on)


def is_listed(
    error: Exception, on: tuple[type[Exception], ...] | Callable[[Exception], bool]
) -> bool:
    """Say whether a policy's `on` has an error."""
    return isinstance(error, on) if isinstance(on, tuple) else on(error)


def http_status(error: BaseException) -> int | None:
    """Give the HTTP status that an error of any client library carries."""
    for owner in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(owner, name, None)
            if isinstance(value, int) and 100 <= value <= 599:
                return value
    return None


def refusal(error: BaseException) -> BaseException:
    """Give what a provider said: the cause of a `NotDone`, else the error itself."""
    said = isinstance(error, NotDone) and error.__cause__ is not None
    return error.__cause__ or error if said else error


def ran_out(error: BaseException, status: int | None) -> bool:
    """Say whether the time of an attempt was over before its answer came."""
    return status in OUT_OF_TIME or (status is None and isinstance(error, TimeoutError))


def retry_after(error: BaseException) -> float:
    """Give the seconds that the sender asks to wait, or 0: `Retry-After` in both forms.

    `retry-after-ms` goes before it, being exact. For a `NotDone`, the sender of its cause.
    """
    error = refusal(error)
    given = getattr(error, "retry_after", None)
    headers = getattr(getattr(error, "response", error), "headers", None)
    if isinstance(given, (int, float)):
        return _seconds(given) or 0.0
    exact = _seconds(_header(headers, "retry-after-ms"))
    if exact is not None:
        return exact / 1000
    value = _header(headers, "retry-after")
    seconds = _seconds(value)
    return _until(value or "") if seconds is None else seconds


def _seconds(value: str | float | None) -> float | None:
    """Give a number of at least 0; `None` for what is none."""
    try:
        seconds = float("nan" if value is None else value)
    except ValueError:
        return None
    return None if isnan(seconds) else max(0.0, seconds)


def _header(headers: Any, name: str) -> str | None:  # noqa: ANN401 - any mapping of any library
    if not hasattr(headers, "items"):
        return None
    for key, value in headers.items():
        if str(key).lower() == name:
            return str(value)
    return None


def _until(date: str) -> float:
    try:
        given = time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")
    except ValueError:
        return 0.0
    instant = days_from_civil(given.tm_year, given.tm_mon, given.tm_mday) * 86400
    instant += given.tm_hour * 3600 + given.tm_min * 60 + given.tm_sec
    return max(0.0, instant - time.time())


def days_from_civil(year: int, month: int, day: int) -> int:
    """Give the days since 1970-01-01 of a date in the Gregorian calendar.

    Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013. The modules calendar and datetime
    would take 3 ms of every import.
    """
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
