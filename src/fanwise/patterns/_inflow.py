"""What `fan_map` and `pipeline` share: reading a source lazily, outcomes, the decision to close.

An item is read when there is a place for it, never earlier. There is no queue between a reader and
workers, so that no end of input has to be announced to anybody: it is a fact about the source.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    CallSkipped,
    Ending,
    FanIn,
    Landed,
    NotEnough,
    Outcome,
    Status,
    microseconds,
)
from fanwise.patterns._quorum import Share, count_of, needed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping

    from fanwise.core import Call, Scope, Step

Items = Iterable[Any] | AsyncIterable[Any]


class Job:
    """What a pattern over items is to do, and where a stream's outcomes go until they are taken."""

    __slots__ = ("arrived", "flow", "items", "queue", "schedule", "work")

    def __init__(self, work: Any, items: Items, schedule: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Do `work`, a step or the stages of a pipeline, with `items`."""
        self.work = work
        self.items = items
        self.schedule = schedule
        self.queue: deque[Outcome[Any]] | None = None
        self.arrived: Callable[[], None] | None = None
        self.flow: Inflow | None = None

    def __repr__(self) -> str:
        """Name the work."""
        return f"<Job of {self.work!r}>"


class Inflow:
    """Items on their way: which were read, what became of them, and when that is enough."""

    __slots__ = ("at", "bad", "broken", "context", "decided", "ended", "enough", "exhausted",
                 "filling", "first_failure", "good", "job", "landed", "loop", "need", "owner",
                 "plain", "read", "reader", "reason", "room", "runtime", "scope", "source",
                 "timer", "total", "within")  # fmt: skip

    def __init__(self, owner: Call[Any], job: Job, plan: Mapping[str, Any], landed: Landed) -> None:
        """Take items in for the pattern call `owner` under the schedule `plan`."""
        self.owner: Call[Any] | None = owner
        self.job = job
        self.need: Share = plan["need"]
        self.enough: Share | None = plan["enough"]
        self.within: float | None = None
        self.total = len(job.items) if isinstance(job.items, Sized) else None
        self.landed = landed
        self.good = self.bad = self.read = 0
        self.exhausted = self.filling = self.ended = False
        self.reason = ""
        self.at: float | None = None  # when it was decided before all had ended
        self.plain: Step[Any, Any] | None = None  # see Flow: only while items may start
        self.broken: BaseException | None = None
        self.first_failure: BaseException | None = None
        self.source: Iterator[Any] | None = None
        self.reader: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.context = copy_context()
        self.runtime = owner.run.runtime
        self.loop = self.runtime.loop
        self.scope: Scope = owner.scope  # type: ignore[assignment] # of its body, which this is
        self.decided: asyncio.Future[None] = self.loop.create_future()
        self.room: asyncio.Future[None] | None = None

    def start(self, within: float | None) -> None:
        """Begin to read."""
        self.within = within
        if within is not None:
            self.timer = self.loop.call_at(self.loop.time() + within, self.decide, "within")
        if within == 0:
            self.decide("within")
        self._check_enough()
        items = self.job.items
        if isinstance(items, AsyncIterable):
            name = f"{self.owner.step.name} read"  # type: ignore[union-attr]
            self.reader = asyncio.Task(self._read(aiter(items)), loop=self.loop, name=name)
            self.runtime.on_drain[self.drained] = None
        else:
            self.source = iter(items)
            self.prepare()
            self.fill()

    # What the pattern itself says

    def prepare(self) -> None:
        """Look at the source, before it is read."""

    def has_room(self) -> bool:
        """Say whether another item may be read."""
        raise NotImplementedError

    def fill(self) -> None:
        """Read from a plain iterable, while there is room and no decision."""
        raise NotImplementedError

    def start_item(self, item: object) -> None:
        """Take an item that was read."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Say whether items are still on their way."""
        raise NotImplementedError

    def leave_all(self, ending: Ending) -> Callable[[], None]:
        """Leave what runs; the ends to be awaited go to `ending`. Give what keeps the gaps then."""
        raise NotImplementedError

    # Reading

    def open(self) -> bool:
        """Say whether items may still be read."""
        if self.runtime.draining:
            self.exhausted = True
        return not self.reason and not self.exhausted

    async def _read(self, source: AsyncIterator[Any]) -> None:
        """Take the items of an async iterable, each when there is room for it."""
        error: BaseException | None = None
        try:
            while self.open():
                while not self.has_room():
                    self.room = self.loop.create_future()
                    await self.room
                self._came(await anext(source))
        except StopAsyncIteration:
            pass
        except (Exception, CancelledError) as failure:  # noqa: BLE001 - NotEnough names it
            error = failure
        try:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
        except (Exception, CancelledError) as failure:  # noqa: BLE001 - as above
            error = error or failure
        if self.reason:
            return  # the fan-in is closed, and has stopped this reading itself
        drained = self.exhausted and (error is None or isinstance(error, CancelledError))
        if not drained:
            self.input_ended(error)
        self.check_end()

    def drained(self) -> None:
        """Stop reading, since the runtime drains: an async source may never give another item."""
        if not self.open() and not self.reason and self.reader is not None:
            self.reader.cancel()
            self.check_end()

    def _came(self, item: object) -> None:
        """Take an item, unless the fan-in was closed while the source went on."""
        if not self.reason:
            self.start_item(item)
            return
        index = self.read
        self.read += 1
        error = CallSkipped(f"{self.landed.name(index)} was not started: {self.reason}")
        self.keep(self.gap(None, "skipped", index, error), item)

    def input_ended(self, error: BaseException | None) -> None:
        """Take note that no item follows."""
        self.exhausted = True
        self.plain = None
        self.ended = error is None
        self.broken = error
        self.total = self.read
        self._check_enough()
        self._check_reach()

    def go_on(self) -> None:
        """Start what may start now."""
        if self.room is not None and not self.room.done():
            self.room.set_result(None)
        if self.exhausted:
            self.check_end()
        elif self.source is not None and not self.filling and not self.reason:
            self.context.run(self.fill)  # not in the context of the item that ended

    # Outcomes

    def gap(
        self, call: Call[Any] | None, status: Status, index: int, error: BaseException | None
    ) -> Outcome[Any]:
        """Make the outcome of an item that has no value."""
        outcome: Outcome[Any] = Outcome(call, status, self.landed.name(index), index)
        outcome.error = error
        return outcome

    def keep(self, outcome: Outcome[Any], item: object) -> None:
        """Hand over the outcome of an item, and decide where it settles the matter."""
        outcome.item = item
        if self.job.queue is None:
            self.landed.keep(outcome)
        else:
            self.job.queue.append(outcome)
            if self.job.arrived is not None:
                self.job.arrived()
        if outcome.status == "ok":
            self.count_good()
        else:
            self.bad += 1
            self.first_failure = self.first_failure or outcome.error
            self._check_reach()

    def count_good(self) -> None:
        """Count a success."""
        self.good += 1
        if self.enough is not None:
            self._check_enough()

    # Decisions

    def _check_enough(self) -> None:
        if self.enough is None or (isinstance(self.enough, str) and self.total is None):
            return
        if self.good >= count_of("enough", self.enough, self.total or 0):
            self.decide("enough")

    def _check_reach(self) -> None:
        if self.need == "all" and self.enough is None:
            out_of_reach = self.bad > 0
        elif self.total is None:
            return
        else:
            out_of_reach = self.total - self.bad < needed(self.need, self.enough, self.total)
        if out_of_reach:
            self.decide("out of reach")

    def check_end(self) -> None:
        """Close, where nothing follows and nothing is on its way."""
        if self.exhausted and not self.filling and not self.busy():
            self.decide("all" if self.broken is None else "broken input")

    def decide(self, reason: str) -> None:
        """Settle the matter, once; the pattern's task does the rest."""
        if not self.reason:
            self.reason = reason
            self.plain = None
            if reason != "all":
                self.at = self.loop.time()
            if not self.decided.done():
                self.decided.set_result(None)

    async def let_go(self) -> None:
        """Stop reading, leave what runs, and await the ends; the rest become gaps."""
        self.reason = self.reason or "cancelled"
        self.plain = None
        self.landed.cut = not self.ended and self.read != self.total
        if self.timer is not None:
            self.timer.cancel()
        self.runtime.on_drain.pop(self.drained, None)
        reading = self.reader is not None and not self.reader.done()
        if reading and not self.reader.cancelling():  # type: ignore[union-attr]
            self.reader.cancel()  # type: ignore[union-attr]
        ending = Ending()
        keep_gaps = self.leave_all(ending)
        if ending.open:
            await ending.wait()
        if reading:
            await end_of(self.reader)  # type: ignore[arg-type]
        keep_gaps()

    def facts(self) -> dict[str, int | str]:
        """Give what the record says of this fan-in."""
        found: dict[str, int | str] = {"items": self.read, "gaps": self.bad, "closed": self.reason}
        if self.bad and isinstance(self.need, int):
            found["need"] = self.need
        if self.at is not None:
            found["decided"] = microseconds(self.at, self.scope.run.epoch)
        return found

    def result(self) -> FanIn[Any]:
        """Give the fan-in, in input order; raise `NotEnough` below `need` or for a broken input."""
        found: FanIn[Any] = FanIn.of(self.landed)
        name = self.owner.name  # type: ignore[union-attr]
        if self.broken is not None:
            what = "a batch" if self.reason == "broken batch" else "the input"
            msg = f"{name}: {what} broke after {self.read} items: {self.broken!r}"
            raise NotEnough(msg, found) from self.broken
        total = self.read if self.total is None else self.total
        need = needed(self.need, self.enough, total)
        if self.good < need or (need and self._unread()):
            msg = f"{name}: {self.good} of {total} items succeeded, needed were {need}\n{found}"
            raise NotEnough(msg, found) from self.first_failure
        return found

    def _unread(self) -> bool:
        """Say whether a share of an input was asked for that nobody has read to its end."""
        cut = self.landed.cut and self.total is None and self.reason != "enough"
        wanted = self.enough if self.need == "all" and self.enough is not None else self.need
        return cut and isinstance(wanted, str)

    def __repr__(self) -> str:
        """Count."""
        return f"<{type(self).__name__} {self.good} ok, {self.bad} failed of {self.read} read>"


async def end_of(task: asyncio.Task[None]) -> None:
    """Await the end of a cancelled task, whatever else is cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except CancelledError:
            cancelled = True
    if cancelled:
        raise CancelledError
