"""`first`: a race. The first acceptable result wins, the losers are cancelled and awaited."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fanwise.core import (
    LIVE,
    READS_ONLY,
    Call,
    CallDropped,
    CallSkipped,
    Ending,
    FanIn,
    FanwiseError,
    NotEnough,
    Outcome,
    WriteRefused,
    ask,
    at_least,
    excuse,
    leave,
    note,
    plain_function,
    waiting_call,
)
from fanwise.patterns._branches import (
    as_calls,
    excused_on_error,
    pattern_step,
    planned,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Race:
    """The watcher behind `first`."""

    __slots__ = ("accept", "calls", "context", "first_failure", "future", "next", "owner",
                 "refused", "rejected", "running", "timers", "winner")  # fmt: skip

    def __init__(
        self,
        owner: Call[Any],
        calls: Sequence[Call[Any]],
        accept: Callable[[Any], bool] | None,
    ) -> None:
        """Race `calls` for the pattern call `owner`."""
        self.owner: Call[Any] | None = owner
        self.calls = calls
        self.accept = accept
        self.next = self.running = 0
        self.winner: int | None = None
        self.first_failure: BaseException | None = None
        self.rejected: set[int] = set()
        self.refused: dict[int, BaseException] = {}
        self.timers: list[asyncio.TimerHandle] = []
        self.context = copy_context()
        self.future: asyncio.Future[None] = owner.run.runtime.loop.create_future()

    def start(self, stagger: Sequence[float] | None) -> None:
        """Set the start of each branch, and start those whose time has come."""
        loop = self.future.get_loop()
        began = loop.time()
        for offset in stagger or ():
            if offset > 0:
                self.timers.append(loop.call_at(began + offset, self._start_due, began, stagger))
        self._start_due(began, stagger)

    def _start_due(self, began: float, stagger: Sequence[float] | None) -> None:
        now = self.future.get_loop().time() - began
        # A branch that a failure brought forward has been started already.
        due = sum(1 for o in stagger if o <= now) if stagger is not None else len(self.calls)
        while self.winner is None and self.next < due:
            self.start_next()
        self._start_if_idle()

    def start_next(self) -> None:
        """Start the next branch in line."""
        index = self.next
        call = self.calls[index]
        self.next += 1
        self.running += 1
        if call.status == "new":
            call.fan_in = self.owner.id  # type: ignore[union-attr]
        try:
            if ask(call, self):
                self._count(call)
        except FanwiseError as error:
            self.refused[index] = error
            self.first_failure = self.first_failure or error
            self.running -= 1

    def _start_if_idle(self) -> None:
        """When all that run have failed the next starts at once."""
        while self.winner is None and not self.running and self.next < len(self.calls):
            self.start_next()
        if (self.winner is not None or not self.running) and not self.future.done():
            self.future.set_result(None)

    def call_ended(self, call: Call[Any]) -> None:
        """Judge a branch that ended."""
        self._count(call)
        if self.winner is not None or not self.running:
            self.context.run(self._start_if_idle)

    def _count(self, call: Call[Any]) -> None:
        self.running -= 1
        if call.status != "ok":
            self.first_failure = self.first_failure or call.error
            return
        index = next(i for i, each in enumerate(self.calls) if each is call)
        try:
            accepted = self.accept is None or self.accept(call.result)
        except Exception as error:  # noqa: BLE001 - the race fails with it, see verdict
            self.refused[index] = error
            accepted = False
        if not accepted:
            self.rejected.add(index)
            self.first_failure = self.first_failure or self._cause(index, call, "failed")
        elif self.winner is None or index < self.winner:
            self.winner = index  # ties go by position

    async def let_go(self) -> dict[int, str]:
        """Cancel and await the losers; give the statuses of all but the winner."""
        for timer in self.timers:
            timer.cancel()
        statuses: dict[int, str] = {}
        ending = Ending()
        for index, call in enumerate(self.calls):
            status = call.status
            if index >= self.next or (index in self.refused and index not in self.rejected):
                excuse(call)
                statuses[index] = "skipped"
            elif status in LIVE:
                statuses[index] = "cancelled" if call.attempts else "skipped"
                if leave(call, self):
                    ending.add(call)
            elif index in self.rejected:
                statuses[index] = "failed"
            elif status != "ok":
                statuses[index] = status
        if ending.open:
            await ending.wait()
        return statuses

    def found(self, statuses: Mapping[int, str]) -> FanIn[Any]:
        """Give the outcomes of a race that nobody won."""
        gaps: dict[int, Outcome[Any]] = {}
        for index, status in statuses.items():
            call = self.calls[index]
            known = None if status == "skipped" else call
            gaps[index] = Outcome(known, status, call.name, index)  # type: ignore[arg-type]
            gaps[index].error = self._cause(index, call, status)
            if index in self.rejected:
                gaps[index].late = call.result  # refused, and yet paid for
        return FanIn(self.calls, (), gaps)

    def _cause(self, index: int, call: Call[Any], status: str) -> BaseException:
        if index in self.refused:
            return self.refused[index]
        if index in self.rejected:
            return ValueError(f"{call.name}: its result was not accepted")
        if index < self.next and call.error is not None:
            return call.error
        if status == "skipped":
            return CallSkipped(f"{call.name} was not started")
        return CallDropped(f"{call.name} was cancelled")

    def __repr__(self) -> str:
        """Count."""
        return f"<Race of {len(self.calls)}, {self.running} running>"


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
        race.start(stagger)
        await race.future
    finally:
        statuses = await race.let_go()
    winner = race.winner
    if winner is not None:
        note(call, winner=winner)
        return calls[winner].result
    found = race.found(statuses)
    msg = f"{call.name}: none of {len(calls)} gave an acceptable result\n{found}"
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
    when all that run have failed the next starts at once. `accept` says whether a value will do.
    Raises `NotEnough` where none does. Writes are refused with `WriteRefused`, below a branch too.
    """
    branches = as_calls(calls, "first")
    if not branches:
        msg = "first(...) takes at least one call, got none"
        raise ValueError(msg)
    with excused_on_error(branches):
        check_stagger(stagger, len(branches))
        refuse_writes(branches)
        plain_function("accept", accept)
    return Call(FIRST, (branches, accept, {"stagger": stagger}), {})


def refuse_writes(branches: Sequence[Call[Any]]) -> None:
    """Raise where a branch is a write."""
    for branch in branches:
        if branch.step.writes:
            msg = (
                f"first(...) got {branch.name}, a write: the losers of a race are cancelled, "
                "so that it may not act"
            )
            raise WriteRefused(msg)
