"""`bind`: a call whose arguments may be calls; a graph without a builder, levels or barriers."""

from __future__ import annotations

from sys import _getframe
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fanwise.core import BoundStep, Call, Step

if TYPE_CHECKING:
    from collections.abc import Callable

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
R = TypeVar("R")


@overload
def bind(some_step: Callable[[], Call[R]], /) -> Call[R]: ...
@overload
def bind(some_step: Callable[[A], Call[R]], a: A | Call[A], /) -> Call[R]: ...
@overload
def bind(some_step: Callable[[A, B], Call[R]], a: A | Call[A], b: B | Call[B], /) -> Call[R]: ...
@overload
def bind(
    some_step: Callable[[A, B, C], Call[R]], a: A | Call[A], b: B | Call[B], c: C | Call[C], /
) -> Call[R]: ...
@overload
def bind(
    some_step: Callable[[A, B, C, D], Call[R]],
    a: A | Call[A], b: B | Call[B], c: C | Call[C], d: D | Call[D], /,
) -> Call[R]: ...  # fmt: skip
@overload
def bind(
    some_step: Callable[[A, B, C, D, E], Call[R]],
    a: A | Call[A], b: B | Call[B], c: C | Call[C], d: D | Call[D], e: E | Call[E], /,
) -> Call[R]: ...  # fmt: skip
@overload
def bind(
    some_step: Callable[..., Call[R]],
    a: object, b: object, c: object, d: object, e: object, f: object, /, *more: object,
) -> Call[R]: ...  # fmt: skip
def bind(some_step: Callable[..., Call[Any]], /, *arguments: object) -> Call[Any]:
    """Give a call of `some_step` whose arguments may be calls.

    Each input starts when the bound call is asked for, and the bound call the moment the last of
    them is there. An input that fails makes it `skipped`, with that error as its cause, after the
    inputs that it let go have ended; awaited alone it raises that error.
    """
    if not isinstance(some_step, (Step, BoundStep)):
        msg = (
            f"bind takes a step and its arguments, such as bind(merge, a(1), b(2)), "
            f"got {some_step!r}"
        )
        raise TypeError(msg)
    call = some_step(*arguments)
    inputs = [each for each in arguments if isinstance(each, Call)]
    if inputs and call.inputs is None and call.status == "new":
        call.inputs = tuple(dict.fromkeys(inputs)) if len(inputs) > 1 else (inputs[0],)
    frame = _getframe(1)
    call.code, call.place = frame.f_code, frame.f_lasti
    return call
