"""What the calls of a runtime share: limits, breakers, timers, threads, and the plan's answers."""

from __future__ import annotations

import logging
import os
import time
from asyncio import BaseEventLoop
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fanwise.core._breaker import BreakerState
from fanwise.core._errors import LimitHeld, LimitUnknown
from fanwise.core._hedging import send_hedge
from fanwise.core._items import interrupt_item
from fanwise.core._limits import Width
from fanwise.core._policies import Limit, Policy
from fanwise.core._protocols import Hooks
from fanwise.core._timed import interrupt
from fanwise.core._timers import TimerQueue
from fanwise.core._watchers import is_below, waiting_for

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    from collections.abc import Callable, Iterator

    from fanwise.core._call import Call
    from fanwise.core._policies import Breaker
    from fanwise.core._protocols import Plan, Pool
    from fanwise.core._step import Definition

log = logging.getLogger("fanwise")
THREADS = 32
STUBBORN_AFTER = 1.0
SCHEDULE = frozenset(
    {"at_once", "need", "enough", "within", "stagger", "arity", "buffer", "batch", "linger"}
)


class Outfit:
    """What one step uses of a runtime, looked up once."""

    __slots__ = ("breaker", "first", "hedges", "idle", "only", "timeouts", "widths")

    breaker: BreakerState | None
    first: TimerQueue | None  # for the first item of a stream, `idle` for each next one
    hedges: TimerQueue | None
    idle: TimerQueue | None
    only: Width | None
    timeouts: TimerQueue | None
    widths: tuple[tuple[Width, str], ...]

    def __init__(
        self,
        widths: tuple[tuple[Width, str], ...],
        breaker: BreakerState | None,
        timeouts: TimerQueue | None,
        hedges: TimerQueue | None,
    ) -> None:
        """Keep the limits with the kind of wait for each, the breaker, the timers."""
        self.widths = widths
        self.only = widths[0][0] if len(widths) == 1 else None
        self.breaker = breaker
        self.timeouts = timeouts
        self.hedges = hedges
        self.first = self.idle = None

    def __repr__(self) -> str:
        """Show what there is."""
        return f"<Outfit {self.widths} {self.breaker} {self.timeouts} {self.hedges}>"


class Shared:
    """The state behind policies, which hold none themselves."""

    loop: asyncio.AbstractEventLoop
    definitions: Mapping[str, Limit] | None
    hooks: Hooks
    plan: Plan | None
    running: int
    untimed: bool
    driving: bool

    def __init__(self, limits: Mapping[str, Limit] | None, plan: Plan | None) -> None:
        """Take definitions; nothing is made before a call asks for it."""
        check_limits(limits)
        self.definitions = limits
        self.plan = plan
        self.hooks = Hooks()
        self.untimed = os.environ.get("FANWISE_DEBUG", "") not in ("", "0")
        self.running = 0
        self.time: Callable[[], float] = time.monotonic
        self.threads: Width | None = None
        self.widths: dict[str, Width] = {}
        self.breakers: dict[str, BreakerState] = {}
        self.reading: dict[Call[Any], Call[Any]] = {}  # streams with a limit, and who reads them
        self.limit_waits: dict[str, dict[Call[Any], None]] = {}
        self.outfits: dict[Definition[Any], Outfit] = {}
        self._timeouts: dict[float, TimerQueue] = {}
        self._hedges: dict[float, TimerQueue] = {}
        self._paces: dict[float, TimerQueue] = {}
        self._stubborn: TimerQueue | None = None
        self.acts: deque[Callable[[], None]] = deque()  # see fanwise.core._watch.drive
        self.driving = False
        self._policies: dict[Definition[Any], Policy] = {}
        self._schedules: dict[str, Mapping[str, Any]] = {}
        self.on_drain: dict[Callable[[], None], None] = {}  # those who wait for something outside
        self._executor: ThreadPoolExecutor | None = None
        self.abandoned: set[concurrent.futures.Future[Any]] = set()

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the clock of `loop`; on the virtual clock there are no threads."""
        self.loop = loop
        # The usual loop's own method only calls time.monotonic: half the cost without it.
        plain = getattr(type(loop), "time", None) is BaseEventLoop.time
        self.time = time.monotonic if plain else loop.time
        if not getattr(loop, "virtual", False):
            self.threads = Width("threads", Limit(at_once=THREADS))

    def width(self, name: str) -> Width:
        """Give the limit of that name; raise `LimitUnknown` where an explicit runtime has none."""
        width = self.widths.get(name)
        if width is None:
            width = self.widths[name] = Width(name, self._definition(name))
        return width

    def _definition(self, name: str) -> Limit:
        if self.definitions is None:
            return Limit()
        if name in self.definitions:
            return self.definitions[name]
        for pattern, limit in self.definitions.items():
            if fnmatchcase(name, pattern):
                return limit
        known = ", ".join(map(repr, self.definitions)) or "none"
        msg = (
            f"limit {name!r} is not defined: Runtime(limits={{{name!r}: Limit(at_once=8)}}) "
            f"defines it; defined are: {known}"
        )
        raise LimitUnknown(msg)

    def refuse_held(self, call: Call[Any], width: Width) -> None:
        """Raise where one who waits for `call`, or in whose body it was made, has the width."""
        keepers = self.keepers(waiting_for(call)[1:])
        holders = [c for c, name in keepers if name == width.name and c is not call]
        here = call.home if call.home is not None else call.owner
        above = here.call
        while above is not None and not holders:
            if above.holds == width.name and is_below(call, above):
                holders.append(above)
            above = above.owner.call
        if holders:
            msg = (
                f"{call.name} asks for the limit {width.name!r}, which {holders[0].name} holds "
                f"while it waits for {call.name}: give the limit to the inner step only"
            )
            if holders[0] in self.reading:
                msg = (
                    f"{call.name} asks for the limit {width.name!r}, which the stream "
                    f"{holders[0].name} holds until it is read: read it to its end first, or give "
                    "the two steps different limits"
                )
            raise LimitHeld(msg)

    def keepers(self, waiting: list[Call[Any]]) -> Iterator[tuple[Call[Any], str]]:
        """Give who keeps a limit while each of `waiting` waits: it itself, the streams it reads."""
        for call in waiting:
            if call.holds is not None:
                yield call, call.holds
        for stream, reader in self.reading.items():
            if reader in waiting and stream.policy.limit is not None:
                yield stream, stream.policy.limit

    def waiting_for_limit(self, name: str) -> list[Call[Any]]:
        """Give the calls that wait for a slot of a limit, in order."""
        return list(self.limit_waits.get(name, ()))

    def breaker(self, name: str, policy: Breaker) -> BreakerState:
        """Give the breaker of a step."""
        state = self.breakers.get(name)
        if state is None or state.policy is not policy:
            state = self.breakers[name] = BreakerState(name, policy)
        return state

    def outfit(self, step: Definition[Any], policy: Policy) -> Outfit:
        """Gather, once a step, what it uses of the runtime."""
        widths: list[tuple[Width, str]] = []
        if policy.limit is not None:
            widths.append((self.width(policy.limit), "limit"))
        if not step.inline and not step.streams and self.threads is not None:
            widths.append((self.threads, "pool"))
        breaker = None if policy.breaker is None else self.breaker(step.name, policy.breaker)
        timeouts = hedges = None
        if not self.untimed:
            if policy.seconds is not None:
                timeouts = self._queue(self._timeouts, policy.seconds, interrupt)
            if policy.hedge is not None:
                hedges = self._queue(self._hedges, policy.hedge.after, send_hedge)
        found = self.outfits[step] = Outfit(tuple(widths), breaker, timeouts, hedges)
        if step.streams and not self.untimed:
            found.first, found.idle = self._pace(policy.first), self._pace(policy.idle)
        return found

    def _pace(self, seconds: float | None) -> TimerQueue | None:
        return None if seconds is None else self._queue(self._paces, seconds, interrupt_item)

    def _queue(
        self, queues: dict[float, TimerQueue], length: float, action: Callable[[Any], None]
    ) -> TimerQueue:
        if length not in queues:
            queues[length] = TimerQueue(self.loop, self.time, length, action)
        return queues[length]

    def watch_stubborn(self, call: Call[Any]) -> None:
        """Name the step of a cancelled call that has not ended after a second."""
        if self._stubborn is None:
            self._stubborn = TimerQueue(self.loop, self.time, STUBBORN_AFTER, _name_stubborn)
        self._stubborn.arm(call, self.time())

    def unwatch_stubborn(self, call: Call[Any]) -> None:
        """Forget it: it has ended."""
        if self._stubborn is not None:
            self._stubborn.disarm(call)
            if not self._stubborn.armed:
                self._stubborn.close()  # nothing of ours is left on the loop

    def policy_of(self, step: Definition[Any]) -> Policy:
        """Give a step's policy under the plan, which is asked once."""
        policy = self._policies.get(step)
        if policy is None:
            found = self.plan.get(step.name) if self.plan is not None else None
            plain = step.pattern is not None or not found
            policy = step.policy if plain else step.policy.changed(dict(found or {}))
            policy.check_pace(step.name, streams=step.streams)
            self._policies[step] = policy
        return policy

    def schedule_of(self, name: str) -> Mapping[str, Any]:
        """Give what the plan says of a pattern, which it is asked once."""
        found = self._schedules.get(name)
        if found is None:
            found = (self.plan.get(name) if self.plan is not None else None) or {}
            unknown = sorted(found.keys() - SCHEDULE)
            if unknown:
                msg = f"plan[{name!r}] has {unknown[0]!r}; a pattern has: {sorted(SCHEDULE)}"
                raise ValueError(msg)
            self._schedules[name] = found
        return found

    def executor(self) -> Pool:
        """Give the threads for plain functions: the runtime's own, where no pool was given."""
        if self.hooks.pool is not None:
            return self.hooks.pool
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="fanwise")
        return self._executor

    def abandon(self, future: concurrent.futures.Future[Any]) -> None:
        """Remember a function that cannot be stopped until it ends."""
        self.abandoned.add(future)
        future.add_done_callback(self.abandoned.discard)

    def close_shared(self) -> None:
        """Stop timers and threads; blocks while an abandoned function runs."""
        stubborn = [] if self._stubborn is None else [self._stubborn]
        queues = (*self._timeouts.values(), *self._hedges.values(), *self._paces.values())
        for queue in (*queues, *stubborn):
            queue.close()
        if self._executor is not None:
            self._executor.shutdown(wait=True)


def check_limits(limits: object) -> None:
    """Raise where `limits` does not map names to limits."""
    if limits is None:
        return
    example = 'limits maps names to Limit, such as limits={"search": Limit(at_once=8)}'
    if not isinstance(limits, Mapping):
        msg = f"{example}, got {limits!r}"
        raise TypeError(msg)
    for name, limit in limits.items():
        if not isinstance(name, str) or not isinstance(limit, Limit):
            msg = f"{example}, got {limit!r} for {name!r}"
            raise TypeError(msg)


def _name_stubborn(call: Call[Any]) -> None:
    if call.facts is None:
        call.facts = {}
    call.facts["stubborn"] = True
    log.warning(
        "%s was cancelled %g s ago and still runs: it swallows cancellation",
        call.name,
        STUBBORN_AFTER,
    )
