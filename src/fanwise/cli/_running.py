"""How every command runs a call: with its record, its limits, a view, and Ctrl-C."""

import asyncio
import os
from contextlib import AsyncExitStack, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import click

from fanwise import Budget, Call, Limit, Runtime, deadline
from fanwise.analysis import Look, Lookout
from fanwise.cli._exit import Exit
from fanwise.cli._interrupt import Interrupt
from fanwise.cli._refusal import refuse
from fanwise.cli._summary import Times, times_of
from fanwise.cli._view import View
from fanwise.core import JournalError, Run, excuse, woken_by_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.core._accounts import BudgetStatistics
    from fanwise.core._reload import LimitsFile

T = TypeVar("T")


class RecordNotWritten(click.ClickException):
    """The file that `--record` names cannot be written."""

    exit_code = int(Exit.WRONG_USE)


class KeptAs(NamedTuple):
    """The journal in which a run is kept, and the id under which it goes on."""

    journal: Path
    run: str


class Bounds(NamedTuple):
    """What a run may take: seconds, and what of tokens or dollars; and where it is kept."""

    within: float | None
    budget: Budget | None
    kept: KeptAs | None = None


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """How a run ended: its value in a tuple, or its error; its times; what it last showed."""

    result: tuple[T] | None
    error: Exception | None
    times: Times
    look: Look
    interrupted: bool = False
    budget: "BudgetStatistics | None" = None

    @property
    def value(self) -> T:
        """The value of the call; where it has none, its error is raised."""
        if self.result is None:
            assert self.error is not None  # noqa: S101 - one of them is there
            raise self.error
        return self.result[0]


def execute(
    call: Call[T],
    view: View,
    *,
    limits: "Mapping[str, Limit] | LimitsFile",
    record: Path | None = None,
    within: float | None = None,
    budget: Budget | None = None,
    kept: KeptAs | None = None,
) -> Ended[T]:
    """Run a call in a loop of its own. A first Ctrl-C lets it end early with what is there.

    `within` bounds all of it, in seconds, `budget` what it uses; `kept` says in which journal it is
    kept. Raises `RecordNotWritten`; what the call raises is kept.
    """
    bounds = Bounds(within, budget, kept)
    journal = None if kept is None else f"sqlite:///{kept.journal}"
    runtime = Runtime(journal=journal, record=record, limits=limits)
    return asyncio.run(_execute(call, view, runtime, bounds))


async def _execute(call: Call[T], view: View, runtime: Runtime, bounds: Bounds) -> Ended[T]:
    with woken_by_signals(asyncio.get_running_loop()), Interrupt(runtime.drain) as interrupt:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(runtime)
            except OSError as error:
                excuse(call)  # it was never started
                raise RecordNotWritten(f"the record cannot be written: {error}") from None
            except JournalError as error:
                excuse(call)
                refuse(str(error))
            ended = await _ended(call, view, runtime, bounds, interrupt)
        return replace(ended, interrupted=interrupt.asked)


async def _ended(
    call: Call[T], view: View, runtime: Runtime, bounds: Bounds, interrupt: Interrupt
) -> Ended[T]:
    began = _processor()
    result: tuple[T] | None = None
    error: Exception | None = None
    bound = deadline(bounds.within) if bounds.within is not None else nullcontext()
    with ExitStack() as shown:
        started: tuple[Run, Lookout] | None = None
        try:
            with bound:
                run_id = None if bounds.kept is None else bounds.kept.run
                run = runtime.start(call, run_id=run_id, budget=bounds.budget)
                started = run, shown.enter_context(view.of(run, lambda: interrupt.asked))
                result = (await run.wait(),)
        except Exception as failure:  # noqa: BLE001 - it is what the run came to
            error = failure
        assert started is not None  # noqa: S101 - nothing above raises before
        run, lookout = started
        if run.task is not None:
            run.cancel()  # where the time is up
            await asyncio.gather(run.task, return_exceptions=True)
    times, look = times_of(run.record(), _processor() - began), lookout.look()
    budget = None if bounds.budget is None else run.spent()[0]
    return Ended(result, error, times, look, budget=budget)


def _processor() -> float:
    """Give the processor's time in seconds, that of worker processes that have ended included."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
