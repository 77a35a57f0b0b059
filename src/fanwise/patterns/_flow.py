"""The watcher behind `fan_map`: items on their way through a step.

The next item starts at each completion: no semaphore, no task that waits for its turn. An item is
read when there is a place for it, never earlier.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Sized,
)
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    DEADLINE,
    LIVE,
    Call,
    CallDropped,
    CallSkipped,
    Ending,
    FanIn,
    FanwiseError,
    Landed,
    NotEnough,
    Outcome,
    Status,
    Step,
    TimedOut,
    ask,
    leave,
    microseconds,
)
from fanwise.patterns._quorum import Share, count_of, needed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping

    from fanwise.core import Scope

# Going through these runs nobody's code.
BUILT_IN = {type(iter(range(0))), type(iter([])), type(iter(())), type(iter({})), type(iter(""))}
Items = Iterable[Any] | AsyncIterable[Any]


class Job:
    """What a `fan_map` is to do, and where a stream's outcomes go until somebody takes them."""

    __slots__ = ("arrived", "flow", "items", "queue", "schedule", "step")

    def __init__(
        self, step: Callable[..., Call[Any]], items: Items, schedule: Mapping[str, Any]
    ) -> None:
        """Map `step` over `items`."""
        self.step = step
        self.items = items
        self.schedule = schedule
        self.queue: deque[Outcome[Any]] | None = None
        self.arrived: Callable[[], None] | None = None
        self.flow: Flow | None = None


class Flow:
    """Items on their way through a step, for one `fan_map`."""

    __slots__ = ("at", "at_once", "bad", "broken", "context", "decided", "ended", "enough",
                 "exhausted", "filling", "first_failure", "good", "job", "landed", "live", "loop",
                 "need", "owner", "plain", "read", "reader", "reason", "room", "runtime", "scope",
                 "source", "timer", "total", "within")  # fmt: skip

    def __init__(self, owner: Call[Any], job: Job, plan: Mapping[str, Any]) -> None:
        """Flow for the pattern call `owner` under the schedule `plan`."""
        self.owner: Call[Any] | None = owner
        self.job = job
        self.at_once: int = plan["at_once"]
        self.need: Share = plan["need"]
        self.enough: Share | None = plan["enough"]
        self.within: float | None = None
        self.total = len(job.items) if isinstance(job.items, Sized) else None
        self.landed = Landed(getattr(job.step, "name", "item"))
        self.live: dict[Call[Any], int] = {}
        self.good = self.bad = self.read = 0
        self.exhausted = self.filling = self.ended = False
        self.reason = ""
        self.at: float | None = None  # when it was decided before all had ended
        self.broken: BaseException | None = None
        self.first_failure: BaseException | None = None
        self.source: Iterator[Any] | None = None
        self.reader: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.context = copy_context()
        self.runtime = owner.run.runtime
        self.loop = self.runtime.loop
        self.scope: Scope = owner.scope  # type: ignore[assignment] # of its body, which this is
        self.plain: Step[Any, Any] | None = None  # see call_ended
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
            self.reader = asyncio.Task(
                self._read(aiter(items)), loop=self.loop, name="fan_map read"
            )
        else:
            self.source = iter(items)
            if type(self.source) in BUILT_IN:
                self.plain = self._plain_step()
            self.fill()

    def _plain_step(self) -> Step[Any, Any] | None:
        """Give the step, if to start a call of it there is nothing to ask and nobody to refuse."""
        step = self.job.step
        if type(step) is not Step or step.writes or step.policy.hedge is not None:
            return None
        asks = self.job.queue is not None or self.scope.digests or self.runtime.plan is not None
        bounded = self.enough is not None or self.context.get(DEADLINE) is not None
        return None if asks or bounded else step

    # Reading

    def has_room(self) -> bool:
        """Say whether another item may start: a place is free, not too much is left untaken."""
        running = len(self.live)
        if self.job.queue is None:
            return running < self.at_once
        return running < self.at_once and running + len(self.job.queue) < 2 * self.at_once

    def open(self) -> bool:
        """Say whether items may still start."""
        if self.runtime.draining:
            self.exhausted = True
        return not self.reason and not self.exhausted

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
                self._input_ended(None)
            except (Exception, CancelledError) as error:  # noqa: BLE001 - NotEnough names it
                self._input_ended(error)
            else:
                self.start_item(item)
        self.filling = False
        if self.exhausted:
            self._check_end()

    async def _read(self, source: AsyncIterator[Any]) -> None:
        """Start items of an async iterable, each when there is room for it."""
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
        if not self.reason:  # else the fan-in is closed, and has stopped this reading itself
            self._input_ended(error)
            self._check_end()

    def _came(self, item: object) -> None:
        """Start an item, unless the fan-in was closed while the source went on."""
        if not self.reason:
            self.start_item(item)
            return
        index = self.read
        self.read += 1
        error = CallSkipped(f"{self.landed.name(index)} was not started: {self.reason}")
        self._keep(self._gap(None, "skipped", index, error), item)

    def start_item(self, item: object) -> None:
        """Make the call of an item, and start it."""
        index = self.read
        self.read += 1
        try:
            call = self.job.step(item)
        except Exception as error:  # noqa: BLE001 - a wrong argument, a key: the item's own failure
            self._keep(self._gap(None, "failed", index, error), item)
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
            self._keep(self._gap(None, "skipped", index, error), item)

    def _input_ended(self, error: BaseException | None) -> None:
        self.exhausted = True
        self.plain = None
        self.ended = error is None
        self.broken = error
        self.total = self.read
        self._check_enough()
        self._check_reach()

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
            self._input_ended(None)
            self._check_end()
            return
        index = self.read
        self.read = index + 1
        self.landed.given[index] = item
        self.live[Call.start_item(step, item, self.scope, index, self)] = index

    def go_on(self) -> None:
        """Start what may start now."""
        if self.room is not None and not self.room.done():
            self.room.set_result(None)
        if self.exhausted:
            self._check_end()
        elif self.source is not None and not self.filling and not self.reason:
            self.context.run(self.fill)  # not in the context of the item that ended

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
        self._keep(outcome, self.landed.given.pop(index))

    def _gap(
        self,
        call: Call[Any] | None,
        status: Status,
        index: int,
        error: BaseException,
    ) -> Outcome[Any]:
        outcome: Outcome[Any] = Outcome(call, status, self.landed.name(index), index)
        outcome.error = error
        return outcome

    def _keep(self, outcome: Outcome[Any], item: object) -> None:
        outcome.item = item
        if self.job.queue is None:
            self.landed.keep(outcome)
        else:
            self.job.queue.append(outcome)
            self._tell_stream()
        if outcome.status == "ok":
            self.good += 1
            if self.enough is not None:
                self._check_enough()
        else:
            self.bad += 1
            self.first_failure = self.first_failure or outcome.error
            self._check_reach()

    def _tell_stream(self) -> None:
        if self.job.arrived is not None:
            self.job.arrived()

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

    def _check_end(self) -> None:
        if self.exhausted and not self.live and not self.filling:
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
        reading = self.reader is not None and not self.reader.done()
        if reading:
            self.reader.cancel()  # type: ignore[union-attr]
        ending = Ending()
        left = []
        for call, index in list(self.live.items()):
            if call.status in LIVE:
                left.append((call, self._gap_status(call), index))
                if leave(call, self):
                    ending.add(call)
        self.live.clear()
        if ending.open:
            await ending.wait()
        if reading:
            await _ended(self.reader)  # type: ignore[arg-type]
        for call, status, index in left:
            gap = self._gap(call, status, index, self._cause(call, status))
            self._keep(gap, self.landed.given.pop(index))

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
            msg = f"{name}: the input broke after {self.read} items: {self.broken!r}"
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
        return cut and isinstance(self.need, str)

    def __repr__(self) -> str:
        """Count."""
        return f"<Flow {self.good} ok, {self.bad} failed, {len(self.live)} running>"


async def _ended(task: asyncio.Task[None]) -> None:
    """Await the end of a cancelled task, whatever else is cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except CancelledError:
            cancelled = True
    if cancelled:
        raise CancelledError
