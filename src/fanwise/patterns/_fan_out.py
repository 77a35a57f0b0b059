"""`fan_out`: several calls at once, their outcomes in the order given."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from fanwise.core import DEADLINE, Call, FanIn, at_least, note, waiting_call, whole
from fanwise.patterns._ahead import begin_ahead
from fanwise.patterns._branches import as_calls, excused_on_error, pattern_step, planned
from fanwise.patterns._gathering import Gathering
from fanwise.patterns._quorum import Share, check_pair, check_quorum, count_of, needed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


async def _fan_out(
    calls: tuple[Call[Any], ...], names: tuple[str | None, ...], schedule: Mapping[str, Any]
) -> FanIn[Any]:
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    begun = call.inputs
    if begun is None:
        gathering = await _gathered(call, calls, schedule)
    else:  # without a task, until there was something to decide
        gathering = cast("Gathering", begun)
        call.inputs = None
    statuses = await gathering.let_go()
    if call.dropped:
        raise CancelledError
    found = FanIn(calls, names, gathering.gaps(statuses)) if statuses else FanIn(calls, names)
    if statuses:
        note(call, **gathering.facts(len(statuses)))
        gathering.verdict(found)
    return found


async def _gathered(
    call: Call[Any], calls: tuple[Call[Any], ...], schedule: Mapping[str, Any]
) -> Gathering:
    """Start the branches of a call that has a task, and wait for a decision."""
    with excused_on_error(calls):
        plan = planned(call, schedule)
        check_schedule(plan, len(calls))
    within = effective_within(call, plan["within"])
    enough = plan["enough"]
    gathering = Gathering(
        call,
        calls,
        needed(plan["need"], enough, len(calls)),
        None if enough is None else count_of("enough", enough, len(calls)),
    )
    if calls:
        gathering.start(plan["at_once"], within)
        await gathering.closed()
    return gathering


FAN_OUT = pattern_step(_fan_out, "fan_out")
FAN_OUT.ahead = begin_ahead
PLAIN = ("all", None, None, None)
ALL: Mapping[str, Any] = {"need": "all", "enough": None, "within": None, "at_once": None}


def effective_within(call: Call[Any], within: float | None) -> float | None:
    """Let the time of a fan-in travel down to its branches; debugging lifts it."""
    runtime = call.run.runtime
    if within is None or runtime.untimed:
        return None
    until = runtime.time() + within
    outer = DEADLINE.get()
    DEADLINE.set(until if outer is None else min(until, outer))
    return within


def check_schedule(schedule: Mapping[str, Any], branches: int | None) -> None:
    """Raise, naming the argument, where a fan-in's schedule cannot be meant."""
    check_quorum("need", schedule["need"], branches)
    check_quorum("enough", schedule["enough"], branches)
    if branches is not None:
        check_pair(schedule["need"], schedule["enough"], branches)
    if schedule["within"] is not None:
        at_least("within", schedule["within"], 0)
    if schedule.get("at_once") is not None:  # a pipeline has none of its own
        whole("at_once", schedule["at_once"], 1)


@overload
def fan_out(
    a: Call[A] | Awaitable[A], /, *,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
    at_once: int | None = ...,
) -> Call[FanIn[A]]: ...  # fmt: skip
@overload
def fan_out(
    a: Call[A] | Awaitable[A], b: Call[B] | Awaitable[B], /, *,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
    at_once: int | None = ...,
) -> Call[FanIn[A | B]]: ...  # fmt: skip
@overload
def fan_out(
    a: Call[A] | Awaitable[A], b: Call[B] | Awaitable[B], c: Call[C] | Awaitable[C], /, *,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
    at_once: int | None = ...,
) -> Call[FanIn[A | B | C]]: ...  # fmt: skip
@overload
def fan_out(
    a: Call[A] | Awaitable[A], b: Call[B] | Awaitable[B], c: Call[C] | Awaitable[C],
    d: Call[D] | Awaitable[D], /, *,
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
    at_once: int | None = ...,
) -> Call[FanIn[A | B | C | D]]: ...  # fmt: skip
@overload
def fan_out(
    *calls: Call[T] | Awaitable[T],
    need: Share = ..., enough: Share | None = ..., within: float | None = ...,
    at_once: int | None = ..., **named: Call[T] | Awaitable[T],
) -> Call[FanIn[T]]: ...  # fmt: skip
def fan_out(
    *calls: Any,
    need: Share = "all",
    enough: Share | None = None,
    within: float | None = None,
    at_once: int | None = None,
    **named: Any,
) -> Call[FanIn[Any]]:
    """Run several calls at once and gather their outcomes, in the order given.

    `need` is the fewest successes that make the fan-in usable, `enough` the number at which it
    stops waiting (and then, unless `need` says otherwise, the fewest): counts, or shares such as
    "80%" (rounded up). `within` bounds all of it, in
    seconds; `at_once` how many run at the same time (`None`: all). Keyword calls give names.
    As soon as `need` is out of reach, or `enough` is there, the rest is cancelled and awaited.
    Awaiting it raises `NotEnough` below `need`; cancelled, it leaves its branches, and those that
    nobody else waits for are cancelled and awaited.
    """
    branches = as_calls((*calls, *named.values()) if named else calls, "fan_out")
    names = (*(None for _ in calls), *named) if named else ()
    schedule = ALL
    if (need, enough, within, at_once) != PLAIN:
        schedule = {"need": need, "enough": enough, "within": within, "at_once": at_once}
        with excused_on_error(branches):
            check_schedule(schedule, len(branches))
    return Call(FAN_OUT, (branches, names, schedule), {})
