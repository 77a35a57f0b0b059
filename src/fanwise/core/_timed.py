"""The attempt timeout: the innermost policy, around the body."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from fanwise.core._bodies import run_body
from fanwise.core._errors import StepTimedOut
from fanwise.core._record import note
from fanwise.core._scope import DEADLINE, Attempt
from fanwise.core._settlement import PLAIN, settle_value

if TYPE_CHECKING:
    from fanwise.core._call import Call
    from fanwise.core._scope import Scope
    from fanwise.core._timers import TimerQueue


async def timed(  # noqa: C901, PLR0912 - every way in which time can run out, in one place
    call: Call[Any],
    attempt: Scope | Attempt,
    queue: TimerQueue | None,
    deadline: float | None,
) -> Any:  # noqa: ANN401 - the step's value
    """Run the body of an attempt, in its own task, for at most the length of the queue's timers.

    `attempt.started`, `.task` and `.debt` (cancellations before it began) are set.

    A body that swallows the cancellation is awaited, and its value kept as late.
    """
    if queue is None:
        if call.bare:
            return await call.step.function(*call.args, **call.kwargs)
        return await run_body(call, attempt)
    if queue.length == 0:
        raise StepTimedOut(f"{call.name} was not started: its timeout is 0", call.id)
    attempt.timed_out = False
    task = attempt.task
    until = queue.arm(attempt, attempt.started)
    DEADLINE.set(until if deadline is None or until < deadline else deadline)
    cause: Exception | None = None
    value: Any = None
    try:
        if call.bare:
            value = await call.step.function(*call.args, **call.kwargs)
        else:
            value = await run_body(call, attempt)
        if not attempt.timed_out:
            return value
    except CancelledError:
        if not attempt.timed_out:
            raise
    except Exception as error:
        if not attempt.timed_out:
            raise
        cause = error
    finally:
        queue.armed.pop(attempt, None)
        attempt.task = None  # its context leads back here
    if task is not None and task.uncancel() > attempt.debt:
        raise CancelledError  # somebody else wants an end too, on the same instant
    if value is not None:
        if value.__class__ not in PLAIN:
            settle_value(call, attempt, value)
        note(call, late=value)
    msg = f"{call.name} took longer than its timeout of {queue.length:g} s"
    raise StepTimedOut(msg, call.id) from cause


def interrupt(attempt: Scope | Attempt) -> None:
    """End an attempt whose time is over."""
    attempt.timed_out = True
    if attempt.task is not None:
        attempt.task.cancel()
