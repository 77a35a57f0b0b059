"""`run_tools`: the tool calls of one model message at once, a result for every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from fanwise.core import (
    DEADLINE,
    Call,
    StreamCall,
    at_least,
    excuse,
    microseconds,
    note,
    waiting_call,
    whole,
)
from fanwise.models._answer import Answer
from fanwise.models._chat import Message, ToolCall
from fanwise.models.tools._results import ToolResults, Turn
from fanwise.models.tools._tool import by_name
from fanwise.models.tools._toolwork import ToolWork
from fanwise.patterns._branches import excused_on_error, pattern_step, planned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fanwise.models._answer import Piece
    from fanwise.models.tools._tool import Tool

CUT = "your message was cut before its end; say it again, shorter"

Asking = StreamCall[Any] | Answer[Any] | Message | tuple[ToolCall, ...]


async def _run_tools(
    asking: Asking,
    tools: Mapping[str, Tool],
    heard: Callable[[Piece], object] | None,
    schedule: Mapping[str, Any],
) -> ToolResults:
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    with excused_on_error((asking,) if isinstance(asking, StreamCall) else ()):
        plan = planned(call, schedule)
        check(plan)
    within = None if call.run.runtime.untimed else plan["within"]
    answer = asking if isinstance(asking, Answer) else None
    if not isinstance(asking, StreamCall):
        bound_by(call, within)
    work = ToolWork(call, tools, plan["at_once"], plan["failures"])
    try:
        if isinstance(asking, StreamCall):
            answer = await read_or_note(call, asking, work, heard)
            bound_by(call, within)
        else:
            for each in asking if isinstance(asking, tuple) else asking.calls:
                work.take(each)
        work.release(None if answer is None or answer.complete else CUT)
        await work.ended(within)
    finally:
        late = "" if within is None else f"the {within:g} s for the tools of this message were over"
        await work.let_go(late or "its turn had ended")
    return gather(call, work, answer)


RUN_TOOLS = pattern_step(_run_tools, "run_tools")


async def read_or_note(
    call: Call[Any],
    stream: StreamCall[Any],
    work: ToolWork,
    heard: Callable[[Piece], object] | None,
) -> Answer[Any]:
    """Read a message; where it breaks off, the record says so, for what it started is waste."""
    whole = False
    try:
        answer = await read(stream, work, heard)
        whole = True
    finally:
        if not whole:
            note(call, broken=True)
    return answer


async def read(
    stream: StreamCall[Any], work: ToolWork, heard: Callable[[Piece], object] | None
) -> Answer[Any]:
    """Read a message while it is written, and take its tool calls as each is complete."""
    answer: Answer[Any] | None = None
    async with stream as pieces:
        async for piece in pieces:
            if isinstance(piece, ToolCall):
                work.take(piece)
            elif isinstance(piece, Answer):
                answer = piece
            if heard is not None:
                heard(piece)
    if answer is None:
        msg = f"{stream.name} ended without an Answer: run_tools reads what Model.stream gives"
        raise ValueError(msg)
    taken = [slot.asked for slot in work.slots]
    for each in answer.calls:
        if each not in taken:
            work.take(each)
    return answer


def bound_by(call: Call[Any], within: float | None) -> None:
    """Let the time for the tools travel down to them."""
    if within is not None:
        until = call.run.runtime.time() + within
        outer = DEADLINE.get()
        DEADLINE.set(until if outer is None else min(until, outer))


def gather(call: Call[Any], work: ToolWork, answer: Answer[Any] | None) -> ToolResults:
    """Give the results in the order of the message, and tell the record."""
    slots = work.slots
    if answer is not None:
        places = {each.id: place for place, each in enumerate(answer.calls)}
        slots = sorted(slots, key=lambda slot: places.get(slot.asked.id, len(places)))
    results = tuple(slot.result() for slot in slots)
    given = {slot.asked.id: (slot.like or slot).call for slot in slots}
    values = {
        result.id: made.result
        for result in results
        if not result.failed and (made := given[result.id]) is not None
    }
    collapsed = {slot.asked.id: slot.like.asked.id for slot in slots if slot.like is not None}
    if work.joined:
        note(call, edges=tuple(work.joined))
    if work.stopped is not None:
        note(call, closed="within", decided=microseconds(work.stopped, call.run.epoch))
    counts = {"collapsed": len(collapsed), "gaps": sum(result.failed for result in results)}
    found = {name: count for name, count in counts.items() if count}
    if found:
        note(call, **found)
    if answer is None:
        return ToolResults(results, values, collapsed)
    return Turn(results, values, collapsed, answer=answer)


def check(schedule: Mapping[str, Any]) -> None:
    """Raise, naming the argument, where a schedule cannot be meant."""
    if schedule["within"] is not None:
        at_least("within", schedule["within"], 0)
    for name, least in (("at_once", 1), ("failures", 1)):
        if schedule[name] is not None:
            whole(name, schedule[name], least)


@overload
def run_tools(
    asking: StreamCall[Piece] | Answer[Any],
    tools: Iterable[object],
    *,
    within: float | None = ...,
    at_once: int | None = ...,
    failures: int | None = ...,
    heard: Callable[[Piece], object] | None = ...,
) -> Call[Turn]: ...
@overload
def run_tools(
    asking: Message | Sequence[ToolCall],
    tools: Iterable[object],
    *,
    within: float | None = ...,
    at_once: int | None = ...,
    failures: int | None = ...,
) -> Call[ToolResults]: ...
def run_tools(
    asking: StreamCall[Piece] | Answer[Any] | Message | Sequence[ToolCall],
    tools: Iterable[object],
    *,
    within: float | None = None,
    at_once: int | None = None,
    failures: int | None = 10,
    heard: Callable[[Piece], object] | None = None,
) -> Call[Any]:
    """Run the tool calls of one message at once, each under its tool's policy, in call order.

    Every call has a result; what fails (an unknown tool, arguments that do not fit, an exception, a
    timeout, an open breaker) is a text for the model. Of identical calls that read, one runs. Given
    a stream, `model.stream(chat, tools=...)`, calls that read start as soon as they are complete,
    while the model still speaks; writes wait for the message's end, and are not done where it was
    cut. `heard` is called with each piece of the stream.

    `within` bounds the tools, in seconds from the end of the message; `at_once` is how many run at
    the same time (`None`: all). A tool that failed `failures` times in a row in this run is not
    called again in it (`None`: always). Cancelled, or where the stream breaks, all of them are
    cancelled and awaited. A mistake of the program, such as an unknown limit, is raised.
    """
    streamed = isinstance(asking, StreamCall)
    made = (asking,) if isinstance(asking, StreamCall) else ()
    with excused_on_error(made):
        if not isinstance(asking, StreamCall | Answer | Message):
            asking = checked(asking)
        if heard is not None and not streamed:
            msg = "heard= is told the pieces of a stream, and the message is there already"
            raise ValueError(msg)
        schedule = {"within": within, "at_once": at_once, "failures": failures}
        check(schedule)
        named = by_name(tools)
    return Call(RUN_TOOLS, (asking, named, heard, schedule), {})


def checked(calls: object) -> tuple[ToolCall, ...]:
    """Give tool calls; raise TypeError for anything else."""
    if isinstance(calls, Call):
        excuse(calls)
        msg = f"run_tools takes an answer, not the call of one: run_tools(await {calls.name}(...))"
        raise TypeError(msg)
    if isinstance(calls, list | tuple) and all(isinstance(each, ToolCall) for each in calls):
        return tuple(calls)
    msg = f"run_tools takes a stream, an answer, a message or its tool calls, got {calls!r}"
    raise TypeError(msg)
