"""A call: a step applied to arguments, one unit of work that runs once.

Making one runs nothing. It runs in a task of its own, started by whoever asks first; everybody who
waits for it is a watcher, and the call tells its watchers itself, as its last act (a done callback
a task costs about a microsecond). The last watcher to leave cancels it.
"""

from __future__ import annotations

import warnings
from asyncio import CancelledError, Future, Task, get_running_loop
from sys import _getframe
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from fanwise.core import _watch
from fanwise.core._engine import run_call
from fanwise.core._record import ENDED
from fanwise.core._scope import CURRENT, Attempt
from fanwise.core._watchers import CALL_TYPES, NO_KWARGS, Ending

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator
    from contextvars import Context
    from types import CodeType

    from fanwise.core._items import Reader
    from fanwise.core._policies import Policy
    from fanwise.core._run import Run
    from fanwise.core._scope import Scope
    from fanwise.core._step import Definition
    from fanwise.core._watchers import Ahead, ItemWatcher

R_co = TypeVar("R_co", covariant=True)


class Call(Generic[R_co]):
    """Work as a value: `await` runs it, patterns run many of them.

    Its attributes are the engine's: read them, do not set them. `status` is "new", "waiting" (for
    the calls it is bound to), "running", or how it ended: "ok", "failed", "timed_out",
    "cancelled", "skipped".
    """

    __slots__ = (
        "__weakref__",
        "args",
        "attempts",
        "bare",
        "code",
        "context",
        "dropped",
        "entered",
        "error",
        "excused",
        "facts",
        "fan_in",
        "holds",
        "home",
        "id",
        "inputs",
        "key",
        "kwargs",
        "label",
        "load",
        "number",
        "owner",
        "place",
        "policy",
        "result",
        "row",
        "run",
        "scope",
        "started",
        "status",
        "step",
        "task",
        "trace",
        "watchers",
    )

    step: Definition[R_co]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempts: int
    bare: bool
    dropped: bool
    entered: tuple[int, bytes, bytes | None, int]  # set under a journal, which knows what it means
    error: BaseException | None
    excused: bool
    facts: dict[str, Any] | None
    fan_in: int | None
    holds: str | None
    home: Scope | Attempt | None
    id: int | None
    inputs: tuple[Call[Any], ...] | _watch.Binding | Ahead | None
    key: bytes | None
    label: str | None
    load: int
    number: int
    owner: Scope
    policy: Policy
    result: R_co
    row: tuple[Any, ...]
    run: Run
    scope: Scope | None
    code: CodeType
    context: Context | None  # its task's own, where duplicates may need it
    place: int
    started: float
    status: str
    task: asyncio.Task[None] | None
    trace: Any
    watchers: Any
    # A stream has its own: who reads it, and whether anybody does or did.
    reader: Reader | None = None
    taken: bool = False

    def __init_subclass__(cls) -> None:
        """Make the class known as one of calls."""
        CALL_TYPES.add(cls)

    def __init__(
        self, step: Definition[R_co], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Describe the work; the place of the caller's caller is kept for the warning."""
        frame = _getframe(2)
        self.code = frame.f_code
        self.place = frame.f_lasti  # the line is worked out only for the warning
        self.step = step
        self.args = args
        self.kwargs = kwargs or NO_KWARGS
        self.status = "new"
        self.label = self.watchers = self.fan_in = self.inputs = self.key = self.id = None
        self.attempts = 0
        self.dropped = self.excused = False
        here = self.home = CURRENT.get()
        if here is None:
            self.number = 0
            return
        counts = here.counts
        if counts is None:
            counts = here.counts = {}
        name = step.name
        self.number = counts.get(name, 0)
        counts[name] = self.number + 1

    @classmethod
    def of_item(cls, step: Definition[R_co], item: object, home: Scope, number: int) -> Call[R_co]:
        """Make the call of an item that a pattern starts at once: nobody can forget to await it."""
        call = cls.__new__(cls)
        call.step = step
        call.args = (item,)
        call.kwargs = NO_KWARGS
        call.status = "new"
        call.label = call.watchers = call.inputs = call.key = call.id = None
        call.attempts = 0
        call.dropped = False
        call.excused = True
        call.home = home
        call.number = number
        call.fan_in = home.id
        return call

    @classmethod
    def start_item(
        cls, step: Definition[R_co], item: object, home: Scope, number: int, watcher: ItemWatcher
    ) -> Call[R_co]:
        """Do what `of_item` and `begin` do, in one, where there is nothing to ask.

        The caller has made sure that no plan, deadline, drain, digest or hedge has a say, and that
        calls were begun here before. Nobody can forget to await it.
        """
        call = cls.__new__(cls)
        run = home.run
        runtime = run.runtime
        call.step = step
        call.args = (item,)
        call.kwargs = NO_KWARGS
        call.policy = step.policy
        call.home = call.owner = home
        call.run = run
        call.fan_in = home.id
        call.number = number
        call.id = run.next_id = run.next_id + 1
        call.attempts = 0
        call.label = call.inputs = call.key = call.error = call.facts = call.holds = None
        call.scope = None
        call.dropped = False
        call.excused = True
        call.watchers = watcher
        call.status = "starting"
        call.bare = step.inline and run.plain
        call.started = run.time()
        call.load = runtime.running
        runtime.running += 1
        home.live[call] = None  # type: ignore[index] # as said above
        call.task = Task(
            run_call(call), loop=runtime.loop, name=step.name, context=watcher.context.copy()
        )
        return call

    @property
    def name(self) -> str:
        """The call's name for people: as given, or its step's, a pattern's with its place."""
        if self.label is not None:
            return self.label
        if not self.step.pattern:
            return self.step.name
        plain = self.plan_name
        return plain if self.number == 0 else f"{plain} {self.number + 1}"

    @property
    def ended(self) -> float:
        """The loop's time at its end; for calls that have ended."""
        ended: float = self.row[ENDED]
        return ended

    @property
    def made_at(self) -> tuple[str, int]:
        """The file and the line that made it."""
        lines = [line for start, end, line in self.code.co_lines() if start <= self.place < end]
        return self.code.co_filename, next(filter(None, lines), 0)

    @property
    def plan_name(self) -> str:
        """The name under which a plan knows it: never numbered."""
        if self.label is not None:
            return self.label
        if self.step.pattern and self.home is not None:
            scope = self.home.scope if isinstance(self.home, Attempt) else self.home
            return f"{scope.step_name}/{self.step.name}" if scope.step_name else self.step.name
        return self.step.name

    def named(self, name: str) -> Self:
        """Give this same call the name `name`, for reports and plans."""
        given: object = name
        if not isinstance(given, str) or not given:
            msg = f'a name is a str that is not empty, such as .named("search"), got {name!r}'
            raise TypeError(msg)
        self.label = name
        return self

    def __await__(self) -> Generator[Any, None, R_co]:
        """Start it if nobody did, and wait for its end.

        Raises what the step raised. Cancelled, it leaves; as the last watcher it cancels the call
        and awaits the end of it.
        """
        here = CURRENT.get()
        waiter = _watch.Waiter(None if here is None else here.call, Future(loop=get_running_loop()))
        if not _watch.ask(self, waiter, here):
            try:
                yield from waiter.future
            except CancelledError:
                try:
                    if _watch.leave(self, waiter):
                        yield from Ending(self).wait().__await__()
                finally:
                    del self, waiter, here  # as below: a timeout has this error as its context
                raise
        if self.status == "ok":
            return self.result
        error, trace = _watch.failure_of(self)
        del self, waiter  # the frame stands in the error's traceback: it must not lead back here
        try:
            raise error.with_traceback(trace)
        finally:
            del error, trace

    def __del__(self) -> None:
        """Warn where the call was made and nobody ever asked for it."""
        if self.status == "new" and not self.excused:
            _warn_unawaited(self)

    def __repr__(self) -> str:
        """Name and status."""
        return f"<Call {self.name} {self.status}>"


CALL_TYPES.add(Call)


def _warn_unawaited(call: Call[Any]) -> None:
    if call.home is not None:
        call.home.run.unawaited += 1
    text = f"call of {call.step.name!r} was made and never awaited"
    warnings.warn_explicit(text, RuntimeWarning, *call.made_at)
