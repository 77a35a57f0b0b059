"""`pipeline`: stages that overlap, over bounded buffers, each item with its own outcome."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sized
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from fanwise.core import (
    Call,
    FanIn,
    LimitHeld,
    as_step,
    at_least,
    excuse,
    note,
    waiting_call,
    whole,
)
from fanwise.patterns._batches import BatchStation
from fanwise.patterns._branches import pattern_step, planned
from fanwise.patterns._fan_map import MapCall
from fanwise.patterns._fan_out import check_schedule, effective_within
from fanwise.patterns._inflow import Job
from fanwise.patterns._line import Line
from fanwise.patterns._quorum import Share, check_quorum
from fanwise.patterns._spreading import SpreadStation
from fanwise.patterns._stations import Station

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Stage(Generic[A_contra, B_co]):
    """One part of a pipeline; `stage` makes it."""

    step: Callable[..., Any]
    at_once: int
    buffer: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What gathers items into lists for the stage after it; `batch` makes it."""

    size: int
    linger: float | None


async def _pipeline(job: Job) -> FanIn[Any]:
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    plan = planned(call, job.schedule)
    check_schedule(plan, len(job.items) if isinstance(job.items, Sized) else None)
    builds = list(_stations(call, job.work))
    within = effective_within(call, plan["within"])
    line = job.flow = Line(call, job, plan, builds)
    try:
        line.start(within)
        await line.decided
    finally:
        await line.let_go()
        job.flow = None
    note(call, **line.facts())
    return line.result()


PIPELINE = pattern_step(_pipeline, "pipeline")


def _stations(
    call: Call[Any], parts: Sequence[Stage[Any, Any] | Batch]
) -> Iterator[Callable[[Line], Station]]:
    """Give what makes the station of each stage, under the plan."""
    gathers: Batch | None = None
    held: dict[str, str] = {}  # limits that streams hold until their pieces have gone on
    for part in parts:
        if isinstance(part, Batch):
            gathers = part
            continue
        given: dict[str, Any] = {"at_once": part.at_once, "buffer": part.buffer}
        if gathers is not None:
            given |= {"batch": gathers.size, "linger": gathers.linger}
        step: Any = as_step(part.step)
        streams = gathers is None and getattr(step, "step", step).streams
        _refuse_held(call, step, held, streams=streams)
        plan = _stage_plan(call, f"{call.plan_name}/{step.name}", given)
        if gathers is None:
            kind = SpreadStation if streams else Station
            yield partial(kind, step=step, at_once=plan["at_once"], buffer=plan["buffer"])
        else:
            yield partial(BatchStation, step=step, plan=plan)
        gathers = None


def _refuse_held(call: Call[Any], step: Any, held: dict[str, str], *, streams: bool) -> None:  # noqa: ANN401
    """Raise where a stage needs a slot that a stream before it keeps until that stage has room."""
    definition = getattr(step, "step", step)
    runtime = call.run.runtime
    policy = definition.policy if runtime.plan is None else runtime.policy_of(definition)
    if policy.limit is None:
        return
    if policy.limit in held:
        msg = (
            f"the stage {step.name} asks for the limit {policy.limit!r}, which the stream "
            f"{held[policy.limit]} before it holds until {step.name} has room for its pieces: give "
            "the two steps different limits"
        )
        raise LimitHeld(msg)
    if streams:
        held[policy.limit] = step.name


def _stage_plan(call: Call[Any], name: str, given: dict[str, Any]) -> Mapping[str, Any]:
    runtime = call.run.runtime
    if runtime.plan is None:
        return given
    found = runtime.schedule_of(name)
    unknown = sorted(found.keys() - given.keys())
    if unknown:
        msg = f"plan[{name!r}] has {unknown[0]!r}; this stage has: {sorted(given)}"
        raise ValueError(msg)
    plan = given | dict(found)
    whole("at_once", plan["at_once"], 1)
    whole("buffer", plan["buffer"], 0)
    if "batch" in plan:
        batch(plan["batch"], linger=plan["linger"])
    return plan


@overload
def stage(
    step: Callable[[A], Call[B]], *, at_once: int = ..., buffer: int | None = ...
) -> Stage[A, B]: ...
@overload
def stage(
    step: Callable[[A], AsyncIterator[B]], *, at_once: int = ..., buffer: int | None = ...
) -> Stage[A, list[B]]: ...
@overload
def stage(
    step: Callable[[A], Awaitable[B]], *, at_once: int = ..., buffer: int | None = ...
) -> Stage[A, B]: ...
@overload
def stage(
    step: Callable[[A], B], *, at_once: int = ..., buffer: int | None = ...
) -> Stage[A, B]: ...
def stage(
    step: Callable[..., Any], *, at_once: int = 1, buffer: int | None = None
) -> Stage[Any, Any]:
    """Make a stage of a pipeline: `step` for each item, or for each batch after a `batch`.

    At most `at_once` of its calls run at the same time, and at most `buffer` items (after a
    `batch`: batches) wait before it (`None`: as many as `at_once`; 0: none waits).
    """
    if isinstance(step, Call):
        excuse(step)
        msg = f"a stage takes the step, not a call of it: stage({step.name}), got {step!r}"
        raise TypeError(msg)
    if not callable(step):
        msg = f"a stage is made of a step or a function, such as stage(load), got {step!r}"
        raise TypeError(msg)
    whole("at_once", at_once, 1)
    if buffer is not None:
        whole("buffer", buffer, 0)
    return Stage(as_step(step), at_once, at_once if buffer is None else buffer)


def batch(size: int, *, linger: float | None = None) -> Batch:
    """Gather items into lists of up to `size` for the next stage of a pipeline.

    A list is handed over when it is full, `linger` seconds after its first item came (`None`: not
    before it is full), or when the input has ended; and when that stage has a place for it. Its
    step takes the list and gives one of the same length.
    """
    whole("size", size, 1)
    if linger is not None:
        at_least("linger", linger, 0)
    return Batch(size, linger)


@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A], first: Stage[A, T], /, *,
    need: Share = ..., within: float | None = ...,
) -> MapCall[T]: ...  # fmt: skip
@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A], first: Stage[A, B], second: Stage[B, T], /, *,
    need: Share = ..., within: float | None = ...,
) -> MapCall[T]: ...  # fmt: skip
@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B], second: Stage[B, C], third: Stage[C, T], /, *,
    need: Share = ..., within: float | None = ...,
) -> MapCall[T]: ...  # fmt: skip
@overload
def pipeline(
    source: Iterable[A] | AsyncIterable[A],
    first: Stage[A, B], second: Stage[B, C], third: Stage[C, D], fourth: Stage[D, T], /, *,
    need: Share = ..., within: float | None = ...,
) -> MapCall[T]: ...  # fmt: skip
@overload
def pipeline(
    source: Iterable[Any] | AsyncIterable[Any], /, *parts: Stage[Any, Any] | Batch,
    need: Share = ..., within: float | None = ...,
) -> MapCall[Any]: ...  # fmt: skip
def pipeline(
    source: Iterable[Any] | AsyncIterable[Any],
    /,
    *parts: Stage[Any, Any] | Batch,
    need: Share = 0,
    within: float | None = None,
) -> MapCall[Any]:
    """Send the items of a source through stages that overlap, over bounded buffers.

    The source, iterable or async iterable, is read as the first stage has room. A failure ends its
    item, which gets that outcome, and nothing else; `need` (0) says how many items must succeed,
    as a count or a share, and `within`, in seconds, bounds all of it. A source that raises ends the
    input: what is on its way is finished, then `NotEnough` comes with that cause. Awaited it gives
    a `FanIn` in source order; `.stream()` gives outcomes as items end. Cancelled, it leaves what
    runs, and awaits it.
    """
    if not isinstance(source, (Iterable, AsyncIterable)):
        msg = f"source is an iterable or async iterable, got {source!r}"
        raise TypeError(msg)
    _check_parts(parts)
    schedule = {"need": need, "enough": None, "within": within}
    length = len(source) if isinstance(source, Sized) else None
    check_schedule(schedule, length)
    check_quorum("need", need, length)
    return MapCall(PIPELINE, (Job(parts, source, schedule),), {})


def _check_parts(parts: Sequence[object]) -> None:
    example = "pipeline(source, stage(load), batch(64), stage(embed))"
    if not parts:
        msg = f"a pipeline has at least one stage, such as {example}"
        raise TypeError(msg)
    for part in parts:
        if not isinstance(part, (Stage, Batch)):
            cure = f": stage({getattr(part, 'name', getattr(part, '__name__', 'step'))})"
            msg = f"a pipeline is made of stages and batches, got {part!r}"
            raise TypeError(msg + (cure if callable(part) else f", such as {example}"))
    gathers = [isinstance(part, Batch) for part in parts]
    for place in range(len(parts) - 1):
        if gathers[place] and gathers[place + 1]:
            two = f"{parts[place]} and {parts[place + 1]}"
            msg = f"two batches in a row, {two}: give one, or a stage between them"
            raise ValueError(msg)
    if gathers[-1]:
        msg = f"{parts[-1]} is the last part, and no stage takes its lists: put a stage after it"
        raise ValueError(msg)
