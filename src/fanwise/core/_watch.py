"""Who waits for a call: asking for it, leaving it, starting it when its inputs are there."""

from __future__ import annotations

from asyncio import Task
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from fanwise.core._engine import drop, finish, run_call
from fanwise.core._errors import (
    CallDropped,
    CallSkipped,
    DeadlinePassed,
    FanwiseError,
    StreamTaken,
)
from fanwise.core._record import note
from fanwise.core._run import note_reuse
from fanwise.core._runtime import current_run
from fanwise.core._scope import CURRENT, DEADLINE, Attempt, Scope
from fanwise.core._watchers import (
    CALL_TYPES,
    LIVE,
    add_watcher,
    excuse,
    refuse_circles,
    watchers_of,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from fanwise.core._call import Call
    from fanwise.core._runtime import Runtime
    from fanwise.core._watchers import Watcher


class Waiter:
    """One `await` of one call."""

    __slots__ = ("future", "owner")

    future: asyncio.Future[None]
    owner: Call[Any] | None

    def __init__(self, owner: Call[Any] | None, future: asyncio.Future[None]) -> None:
        """Wait for `future` in the body of `owner`."""
        self.owner = owner
        self.future = future

    def call_ended(self, call: Call[Any]) -> None:  # noqa: ARG002 - the waiter reads the call itself
        """Wake the task that awaits."""
        if not self.future.done():
            self.future.set_result(None)

    def __repr__(self) -> str:
        """Name who waits."""
        return f"<Waiter of {self.owner!r}>"


def ask(call: Call[Any], watcher: Watcher, asker: Scope | Attempt | None = None) -> bool:
    """Want `call`: start it if it is new. Say whether it has ended, so that nobody will tell.

    `asker` is the scope that asks, where it is not the running one.

    Raises `CallDropped` where it was let go, `CircularWait` and `LimitHeld` where the wait would
    never end.
    """
    status = call.status
    if status == "new":
        here = CURRENT.get() if asker is None else asker
        if here is None:
            here = current_run(call).root
        begin(call, here if here.__class__ is Scope else here.scope)  # type: ignore[union-attr]
        if call.status not in LIVE:
            return True
        call.watchers = watcher
        owner = watcher.owner
        if owner is not None and owner.holds is not None:
            owner.run.runtime.width(owner.holds).nested = True
        return False
    if call.taken:
        msg = (
            f"the items of {call.name} went to its reader: a stream has one, or is awaited instead"
        )
        raise StreamTaken(msg)
    if status not in LIVE:
        note_reuse(call)
        return True
    if call.dropped:
        msg = f"{call.name} was cancelled when its last watcher left; a call runs once"
        raise CallDropped(msg)
    if watcher.owner is not None and status != "starting":  # which waits for nobody yet
        refuse_circles(watcher.owner, call)
    add_watcher(call, watcher)
    return False


def leave(call: Call[Any], watcher: Watcher) -> bool:
    """Stop waiting. Say whether the call is being cancelled, so that its end is to be awaited.

    The last watcher to leave cancels it.
    """
    if call.status not in LIVE:
        return False
    present = call.watchers
    if present is watcher:
        call.watchers = None
    elif isinstance(present, list) and watcher in present:
        present.remove(watcher)
    else:
        return False
    if not call.dropped and not call.watchers:
        drop(call)
    return call.dropped and call.status in LIVE


def begin(call: Call[Any], asker: Scope, context: Context | None = None) -> None:
    """Give a new call its place in a run, and start it or the calls that it is bound to.

    Its task runs in a copy of `context`, or of the running one.
    """
    home = call.home
    if home is asker:  # as for most
        owner = asker
    # A maker that has ended, or belongs to another run, looks after nothing any more.
    elif home is not None and home.call is not None and home.run is asker.run:
        owner = home if home.__class__ is Scope else home.scope  # type: ignore[union-attr]
    else:
        owner = asker
        while owner.call is not None and owner.call.step.pattern:
            owner = owner.call.owner  # a pattern looks after nothing that others may want too
    run = owner.run
    runtime = run.runtime
    call.owner = owner
    call.run = run
    call.id = run.next_id = run.next_id + 1
    call.error = call.facts = call.task = call.holds = call.scope = call.context = None
    call.policy = call.step.policy
    call.started = run.time()
    call.load = runtime.running
    runtime.running += 1
    if owner is not asker and call.fan_in is None and asker.id is not None:
        note(call, asked_by=asker.id)  # handed on and awaited elsewhere than where it was made
    deadline = DEADLINE.get() if context is None else context.get(DEADLINE)
    odd = deadline is not None or runtime.draining or runtime.plan is not None
    if odd and _refused(call, runtime, deadline):
        return
    if owner.live is None:
        owner.live = {}
    owner.live[call] = None
    if call.inputs is None:
        launch(call, None if context is None else context.copy())
    else:
        drive(runtime, Binding(call, call.inputs).start)  # type: ignore[arg-type]


def _refused(call: Call[Any], runtime: Runtime, deadline: float | None) -> bool:
    """Apply the plan to a call, and end the call where it may not start."""
    status = "skipped"
    error: Exception | None = None
    if runtime.plan is not None:
        try:
            call.policy = runtime.policy_of(call.step)
        except (TypeError, ValueError) as wrong:  # a wrong plan: nobody else may fail of it
            status, error = "failed", wrong
    if error is None and deadline is not None and call.started >= deadline:
        error = DeadlinePassed(f"{call.name} was not started: the deadline had passed")
    if error is None and runtime.draining and not call.step.pattern:
        error = CallSkipped(f"{call.name} was not started: the runtime drains")
    if error is None:
        return False
    if call.run.journal is not None and isinstance(error, DeadlinePassed):
        call.run.journal.refused(call, error)
    excuse(call)
    call.error = error
    call.trace = None
    finish(call, status)
    return True


def launch(call: Call[Any], context: Context | None = None) -> None:
    """Start the task of a call whose inputs are there, in `context` or a copy of this one."""
    run = call.run
    step = call.step
    call.status = "starting"
    call.bare = step.inline and (run.plain or step.pattern is not None)
    ahead = step.ahead
    if ahead is not None and (ahead(call) if context is None else context.run(ahead, call)):
        return
    if call.policy.hedge is not None:  # a duplicate runs in a copy of it
        call.context = context = copy_context() if context is None else context
    call.task = Task(run_call(call), loop=run.runtime.loop, name=step.name, context=context)


def drive(runtime: Runtime, act: Callable[[], None]) -> None:
    """Do `act`, and what that leads to, one after the other: a long chain needs no deep stack."""
    if runtime.driving:
        runtime.acts.append(act)
        return
    runtime.driving = True
    try:
        act()
        while runtime.acts:
            runtime.acts.popleft()()
    finally:
        runtime.driving = False


class Binding:
    """Watches the inputs of a bound call, and starts it when the last of them is there."""

    __slots__ = ("context", "failure", "inputs", "letting_go", "open", "owner")

    context: Context
    inputs: tuple[Call[Any], ...]
    letting_go: bool
    open: int

    def __init__(self, call: Call[Any], inputs: tuple[Call[Any], ...]) -> None:
        """Take the place of the inputs of `call`, which waits for them from now on."""
        self.owner: Call[Any] = call
        self.inputs = inputs
        self.open = len(inputs) + 1
        self.failure: tuple[BaseException, Any] | None = None
        self.letting_go = False
        self.context = copy_context()  # the asker's: the last input's own must not leak
        call.inputs = self
        call.status = "waiting"

    def start(self) -> None:
        """Ask for every input."""
        asker = self.owner.owner
        for each in self.inputs:
            if self.letting_go:
                excuse(each)
                self.open -= 1
                continue
            try:
                ended = ask(each, self, asker)
            except FanwiseError as error:
                self.failure = error, None
                self.let_go()
                self.open -= 1
            else:
                if ended:
                    self.call_ended(each)
        self._count_down()

    def call_ended(self, call: Call[Any]) -> None:
        """Count an input that has ended; one that failed ends the wait."""
        if call.status != "ok" and not self.letting_go:
            self.failure = failure_of(call)
            self.let_go()
        self._count_down()

    def let_go(self) -> None:
        """Leave the inputs that still run; those of which this was the last watcher are awaited."""
        self.letting_go = True
        self.open += 1
        for each in self.inputs:
            if each.status in LIVE and self in watchers_of(each):
                if leave(each, self):
                    add_watcher(each, self)
                else:
                    self.open -= 1
        self._count_down()

    def _count_down(self) -> None:
        self.open -= 1
        if self.open:
            return
        if self.letting_go:
            drive(self.owner.run.runtime, self._skip)
        else:
            self._launch()

    def _launch(self) -> None:
        call = self.owner
        run = call.run
        note(call, edges=tuple([each.id for each in self.inputs if each.run is run]))
        call.inputs = None
        call.args = tuple([arg.result if type(arg) in CALL_TYPES else arg for arg in call.args])
        launch(call, self.context)

    def _skip(self) -> None:
        call = self.owner
        asked = [each.id for each in self.inputs if each.id is not None and each.run is call.run]
        note(call, edges=tuple(asked))
        dropped = CallSkipped(f"{call.name} was let go before it started")
        call.error, call.trace = self.failure or (dropped, None)
        excuse(call)
        finish(call, "skipped")

    def __repr__(self) -> str:
        """Name the bound call."""
        return f"<Binding of {self.owner!r}, {self.open} open>"


def failure_of(call: Call[Any]) -> tuple[BaseException, Any]:
    """Give the exception, with its traceback, that awaiting an ended call raises."""
    if call.error is not None and call.status != "cancelled":
        return call.error, call.trace
    return CallDropped(f"{call.name} was cancelled, so it has no value; a call runs once"), None
