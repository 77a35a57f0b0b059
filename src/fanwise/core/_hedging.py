"""Hedges: duplicates of a slow attempt, of which the first good answer counts.

The first attempt runs in the call's own task and a timer stands beside it, so that a hedge which
is never needed costs a timer and nothing else. A hedge that wins cancels the first attempt and
hands over its value; whatever is left is cancelled and awaited before the call ends.

Of a stream the first item decides: the attempt that has it is chosen, the others are cancelled at
once, and what becomes of that one becomes of the call. A chosen hedge goes on in its own task, and
a cancel of the call goes through to it.
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
    if execution is None or execution.call.dropped:
        return
    if first.hedging is None:
        first.hedging = Hedging(first, execution)
    first.hedging.send()


class Hedging:
    """An attempt whose time came, and its duplicates."""

    __slots__ = ("chosen", "closed", "debt", "error", "execution", "failed", "first",
                 "let_go", "task", "tasks", "winner")  # fmt: skip

    chosen: Attempt | None  # the one that gave a stream's first item
    closed: bool
    debt: int
    error: Exception | None  # of a chosen hedge
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
        self.let_go: list[asyncio.Task[None]] = []
        self.winner: tuple[Any] | None = None
        self.chosen = self.error = None
        self.failed = self.closed = False

    def send(self) -> None:
        """Start a duplicate in a task of its own, and the time after which the next one follows."""
        execution = self.execution
        hedge = execution.policy.hedge
        retry = execution.policy.retry
        if retry is not None and execution.call.attempts >= retry.attempts:
            return  # `attempts` counts hedges too
        state, timer = execution.outfit.hedges, self.first.timer
        if self._decided() or hedge is None or state is None or timer is None:
            return
        if not execution.has_room():
            state.held_back += 1
            return
        context = execution.call.context
        if context is None:
            return  # the call has ended
        if not state.take():
            return
        attempt = Attempt(execution.scope, keeps=True)
        attempt.hedge = True
        attempt.hedging = self
        self.tasks.append(
            asyncio.Task(
                self._duplicate(attempt),
                loop=execution.call.run.runtime.loop,
                name=f"{execution.call.step.name} (hedge)",
                context=context.copy(),
            )
        )
        if len(self.tasks) < hedge.more:
            timer.arm(self.first, execution.call.run.time())

    async def _duplicate(self, attempt: Attempt) -> None:
        if not self.execution.has_room():
            return  # somebody took the slot in the meantime: a hedge never waits
        try:
            value = await self.execution.attempt(attempt)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - its row says so; the first one decides
            if self.chosen is not attempt:
                self._waste(attempt)
            elif not isinstance(error, CancelledError):
                self.error = error
            return
        finally:
            attempt.hedging = None
        if self.chosen is attempt:
            self.winner = (value,)
        elif self.closed or self._decided():
            self._waste(attempt)
        else:
            self.winner = (value,)
            self._overtake()

    def _overtake(self) -> None:
        """Count a win, and end the first attempt."""
        state = self.execution.outfit.hedges
        if state is not None:
            state.won += 1
        if not self.failed:
            self._waste(self.first)
            if state is not None:  # what it had taken is above the percentile, and counts so
                state.took(self.execution.call.run.time() - self.first.started)
            self.task.cancel()

    def _waste(self, attempt: Attempt) -> None:
        """Count the time of an attempt that ran beside the one that counts."""
        state = self.execution.outfit.hedges
        if state is not None and attempt.number:
            state.wasted += self.execution.call.run.time() - attempt.started

    def choose(self, attempt: Attempt) -> bool:
        """Let a stream's attempt that has its first item be the only one; say whether it is."""
        if self.closed or self._decided() or self.execution.call.dropped:
            return False
        self.chosen = attempt
        self._cancel(but=attempt.task)
        if attempt is not self.first:
            self.execution.call.task = attempt.task  # who lets the call go cancels that one
            self._overtake()
        return True

    async def first_succeeded(self) -> None:
        """Stop the duplicates; a winner's cancel, on this very instant, is taken back."""
        self._won()
        await self._stop()

    async def first_ended(self, error: BaseException) -> Any:  # noqa: ANN401 - the step's value
        """Give a duplicate's value in place of the first one, or raise what ends the call."""
        try:
            if isinstance(error, CancelledError):
                return await self.first_was_cancelled()
            won = await self.first_failed(error)
            if won is None:
                raise error
            return won[0]
        finally:
            del error  # this frame stands in its traceback

    async def first_was_cancelled(self) -> Any:  # noqa: ANN401 - the step's value
        """Give the winner's value, or pass on a cancellation that came from outside.

        Raises what a duplicate raised after it was chosen.
        """
        won = self._won()
        await self._stop(waiting=won)
        if won and self.error is not None:
            raise self.error
        if not won or self.winner is None:
            raise CancelledError
        return self.winner[0]

    async def first_failed(self, error: BaseException) -> tuple[Any] | None:
        """Give a duplicate's value, where the failure may pass and one of them is good.

        Raises what a duplicate raised after it was chosen.
        """
        self.failed = True
        self._won()
        wanted = self.task.cancelling() <= self.debt
        try:
            if wanted and is_transient(error):
                while not self._decided() and (running := [t for t in self.tasks if not t.done()]):
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except CancelledError:
            wanted = False
            raise
        finally:
            await self._stop(waiting=wanted)
        if self.error is not None:
            raise self.error
        return self.winner

    def _decided(self) -> bool:
        """Say whether the race is over: a value is there, or a stream's first item."""
        return self.winner is not None or self.chosen is not None

    def _won(self) -> bool:
        """Say whether a duplicate has won and nobody else wants an end, and clear its cancel."""
        won = self.winner is not None or self.chosen not in (None, self.first)
        return won and self.task.uncancel() <= self.debt

    def _cancel(self, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel the duplicates that still run, each once, `but` one."""
        self.closed = True
        for task in self.tasks:
            if task is not but and task not in self.let_go and not task.done():
                self.let_go.append(task)
                task.cancel()

    async def _stop(self, *, waiting: bool = False) -> None:
        """Cancel the duplicates that still run, and await their ends.

        The chosen one is not cancelled where its value is waited for, unless this is cancelled.
        """
        self._cancel(but=self.chosen.task if waiting and self.chosen is not None else None)
        cancelled = False
        while running := [task for task in self.tasks if not task.done()]:
            try:
                await asyncio.wait(running)
            except CancelledError:
                cancelled = True
                self._cancel()
        self.execution.call.task = self.task
        self.first.hedging = None  # they refer to each other
        self.tasks.clear()
        self.let_go.clear()
        if cancelled:
            raise CancelledError

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Hedging of {self.execution.call!r}, {len(self.tasks)} sent>"


def first_interrupts(first: Attempt) -> int:
    """Count the cancellations that the first attempt's own timeouts have sent."""
    return bool(getattr(first, "timed_out", False)) + bool(getattr(first, "slow", False))
