"""A fault as a value: what it does, and on which attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from fanwise.core import plain_function, whole

Own = Callable[[], Awaitable[Any]]
Act = Callable[[Own], Awaitable[Any]]
Numbers = int | Collection[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt that is about to run: which it is, and with which arguments.

    `call` numbers the calls of the step from 1, in the order of their first attempts; `time` is in
    seconds from the first attempt that the script saw.
    """

    call: int
    attempt: int
    time: float
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with an attempt of a step; `fails`, `hangs`, `slow` and others make one.

    A value without state: the same one may stand in several scripts, under several names.
    """

    what: str
    act: Act = field(repr=False)
    call: Numbers | None = None
    attempt: Numbers | None = None
    between: tuple[float, float] | None = None
    most: int | None = None
    share: float | None = None
    when: Callable[..., bool] | None = None

    def only(
        self,
        *,
        call: Numbers | None = None,
        attempt: Numbers | None = None,
        between: tuple[float, float] | None = None,
        most: int | None = None,
        share: float | None = None,
        when: Callable[..., bool] | None = None,
    ) -> Fault:
        """Give the same fault for some attempts only: those of which everything said is true.

        `call` is a number, or several (`range(3, 6)`): of the step's calls, from 1, as they start.
        `attempt` likewise, within a call. `between` is a span in seconds from the first attempt
        that the script saw, its end left out. `most` bounds how often it acts, `share` (0 to 1) is
        drawn for each attempt from the script's seed. `when` gets the step's arguments.
        """
        _check_numbers("call", call)
        _check_numbers("attempt", attempt)
        _check_between(between)
        if most is not None:
            whole("most", most, 1)
        _check_share(share)
        _check_when(when)
        given: dict[str, Any] = {"call": call, "attempt": attempt, "between": between}
        given |= {"most": most, "share": share, "when": when}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def fits(self, asked: Asked) -> bool:
        """Say whether the attempt is one of those meant, but for `most` and `share`."""
        start, end = self.between or (float("-inf"), float("inf"))
        return (
            _among(asked.call, self.call)
            and _among(asked.attempt, self.attempt)
            and start <= asked.time < end
            and (self.when is None or self.when(*asked.args, **asked.kwargs))
        )

    def __or__(self, other: Fault | Choice) -> Choice:
        """Give a choice: the first of both that fits an attempt acts."""
        if not isinstance(other, (Fault, Choice)):
            return NotImplemented
        return Choice((self,)) | other

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [
            f"{name} {_spell(value)}"
            for name, value in (
                ("call", self.call),
                ("attempt", self.attempt),
                ("between", self.between),
                ("most", self.most),
                ("share", self.share),
                ("when", getattr(self.when, "__name__", self.when)),
            )
            if value is not None
        ]
        return self.what + (f" (only {', '.join(parts)})" if parts else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """Several faults, written `a | b`: the first that fits an attempt acts."""

    faults: tuple[Fault, ...]

    def __or__(self, other: Fault | Choice) -> Choice:
        """Add one, or those of another choice."""
        if isinstance(other, Fault):
            return Choice((*self.faults, other))
        if isinstance(other, Choice):
            return Choice((*self.faults, *other.faults))
        return NotImplemented

    def __str__(self) -> str:
        """Say them in a line."""
        return " | ".join(map(str, self.faults))


def _among(number: int, wanted: Numbers | None) -> bool:
    if wanted is None:
        return True
    return number == wanted if isinstance(wanted, int) else number in wanted


def _spell(value: object) -> str:
    if isinstance(value, tuple) and len(value) == 2:
        return f"{value[0]:g} to {value[1]:g} s"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _check_numbers(name: str, numbers: object) -> None:
    each = [numbers] if not isinstance(numbers, Collection) else list(numbers)
    good = each and all(isinstance(one, int) and one >= 1 for one in each)
    if numbers is not None and not good:
        msg = f"{name} is a number from 1, or several such as range(3, 6), got {numbers!r}"
        raise ValueError(msg)


def _check_between(span: object) -> None:
    good = isinstance(span, tuple) and len(span) == 2 and 0 <= span[0] < span[1]
    if span is not None and not good:
        msg = f"between is a span in seconds, such as between=(1.0, 3.0), got {span!r}"
        raise ValueError(msg)


def _check_share(share: object) -> None:
    number = isinstance(share, (int, float)) and 0 <= share <= 1
    if share is not None and not number:
        msg = f"share is a part of the attempts, from 0 to 1, such as share=0.2, got {share!r}"
        raise ValueError(msg)


def _check_when(when: object) -> None:
    if when is None:
        return
    if not callable(when):
        msg = f"when is a function of the step's arguments, giving a bool, got {when!r}"
        raise TypeError(msg)
    plain_function("when", when)
