"""The watcher behind `fan_map`: items on their way through a step.

The next item starts at each completion: no semaphore, no task that waits for its turn. An item is
read when there is a place for it, never earlier.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    DEADLINE,
    LIVE,
    Call,
    CallDropped,
    CallSkipped,
    FanwiseError,
    Landed,
    Outcome,
    Status,
    Step,
    TimedOut,
    ask,
    leave,
)
from fanwise.patterns._inflow import Inflow, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core import Ending

# Going through these runs nobody's code.
BUILT_IN = {type(iter(range(0))), type(iter([])), type(iter(())), type(iter({})), type(iter(""))}


class Flow(Inflow):
    """Items on their way through a step, for one `fan_map`."""

    __slots__ = ("at_once", "live")

    def __init__(self, owner: Call[Any], job: Job, plan: Mapping[str, Any]) -> None:
        """Flow for the pattern call `owner` under the schedule `plan`."""
        super().__init__(owner, job, plan, Landed(getattr(job.work, "name", "item")))
        self.at_once: int = plan["at_once"]
        self.live: dict[Call[Any], int] = {}

    def prepare(self) -> None:
        """See whether nobody's code runs between two items, and nobody has to be asked."""
        step = self.job.work
        if type(step) is not Step or type(self.source) not in BUILT_IN:
            return
        asks = self.job.queue is not None or self.scope.digests or self.runtime.plan is not None
        bounded = self.enough is not None or self.context.get(DEADLINE) is not None
        if not (asks or bounded or step.writes) and step.policy.hedge is None:
            self.plain = step

    # Reading

    def has_room(self) -> bool:
        """Say whether another item may start: a place is free, not too much is left untaken."""
        running = len(self.live)
        if self.job.queue is None:
            return running < self.at_once
        return running < self.at_once and running + len(self.job.queue) < 2 * self.at_once

    def fill(self) -> None:
        """Start items of a plain iterable, while there is room and no decision."""
        self.filling = True
        source, live, at_once = self.source, self.live, self.at_once
        bounded = self.job.queue is not None
        while source is not None and len(live) < at_once and self.open():
            if bounded and not self.has_room():
                break
            try:
                item = next(source)
            except StopIteration:
                self.input_ended(None)
            except (Exception, CancelledError) as error:  # noqa: BLE001 - NotEnough names it
                self.input_ended(error)
            else:
                self.start_item(item)
        self.filling = False
        if self.exhausted:
            self.check_end()

    def start_item(self, item: object) -> None:
        """Make the call of an item, and start it."""
        index = self.read
        self.read += 1
        try:
            call = self.job.work(item)
        except Exception as error:  # noqa: BLE001 - a wrong argument, a key: the item's own failure
            self.keep(self.gap(None, "failed", index, error), item)
            return
        if call.status == "new":
            call.fan_in = self.owner.id  # type: ignore[union-attr]
        self.live[call] = index
        self.landed.given[index] = item
        try:
            if ask(call, self):
                self._take(call)
        except FanwiseError as error:
            del self.live[call], self.landed.given[index]
            self.keep(self.gap(None, "skipped", index, error), item)

    def busy(self) -> bool:
        """Say whether a call runs."""
        return bool(self.live)

    # Outcomes

    def call_ended(self, call: Call[Any]) -> None:
        """Take an item's outcome, and start the next in its place."""
        step = self.plain
        if step is None or call.status != "ok" or call.facts is not None or self.runtime.draining:
            self._take(call)
            self.go_on()
            return
        # The same for the plainest items. Nobody's code runs here, so that no context has to be
        # entered, and every end makes room for one: that saves a seventh of the cost of an item.
        self.landed.land(self.live.pop(call), call)
        self.good += 1
        item = next(self.source, self)  # type: ignore[arg-type]
        if item is self:
            self.input_ended(None)
            self.check_end()
            return
        index = self.read
        self.read = index + 1
        self.landed.given[index] = item
        self.live[Call.start_item(step, item, self.scope, index, self)] = index

    def _take(self, call: Call[Any]) -> None:
        index = self.live.pop(call)
        if call.status == "ok" and call.facts is None and self.job.queue is None:
            self.landed.land(index, call)
            self.good += 1
            if self.enough is not None:
                self._check_enough()
            return
        status: Any = call.status
        outcome: Outcome[Any] = Outcome(call, status, self.landed.name(index), index)
        if status != "ok":
            outcome.error = call.error or CallDropped(f"{outcome.name} was cancelled")
        self.keep(outcome, self.landed.given.pop(index))

    # Closing

    def leave_all(self, ending: Ending) -> Callable[[], None]:
        """Leave every call that still runs."""
        left = []
        for call, index in list(self.live.items()):
            if call.status in LIVE:
                left.append((call, self._gap_status(call), index))
                if leave(call, self):
                    ending.add(call)
        self.live.clear()

        def keep_gaps() -> None:
            for call, status, index in left:
                gap = self.gap(call, status, index, self._cause(call, status))
                self.keep(gap, self.landed.given.pop(index))

        return keep_gaps

    def _gap_status(self, call: Call[Any]) -> Status:
        if not call.attempts:
            return "skipped"
        return "timed_out" if self.reason == "within" else "cancelled"

    def _cause(self, call: Call[Any], status: Status) -> BaseException:
        if status == "timed_out":
            return TimedOut(
                f"{call.name} still ran when the {self.within:g} s of its fan-in were over"
            )
        kind = CallSkipped if status == "skipped" else CallDropped
        return kind(f"{call.name} was let go: its fan-in closed ({self.reason})")
