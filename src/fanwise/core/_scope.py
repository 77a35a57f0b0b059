"""What a running call is to the calls made and started under it.

A `Scope` belongs to one execution of a call, an `Attempt` to one attempt of a call whose policy can
make several, or limit its time. The context variable `CURRENT` holds whichever is innermost.
Neither refers to the call's value, and `Scope.call` is cut when the call ends: a call refers to its
maker's scope for ever, so that anything else would be a reference cycle.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from fanwise.core._attempts import Execution
    from fanwise.core._call import Call
    from fanwise.core._current import Current
    from fanwise.core._hedging import Hedging
    from fanwise.core._protocols import Body
    from fanwise.core._quota import Reservation
    from fanwise.core._run import Run
    from fanwise.core._timers import TimerQueue
    from fanwise.core._workers import Worker


class Scope:
    """One execution of a call, as its children see it."""

    __slots__ = (
        "call",
        "counts",
        "debt",
        "digests",
        "id",
        "kept",
        "live",
        "number",
        "parent",
        "run",
        "started",
        "step_name",
        "task",
        "timed_out",
    )

    # Set by `timed` where the call makes a single attempt, which is then this scope itself.
    debt: int
    started: float
    task: asyncio.Task[Any] | None
    timed_out: bool
    counts: dict[Any, int] | None
    digests: bool
    kept: dict[bytes, Call[Any]] | None
    call: Call[Any] | None
    id: int | None
    live: dict[Call[Any], None] | None
    number: int
    parent: Scope | Attempt | None
    run: Run
    step_name: str

    def __init__(self, call: Call[Any], run: Run, parent: Scope | Attempt) -> None:
        """Open the scope of `call`."""
        self.call = call
        self.run = run
        self.parent = parent
        self.counts = None
        self.live = None
        # What must be found again by a later attempt of anything above, and so needs a digest.
        self.kept = parent.kept
        self.digests = parent.digests
        self.id = call.id
        self.step_name = call.step.name
        self.number = call.number

    @classmethod
    def of_run(cls, run: Run) -> Scope:
        """Open the scope of a whole run, which is that of no call."""
        scope = cls.__new__(cls)
        scope.run = run
        scope.call = scope.parent = scope.counts = scope.live = scope.kept = scope.id = None
        scope.digests = run.digests
        scope.step_name = ""
        scope.number = 0
        return scope

    def __repr__(self) -> str:
        """Name the step."""
        return f"<Scope of {self.step_name or 'run'} #{self.id}>"


class Attempt:
    """One attempt of a call: what it counts for itself, and what interrupts it."""

    __slots__ = ("abandoned", "counts", "debt", "digests", "execution", "hedge",
                 "hedging", "number", "reservation", "scope", "slow", "started",
                 "task", "timed_out", "timer", "worker")  # fmt: skip

    debt: int
    digests: bool
    execution: Execution | None  # while a duplicate may still be sent
    started: float
    task: asyncio.Task[Any] | None
    timed_out: bool
    hedge: bool
    number: int
    reservation: Reservation  # of its limit, where that has rates
    scope: Scope
    slow: bool  # set by streams: the wait for an item was cut short
    worker: Worker  # lent to it, where its pool lends

    def __init__(self, scope: Scope, *, keeps: bool) -> None:
        """Prepare an attempt; it `keeps` its children where another may take them over."""
        self.scope = scope
        self.number = 0  # until it is admitted
        self.counts: dict[Any, int] | None = None
        self.digests = scope.digests or keeps
        self.hedge = False
        self.timer: TimerQueue | None = None  # of its hedge
        self.hedging: Hedging | None = None
        self.abandoned: Any = None  # the future of a thread that went on

    @property
    def kept(self) -> dict[bytes, Call[Any]] | None:
        """What is below all attempts of the call, and of those above it, by identity."""
        return self.scope.kept

    @property
    def call(self) -> Call[Any] | None:
        """The call, while it runs."""
        return self.scope.call

    @property
    def run(self) -> Run:
        """The run of the call."""
        return self.scope.run

    def __repr__(self) -> str:
        """Name step and number."""
        return f"<Attempt {self.number} of {self.scope.step_name} #{self.scope.id}>"


CURRENT: ContextVar[Scope | Attempt | None] = ContextVar("fanwise_current", default=None)
DEADLINE: ContextVar[float | None] = ContextVar("fanwise_deadline", default=None)
BODY: ContextVar[Body | None] = ContextVar("fanwise_body", default=None)  # of runs opened here
AWAY: ContextVar[Current | None] = ContextVar("fanwise_away", default=None)  # in other processes
READS_ONLY: ContextVar[str | None] = ContextVar("fanwise_reads_only", default=None)


def scope_of(here: Scope | Attempt | None) -> Scope | None:
    """Give the scope behind an attempt."""
    return here.scope if isinstance(here, Attempt) else here


def waiting_call() -> Call[Any] | None:
    """Give the call in whose body this runs, or `None` outside any."""
    here = CURRENT.get()
    return None if here is None else here.call


def is_hedge() -> bool:
    """Say whether this runs in a duplicate of an attempt that took long."""
    here = CURRENT.get()
    return isinstance(here, Attempt) and here.hedge


def path_of(here: Scope | Attempt | None) -> str:
    """Give the place of a scope in its run, for the engine's randomness: attempts included.

    Names and occurrence numbers only, so that it does not depend on the order of completion.
    """
    parts = []
    while here is not None:
        if isinstance(here, Attempt):
            parts.append(f"@{here.number}")
            here = here.scope
        parts.append(f"/{here.step_name}#{here.number}")
        here = here.parent
    return "".join(reversed(parts))
