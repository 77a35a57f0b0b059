"""The runtime: where calls run. One per event loop serves by default."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from fanwise.core import _registry
from fanwise.core._away import refuse_while_importing
from fanwise.core._budget import check_budget, check_budgets
from fanwise.core._dump import listen, unlisten
from fanwise.core._errors import CallSkipped
from fanwise.core._given import (
    file_name,
    gates_of,
    limits_file,
    names_of,
    record_writer,
    share_of_run,
)
from fanwise.core._kept import journal_of, run_kept, share_run
from fanwise.core._record import CHUNK, Record
from fanwise.core._run import EQUAL, Run, Share
from fanwise.core._runtime_statistics import RuntimeStatistics
from fanwise.core._scope import BODY, CURRENT
from fanwise.core._shared import Shared, named
from fanwise.core._wakeup import woken_by_signals
from fanwise.core._watchers import CALL_TYPES, excuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor
    from contextvars import Token
    from types import TracebackType

    from fanwise.core._bills import Priced
    from fanwise.core._budget import Budget
    from fanwise.core._call import Call
    from fanwise.core._policies import Limit
    from fanwise.core._protocols import Body, Journal, Listener, Names, Plan
    from fanwise.core._record import AttemptRow, CallRow
    from fanwise.core._reload import LimitsFile
    from fanwise.core._same_run import SameRun
    from fanwise.core._writer import RecordWriter
    from fanwise.core.events import LimitEvent, LimitEvents
    from fanwise.core.gates import Gates

T = TypeVar("T")

log = logging.getLogger("fanwise")
KEPT_ROWS = 1 << 20
BEHIND = 8 * CHUNK  # rows above the bound, at which the loop stands back for the writer
KEPT_RUNS = 1000
SPILL_FOLDER = os.path.join(".fanwise", "runs")
LOOP_ATTRIBUTE = "_fanwise_runtime"

RUNTIME: ContextVar[Runtime | None] = ContextVar("fanwise_runtime", default=None)
OPEN: weakref.WeakSet[Runtime] = weakref.WeakSet()


class Runtime(Shared):
    """Where calls run: `async with Runtime(...) as runtime: await runtime.run(call)`.

    `journal` is where results are kept, so that a killed run goes on: "sqlite:///runs.db",
    "memory", or a journal of `fanwise.stores`. `record` is a path, or a `Record`, to which the
    rows of every run are written; `limits` maps names, or patterns such as "anthropic/*", to
    `Limit`, or is a file of such (TOML) that is read again when it changes; `models` maps names
    to the deployments that they stand for, such as {"smart": ["anthropic:...", "openai:..."]};
    `plan` maps names of steps and patterns to what it overrides; `pools` maps names to a
    `concurrent.futures.Executor`, or to a number of worker processes ("thread": of threads);
    `prices` maps models, or patterns such as "openai/*", to `Price`, before the known prices;
    `listeners` are called with each row, and each `LimitEvent`, as it is made, on the loop;
    `shared` is where limits stand that other processes share, such as "redis://127.0.0.1:6379"
    or a `fanwise.stores.SharedLimits`; `budget` bounds all runs together, `budgets` maps
    tenants, or patterns such as "free-*", to theirs; `seed` makes the engine's own randomness
    repeatable (`None`: drawn anew, or a virtual loop's). Leaving the block cancels what still
    runs, waits for it and for functions in threads, ends the worker processes, gives back what
    it holds of shared limits, and closes the record.
    """

    budget: Budget | None
    count: int
    definitions: Mapping[str, Limit] | None
    draining: bool
    entered: bool
    gates: Gates | None
    held: int
    id: str
    journal: Journal | None
    listeners: list[Listener]
    names: Names | None
    reads_limits: bool
    record_path: str | None
    seed: int
    seeded: bool

    def __init__(  # noqa: PLR0913 - one argument for each thing that a runtime is given
        self,
        *,
        journal: Journal | str | None = None,
        record: str | os.PathLike[str] | Record | None = None,
        limits: Mapping[str, Limit] | str | os.PathLike[str] | LimitsFile | None = None,
        models: Mapping[str, object] | None = None,
        pools: Mapping[str, Executor | int] | None = None,
        prices: Mapping[str, Priced] | None = None,
        plan: Plan | None = None,
        listeners: Iterable[Listener] = (),
        seed: int | None = None,
        shared: Gates | str | None = None,
        budget: Budget | None = None,
        budgets: Mapping[str, Budget] | None = None,
    ) -> None:
        """Describe a runtime; it starts when its block is entered."""
        self._limits_file = limits_file(limits)
        defined = {} if limits is None or self._limits_file is not None else limits
        super().__init__(cast("Mapping[str, Limit]", defined), plan, pools, prices)
        self.reads_limits = self._limits_file is not None
        self._following: asyncio.Task[None] | None = None
        self.seed = int.from_bytes(os.urandom(4)) if seed is None else seed
        self.seeded = seed is not None
        self.listeners = list(listeners)
        if models is not None:
            self.names = names_of(models)
        if shared is not None:
            self.gates = gates_of(shared)
        if journal is not None:
            self.journal = journal_of(journal)
        self.same: dict[str, SameRun] = {}  # live runs under a journal, by the ids they were given
        check_budget("budget", budget, day=True)
        check_budgets(budgets)
        self.budget = budget
        self.budgets: dict[str, Budget] = {} if budgets is None else dict(budgets)
        self.draining = False
        self.id = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}"
        self.live: dict[Run, None] = {}
        self.finished: deque[Run] = deque()
        self.held = 0
        self.count = 0
        self.entered = False
        self._opened = 0.0  # Unix time at time 0 of the loop's clock
        self._started: set[asyncio.Task[Any]] = set()
        written = record if isinstance(record, Record) or record is None else Record(record)
        self.record_path = None if written is None else os.fspath(written.path)
        if written is not None:
            self.keep_contents(written)
            record_writer()  # loaded here, not on the loop
        self.writer: RecordWriter | None = None
        self._spills: dict[Run, RecordWriter] = {}
        self._token: Token[Runtime | None] | None = None

    # Life

    async def __aenter__(self) -> Self:
        """Start, on the running loop.

        Raises OSError where the record cannot be written or a file of limits cannot be read,
        ValueError for what such a file cannot mean, and `JournalError` where the journal is none.
        """
        if self.entered:
            msg = f"{self!r} is open already: one `async with` a runtime"
            raise RuntimeError(msg)
        loop = asyncio.get_running_loop()
        if self._limits_file is not None:
            read = self._limits_file.read
            virtual = getattr(loop, "virtual", False)  # where nothing happens beside the loop
            self.definitions = read() if virtual else await loop.run_in_executor(None, read)
        self._begin(loop)
        if self.record_path is not None:
            self.writer = await self._off_loop(record_writer(), self.record_path)
        if self.journal is not None:
            await self.journal.open()
        if self._limits_file is not None and self.threads is not None:
            following = self._limits_file.follow(self)
            self._following = asyncio.create_task(following, name="fanwise limits")
        self._token = RUNTIME.set(self)
        listen(self)
        return self

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        refuse_while_importing("a runtime")
        self.use_loop(loop)
        if not self.seeded:  # a virtual loop has a seed, so that its programs are repeatable
            self.seed = getattr(loop, "seed", self.seed)
        self._opened = time.time() - self.time()
        self.entered = True
        OPEN.add(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what still runs, wait for it, and close the record."""
        if self._token is not None:
            # Cells of a notebook and fixtures enter in one context and leave in another, where
            # this runtime was never current.
            with suppress(ValueError):
                RUNTIME.reset(self._token)
            self._token = None
        await self.aclose()

    async def aclose(self) -> None:
        """End the runtime, as leaving its block does."""
        unlisten(self)
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        tasks = list(self._started)  # also of runs that are over and have only to say so
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.entered = False
        OPEN.discard(self)
        await self._off_loop(self.close_shared)
        if self.gates is not None:
            await self.gates.aclose()
        if self.journal is not None:
            await self.journal.aclose()
        for writer in [self.writer, *self._spills.values()]:
            if writer is not None:
                await self._off_loop(writer.close)
                if writer.error is not None:
                    log.error("the record %s is not whole: %s", writer.path, writer.error)

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        if self.threads is None:  # the virtual clock: nothing happens beside the loop
            return function(*args)
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)

    # Runs

    async def run(  # noqa: PLR0913 - what the design lists
        self,
        call: Call[T],
        *,
        run_id: str | None = None,
        seed: int | None = None,
        body: Body | None = None,
        tenant: str | None = None,
        weight: float = 1.0,
        priority: int = 0,
        budget: Budget | None = None,
    ) -> T:
        """Run `call` as one run, and give its value or raise its error.

        `run_id` names the run in its record. Under a journal it names it for ever: what is
        finished of that run is not done again, and two who run it at a time wait for the same one.
        `body` is the rehearsal hook, asked at every attempt. Where limits with rates have a line,
        tenants (and runs that have none) get shares of them in proportion to `weight`, and a higher
        `priority` goes first; each step of it is worth the `burst` of the limit in seconds of
        waiting. `budget` bounds what all calls of the run use together, and takes from the budgets
        of the tenant and the runtime. Cancelled, it cancels the call and awaits its end.
        """
        share = share_of_run(tenant, weight, priority)
        rehearsed = body is not None or BODY.get() is not None
        if run_id is not None and not rehearsed and self.journal is not None:
            self._start(call, run_id, seed, body, share, budget)
            return cast("T", await self.same[run_id].value())
        running = self._in(self._open(call, run_id, seed, body, share, budget), call)
        del call  # this frame stands in the traceback of its error
        return await running

    def start(  # noqa: PLR0913 - as `run`
        self,
        call: Call[Any],
        *,
        run_id: str | None = None,
        seed: int | None = None,
        body: Body | None = None,
        tenant: str | None = None,
        weight: float = 1.0,
        priority: int = 0,
        budget: Budget | None = None,
    ) -> Run:
        """Start `call` as one run in the background; `await run.wait()` gives its value.

        Under a journal a run of that id that is live already is given itself.
        """
        share = share_of_run(tenant, weight, priority)
        return self._start(call, run_id, seed, body, share, budget)

    def _start(
        self,
        call: Call[Any],
        run_id: str | None,
        seed: int | None,
        body: Body | None,
        share: Share,
        budget: Budget | None,
    ) -> Run:
        live = None if run_id is None else self.same.get(run_id)
        if live is not None:
            live.join(call)
            return live.run
        run = self._open(call, run_id, seed, body, share, budget)
        if run_id is not None and run.digests:
            share_run(self.same, run, call)
        run.task = asyncio.Task(self._in(run, call), loop=self.loop, name=f"run {run.id}")
        self._started.add(run.task)
        run.task.add_done_callback(self._started.discard)
        run.task.add_done_callback(lambda _: self.same.pop(run.id, None))
        return run

    def _open(
        self,
        call: Call[Any],
        run_id: str | None,
        seed: int | None,
        body: Body | None,
        share: Share = EQUAL,
        budget: Budget | None = None,
    ) -> Run:
        if type(call) not in CALL_TYPES:
            msg = f"a run is of a call, such as runtime.run(answer(question)), got {call!r}"
            raise TypeError(msg)
        if not self.entered:
            msg = "the runtime is not open: `async with Runtime() as runtime:` around it"
            raise RuntimeError(msg)
        check_budget("budget", budget)
        self.count += 1
        run = Run(
            self,
            call,
            run_id=f"{self.id}-{self.count}" if run_id is None else run_id,
            seed=self.seed if seed is None else seed,
            body=BODY.get() if body is None else body,
            share=share,
        )
        if budget is not None or self.spending is not None or self.budget or self.budgets:
            self.known_spending().fund(run, budget)
        self.live[run] = None
        if self.watch is not None:
            self.watch.wake()
        if self.writer is not None:
            self.writer.follow(run)
        return run

    async def _in(self, run: Run, call: Call[T]) -> T:
        token = CURRENT.set(run.root)
        try:
            value: T = await (run_kept(run, call) if run.digests else call)
            return value
        finally:
            CURRENT.reset(token)
            if not run.over:
                run.close()
            del run, call  # as above

    def budget_of(self, tenant: str) -> Budget | None:
        """Give what a tenant may use: by its name, else by the first pattern that fits it."""
        return named(self.budgets, tenant)

    def drain(self) -> None:
        """Start nothing more: what runs goes on, fan-ins close with the rest `skipped`."""
        self.draining = True
        for width in [*self.widths.values(), *self.pools.widths]:
            width.refuse_all(CallSkipped(f"{width.name}: the runtime drains"))
        for tell in list(self.on_drain):
            tell()

    def reload(self, limits: Mapping[str, Limit]) -> None:
        """Take other limits from now on, all of them at once, also for calls that wait and hold.

        A rate goes on from what is spent, so that no window sees more than the larger of both
        limits allows; a width that is narrowed takes slots back as they return; who waits and never
        fits now is refused with LimitTooSmall. To be called on the loop. Raises TypeError,
        ValueError or LimitUnknown where a limit in use cannot be what is asked, and then changes
        nothing.
        """
        change = cast(
            "Callable[[Runtime, Mapping[str, Limit]], None]", _registry.load("limit", "change")
        )
        change(self, limits)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs whose records are still held, oldest first."""
        return (*self.finished, *self.live)

    def statistics(self) -> RuntimeStatistics:
        """Give the runtime's counters."""
        return RuntimeStatistics(
            self.running,
            len(self.live),
            len(self.abandoned),
            tuple(width.statistics() for width in self.widths.values()),
            tuple(state.statistics(self.time()) for state in self.breakers.values()),
            self.guesses.statistics(),
            tuple(state.statistics() for state in self.hedges.values()),
            tuple(width.statistics() for width in self.pools.widths if width.granted),
            self.races.statistics(),
            tuple(state.statistics() for state in self.caches.values()),
            () if self.estimates is None else self.estimates.statistics(),
            () if self.spending is None else self.spending.statistics(),
            () if self.names is None else self.names.statistics(self),
        )

    # What runs tell

    def sealed(self, run: Run) -> None:
        """Take note of a full chunk; beyond the bound, rows move from memory to a file."""
        if len(run.rows.sealed) * CHUNK <= KEPT_ROWS:
            return
        if self.writer is not None:
            self.writer.keep = KEPT_ROWS
        elif run not in self._spills:
            path = os.path.join(SPILL_FOLDER, f"{file_name(run.id)}.jsonl")
            self._spills[run] = record_writer()(path, keep=KEPT_ROWS, spill=True)
            self._spills[run].follow(run)
        self.writer_of(run).hurry(behind=len(run.rows.sealed) * CHUNK > KEPT_ROWS + BEHIND)

    def writer_of(self, run: Run) -> RecordWriter:
        """Give the writer that has the rows of `run` which memory has not."""
        writer = self.writer or self._spills.get(run)
        if writer is None:
            msg = f"{run!r} has no rows outside memory"
            raise LookupError(msg)
        return writer

    def forget(self, run: Run) -> None:
        """Move a run that is over to the finished ones, of which the oldest are forgotten whole."""
        self.live.pop(run, None)
        self.finished.append(run)
        self.held += len(run.rows)
        while len(self.finished) > KEPT_RUNS or (self.held > KEPT_ROWS and len(self.finished) > 1):
            self.held -= len(self.finished.popleft().rows)

    def tell_limit(
        self, what: LimitEvents, name: str, value: float, run: Run | None, call: int | None = None
    ) -> None:
        """Show whoever listens what happened at a limit, or a budget."""
        if self.listeners:
            from fanwise.core.events import LimitEvent  # noqa: PLC0415 - few runtimes have any

            now = self._opened + self.time()
            run_id = None if run is None else run.id
            self.tell_listeners(LimitEvent(what, name, now, value, run_id, call))

    def tell_listeners(self, row: CallRow | AttemptRow | LimitEvent) -> None:
        """Show a row to whoever listens; a listener that fails is dropped, nothing else is lost."""
        for listener in list(self.listeners):
            try:
                listener(row)
            except Exception:
                log.exception("listener %r failed and is dropped", listener)
                self.listeners.remove(listener)

    def __repr__(self) -> str:
        """Show id and load."""
        return f"<Runtime {self.id}, {len(self.live)} runs, {self.running} calls running>"


def current_runtime() -> Runtime:
    """Give the runtime of the enclosing block, or the running loop's default."""
    runtime = RUNTIME.get()
    loop = asyncio.get_running_loop()
    if runtime is not None and runtime.entered and runtime.loop is loop:
        return runtime
    default: Runtime | None = getattr(loop, LOOP_ATTRIBUTE, None)
    if default is None:
        default = Runtime()
        default.definitions = None  # a limit that nobody defined is no limit here
        default._begin(loop)  # noqa: SLF001 - of the same class
        setattr(loop, LOOP_ATTRIBUTE, default)
    return default


def current_run(call: Call[Any]) -> Run:
    """Give a new run for a call that is awaited outside any."""
    return current_runtime()._open(call, None, None, None)  # noqa: SLF001 - of the same module


def run(call: Call[T], *, runtime: Runtime | None = None) -> T:
    """Run a call from a script: a loop, a runtime, the call, and an orderly end of all three."""
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the public one raises
        excuse(call)
        msg = (
            "run(...) is for scripts: in a running loop, await runtime.run(call) or the call itself"
        )
        raise RuntimeError(msg)

    async def main() -> T:
        with woken_by_signals(asyncio.get_running_loop()):
            async with Runtime() if runtime is None else runtime as entered:
                if runtime is None:
                    entered.definitions = None
                return await entered.run(call)

    return asyncio.run(main())
