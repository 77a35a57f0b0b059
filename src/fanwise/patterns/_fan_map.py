"""`fan_map`: a step over data, so many at once, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable, Sized
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast, overload

from fanwise.core import (
    LIVE,
    Call,
    Ending,
    FanIn,
    Outcome,
    as_step,
    ask,
    excuse,
    leave,
    note,
    waiting_call,
    whole,
)
from fanwise.patterns._branches import pattern_step, planned
from fanwise.patterns._fan_out import check_schedule, effective_within
from fanwise.patterns._flow import Flow
from fanwise.patterns._inflow import Job
from fanwise.patterns._quorum import Share, check_quorum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


async def _fan_map(job: Job) -> FanIn[Any]:
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    plan = planned(call, job.schedule)
    check_schedule(plan, len(job.items) if isinstance(job.items, Sized) else None)
    within = effective_within(call, plan["within"])
    flow = job.flow = Flow(call, job, plan)
    try:
        flow.start(within)
        await flow.decided
    finally:
        await flow.let_go()
        job.flow = None
    note(call, **flow.facts())
    return flow.result()


FAN_MAP = pattern_step(_fan_map, "fan_map")


class MapCall(Call[FanIn[R_co]], Generic[R_co]):
    """The call of a `fan_map`: awaited it gives a `FanIn`, `.stream()` outcomes one by one."""

    __slots__ = ()

    def stream(self) -> MapStream[R_co]:
        """Give the outcomes as they finish: `async with fan_map(...).stream() as outcomes:`."""
        return MapStream(self)

    def __aiter__(self) -> NoReturn:
        """Refuse: a `break` would leave calls running."""
        excuse(self)
        msg = (
            "iterate over a stream, so that leaving the loop stops the rest:\n"
            f"    async with {self.step.name}(...).stream() as outcomes:\n"
            "        async for outcome in outcomes: ..."
        )
        raise TypeError(msg)


class MapStream(Generic[R_co]):
    """Outcomes in the order of their ends. Leaving its block cancels what still runs."""

    __slots__ = ("_arrival", "_call", "_queue", "owner")

    owner: Call[Any] | None

    def __init__(self, call: MapCall[R_co]) -> None:
        """Stream the outcomes of `call`."""
        self._call = call
        self._queue: deque[Outcome[R_co]] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self.owner: Call[Any] | None = None

    async def __aenter__(self) -> MapStream[R_co]:
        """Start the call."""
        if self._call.status != "new":
            msg = f"{self._call.name} is {self._call.status}: a stream starts a call that is new"
            raise RuntimeError(msg)
        job = self._call.args[0]
        job.queue = self._queue
        job.arrived = self._wake
        self.owner = waiting_call()
        ask(self._call, self)
        return self

    def call_ended(self, call: Call[Any]) -> None:  # noqa: ARG002 - the protocol of watchers
        """Take note that no outcome will follow."""
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def __aiter__(self) -> MapStream[R_co]:
        """Iterate."""
        return self

    async def __anext__(self) -> Outcome[R_co]:
        """Give the next outcome; at the end raise `NotEnough` where too few succeeded."""
        while not self._queue:
            if self._call.status not in LIVE:
                await self._call  # raises what ended it
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        outcome = self._queue.popleft()
        if self._call.status in LIVE and self._call.args:
            flow = self._call.args[0].flow
            if flow is not None:
                flow.go_on()
        return outcome

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what still runs, and await it."""
        going = leave(self._call, self)
        self.owner = None  # whose error may have the frame of a reader in its traceback
        if going:
            await Ending(self._call).wait()

    def __repr__(self) -> str:
        """Name the call."""
        return f"<stream of {self._call!r}, {len(self._queue)} to be taken>"


@overload
def fan_map(
    step: Callable[[T], Call[R]], items: Iterable[T] | AsyncIterable[T], *, at_once: int,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
) -> MapCall[R]: ...  # fmt: skip
@overload
def fan_map(
    step: Callable[[T], AsyncIterator[R]], items: Iterable[T] | AsyncIterable[T], *, at_once: int,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
) -> MapCall[list[R]]: ...  # fmt: skip
@overload
def fan_map(
    step: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], *, at_once: int,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
) -> MapCall[R]: ...  # fmt: skip
@overload
def fan_map(
    step: Callable[[T], R], items: Iterable[T] | AsyncIterable[T], *, at_once: int,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
) -> MapCall[R]: ...  # fmt: skip
def fan_map(
    step: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    at_once: int,
    need: Share = "all",
    enough: Share | None = None,
    within: float | None = None,
) -> MapCall[Any]:
    """Run a step over data, `at_once` items at the same time, and gather outcomes in input order.

    The input, iterable or async iterable, is read as places become free. `need`, `enough` and
    `within` as in `fan_out`; where the length is unknown, shares and a `need` above the number are
    decided when the input ends. A source that raises ends the input: what runs is finished, then
    `NotEnough` comes with that cause. An item never read has no outcome.
    """
    if not isinstance(items, (Iterable, AsyncIterable)):
        msg = f"items is an iterable or async iterable, got {items!r}"
        raise TypeError(msg)
    whole("at_once", at_once, 1)
    schedule = {"need": need, "enough": enough, "within": within, "at_once": at_once}
    length = len(items) if isinstance(items, Sized) else None
    check_schedule(schedule, length)
    check_quorum("need", need, length)
    job = Job(cast("Callable[..., Call[Any]]", as_step(step)), items, schedule)
    return MapCall(FAN_MAP, (job,), {})
