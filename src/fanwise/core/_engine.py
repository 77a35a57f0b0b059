"""The life of a call's task: from its first step to its row in the record."""

from __future__ import annotations

import logging
import os.path
from asyncio import CancelledError, Task
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fanwise.core._attempts import make_attempts
from fanwise.core._errors import (
    BudgetSpent,
    CallDropped,
    CallSkipped,
    StepTimedOut,
    StrayCancel,
)
from fanwise.core._record import CHUNK, edge_and_wait, note, text_of
from fanwise.core._scope import CURRENT, DEADLINE, Scope, scope_of
from fanwise.core._settlement import PLAIN, note_lost, settle_value
from fanwise.core._timed import timed
from fanwise.core._watchers import LIVE, NO_KWARGS, Ending, excuse

if TYPE_CHECKING:
    from fanwise.core._call import Call
    from fanwise.core._watchers import Watcher

log = logging.getLogger("fanwise")

HERE = os.path.dirname(os.path.dirname(__file__))
ENGINE = (os.path.join(HERE, "core"), os.path.join(HERE, "patterns"))


async def run_call(  # noqa: C901, PLR0912 - the whole life of a call, on the hot path
    call: Call[Any],
) -> None:
    """Run `call` in its own task, and tell its watchers as the last act."""
    if call.status == "leaving":
        not_started(call)
        return
    call.status = "running"
    home = call.home
    scope = Scope(call, call.run, call.owner if home is None else home)
    call.scope = scope
    try:
        policy = call.policy
        if call.bare and policy.bare:
            call.attempts = 1
            CURRENT.set(scope)
            function = call.step.function
            call.result = value = await (
                function(*call.args, **call.kwargs) if call.kwargs else function(*call.args)
            )  # which saves a dict
            if value.__class__ not in PLAIN:
                settle_value(call, scope, value)
        elif call.bare and policy.only_timed:
            call.attempts = 1
            outfit = call.run.runtime.outfits.get(call.step)
            if outfit is None:
                outfit = call.run.runtime.outfit(call.step, policy)
            CURRENT.set(scope)
            scope.started = call.run.time()
            scope.task = call.task
            scope.debt = 0
            call.result = value = await timed(call, scope, outfit.timeouts, DEADLINE.get())
            if value.__class__ not in PLAIN:
                settle_value(call, scope, value)
        else:
            call.result = await make_attempts(call, scope)
        status = "ok"
    except GeneratorExit:
        raise  # the loop is gone: nobody is left to be told
    except (KeyboardInterrupt, SystemExit) as error:
        finish(call, settle(call, error))
        raise
    except BaseException as error:  # noqa: BLE001 - every failure becomes the call's outcome
        status = settle(call, error)
        if call.bare and call.attempts:  # other calls have attempts, which say it
            note_lost(call, scope, error)
    scope.call = None  # from here on nothing begins under it, also not while the last ones end
    if scope.live:
        await end_children(call, scope)
    if call.dropped and status == "ok":
        status = "cancelled"
        note(call, late=call.result)
    finish(call, status)


def settle(call: Call[Any], error: BaseException) -> str:
    """Keep the error of a call, with the user's frames only, and give the call's status."""
    if isinstance(error, CancelledError):
        if call.dropped or (call.task is not None and call.task.cancelling()):
            return "cancelled" if call.attempts else "skipped"
        stray = StrayCancel(f"{call.name} raised a CancelledError that nobody had sent")
        stray.__cause__ = keep_user_frames(error)
        call.error = stray
        call.trace = None
        return "failed"
    call.error = keep_user_frames(error)
    call.trace = error.__traceback__
    if call.dropped:
        return "cancelled" if call.attempts else "skipped"
    if isinstance(error, CallSkipped) and (not call.attempts or isinstance(error, BudgetSpent)):
        return "skipped"  # a drain ended its wait for a limit, or there was no money to go on
    return "timed_out" if isinstance(error, StepTimedOut) and error.call == call.id else "failed"


def keep_user_frames(error: BaseException) -> BaseException:
    """Take the engine's frames out of the error's traceback, and its references with them."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(ENGINE):
            frames.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for frame in reversed(frames):
        kept = TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return error.with_traceback(kept)


def drop(call: Call[Any]) -> None:
    """Cancel a live call, once. It ends in its own time."""
    if call.dropped:
        return
    call.dropped = True
    if call.status == "waiting":
        call.inputs.let_go()  # type: ignore[union-attr]
    elif call.status == "starting":
        call.status = "leaving"  # a task cancelled before its first step would never tell anybody
        if call.task is not None and call.task.cancelling():  # as asyncio.run does at its end
            not_started(call)
    elif call.inputs is not None:  # a pattern's, which has no task yet, or one that has not begun
        call.run.runtime.watch_stubborn(call)
        call.inputs.drop()  # type: ignore[union-attr]
        if call.task is not None and call.task.cancelling():  # as above
            give_task(call)
    elif call.task is not None:
        call.run.runtime.watch_stubborn(call)
        call.task.cancel()


def give_task(call: Call[Any]) -> None:
    """Run the body of a call that began without a task in one of its own."""
    call.task = Task(run_call(call), loop=call.run.runtime.loop, name=call.step.name)


def not_started(call: Call[Any]) -> None:
    """End a call whose body never ran."""
    excuse(call)
    call.error = CallDropped(f"{call.name} was let go before it started")
    call.trace = None
    finish(call, "skipped")


async def end_children(call: Call[Any], scope: Scope) -> None:
    """Cancel and await the calls that still live under an ended one, and say so.

    A call that was made elsewhere and is still wanted moves up instead.
    """
    ending = Ending()
    names = []
    for child in list(scope.live or ()):
        if child.watchers and not child.dropped and scope_of(child.home) is not scope:
            hand_up(child, call.owner)
            continue
        names.append(child.name)
        drop(child)
        ending.add(child)
    if names:
        log.warning("%s ended while %s still ran: cancelled", call.name, ", ".join(names[:5]))
    # This call has its result already, and its end is what the sender of a cancel waits for.
    with suppress(CancelledError):
        await ending.wait()


def hand_up(child: Call[Any], owner: Scope) -> None:
    """Let another scope look after a call."""
    if child.owner.live is not None:
        child.owner.live.pop(child, None)
    if owner.live is None:
        owner.live = {}
    owner.live[child] = None
    child.owner = owner


def finish(call: Call[Any], status: str) -> None:
    """End a call: its row, its watchers, its run where it was the whole of it."""
    run = call.run
    runtime = run.runtime
    owner = call.owner
    step = call.step
    error = call.error
    now = run.time()
    if runtime.noting:
        note(call, **runtime.facts_at_end(call, status))
    call.status = status
    call.task = call.inputs = call.scope = call.context = None
    call.args = ()
    call.kwargs = NO_KWARGS
    if owner.live is not None:
        owner.live.pop(call, None)
    runtime.running -= 1
    call.row = row = (
        call.id,
        owner.id,
        call.fan_in,
        step.name if step.pattern is None else call.plan_name,
        step.pattern,
        call.policy.role,
        None if call.key is None else call.key.hex(),
        call.started,
        now,
        status,
        call.attempts,
        call.load,
        None if error is None else text_of(error),
        None if call.facts is None and call.label is None else extras(call),
    )
    run.rows.open.append(row)
    if call.dropped:
        runtime.unwatch_stubborn(call)
    watchers = call.watchers
    call.watchers = None
    try:
        if len(run.rows.open) >= CHUNK or runtime.listeners:
            run.after_row(row)  # before others that this ends, whose rows come after it
    finally:
        try:
            if watchers.__class__ is list:
                tell_all(watchers, call)
            elif watchers is not None:
                watchers.call_ended(call)
        finally:
            if run.main is call:
                run.close()


def tell_all(watchers: list[Watcher], call: Call[Any]) -> None:
    """Tell every watcher, also when one of them breaks."""
    failure: BaseException | None = None
    for watcher in watchers:
        try:
            watcher.call_ended(call)
        except BaseException as error:  # noqa: BLE001 - raised when all have been told
            failure = error
    if failure is not None:
        raise failure


def extras(call: Call[Any]) -> tuple[Any, ...] | complex:
    """Give the facts of a call as atoms: never values."""
    facts = call.facts or {}
    if len(facts) == 1 and call.label is None:
        fed: complex | None = facts.get("fed")
        if fed is not None:
            return fed  # of a stage, and nothing else to say
        if "edges" in facts:
            return (("edges", "", facts["edges"]),)  # a bound call and nothing else to say
    found: list[tuple[str, str, Any]] = []
    if "fed" in facts:
        facts = unfed(facts)
    if call.label is not None and not call.step.pattern:
        found.append(("facts", "name", call.label))
    for name, value in facts.items():
        if name == "edges":
            found.append(("edges", "", value))
        elif name == "bill":
            found.append(("bill", "", tuple(value)))
        elif name in ("waits", "usage"):
            found += [(name, part, count) for part, count in value.items()]
        else:
            found.append(("facts", name, True if name == "late" else value))
    return tuple(found)


def unfed(facts: dict[str, Any]) -> dict[str, Any]:
    """Give facts with what a stage's call took, and how long that had waited, among the others."""
    edge, waited = edge_and_wait(facts["fed"])
    rest = {name: value for name, value in facts.items() if name != "fed"}
    if edge is not None:
        rest["edges"] = (edge,)
    if waited:
        rest["waits"] = {"buffer": waited, **rest.get("waits", {})}
    return rest


__all__ = ["LIVE", "end_children", "finish", "give_task", "run_call"]
