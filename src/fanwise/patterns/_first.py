"""`first`: a race. The first acceptable result wins, the losers are cancelled and awaited."""

from __future__ import annotations

from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fanwise.core import READS_ONLY, Call, NotEnough, at_least, note, plain_function, waiting_call
from fanwise.patterns._branches import (
    as_calls,
    excused_on_error,
    pattern_step,
    planned,
)
from fanwise.patterns._contest import Contest, refuse_writes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Race(Contest):
    """The watcher behind `first`."""

    __slots__ = ("accept", "context", "timers", "winner")

    def __init__(
        self,
        owner: Call[Any],
        calls: Sequence[Call[Any]],
        accept: Callable[[Any], bool] | None,
    ) -> None:
        """Race `calls` for the pattern call `owner`."""
        super().__init__(owner, calls)
        self.accept = accept
        self.winner: int | None = None
        self.timers: list[asyncio.TimerHandle] = []
        self.context = copy_context()

    def start(self, stagger: Sequence[float] | None) -> None:
        """Set the start of each branch, and start those whose time has come."""
        loop = self.future.get_loop()
        began = loop.time()
        for offset in stagger or ():
            if 0 < offset < inf:
                self.timers.append(loop.call_at(began + offset, self._start_due, began, stagger))
        self._start_due(began, stagger)

    def _start_due(self, began: float, stagger: Sequence[float] | None) -> None:
        now = self.future.get_loop().time() - began
        # A branch that a failure brought forward has been started already.
        due = sum(1 for o in stagger if o <= now) if stagger is not None else len(self.calls)
        while self.winner is None and self.next < due:
            self.ask_next()
        self._start_if_idle()

    def _start_if_idle(self) -> None:
        """When all that run have failed the next starts at once."""
        while self.winner is None and not self.running and self.next < len(self.calls):
            self.ask_next()
        if self.winner is not None or not self.running:
            self.wake()

    def call_ended(self, call: Call[Any]) -> None:
        """Judge a branch that ended."""
        self.hear(call)
        if self.winner is not None or not self.running:
            self.context.run(self._start_if_idle)

    def hear(self, call: Call[Any]) -> None:
        """Take the value of a branch where it is acceptable."""
        self.running -= 1
        if call.status != "ok":
            self.first_failure = self.first_failure or call.error
            return
        index = self.places[call]
        try:
            if self.accept is not None and not self.accept(call.result):
                self.reject(index, ValueError(f"{call.name}: its result was not accepted"))
            elif self.winner is None or index < self.winner:
                self.winner = index  # ties go by position
        except Exception as error:  # noqa: BLE001 - the race fails with it where nobody wins
            self.reject(index, error)

    async def let_go(self) -> dict[int, str]:
        """Cancel and await the losers; give the statuses of the gaps."""
        for timer in self.timers:
            timer.cancel()
        return await super().let_go()


async def _first(
    calls: tuple[Call[Any], ...],
    accept: Callable[[Any], bool] | None,
    schedule: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - the winner's value
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    with excused_on_error(calls):
        stagger = planned(call, schedule)["stagger"]
        check_stagger(stagger, len(calls))
    READS_ONLY.set(call.name)
    race = Race(call, calls, accept)
    try:
        return await _won(race, call, stagger)
    finally:
        race.close()


async def _won(race: Race, call: Call[Any], stagger: Sequence[float] | None) -> Any:  # noqa: ANN401
    try:
        race.start(stagger)
        await race.future
    finally:
        statuses = await race.let_go()
    call.run.runtime.races.count(
        call.plan_name, len(race.calls), race.winner, statuses, staggered=stagger is not None
    )
    if race.winner is not None:
        note(call, winner=race.winner)
        return race.calls[race.winner].result
    found = race.found(statuses)
    msg = f"{call.name}: none of {len(race.calls)} gave an acceptable result\n{found}"
    raise NotEnough(msg, found) from race.first_failure


FIRST = pattern_step(_first, "first")


def check_stagger(stagger: Sequence[float] | None, branches: int) -> None:
    """Raise where the offsets are not one a call, rising from 0."""
    if stagger is None:
        return
    if not isinstance(stagger, (tuple, list)):
        msg = f"stagger has one offset a call, such as (0, 0.05, 0.2), got {stagger!r}"
        raise TypeError(msg)
    if len(stagger) != branches:
        msg = (
            f"stagger has one offset a call, such as (0, 0.05, 0.2): "
            f"got {stagger!r} for {branches} calls"
        )
        raise ValueError(msg)
    for offset in stagger:
        at_least("stagger", offset, 0)
    if list(stagger) != sorted(stagger):
        msg = f"stagger rises with the calls, such as (0, 0.05, 0.2), got {stagger!r}"
        raise ValueError(msg)


@overload
def first(
    a: Call[A] | Awaitable[A], b: Call[B] | Awaitable[B], /, *,
    stagger: Sequence[float] | None = ..., accept: Callable[[A | B], bool] | None = ...,
) -> Call[A | B]: ...  # fmt: skip
@overload
def first(
    a: Call[A] | Awaitable[A], b: Call[B] | Awaitable[B], c: Call[C] | Awaitable[C], /, *,
    stagger: Sequence[float] | None = ..., accept: Callable[[A | B | C], bool] | None = ...,
) -> Call[A | B | C]: ...  # fmt: skip
@overload
def first(
    *calls: Call[T] | Awaitable[T],
    stagger: Sequence[float] | None = ..., accept: Callable[[T], bool] | None = ...,
) -> Call[T]: ...  # fmt: skip
def first(
    *calls: Any,
    stagger: Sequence[float] | None = None,
    accept: Callable[[Any], bool] | None = None,
) -> Call[Any]:
    """Race calls: the first acceptable result, ties by position; the rest is cancelled and awaited.

    `stagger` gives each call's start in seconds from the start of the race (`None`: all at once);
    when all that run have failed the next starts at once (`math.inf`: never before). `accept` says
    whether a value will do. Raises `NotEnough` where none does. Writes are refused with
    `WriteRefused`, below a branch too.
    """
    branches = as_calls(calls, "first")
    if not branches:
        msg = "first(...) takes at least one call, got none"
        raise ValueError(msg)
    with excused_on_error(branches):
        check_stagger(stagger, len(branches))
        refuse_writes(branches, "first")
        plain_function("accept", accept)
    return Call(FIRST, (branches, accept, {"stagger": stagger}), {})
