"""The body of a stream's attempt: its generator, item by item, each in time.

Problem: a generator must be resumed by one task for all of its life (timeouts, task groups and
context variables inside it belong to the task that entered them), it must not run far ahead of its
reader, and it must be closed whatever happens.
Method: the attempt's own task drives it and puts each item into a place for one, which the reader
empties; the generator goes on when the item was taken, or when the reader waits for it, so that one
item is made ahead of what was asked for, while the reader works. Rejected: resuming it in the
reader's task (a reader may change tasks, and is not under the call's policy), and a longer queue
(it saves switches of tasks, and is more that is made and never read).
"""

from __future__ import annotations

from asyncio import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fanwise.core._errors import StepTimedOut
from fanwise.core._record import facts_of, note
from fanwise.core._scope import Attempt
from fanwise.core._settlement import PLAIN, Metered

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
    from typing import Protocol

    from fanwise.core._call import Call
    from fanwise.core._protocols import Drawn
    from fanwise.core._scope import Scope
    from fanwise.core._shared import Outfit
    from fanwise.core._timers import TimerQueue

    class Reader(Protocol):  # at run time it would cost time of every import
        """Whoever takes a stream's items one by one."""

        @property
        def begun(self) -> bool:
            """Whether an item was put."""

        @property
        def waited(self) -> float:
            """Seconds for which items waited until they were taken."""

        @property
        def full(self) -> bool:
            """Whether an item waits to be taken."""

        def offer(self, item: Any, /) -> bool:  # noqa: ANN401
            """Hand an item to a reader that waits for one; say whether it did."""

        async def put(self, item: Any, /) -> None:  # noqa: ANN401 - what the generator gives
            """Hand an item over, and return when it was taken."""


async def run_items(
    call: Call[Any], attempt: Scope | Attempt, drawn: Drawn | None
) -> list[Any] | None:
    """Give a stream's items as a list, or one by one to its reader; close the generator.

    Raises `StepTimedOut` where an item does not come in time. Cancelled, it closes the generator
    and awaits that, also where the generator swallows the cancellation.
    """
    assert isinstance(attempt, Attempt)  # noqa: S101 - streams make attempts
    intake = Intake(call, attempt)
    source = open_source(call) if drawn is None else drawn_items(call, drawn)
    cause: Exception | None = None
    broken = True
    try:
        try:
            await intake.take(source)
            broken = False
        finally:
            await close(call, source)
    except CancelledError:
        if not intake.was_slow():
            raise
    except Exception as error:
        if not intake.was_slow():
            raise
        cause = error
    else:
        return intake.kept
    finally:
        if intake.given:
            intake.count()
        if intake.metered is not None:
            intake.metered.close(broken=broken)
    try:
        raise intake.slow_error() from cause  # here, where nothing else is its context
    finally:
        del cause  # this frame stands in its traceback


async def hand_over(call: Call[Any], items: list[Any]) -> None:
    """Give the reader the items that a journal or a cache have."""
    reader = call.reader
    if reader is not None:
        for item in items:
            await reader.put(item)
        note(call, items=len(items))


class Intake:
    """One attempt of a stream: what came of it so far, and for what it waits."""

    __slots__ = ("attempt", "call", "given", "kept", "metered", "outfit", "queue", "reader")

    attempt: Attempt
    call: Call[Any]
    given: int
    outfit: Outfit
    queue: TimerQueue | None
    reader: Reader | None

    def __init__(self, call: Call[Any], attempt: Attempt) -> None:
        """Prepare for the first item; raise where there is no time for it."""
        runtime = call.run.runtime
        self.call = call
        self.attempt = attempt
        self.reader = call.reader
        # What is read is not kept, but for a journal or a cache.
        wanted = call.run.journal is not None or call.policy.cache is not None
        keeps = self.reader is None or wanted
        self.kept: list[Any] | None = [] if keeps else None
        self.outfit = runtime.outfits.get(call.step) or runtime.outfit(call.step, call.policy)
        self.queue = self.outfit.first
        self.given = 0
        self.metered: Metered | None = None
        attempt.slow = False
        if self.queue is not None and self.queue.length == 0:
            msg = f"{call.name} was not started: its time for the first item is 0"
            raise StepTimedOut(msg, call.id)

    async def take(self, source: AsyncIterator[Any]) -> None:
        """Take every item; raise `CancelledError` where the generator swallowed one."""
        attempt, reader = self.attempt, self.reader
        time = self.call.run.time
        began = attempt.started
        cancelled = False
        while True:
            if self.queue is not None and not cancelled:
                self.queue.arm(attempt, began)
            try:
                item = await (throw(source) if cancelled else anext(source))
            except StopAsyncIteration:
                self.refuse_cancelled()
                self.count()
                return
            finally:
                if self.queue is not None:
                    self.queue.armed.pop(attempt, None)
            self.admit(item)
            if item.__class__ not in PLAIN:
                self.measure(item)
            cancelled = False
            if reader is not None and not reader.offer(item):
                try:
                    await reader.put(item)
                except CancelledError:
                    cancelled = True
            if self.queue is not None:
                began = time()

    def admit(self, item: object) -> None:
        """Count an item, unless the attempt is over and the generator has not noticed."""
        self.refuse_cancelled()
        if not self.given:
            self.choose()
        self.given += 1
        if self.kept is not None:
            self.kept.append(item)

    def measure(self, item: object) -> None:
        """Look for usage in an item."""
        if self.metered is None:
            self.metered = Metered(self.call, self.attempt)
        self.metered.take(item)

    def refuse_cancelled(self) -> None:
        """Raise where a cancellation was swallowed."""
        task = self.attempt.task
        if task is not None and task.cancelling() > self.attempt.debt:
            raise CancelledError

    def choose(self) -> None:
        """Take the first item: no duplicate is sent any more, and those that run lose."""
        attempt = self.attempt
        hedging = attempt.hedging
        attempt.execution = None
        hedges = self.outfit.hedges
        if hedges is not None:
            hedges.disarm(attempt)
        if hedging is not None and not hedging.choose(attempt):
            raise CancelledError
        self.queue = self.outfit.idle
        first = self.call.run.time() - attempt.started
        if hedges is not None and not attempt.hedge:
            hedges.took(first)
        note(self.call, first_item=round(first * 1_000_000))

    def was_slow(self) -> bool:
        """Say whether the attempt was cancelled for being slow with an item; take that back.

        Not where somebody else wants an end too, on the same instant.
        """
        attempt, task = self.attempt, self.attempt.task
        return attempt.slow and task is not None and task.uncancel() <= attempt.debt

    def slow_error(self) -> StepTimedOut:
        """Give the error of an attempt that was too slow with an item."""
        queue, name = self.queue, self.call.name
        assert queue is not None  # noqa: S101 - it fired
        if not self.given:
            msg = f"{name} gave no first item within {queue.length:g} s (first=)"
        else:
            msg = f"{name} gave no item within {queue.length:g} s after item {self.given} (idle=)"
        return StepTimedOut(msg, self.call.id)

    def count(self) -> None:
        """Keep how many items there were, and how long they waited for the reader."""
        facts = facts_of(self.call)
        facts["items"] = self.given
        if self.reader is not None and self.reader.waited:  # all of it, over the attempts
            facts.setdefault("waits", {})["buffer"] = self.reader.waited

    def __repr__(self) -> str:
        """Name the call and count."""
        return f"<Intake of {self.call!r}, {self.given} items>"


def interrupt_item(attempt: Attempt) -> None:
    """End an attempt that did not give an item in time, and that nobody else has ended already."""
    task = attempt.task
    if task is not None and task.cancelling() <= attempt.debt:
        attempt.slow = True
        task.cancel()


def open_source(call: Call[Any]) -> AsyncIterator[Any]:
    """Call the step's function: its generator has not begun."""
    source = call.step.function(*call.args, **call.kwargs)
    if not hasattr(source, "__anext__"):
        msg = f"{call.name} is a stream, so that its function gives an async iterator: {source!r}"
        raise TypeError(msg)
    found: AsyncIterator[Any] = source
    return found


async def drawn_items(call: Call[Any], drawn: Drawn) -> AsyncGenerator[Any, None]:
    """Give the items that a rehearsal drew: a list, as awaiting the stream gives, or its own."""
    opened: list[AsyncIterator[Any]] = []

    async def own() -> AsyncIterator[Any]:
        opened.append(open_source(call))
        return opened[0]

    try:
        items = await drawn.play(own)
        if opened and items is opened[0]:
            async for item in opened[0]:
                yield item
            return
        if not isinstance(items, (list, tuple)):
            msg = f"what is drawn for the stream {call.name} is a list of its items, got {items!r}"
            raise TypeError(msg)
        for item in items:
            yield item
    finally:
        for source in opened:
            await close(call, source)


def throw(source: AsyncIterator[Any]) -> Awaitable[Any]:
    """Cancel a generator that stands at a `yield`, as one that stands at an `await` is cancelled.

    Not with `aclose`: a timeout or a task group around that `yield` knows a cancellation, and takes
    a `GeneratorExit` for a failure of its body (PEP 789). Its own timeout may be the sender.
    """
    athrow = getattr(source, "athrow", None)
    if athrow is None:
        raise CancelledError
    thrown: Awaitable[Any] = athrow(CancelledError())
    return thrown


async def close(call: Call[Any], source: AsyncIterator[Any]) -> None:
    """Run what is left of a generator: its `finally`. One that yields there is closed again."""
    aclose = getattr(source, "aclose", None)
    if aclose is None:
        return
    try:
        await aclose()
    except RuntimeError as error:
        if getattr(source, "ag_frame", None) is None:
            raise  # the generator's own
        error.add_note(f"{call.name} yields while it is being closed")
        with suppress(StopAsyncIteration, GeneratorExit):
            await anext(source)  # Python closes only once: what stands behind that yield
        raise
