"""A loop on which waiting costs nothing, and on which a program that cannot go on says so.

The problem: to test an hour of waiting in no time, twice the same, on unchanged asyncio code.
The method is discrete-event simulation (next-event time advance: Law, Simulation Modeling and
Analysis, section 1.3): where nothing is ready, the clock is set to the instant of the next timer,
never to "now plus a delay", which would drift.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from fanwise.testing._errors import Deadlock, HorizonPassed, LoopStuck
from fanwise.testing._outside import OutsideLoop
from fanwise.testing._places import busy_threads, place_of_task
from fanwise.testing._watchdog import Watchdog, lifted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fanwise.testing._outside import Events
    from fanwise.testing._watchdog import Pulse

_T = TypeVar("_T")

Order = Literal["fifo", "shuffled"]

# Turns between two looks at the loop's own wake-up socket where nothing else is watched: only
# a signal can be waiting there, and a look costs as much as the rest of a turn.
_TURNS = 64
# Real seconds are counted in steps of this, so that times stay on the grid of 2**-10.
_GRID = 1024


class VirtualLoop(OutsideLoop):
    """An asyncio loop on which time passes only where nothing else can happen.

    How time moves:

    - Something is ready: time stands still. Code costs no virtual time.
    - Nothing is ready: time jumps to the next timer. Timers of one instant fire in the order in
      which they were set (`order="fifo"`) or drawn from `seed` (`order="shuffled"`; asyncio
      promises no order there, so correct programs must bear it).
    - A job is out (`run_in_executor`, `asyncio.to_thread`): time stands still until it is back.
    - A real socket or pipe is watched, or a child process runs: time goes at the speed of real
      time, since what the other side takes cannot be known. A thread that you start yourself is
      not seen: time jumps past it, but it is waited for before a deadlock is reported.
    - Nothing is ready, no timer is set, no input can come: `Deadlock`, with every pending task.

    `start` is the first instant, in seconds: 0.0 unless said. Seconds that are multiples of 2**-10
    are added without error, up to 2**42. `horizon` is the last instant that may be reached (`None`:
    no end): past it `HorizonPassed`, which finds the task that repeats for ever. `watchdog` is in
    real seconds (`None`: none; lifted by FANWISE_DEBUG=1): when neither time nor input moved for so
    long, `LoopStuck` tells where the loop is.

    It is made for tests and rehearsals: it is not a loop to serve on.
    """

    virtual: ClassVar[bool] = True
    """True here, absent on other loops: tells the engine to run plain `def` steps inline."""

    def __init__(
        self,
        *,
        seed: int = 0,
        start: float = 0.0,
        order: Order = "fifo",
        watchdog: float | None = 10.0,
        horizon: float | None = 1e6,
    ) -> None:
        self.seed = seed
        self._horizon = math.inf if horizon is None else horizon
        self._patience = None if watchdog is None or lifted() else watchdog
        self._turns = 0
        # Where real time was first followed: the real and the virtual instant.
        self._anchor: tuple[float, float] | None = None
        self._inputs = 0
        self._awaits_input = False
        self._stuck: str | None = None
        self._watchdog: Watchdog | None = None
        super().__init__(start)
        try:
            self._tie = _ties(seed, order)
        except ValueError:
            # A loop that was begun must be closed.
            self.close()
            raise
        self._watchdog = _watchdog_of(self, self._patience)

    def __repr__(self) -> str:
        timers = len(self._alarms)
        return f"<VirtualLoop t={self._instant:g} timers={timers} closed={self.is_closed()}>"

    def run_forever(self) -> None:
        """Run until `stop`; raises Deadlock, HorizonPassed or LoopStuck where nothing goes on."""
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            super().run_forever()
        except LoopStuck:
            # Said once: what cleans up after it runs on this loop too.
            self._stuck = None
            raise

    def close(self) -> None:
        """Close the loop and let its watchdog go."""
        if self._watchdog is not None:
            self._watchdog.stop()
        super().close()

    def _turn(self, timeout: float | None) -> Events:
        self._turns += 1
        if self._stuck is not None:
            story, self._stuck = self._stuck, None
            raise LoopStuck(self._with_tasks(story))
        if self._jobs or self._children or self._input.watched:
            return self._turn_outside(timeout)
        self._anchor = None
        if self._turns % _TURNS == 0 and (events := self._input.poll(0)):
            return events
        if timeout is None:
            return self._jump()
        self._release_alarms()
        return ()

    def _jump(self) -> Events:
        when = self._next_alarm()
        if when is None:
            return self._wait_for_threads()
        if when > self._horizon:
            msg = f"the next timer is at {when:g} s, beyond horizon={self._horizon:g}"
            raise HorizonPassed(self._with_tasks(msg))
        self._instant = max(self._instant, when)
        self._release_alarms()
        return ()

    def _wait_for_threads(self) -> Events:
        # A signal may have come since the last look.
        if events := self._input.poll(0):
            return events
        if not busy_threads():
            msg = f"deadlock at {self._instant:g} s: nothing is ready, no timer is set"
            raise Deadlock(self._with_tasks(msg))
        return self._wait_really(None)

    def _turn_outside(self, timeout: float | None) -> Events:
        self._running_children()
        self._follow_real_time()
        if timeout is not None:
            events = self._input.poll(timeout)
        else:
            events = self._wait_really(None if self._jobs else self._next_alarm())
        self._follow_real_time()
        self._release_alarms()
        return events

    def _wait_really(self, until: float | None) -> Events:
        patience = self._patience if until is None else max(0.0, until - self._instant)
        self._awaits_input = True
        try:
            events = self._input.poll(patience)
        finally:
            self._awaits_input = False
        if events or self._has_ready():
            self._inputs += 1
        elif until is not None:
            # Exactly that instant: counted real time would come out a little beside it.
            self._instant = max(self._instant, until)
        else:
            raise Deadlock(self._with_tasks(self._nothing_came()))
        return events

    def _nothing_came(self) -> str:
        threads = ", ".join(it.name for it in busy_threads()) or "none"
        return (
            f"deadlock at {self._instant:g} s: no input came for {self._patience} real seconds; "
            f"{self._outside()}, busy threads: {threads}"
        )

    def _follow_real_time(self) -> None:
        if self._jobs:
            self._anchor = None
            return
        if self._anchor is None:
            self._anchor = (time.monotonic(), self._instant)
        real, virtual = self._anchor
        passed = math.floor((time.monotonic() - real) * _GRID) / _GRID
        self._instant = max(self._instant, virtual + passed)

    def _with_tasks(self, what: str) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        lines = [f"\n  - task {it.get_name()!r} waits {place_of_task(it)}" for it in tasks]
        return f"{what}; pending tasks: {len(tasks)}{''.join(lines)}"

    # What the watchdog asks, from its own thread.

    def _pulse(self) -> Pulse:
        # Waiting for the outside has its own limit, and a loop that does not run cannot be stuck.
        excused = self._awaits_input or not self.is_running()
        return (object() if excused else (self._instant, self._inputs), self._turns)

    def _found_stuck(self, story: str) -> None:
        self._stuck = story


def _ties(seed: int, order: Order) -> Callable[[], float]:
    if order == "fifo":
        return itertools.count().__next__
    if order == "shuffled":
        return random.Random(seed).random
    msg = f'order must be "fifo" or "shuffled", not {order!r}'
    raise ValueError(msg)


def _watchdog_of(loop: VirtualLoop, patience: float | None) -> Watchdog | None:
    if patience is None:
        return None
    # Weak, so that a loop that nobody closed can still be collected.
    known = weakref.ref(loop)

    def pulse() -> Pulse | None:
        alive = known()
        return None if alive is None else alive._pulse()  # noqa: SLF001 - the loop's own part

    def tell(story: str) -> None:
        alive = known()
        if alive is not None:
            alive._found_stuck(story)  # noqa: SLF001 - the loop's own part

    return Watchdog(patience, pulse, tell)


def run_virtual(
    main: Coroutine[Any, Any, _T],
    *,
    seed: int = 0,
    start: float = 0.0,
    order: Order = "fifo",
    watchdog: float | None = 10.0,
    horizon: float | None = 1e6,
    debug: bool | None = None,
) -> _T:
    """Run a coroutine to its end on a `VirtualLoop` of its own, and give its result.

    The arguments are those of `VirtualLoop`; `debug` is asyncio's. The seed does not touch the
    module `random`: it orders ties if asked to, and stands on the loop as `seed`. Raises what
    `main` raises, Deadlock, HorizonPassed or LoopStuck; in every case the tasks that are left are
    cancelled and awaited before it returns.
    """

    def loop() -> VirtualLoop:
        return VirtualLoop(seed=seed, start=start, order=order, watchdog=watchdog, horizon=horizon)

    with asyncio.Runner(debug=debug, loop_factory=loop) as runner:
        return runner.run(main)
