"""Branches of which not every value is needed: asked for in the order given, heard, let go.

What `first` and `vote` share. Each says what it makes of a branch that ended (`hear`), and when the
matter is settled; a value that it does not take is `rejected`, and kept as the outcome's `late`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    LIVE,
    CallDropped,
    CallSkipped,
    Ending,
    FanIn,
    FanwiseError,
    Outcome,
    WriteRefused,
    ask,
    excuse,
    leave,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from fanwise.core import Call


class Contest(ABC):
    """The watcher behind a pattern that takes one value of many."""

    __slots__ = ("calls", "first_failure", "future", "next", "owner", "places", "refused",
                 "rejected", "running")  # fmt: skip

    def __init__(self, owner: Call[Any], calls: Sequence[Call[Any]]) -> None:
        """Let `calls` compete for the pattern call `owner`."""
        self.owner: Call[Any] | None = owner
        self.calls = calls
        self.places = {call: index for index, call in enumerate(calls)}
        self.next = self.running = 0
        self.first_failure: BaseException | None = None
        self.refused: dict[int, BaseException] = {}
        self.rejected: dict[int, BaseException] = {}
        self.future: asyncio.Future[None] = owner.run.runtime.loop.create_future()

    @abstractmethod
    def hear(self, call: Call[Any]) -> None:
        """Take note of a branch that ended."""

    @abstractmethod
    def call_ended(self, call: Call[Any]) -> None:
        """Hear a branch that was waited for, and wake the pattern's task where it has to act."""

    def ask_next(self) -> None:
        """Start the next branch in line."""
        index = self.next
        call = self.calls[index]
        self.next += 1
        self.running += 1
        if call.status == "new":
            call.fan_in = self.owner.id  # type: ignore[union-attr]
        try:
            if ask(call, self):
                self.hear(call)
        except FanwiseError as error:
            self.refused[index] = error
            self.first_failure = self.first_failure or error
            self.running -= 1

    def reject(self, index: int, error: BaseException) -> None:
        """Say why a value is not taken."""
        self.rejected[index] = error
        self.first_failure = self.first_failure or error

    def wake(self) -> None:
        """Wake the pattern's task."""
        if not self.future.done():
            self.future.set_result(None)

    async def let_go(self) -> dict[int, str]:
        """Leave what still runs and await what that cancels; give the statuses of the gaps."""
        statuses: dict[int, str] = {}
        ending = Ending()
        for index, call in enumerate(self.calls):
            status = call.status
            if index >= self.next or index in self.refused:
                excuse(call)
                statuses[index] = "skipped"
            elif status in LIVE:
                statuses[index] = "cancelled" if call.attempts else "skipped"
                if leave(call, self):
                    ending.add(call)
            elif index in self.rejected:
                statuses[index] = "failed"
            elif status != "ok":
                statuses[index] = status
        if ending.open:
            await ending.wait()
        return statuses

    def found(self, statuses: Mapping[int, str], why: str = "") -> FanIn[Any]:
        """Freeze the outcomes; `why` says what let go of those that were not needed any more."""
        gaps: dict[int, Outcome[Any]] = {}
        for index, status in statuses.items():
            call = self.calls[index]
            known = None if status == "skipped" else call
            gaps[index] = Outcome(known, status, call.name, index)  # type: ignore[arg-type]
            gaps[index].error = self._cause(index, call, status, why)
            if index in self.rejected:
                gaps[index].late = call.result  # not taken, and yet paid for
        return FanIn(self.calls, (), gaps)

    def _cause(self, index: int, call: Call[Any], status: str, why: str) -> BaseException:
        for known in (self.refused, self.rejected):
            if index in known:
                return known[index]
        if index < self.next and call.error is not None:
            return call.error
        reason = f": {why}" if why else ""
        if status == "skipped":
            return CallSkipped(f"{call.name} was not started{reason}")
        return CallDropped(f"{call.name} was cancelled{reason}")

    def close(self) -> None:
        """Let go of what refers back: the traceback of a failed function holds this watcher."""
        self.owner = self.first_failure = None
        self.calls = ()
        for each in (self.places, self.refused, self.rejected):
            each.clear()

    def __repr__(self) -> str:
        """Count."""
        return f"<{type(self).__name__} of {len(self.calls)}, {self.running} running>"


def refuse_writes(branches: Sequence[Call[Any]], pattern: str) -> None:
    """Raise where a branch is a write."""
    for branch in branches:
        if branch.step.writes:
            msg = (
                f"{pattern}(...) got {branch.name}, a write: branches that are not needed any more "
                "are cancelled, so that it may not act"
            )
            raise WriteRefused(msg)
