"""What a Redis server's refusal means: whether it passes, and what to do about it."""

from __future__ import annotations

from typing import Final

from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError

from fanwise.core import LimitUnavailable
from fanwise.stores._visit import BoardLost

PASSING: Final = frozenset(
    "ASK BUSY CLUSTERDOWN LOADING MASTERDOWN MISCONF NOREPLICAS OOM READONLY TRYAGAIN".split()
)
"""Refusals that end by themselves, or when somebody has seen to the server."""
ADVICE: Final = {
    "NOAUTH": "the URL needs a password, as in redis://:password@host",
    "WRONGPASS": "the URL has another user or password than the server",
    "NOPERM": "the user of the URL needs the rights +@scripting +@pubsub +@read +@write +time, and "
    "on keys and channels: ~{prefix}:* &{prefix}:*",
    "WRONGTYPE": "keys of that name are something else's: give a prefix of your own",
}
OLD: Final = ("non deterministic commands", "unknown command")
MAY_NOT: Final = "executing the script can't"  # said within a script, without a code


def failure_of(error: Exception, address: str, prefix: str) -> BoardLost | LimitUnavailable:
    """Give what passes as `BoardLost`, and what stays as `LimitUnavailable`, with advice."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    text = str(error).removeprefix(f"{code} ").partition(" script: ")[0]
    stays = isinstance(error, (AuthenticationError, AuthorizationError, ResponseError))
    if not stays or code in PASSING:
        told = f"{code} {text}" if code in PASSING else str(error)
        return BoardLost(told or type(error).__name__)
    advice = ADVICE.get("NOPERM" if MAY_NOT in text else code, "").format(prefix=prefix)
    if any(each in text for each in OLD):
        advice = "limits need Redis 5 or later"
    why = text if code == "ERR" else f"{code} {text}"
    more = advice and f" ({advice})"
    return LimitUnavailable(f"{address} refuses shared limits: {why}{more}")


__all__ = ["failure_of"]
