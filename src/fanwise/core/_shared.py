"""What the calls of a runtime share: limits, breakers, timers, threads, and the plan's answers."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio import BaseEventLoop
from collections import deque
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fanwise.core import _registry
from fanwise.core._bills import Bills
from fanwise.core._blocking import watch, watch_of
from fanwise.core._breaker import BreakerState
from fanwise.core._budget import check_budget
from fanwise.core._errors import FanwiseError, LimitHeld, LimitUnknown
from fanwise.core._guesses import Guesses
from fanwise.core._hedge_state import HedgeState
from fanwise.core._hedging import send_hedge
from fanwise.core._items import interrupt_item
from fanwise.core._limits import Width
from fanwise.core._own_limit import OwnLimit
from fanwise.core._policies import Limit, Policy, check_pool
from fanwise.core._pools import Pools
from fanwise.core._races import Races
from fanwise.core._record import note
from fanwise.core._settlement import prepare
from fanwise.core._timed import interrupt
from fanwise.core._timers import TimerQueue
from fanwise.core._watchers import LIVE, is_below, waiting_for, watchers_of

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from fanwise.core._bills import Priced
    from fanwise.core._blocking import Block, LoopWatch
    from fanwise.core._cache_state import Caches, Flight
    from fanwise.core._call import Call
    from fanwise.core._contents import ContentsOf
    from fanwise.core._policies import Breaker, Hedge
    from fanwise.core._pools import Place
    from fanwise.core._protocols import Journal, Names, Plan
    from fanwise.core._quota import Quota
    from fanwise.core._record import Record
    from fanwise.core._run import Run
    from fanwise.core._runtime import Runtime
    from fanwise.core._settlement import Estimates
    from fanwise.core._spending import Spending
    from fanwise.core._step import Definition
    from fanwise.core.events import LimitEvents
    from fanwise.core.gates import Gates

T = TypeVar("T")

log = logging.getLogger("fanwise")
STUBBORN_AFTER = 1.0
MOST_STEPS = 4096  # of which something is known; beyond, it is worked out anew
SCHEDULE = frozenset(
    {
        "at_once", "need", "enough", "within", "stagger", "arity", "stop_at", "wave", "buffer",
        "batch", "linger",
    }
)  # fmt: skip


class Outfit:
    """What one step uses of a runtime, looked up once."""

    __slots__ = ("breaker", "first", "hedges", "holds", "idle", "only", "place", "quota",
                 "timeouts", "widths")  # fmt: skip

    breaker: BreakerState | None
    first: TimerQueue | None  # for the first item of a stream, `idle` for each next one
    hedges: HedgeState | None
    holds: str | None  # the limit of which a call may not wait for another
    idle: TimerQueue | None
    only: Width | None
    place: Place | None
    quota: Quota | None  # the one of the widths that has rates
    timeouts: TimerQueue | None
    widths: tuple[tuple[Width, str], ...]

    def __init__(
        self,
        widths: tuple[tuple[Width, str], ...],
        breaker: BreakerState | None,
        timeouts: TimerQueue | None,
        hedges: HedgeState | None,
        place: Place | None = None,
    ) -> None:
        """Keep the limits with the kind of wait for each, the breaker, the timers, the pool."""
        self.widths = widths
        lent = place is not None and place.workers is not None
        limit = widths[0][0] if widths and widths[0][1] == "limit" else None
        self.holds = limit.name if limit is not None and limit.is_held else None
        self.quota = None if type(limit) is Width else cast("Quota | None", limit)
        plain = len(widths) == 1 and not lent and self.quota is None
        self.only = widths[0][0] if plain else None
        self.place = place
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
    journal: Journal | None
    plan: Plan | None
    contents: Record | None
    contents_of: ContentsOf  # where there are contents
    reads_limits: bool  # from a file, of which each reading may bring any numbers
    noting: bool  # whether `facts_at_end` has anything to say
    running: int
    untimed: bool
    depth: int
    driving: bool

    def __init__(
        self,
        limits: Mapping[str, Limit] | None,
        plan: Plan | None,
        pools: Mapping[str, Executor | int] | None = None,
        prices: Mapping[str, Priced] | None = None,
    ) -> None:
        """Take definitions; nothing is made before a call asks for it."""
        check_limits(limits)
        self.definitions = limits
        self.reads_limits = False
        self.plan = plan
        self.journal = None
        self.untimed = os.environ.get("FANWISE_DEBUG", "") not in ("", "0")
        self.running = 0
        self.time: Callable[[], float] = time.monotonic
        self.threads: Width | None = None
        self.watch: LoopWatch | None = None
        self.widths: dict[str, Width] = {}
        self.gates: Gates | None = None  # of limits that are shared with other processes
        self.breakers: dict[str, BreakerState] = {}
        self.hedges: dict[str, HedgeState] = {}
        self.reading: dict[Call[Any], asyncio.Task[Any] | None] = {}  # streams with a limit: whose
        self.caches: Caches = {}
        self.leading: dict[Call[Any], Flight] = {}  # calls that others wait for, being equal
        self.limit_waits: dict[str, dict[Call[Any], None]] = {}
        self.budget_waits: dict[str, dict[Call[Any], None]] = {}
        self.spending: Spending | None = None  # of budgets, from the first one on
        self.backing_off: dict[Call[Any], float] = {}  # until when, on the loop's clock
        self.outfits: dict[Definition[Any], Outfit] = {}
        self._timeouts: dict[float, TimerQueue] = {}
        self._hedges: dict[float, TimerQueue] = {}
        self._paces: dict[float, TimerQueue] = {}
        self._stubborn: TimerQueue | None = None
        self.acts: deque[Callable[[], None]] = deque()  # see fanwise.core._watch.drive
        self.driving = False
        self.depth = 0  # of patterns that begin, or end, one inside the other
        self._policies: dict[Definition[Any], Policy] = {}
        self._schedules: dict[str, Mapping[str, Any]] = {}
        self.on_drain: dict[Callable[[], None], None] = {}  # those who wait for something outside
        self.races: Races = Races()
        self.contents = None
        self.noting = False
        self.blocked: dict[Call[Any], Block] = {}
        self.guesses: Guesses = Guesses()
        self.pools: Pools = Pools(pools)
        self.pool_waits: dict[str, dict[Call[Any], None]] = {}
        self.bills: Bills = Bills(prices)
        self.estimates: Estimates | None = None
        self.names: Names | None = None

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the clock of `loop`; on the virtual clock there are no threads."""
        self.loop = loop
        # The usual loop's own method only calls time.monotonic: half the cost without it.
        plain = getattr(type(loop), "time", None) is BaseEventLoop.time
        self.time = time.monotonic if plain else loop.time
        if not getattr(loop, "virtual", False):
            self.threads = self.pools.place(None).width
            prepare()
        watched = self.threads is not None and not self.untimed
        self.watch = watch(loop) if watched else watch_of(loop)
        if self.watch is not None:
            self.watch.join(self)  # type: ignore[arg-type] # a Runtime is the only one

    def width(self, name: str) -> Width:
        """Give the limit of that name; raise `LimitUnknown` where an explicit runtime has none."""
        width = self.widths.get(name)
        if width is None:
            limit = self.definition(name)
            own = isinstance(name, OwnLimit) and limit is name.limit  # nobody else knows of it
            gates = None if own else self.gates
            if gates is not None or self.reads_limits or not limit.is_width:
                made = cast("type[Quota]", _registry.load("limit", "rates"))
                width = made(name, limit, self.loop, gates)
            else:
                width = Width(name, limit)
            width.tell = self.tell_limit
            self.widths[name] = width
        return width

    def tell_limit(
        self, what: LimitEvents, name: str, value: float, run: Run | None, call: int | None = None
    ) -> None:
        """Show whoever listens what happened at a limit, or a budget; a runtime knows who does."""

    def definition(self, name: str) -> Limit:
        """Give what is defined for a name; raise `LimitUnknown` where nothing is."""
        own = name.limit if isinstance(name, OwnLimit) else None
        if self.definitions is None:
            return own or Limit()
        fitting = named(self.definitions, name)
        if fitting is not None:
            return fitting
        if own is not None:
            return own
        known = ", ".join(map(repr, self.definitions)) or "none"
        msg = (
            f"limit {name!r} is not defined: Runtime(limits={{{name!r}: Limit(at_once=8)}}) "
            f"defines it; defined are: {known}"
        )
        raise LimitUnknown(msg)

    def refuse_held(self, call: Call[Any], width: Width) -> None:
        """Raise where one who waits for `call`, or in whose body it was made, has the width."""
        keepers = self.keepers(waiting_for(call))
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
                    f"{holders[0].name} holds until it is read, and its reader waits for "
                    f"{call.name}: read it to its end first, or give the two different limits"
                )
            raise LimitHeld(msg)

    def keepers(self, waiting: list[Call[Any]]) -> Iterator[tuple[Call[Any], str]]:
        """Give who keeps a limit while `waiting` wait: themselves, and streams of who awaits them.

        A reader is known by its task: others of the same body may go on.
        """
        for call in waiting:
            if call.holds is not None:
                yield call, call.holds
        for stream in self.blocked_streams(waiting):
            if stream.policy.limit is not None:
                yield stream, stream.policy.limit
        if self.spending is not None:
            yield from self.spending.keepers(waiting)

    def blocked_streams(self, waiting: list[Call[Any]]) -> Iterator[Call[Any]]:
        """Give the streams that are not read on while `waiting` wait."""
        if not self.reading:
            return
        awaited = [getattr(w, "future", None) for call in waiting for w in watchers_of(call)]
        for stream, task in self.reading.items():
            future = getattr(task, "_fut_waiter", None)  # what asyncio itself shows in its repr
            blocked = task is asyncio.current_task() or (future is not None and future in awaited)
            if blocked:
                yield stream

    def waiting_for_limit(self, name: str) -> list[Call[Any]]:
        """Give the calls that wait for a slot of a limit, or for a budget, in order."""
        return list(self.limit_waits.get(name) or self.budget_waits.get(name) or ())

    def known_spending(self) -> Spending:
        """Give what attempts reserve of budgets, from now on."""
        if self.spending is None:
            make = cast("Callable[[Runtime], Spending]", _registry.load("limit", "budgets"))
            self.spending = make(self)  # type: ignore[arg-type] # a Runtime is the only one
        return self.spending

    def has_room(self, step: Definition[Any]) -> bool:
        """Say whether a call of `step` would have its slots at once."""
        try:
            outfit = self.outfits.get(step) or self.outfit(step, self.policy_of(step))
        except (TypeError, ValueError, FanwiseError):  # which the call itself will say
            return True
        return all(width.has_room() for width, _ in outfit.widths)

    def breaker(self, name: str, policy: Breaker) -> BreakerState:
        """Give the breaker of a step."""
        state = self.breakers.get(name)
        if state is None or state.policy is not policy:
            state = self.breakers[name] = BreakerState(name, policy)
        return state

    def outfit(self, step: Definition[Any], policy: Policy) -> Outfit:
        """Gather, once a step, what it uses of the runtime."""
        if len(self.outfits) >= MOST_STEPS:  # of a program that makes steps as it runs
            self._forget_steps()
        widths: list[tuple[Width, str]] = []
        if policy.limit is not None:
            widths.append((self.width(policy.limit), "limit"))
        place = self._place(step, policy)
        if place is not None:
            widths.append((place.width, "pool"))
        breaker = None if policy.breaker is None else self.breaker(step.name, policy.breaker)
        timeouts = hedges = None
        if not self.untimed:
            if policy.seconds is not None:
                timeouts = self._queue(self._timeouts, policy.seconds, interrupt)
            if policy.hedge is not None:
                hedges = self.hedge_state(step.name, policy.hedge)
        found = self.outfits[step] = Outfit(tuple(widths), breaker, timeouts, hedges, place)
        if step.streams and not self.untimed:
            found.first, found.idle = self._pace(policy.first), self._pace(policy.idle)
        return found

    def _forget_steps(self) -> None:
        self.outfits.clear()
        for queues in (self._timeouts, self._hedges, self._paces):
            for length in [each for each, queue in queues.items() if not queue.armed]:
                queues.pop(length).close()

    def hedge_state(self, name: str, policy: Hedge) -> HedgeState:
        """Give what is known of a step's hedges."""
        state = self.hedges.get(name)
        if state is None or state.policy is not policy:
            queue = partial(self._queue, self._hedges, action=send_hedge)
            state = self.hedges[name] = HedgeState(name, policy, queue)
        return state

    def _pace(self, seconds: float | None) -> TimerQueue | None:
        return None if seconds is None else self._queue(self._paces, seconds, interrupt_item)

    def _place(self, step: Definition[Any], policy: Policy) -> Place | None:
        """Give the pool of a plain function; on the virtual clock it runs inline."""
        if step.inline or step.streams:
            return None
        self.pools.check(policy.pool)
        if self.threads is None:
            return None
        place = self.pools.place(policy.pool)
        place.check(step)
        return place

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
            check_pool(step.name, policy, inline=step.inline or step.streams)
            check_budget(f"budget of the step {step.name}", policy.budget)
            if len(self._policies) >= MOST_STEPS:
                self._policies.clear()
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

    @property
    def abandoned(self) -> set[concurrent.futures.Future[Any]]:
        """Functions that go on though nobody waits for them."""
        return self.pools.abandoned

    def known_estimates(self) -> Estimates:
        """Give what was learned of usage, from now on."""
        if self.estimates is None:
            self.estimates = cast("Estimates", _registry.load("money", "estimates"))
        return self.estimates

    def expect_prices(self, model: str | None) -> None:
        """Let the prices be loaded beside the loop, where anything may happen beside it.

        Models at `local:` cost nothing.
        """
        if self.threads is not None and (model is None or not model.startswith("local:")):
            self.bills.expect()

    def keep_contents(self, record: Record) -> None:
        """Keep of arguments and results what the record asks for."""
        if record.contents != "none":
            self.contents = record
            self.contents_of = cast("ContentsOf", _registry.load("record", "contents"))
            self.noting = True

    def note_at_end(self, call: Call[Any], block: Block) -> None:
        """Keep that a call blocks the loop, for its row; safe from another thread."""
        self.blocked[call] = block
        self.noting = True

    def facts_at_end(self, call: Call[Any], status: str) -> dict[str, Any]:
        """Give what a call's row holds beside its own facts."""
        facts: dict[str, Any] = {}
        if self.contents is not None and call.step.pattern is None:
            facts.update(self.contents_of(call, status, self.contents))
        block = self.blocked.pop(call, None)
        if block is not None:
            facts["blocked"] = round(block.seconds * 1_000_000)
            facts["blocked_at"] = f"{block.file}:{block.line}"
        for each in [it for it in list(self.blocked) if it.status not in LIVE]:
            self.blocked.pop(each, None)  # it ended while the thread was telling of it
        self.noting = self.contents is not None or bool(self.blocked)
        return facts

    def close_shared(self) -> None:
        """Stop timers, threads and workers; blocks while an abandoned function runs."""
        if self.watch is not None:
            self.watch.leave(self)  # type: ignore[arg-type] # as above
        stubborn = [] if self._stubborn is None else [self._stubborn]
        queues = (*self._timeouts.values(), *self._hedges.values(), *self._paces.values())
        for queue in (*queues, *stubborn):
            queue.close()
        for width in self.widths.values():
            width.close()
        self.pools.close()


def named(mapping: Mapping[str, T], name: str) -> T | None:
    """Give what a name stands for, else the first pattern that fits it."""
    if name in mapping:
        return mapping[name]
    return next((each for key, each in mapping.items() if fnmatchcase(name, key)), None)


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
    note(call, stubborn=True)
    log.warning(
        "%s was cancelled %g s ago and still runs: it swallows cancellation",
        call.name,
        STUBBORN_AFTER,
    )
