"""How many successes make a fan-in usable, and at how many it stops waiting."""

from __future__ import annotations

Share = int | str


def check_quorum(name: str, value: Share | None, branches: int | None = None) -> None:
    """Raise, naming the argument, where `value` is no count, no share such as "80%", not "all"."""
    if value == "all" or (value is None and name == "enough"):
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
        part, whole = _share(name, value)
        return -(-part * branches // whole)
    return value


def needed(need: Share, enough: Share | None, branches: int) -> int:
    """Give how many must succeed: with `enough` and no other `need`, as many as are enough."""
    if need == "all" and enough is not None:
        return count_of("enough", enough, branches)
    return count_of("need", need, branches)


def check_pair(need: Share, enough: Share | None, branches: int) -> None:
    """Raise where a fan-in would stop waiting before it is usable."""
    if enough is None or need == "all":
        return
    if count_of("need", need, branches) > count_of("enough", enough, branches):
        msg = f"enough={enough!r} is below need={need!r}: it would stop waiting before it is usable"
        raise ValueError(msg)


def _share(name: str, text: str) -> tuple[int, int]:
    """Give a share such as "12.5%" as an exact fraction: floats would round 7% of 100 up to 8."""
    whole, _, decimals = text.removesuffix("%").strip().partition(".")
    digits = whole + decimals
    if not text.endswith("%") or not (digits.isascii() and digits.isdigit()):
        msg = f'{name} is a count, "all" or a share such as "80%", got {text!r}'
        raise ValueError(msg)
    part, of = int(digits), 100 * 10 ** len(decimals)
    if part > of:
        msg = f'{name} is a share from "0%" to "100%", got {text!r}'
        raise ValueError(msg)
    return part, of
