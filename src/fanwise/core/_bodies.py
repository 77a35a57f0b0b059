"""The innermost of an attempt: the rehearsal hook, the loop, or a thread."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from fanwise.core._items import run_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._call import Call
    from fanwise.core._scope import Attempt, Scope


async def run_body(call: Call[Any], attempt: Scope | Attempt) -> Any:  # noqa: ANN401 - the step's value
    """Run the step's function, or what a rehearsal drew in its place."""
    run = call.run
    step = call.step
    if run.body is not None:
        drawn = run.body(call, call.attempts, run.random(attempt, "body"))
        if drawn is not None:
            return await (run_items(call, attempt, drawn) if step.streams else drawn.play())
    if step.inline:
        return await step.function(*call.args, **call.kwargs)
    if step.streams:
        return await run_items(call, attempt, None)
    if run.runtime.threads is None:  # the virtual clock: time must not pass beside the loop
        result = step.function(*call.args, **call.kwargs)
    else:
        result = await _in_thread(call, attempt)
    if inspect.isasyncgen(result):
        msg = (
            f"{call.name} gave an async generator, and only the return annotation of a plain "
            "function says so: def f(...) -> AsyncIterator[str], or an async def with yield"
        )
        raise TypeError(msg)
    return await result if inspect.iscoroutine(result) else result  # a lambda around a coroutine


async def _in_thread(call: Call[Any], attempt: Scope | Attempt) -> Any:  # noqa: ANN401
    """Run a plain function in the runtime's thread pool, with the context of this attempt.

    Cancelled, a function that has begun goes on: it is abandoned, and its slots stay taken.
    """
    runtime = call.run.runtime
    work = partial(call.step.function, *call.args, **call.kwargs)
    future = runtime.executor().submit(copy_context().run, _plainly, work)
    try:
        return await asyncio.wrap_future(future, loop=runtime.loop)
    except asyncio.CancelledError:
        if not future.cancel() and not future.done():
            attempt.abandoned = future  # type: ignore[union-attr] # threads make attempts
            runtime.abandon(future)
        raise


def _plainly(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - the step's value
    """Run a function; a future cannot carry `StopIteration`, which a coroutine would wrap too."""
    try:
        return work()
    except StopIteration as error:
        msg = "the function raised StopIteration"
        raise RuntimeError(msg) from error
