"""The watcher behind a fan-in: counts branches as they end, and says when that is enough.

It holds no lock and no queue: everything happens in `call_ended`, which a branch calls as its last
act. A decision only wakes the pattern's own task, and the branches are judged when that task runs,
so that everything that has reported by then counts.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    LIVE,
    CallDropped,
    CallSkipped,
    Ending,
    FanIn,
    FanwiseError,
    NotEnough,
    Outcome,
    TimedOut,
    ask,
    excuse,
    leave,
    microseconds,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from contextvars import Context

    from fanwise.core import Call, Scope


class Gathering:
    """Branches on their way to a fan-in."""

    __slots__ = ("asker", "at", "bad", "calls", "context", "enough", "filling", "first_failure",
                 "future", "good", "left", "need", "next", "owner", "reason", "refused", "running",
                 "timer", "width", "within")  # fmt: skip

    context: Context
    future: asyncio.Future[None]  # of the pattern's task, which waits for the decision

    def __init__(
        self, owner: Call[Any], calls: Sequence[Call[Any]], need: int, enough: int | None
    ) -> None:
        """Gather `calls` for the pattern call `owner`."""
        self.owner: Call[Any] | None = owner
        self.calls = calls
        self.need = need
        self.enough = enough
        self.width = len(calls)
        self.within: float | None = None
        self.asker: Scope | None = None  # the running one
        self.good = self.bad = self.running = self.next = 0
        self.reason = ""
        self.at: float | None = None  # when it was decided before all had ended
        self.filling = False
        self.first_failure: BaseException | None = None
        self.refused: dict[int, BaseException] = {}
        self.left: set[int] = set()
        self.timer: asyncio.TimerHandle | None = None

    def start(self, at_once: int | None, within: float | None) -> None:
        """Start as many branches as may run at once."""
        assert self.owner is not None  # noqa: S101 - gathered for a call
        self.context = copy_context()
        self.future = self.owner.run.runtime.loop.create_future()
        if at_once is not None:
            self.width = at_once
        self.within = within
        if within is not None:
            loop = self.future.get_loop()
            self.timer = loop.call_at(loop.time() + within, self.decide, "within")
        if self.need > len(self.calls) or self.enough == 0 or within == 0:
            self.decide("within" if within == 0 else "enough")
        self.fill()

    def fill(self) -> None:
        """Start the next branches, while there is room and no decision."""
        self.filling = True
        calls = self.calls
        while not self.reason and self.running < self.width and self.next < len(calls):
            call = calls[self.next]
            self.next += 1
            self.running += 1
            if call.status == "new":
                call.fan_in = self.owner.id  # type: ignore[union-attr]
            try:
                if ask(call, self, self.asker):
                    self.count(call)
            except FanwiseError as error:
                self.refused[self.next - 1] = error
                self.count_failure(error)
        self.filling = False
        if not self.running:
            self.decide("all")

    def call_ended(self, call: Call[Any]) -> None:
        """Count a branch, and start the next in its place."""
        self.count(call)
        if not self.filling and not self.reason:
            if self.next < len(self.calls):
                self.context.run(self.fill)  # not in the context of the branch that ended
            elif not self.running:
                self.decide("all")

    def count(self, call: Call[Any]) -> None:
        """Count an ended branch; decide where it settles the matter."""
        if call.status == "ok":
            self.running -= 1
            self.good += 1
            if self.good == self.enough:
                self.decide("enough")
        else:
            self.count_failure(call.error)

    def count_failure(self, error: BaseException | None) -> None:
        """Count a branch that will not succeed."""
        self.running -= 1
        self.bad += 1
        if self.first_failure is None:
            self.first_failure = error
        if len(self.calls) - self.bad < self.need:
            self.decide("out of reach")

    def decide(self, reason: str) -> None:
        """Settle the fan-in, once; the pattern's task does the rest."""
        if not self.reason:
            self.reason = reason
            if reason != "all":
                self.at = self.owner.run.time()  # type: ignore[union-attr]
            self.wake()

    def wake(self) -> None:
        """Let the pattern's task go on."""
        if not self.future.done():
            self.future.set_result(None)

    async def closed(self) -> None:
        """Wait for the decision; leave every branch and await the ends, whatever happens."""
        try:
            await self.future
        except BaseException:
            await self.let_go()
            raise

    async def let_go(self) -> dict[int, str]:
        """Leave what still runs and await what that cancels; give the statuses of the gaps."""
        if self.timer is not None:
            self.timer.cancel()
        self.reason = self.reason or "cancelled"
        statuses: dict[int, str] = {}
        ending = Ending()
        if self.good < len(self.calls):
            for index, call in enumerate(self.calls):
                status = call.status
                if index in self.refused or index >= self.next:
                    excuse(call)  # never asked for, though others may have
                    statuses[index] = "skipped"
                elif status in LIVE:
                    statuses[index] = self._gap(call)
                    self.left.add(index)
                    if leave(call, self):
                        ending.add(call)
                elif status != "ok":
                    statuses[index] = status
        if ending.open:
            await ending.wait()
        return statuses

    def _gap(self, call: Call[Any]) -> str:
        if not call.attempts:
            return "skipped"
        return "timed_out" if self.reason == "within" else "cancelled"

    def gaps(self, statuses: dict[int, str]) -> dict[int, Outcome[Any]]:
        """Freeze the outcomes of the branches that did not succeed."""
        found: dict[int, Outcome[Any]] = {}
        for index, status in statuses.items():
            call = self.calls[index]
            known = None if status == "skipped" else call
            outcome: Outcome[Any] = Outcome(known, status, call.name, index)  # type: ignore[arg-type]
            outcome.error = self._cause(index, call, status)
            found[index] = outcome
        return found

    def _cause(self, index: int, call: Call[Any], status: str) -> BaseException:
        if index in self.refused:
            return self.refused[index]
        asked = index < self.next and index not in self.left
        if asked and call.status not in LIVE and call.status == status and call.error:
            return call.error
        if status == "timed_out":
            return TimedOut(
                f"{call.name} still ran when the {self.within:g} s of its fan-in were over"
            )
        why = {"enough": "enough others were there", "out of reach": "too many others had failed",
               "within": "the time of its fan-in was over"}  # fmt: skip
        reason = why.get(self.reason, "its fan-in was closed")
        if status == "skipped":
            return CallSkipped(f"{call.name} was not started: {reason}")
        return CallDropped(f"{call.name} was cancelled: {reason}")

    def facts(self, gaps: int) -> dict[str, int | str]:
        """Give what the record says of a fan-in with gaps."""
        found: dict[str, int | str] = {"gaps": gaps, "closed": self.reason, "need": self.need}
        if self.at is not None and self.owner is not None:
            found["decided"] = microseconds(self.at, self.owner.run.epoch)
        return found

    def verdict(self, found: FanIn[Any]) -> None:
        """Raise `NotEnough` where too few branches succeeded."""
        there = len(found.values())
        if there < self.need:
            name = "fan_out" if self.owner is None else self.owner.name
            needed = f"{there} of {len(self.calls)} branches succeeded, needed were {self.need}"
            msg = f"{name}: {needed}\n{found}"
            raise NotEnough(msg, found) from self.first_failure

    def __repr__(self) -> str:
        """Count."""
        return f"<Gathering {self.good} ok, {self.bad} failed, {self.running} running>"
