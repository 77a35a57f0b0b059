"""One execution of a call: its id, its rows, its counters."""

from __future__ import annotations

import asyncio
import random
import time
from _blake2 import blake2b  # see fanwise.core._canonical
from typing import TYPE_CHECKING, Any

from fanwise._version import __version__
from fanwise.core._record import (
    ATTEMPT,
    CHUNK,
    Header,
    Rows,
    record_of,
    text_of,
    view_of,
)
from fanwise.core._scope import CURRENT, Attempt, Scope, path_of
from fanwise.core._settlement import share_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._accounts import Account, BudgetStatistics
    from fanwise.core._cache_state import Caches
    from fanwise.core._call import Call
    from fanwise.core._journal import RunJournal
    from fanwise.core._protocols import Body
    from fanwise.core._record import AttemptRow, CallRow, Row, RunRecord
    from fanwise.core._runtime import Runtime
    from fanwise.core._settlement import Told


class Share:
    """Whose a run is, and how much of a limit is due to it."""

    __slots__ = ("priority", "tenant", "weight")

    priority: int
    tenant: str | None
    weight: float

    def __init__(self, tenant: str | None = None, weight: float = 1.0, priority: int = 0) -> None:
        """Take all three."""
        self.tenant = tenant
        self.weight = weight
        self.priority = priority

    def __repr__(self) -> str:
        """Show them."""
        return f"<Share of {self.tenant}, weight {self.weight:g}, priority {self.priority}>"


EQUAL = Share()


class Run:
    """One execution of a call. `runtime.start` gives it; `await run.wait()` gives its value."""

    __slots__ = ("__weakref__", "accounts", "anchor", "body", "budgeted", "budgets", "caches",
                 "digests", "epoch", "id", "journal", "main", "next_id", "over", "plain", "retries",
                 "root", "rows", "runtime", "seed", "share", "task", "time",
                 "unawaited")  # fmt: skip

    accounts: dict[Scope, Account]  # of the steps with a budget that run
    anchor: int
    body: Body | None
    budgeted: bool  # whether anything of it is under a budget
    budgets: tuple[Account, ...]  # over all of it, its own first
    caches: Caches  # its own under a rehearsal, whose draws answer no other run
    digests: bool
    epoch: float
    id: str
    journal: RunJournal | None
    next_id: int
    over: bool
    plain: bool
    retries: int
    root: Scope
    rows: Rows
    runtime: Runtime
    seed: int
    share: Share
    time: Callable[[], float]
    unawaited: int

    def __init__(
        self,
        runtime: Runtime,
        main: Call[Any],
        *,
        run_id: str,
        seed: int,
        body: Body | None = None,
        share: Share = EQUAL,
    ) -> None:
        """Open a run of `main`."""
        self.share = share
        self.runtime = runtime
        self.main: Call[Any] | None = main
        self.id = run_id
        self.seed = seed
        self.body = body
        self.caches = runtime.caches if body is None else {}
        self.time = runtime.time
        self.rows = Rows()
        self.next_id = -1
        self.retries = self.unawaited = 0
        self.over = False
        self.journal = None  # from its claim on
        self.digests = body is None and runtime.journal is not None
        self.plain = body is None and runtime.journal is None
        self.budgeted = False
        self.budgets = ()
        self.anchor = time.time_ns()
        self.epoch = self.time()
        self.task: asyncio.Task[Any] | None = None
        self.root = Scope.of_run(self)

    @property
    def calls(self) -> int:
        """How many calls were started so far."""
        return self.next_id + 1

    def spent(self) -> tuple[BudgetStatistics, ...]:
        """Give the budgets over all of the run, its own first, as they stand."""
        return tuple([account.statistics() for account in self.budgets])

    @property
    def header(self) -> Header:
        """The first line of the run's record."""
        return Header(self.id, self.anchor, self.seed, {"fanwise": __version__})

    def add_row(self, row: Row) -> None:
        """Keep a row."""
        self.rows.open.append(row)
        self.after_row(row)

    def after_row(self, row: Row) -> None:
        """Seal the chunk where it is full, and show the row to whoever listens."""
        if len(self.rows.open) >= CHUNK:
            self.rows.seal()
            self.runtime.sealed(self)
        if self.runtime.listeners:
            cost = self.cost if self.runtime.bills.ready else None  # the loop does not wait for it
            self.runtime.tell_listeners(view_of(row, self.epoch, cost))

    def add_attempt(self, attempt: Attempt, status: str, error: BaseException | None) -> None:
        """Keep a row for an attempt that failed or was not the first."""
        text = None if error is None else text_of(error)
        self.add_row(
            (
                ATTEMPT,
                attempt.scope.id,
                attempt.number,
                attempt.hedge,
                attempt.started,
                self.time(),
                status,
                text,
                share_of(attempt.scope.call, attempt.number),
            )
        )

    def view(self, row: Row) -> CallRow | AttemptRow:
        """Give the named view of a row, with what its answers cost."""
        return view_of(row, self.epoch, self.cost)

    def cost(self, told: tuple[Told, ...], model: str | None, end: float) -> dict[str, Any]:
        """Give what answers cost, by the prices of the instant `end` of the loop's clock."""
        return self.runtime.bills.facts(told, model, self.unix(end))

    def unix(self, time: float) -> float:
        """Give the Unix time of an instant of the loop's clock."""
        return self.anchor / 1e9 + (time - self.epoch)

    def reuse(self, call: Call[Any]) -> None:
        """Note that this run took the value of a call of another run."""
        now = self.time()
        self.next_id += 1
        here = CURRENT.get()
        parent = None if here is None else (here.scope if isinstance(here, Attempt) else here).id
        self.add_row(
            (
                self.next_id,
                parent,
                None,
                call.step.name,
                call.step.pattern,
                call.policy.role,
                None,
                now,
                now,
                "reused",
                0,
                0,
                None,
                (("facts", "from", call.run.id),),
            )
        )

    def close(self) -> None:
        """End the run: its record is complete."""
        self.over = True
        if self.budgeted:
            self.runtime.known_spending().close(self)
        self.main = None
        self.caches = {}
        self.root.live = None
        self.root.run = None  # type: ignore[assignment] # nothing starts under a run that is over
        self.runtime.forget(self)

    def random(self, here: Scope | Attempt, purpose: str) -> random.Random:
        """Give the generator for one use in one place: the same for the same seed and program."""
        return generator_for(f"{self.seed}:{path_of(here)}:{purpose}")

    def record(self) -> RunRecord:
        """Give the run's record so far; it is complete when the run is over."""
        spilled, held = self.rows.snapshot()
        rows = [self.view(row) for row in held]
        if spilled:
            rows = self.runtime.writer_of(self).rows_of(self, spilled) + rows
        return record_of(self.header, rows)

    async def wait(self) -> Any:  # noqa: ANN401 - the value of the run's call
        """Wait for the end of a started run, and give its value or raise its error.

        Cancelled, it stops waiting; the run goes on (`run.cancel()` ends it).
        """
        if self.task is None:
            msg = "this run was not started with runtime.start(...): await its call instead"
            raise RuntimeError(msg)
        await asyncio.wait([self.task])
        return self.task.result()

    def cancel(self) -> None:
        """Cancel a started run."""
        if self.task is not None:
            self.task.cancel()

    def __repr__(self) -> str:
        """Show id and progress."""
        state = "over" if self.over else "live"
        forgotten = f", {self.unawaited} made and never awaited" if self.unawaited else ""
        return f"<Run {self.id} {state}, {self.calls} calls{forgotten}>"


def generator_for(place: str) -> random.Random:
    """Give the generator for one use in one place of one seed."""
    return random.Random(int.from_bytes(blake2b(place.encode(), digest_size=8).digest()))


def note_reuse(call: Call[Any]) -> None:
    """Give the awaiting run a row where it takes the value of another run's call."""
    here = CURRENT.get()
    if here is not None and here.run is not call.run:
        here.run.reuse(call)
