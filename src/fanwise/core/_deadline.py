"""`deadline`: an instant after which nothing in a block goes on, and which travels down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fanwise.core._errors import DeadlinePassed
from fanwise.core._policies import at_least
from fanwise.core._runtime import current_runtime
from fanwise.core._scope import DEADLINE

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType


class deadline:  # noqa: N801 - reads as a statement: `with deadline(2.0):`
    """Bound a block: `with deadline(2.0):` cancels it after that many seconds.

    Then the block raises `DeadlinePassed` (a `TimeoutError`). Calls inside get the smaller of their
    own timeout and what is left; nested, the earlier instant counts, and on one instant the outer
    block's. To be used inside a coroutine.
    """

    __slots__ = ("_debt", "_handle", "_passed", "_seconds", "_task", "_token")

    def __init__(self, seconds: float) -> None:
        """Take the seconds from the entry of the block."""
        at_least("deadline(seconds)", seconds, 0)
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None
        self._token: Token[float | None] | None = None
        self._passed = False

    def __enter__(self) -> None:
        """Set the deadline, and the timer where no outer one comes first."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is None:
            msg = "deadline(...) bounds a block inside a coroutine: there is no running task here"
            raise RuntimeError(msg)
        self._task = task
        self._debt = task.cancelling()
        runtime = current_runtime()
        if runtime.untimed:
            return
        loop = runtime.loop
        until = loop.time() + self._seconds
        outer = DEADLINE.get()
        if outer is None or until < outer:
            self._token = DEADLINE.set(until)
            self._handle = loop.call_at(until, self._pass)

    def _pass(self) -> None:
        self._passed = True
        self._handle = None
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the block; a cancellation of its own becomes `DeadlinePassed`."""
        if self._token is not None:
            DEADLINE.reset(self._token)
        if self._handle is not None:
            self._handle.cancel()
        if not self._passed:
            return
        # Somebody else's cancellation on the same instant goes on as one.
        others = self._task.uncancel() > self._debt
        if not others and isinstance(error, asyncio.CancelledError):
            msg = f"the deadline of {self._seconds:g} s passed"
            raise DeadlinePassed(msg) from None
