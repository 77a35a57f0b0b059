"""Hedges: duplicates of a slow attempt, of which the first good answer counts.

The first attempt runs in the call's own task and a timer stands beside it, so that a hedge which
is never needed costs a timer and nothing else. A hedge that wins cancels the first attempt and
hands over its value; whatever is left is cancelled and awaited before the call ends.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from fanwise.core._scope import Attempt
from fanwise.core._transient import is_transient

if TYPE_CHECKING:
    from fanwise.core._attempts import Execution


def send_hedge(first: Attempt) -> None:
    """Send a duplicate of an attempt that takes long, if there is room for it now."""
    execution = first.execution
    if execution is None:
        return
    if first.hedging is None:
        first.hedging = Hedging(first, execution)
    first.hedging.send()


class Hedging:
    """An attempt whose time came, and its duplicates."""

    __slots__ = ("closed", "debt", "execution", "failed", "first", "task", "tasks", "winner")

    closed: bool
    debt: int
    execution: Execution
    failed: bool
    first: Attempt
    task: asyncio.Task[Any]

    def __init__(self, first: Attempt, execution: Execution) -> None:
        """Stand beside `first`."""
        task = execution.call.task
        assert task is not None  # noqa: S101 - its first attempt is running in it
        self.first = first
        self.execution = execution
        self.task = task
        self.debt = task.cancelling() - first_interrupts(first)
        self.tasks: list[asyncio.Task[None]] = []
        self.winner: tuple[Any] | None = None
        self.failed = self.closed = False

    def send(self) -> None:
        """Start a duplicate in a task of its own, and the time after which the next one follows."""
        execution = self.execution
        hedge = execution.policy.hedge
        retry = execution.policy.retry
        if retry is not None and execution.call.attempts >= retry.attempts:
            return  # `attempts` counts hedges too
        queue = execution.outfit.hedges
        if self.winner is not None or not execution.has_room() or hedge is None or queue is None:
            return
        context = execution.call.context
        if context is None:
            return  # the call has ended
        attempt = Attempt(execution.scope, keeps=True)
        attempt.hedge = True
        self.tasks.append(
            asyncio.Task(
                self._duplicate(attempt),
                loop=execution.call.run.runtime.loop,
                name=f"{execution.call.step.name} (hedge)",
                context=context.copy(),
            )
        )
        if len(self.tasks) < hedge.more:
            queue.arm(self.first, execution.call.run.time())

    async def _duplicate(self, attempt: Attempt) -> None:
        if not self.execution.has_room():
            return  # somebody took the slot in the meantime: a hedge never waits
        try:
            value = await self.execution.attempt(attempt)
        except (Exception, CancelledError):  # noqa: BLE001 - its row says so; the first one decides
            return
        if self.closed or self.winner is not None:
            return
        self.winner = (value,)
        if not self.failed:
            self.task.cancel()

    async def first_succeeded(self) -> None:
        """Stop the duplicates; a winner's cancel, on this very instant, is taken back."""
        self._won()
        await self._stop()

    async def first_was_cancelled(self) -> Any:  # noqa: ANN401 - the step's value
        """Give the winner's value, or pass on a cancellation that came from outside."""
        won = self._won()
        await self._stop()
        if not won:
            raise CancelledError
        return self.winner[0]  # type: ignore[index]

    async def first_failed(self, error: Exception) -> tuple[Any] | None:
        """Give a duplicate's value, where the failure may pass and one of them is good."""
        self.failed = True
        if self._won() or not is_transient(error):
            await self._stop()
            return self.winner
        try:
            while self.winner is None and (running := [t for t in self.tasks if not t.done()]):
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._stop()
        return self.winner

    def _won(self) -> bool:
        """Say whether a duplicate has won and nobody else wants an end, and clear its cancel."""
        return self.winner is not None and self.task.uncancel() <= self.debt

    async def _stop(self) -> None:
        """Cancel the duplicates that still run, once, and await their ends."""
        self.closed = True
        for task in self.tasks:
            if not task.done():
                task.cancel()
        cancelled = False
        while running := [task for task in self.tasks if not task.done()]:
            try:
                await asyncio.wait(running)
            except CancelledError:
                cancelled = True
        self.first.hedging = None  # they refer to each other
        self.tasks.clear()
        if cancelled:
            raise CancelledError

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Hedging of {self.execution.call!r}, {len(self.tasks)} sent>"


def first_interrupts(first: Attempt) -> int:
    """Count the cancellations that the first attempt's own timeout has sent."""
    return 1 if getattr(first, "timed_out", False) else 0
