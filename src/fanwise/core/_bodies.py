"""The innermost of an attempt: the rehearsal hook, the loop, or a pool."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from fanwise.core._away import ByName, add_used, declare, perform_and_tell, plainly
from fanwise.core._items import run_items
from fanwise.core._record import note
from fanwise.core._watchers import CALL_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from fanwise.core._call import Call
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Attempt, Scope


async def run_body(call: Call[Any], attempt: Scope | Attempt) -> Any:  # noqa: ANN401 - the step's value
    """Run the step's function, or what a rehearsal drew in its place."""
    run = call.run
    if run.body is not None:
        drawn = run.body(call, call.attempts, run.random(attempt, "body"))
        if drawn is not None:
            if call.step.streams:
                return await run_items(call, attempt, drawn)
            return await drawn.play(partial(_own_body, call, attempt))
    if call.step.streams:
        return await run_items(call, attempt, None)
    return await _own_body(call, attempt)


async def _own_body(call: Call[Any], attempt: Scope | Attempt) -> Any:  # noqa: ANN401 - as above
    step = call.step
    if step.inline:
        return await step.function(*call.args, **call.kwargs)
    if call.run.runtime.threads is None:  # the virtual clock: time must not pass beside the loop
        result = step.function(*call.args, **call.kwargs)
    else:
        result = await _in_pool(call, attempt)  # type: ignore[arg-type] # pools make attempts
    if inspect.isasyncgen(result):
        msg = (
            f"{call.name} gave an async generator, and only the return annotation of a plain "
            "function says so: def f(...) -> AsyncIterator[str], or an async def with yield"
        )
        raise TypeError(msg)
    if inspect.iscoroutine(result) or (step.bare_function and type(result) in CALL_TYPES):
        return await result  # a lambda around what is awaited
    return result


async def _in_pool(call: Call[Any], attempt: Attempt) -> Any:  # noqa: ANN401 - the step's value
    """Run a plain function where its step says."""
    place = call.run.runtime.pools.place(call.policy.pool)
    if call.policy.pool is not None and call.policy.pool != "thread":
        note(call, pool=place.name)
    if place.workers is not None:
        return await _in_worker(call, attempt)
    if place.shares:
        return await _in_thread(call, attempt, place.executor)
    return await _elsewhere(call, attempt, place.executor)


async def _in_worker(call: Call[Any], attempt: Attempt) -> Any:  # noqa: ANN401 - the step's value
    """Run a function in the worker that was lent to this attempt.

    Cancelled, the worker is killed, and its end awaited: nothing goes on, nothing is abandoned.
    """
    worker = attempt.worker
    loop = call.run.runtime.loop
    job = worker.run(call.step.function, call.args, call.kwargs, declare(call, attempt))
    try:
        if job.here is not None:
            await job.here
            if job.done():
                return job.result()
        return await asyncio.wrap_future(job, loop=loop)
    except asyncio.CancelledError:
        if not job.cancel() and not job.done():
            worker.kill()
            await _end_of(job, loop)
        raise
    finally:
        add_used(call, job.used)


async def _end_of(job: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Wait until a killed worker is really gone, however often that is cancelled."""
    gone = asyncio.Event()

    def tell(_: object) -> None:
        loop.call_soon_threadsafe(gone.set)

    job.add_done_callback(tell)
    while not gone.is_set():
        try:
            await gone.wait()
        except asyncio.CancelledError:
            continue  # whoever waits for the end of the kill is being cancelled already


async def _in_thread(call: Call[Any], attempt: Attempt, executor: Executor) -> Any:  # noqa: ANN401
    """Run a function in a thread, with the context of this attempt."""
    work = partial(call.step.function, *call.args, **call.kwargs)
    future = executor.submit(copy_context().run, _named, work, call.step.name)
    return await _answer(future, attempt, call.run.runtime)


async def _elsewhere(call: Call[Any], attempt: Attempt, executor: Executor) -> Any:  # noqa: ANN401
    """Run a function in an executor of the user's, whose memory may be another one."""
    given = declare(call, attempt)
    work = ByName(call.step.function)
    future = executor.submit(perform_and_tell, work, call.args, call.kwargs, given)
    value, used = await _answer(future, attempt, call.run.runtime)
    add_used(call, used)
    return value


async def _answer(future: Future[Any], attempt: Attempt, runtime: Runtime) -> Any:  # noqa: ANN401
    """Wait for what cannot be stopped.

    Cancelled, a function that has begun goes on: it is abandoned, and its slots stay taken.
    """
    try:
        return await asyncio.wrap_future(future, loop=runtime.loop)
    except asyncio.CancelledError:
        if not future.cancel() and not future.done():
            attempt.abandoned = future
            runtime.pools.abandon(future)
        raise


def _named(work: Callable[[], Any], name: str) -> Any:  # noqa: ANN401 - the step's value
    """Run a function in a thread that bears its step's name meanwhile."""
    thread = threading.current_thread()
    idle = thread.name
    thread.name = f"{idle} {name}"
    try:
        return plainly(work)
    finally:
        thread.name = idle
