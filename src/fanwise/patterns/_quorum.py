"""How many successes make a fan-in usable, and at how many it stops waiting."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

Share = int | str


def check_quorum(name: str, value: Share | None, branches: int | None = None) -> None:
    """Raise, naming the argument, where `value` is no count, no share such as "80%", not "all"."""
    if value is None or value == "all":
        return
    if isinstance(value, str):
        _share(name, value)
    elif isinstance(value, bool) or not isinstance(value, int):
        msg = f'{name} is a count or a share such as "80%", got {value!r}'
        raise TypeError(msg)
    elif value < 0:
        msg = f"{name} is at least 0, got {value}"
        raise ValueError(msg)
    elif branches is not None and value > branches:
        msg = f'{name}={value} is above the number of branches, {branches}: at most {name}="all"'
        raise ValueError(msg)


def count_of(name: str, value: Share, branches: int) -> int:
    """Give the count that a quorum means among so many branches; shares are rounded up."""
    if value == "all":
        return branches
    if isinstance(value, str):
        return ceil(_share(name, value) * branches)
    return value


def _share(name: str, text: str) -> Fraction:
    try:
        if not text.endswith("%"):
            raise ValueError(text)  # noqa: TRY301 - one message for both ways to be wrong
        share = Fraction(text[:-1].strip()) / 100
    except (ValueError, ZeroDivisionError):
        msg = f'{name} is a count, "all" or a share such as "80%", got {text!r}'
        raise ValueError(msg) from None
    if not 0 <= share <= 1:
        msg = f'{name} is a share from "0%" to "100%", got {text!r}'
        raise ValueError(msg)
    return share
