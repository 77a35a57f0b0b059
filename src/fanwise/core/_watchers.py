"""Who watches a call, who waits for whom, letting calls go and awaiting their ends."""

from __future__ import annotations

from asyncio import CancelledError, get_running_loop, iscoroutine
from typing import TYPE_CHECKING, Any, Protocol

from fanwise.core._errors import CircularWait, LimitHeld, WriteRefused
from fanwise.core._scope import READS_ONLY, scope_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from contextvars import Context

    from fanwise.core._call import Call
    from fanwise.core._scope import Attempt, Scope

CALL_TYPES: set[type] = set()  # Call and what derives from it, for layers that Call stands on
NO_KWARGS: dict[str, Any] = {}
LIVE = frozenset({"waiting", "starting", "running", "leaving"})


class Watcher(Protocol):
    """Whoever waits for calls; `owner` is the call in whose body it waits."""

    @property
    def owner(self) -> Call[Any] | None:
        """The call whose body waits, or `None` outside any."""

    def call_ended(self, call: Call[Any], /) -> None:
        """Take note: the last act of `call`."""


if TYPE_CHECKING:  # a protocol costs time of every import

    class Ahead(Watcher, Protocol):
        """What stands for the task of a pattern's call that began without one, in its `inputs`."""

        @property
        def open(self) -> int:
            """How many calls it waits for."""

        def drop(self) -> None:
            """Leave what was begun, and see to it that the call ends, with a task if need be."""

    class ItemWatcher(Watcher, Protocol):
        """A pattern that starts the calls of its items itself, each in a copy of `context`."""

        context: Context


def add_watcher(call: Call[Any], watcher: Watcher) -> None:
    """Let `watcher` be told of the end."""
    present = call.watchers
    if present is None:
        call.watchers = watcher
    elif isinstance(present, list):
        present.append(watcher)
    else:
        call.watchers = [present, watcher]


class Ending:
    """Awaits the ends of calls that were let go, whatever else is cancelled meanwhile."""

    __slots__ = ("future", "open", "owner")

    open: int
    owner: Call[Any] | None

    def __init__(self, *calls: Call[Any]) -> None:
        """Watch the ends of `calls`, whose last watchers have left."""
        self.owner: Call[Any] | None = None
        self.future: asyncio.Future[None] | None = None
        self.open = 0
        for call in calls:
            self.add(call)

    def add(self, call: Call[Any]) -> None:
        """Await the end of one more."""
        if call.status in LIVE:
            self.open += 1
            add_watcher(call, self)

    def call_ended(self, call: Call[Any]) -> None:  # noqa: ARG002 - the protocol of watchers
        """Count down."""
        self.open -= 1
        if self.open == 0 and self.future is not None and not self.future.done():
            self.future.set_result(None)

    async def wait(self) -> None:
        """Return when all have ended; a cancellation meanwhile is passed on then."""
        cancelled = False
        while self.open:
            self.future = get_running_loop().create_future()
            try:
                await self.future
            except CancelledError:
                cancelled = True
        if cancelled:
            raise CancelledError

    def __repr__(self) -> str:
        """Show how many are awaited."""
        return f"<Ending of {self.open} calls>"


def watchers_of(call: Call[Any]) -> Iterable[Watcher]:
    """Give everybody who waits for `call`."""
    present = call.watchers
    if present is None:
        return ()
    return present if isinstance(present, list) else (present,)


def waiting_for(call: Call[Any]) -> list[Call[Any]]:
    """Give `call` and every call that waits for it, directly or through others."""
    found = [call]
    leading = call.run.runtime.leading
    for each in found:
        if leading and each in leading:
            found += [other for other in leading[each].followers if other not in found]
        for watcher in watchers_of(each):
            if watcher.owner is not None and watcher.owner not in found:
                found.append(watcher.owner)
    return found


def refuse_circles(owner: Call[Any], call: Call[Any]) -> None:
    """Raise where `owner` cannot wait for `call`, since neither would ever end."""
    above = waiting_for(owner)
    if call in above or is_below(owner, call):
        msg = f"{owner.name} awaits {call.name}, which waits for {owner.name}: neither would end"
        raise CircularWait(msg)
    runtime = owner.run.runtime
    for holder, limit in runtime.keepers(above):
        for waiting in runtime.waiting_for_limit(limit):
            if call in waiting_for(waiting):
                msg = (
                    f"{owner.name} awaits {waiting.name}, which waits for the limit "
                    f"{limit!r} that {holder.name} holds: neither would end"
                )
                raise LimitHeld(msg)


def is_below(call: Call[Any], ancestor: Call[Any]) -> bool:
    """Say whether `call` was made or started, directly or not, in the body of `ancestor`."""
    here: Scope | Attempt | None = call.owner
    while here is not None:
        scope = scope_of(here)
        if scope is None or scope.call is ancestor:
            return scope is not None
        here = scope.parent
    return False


def excuse(call: Call[Any]) -> None:
    """Say that a call, and those that it was given, are not started on purpose: nobody warns."""
    excused = [call]
    for each in excused:
        each.excused = True
        for part in (*each.args, *each.kwargs.values()):
            for inner in part if isinstance(part, (list, tuple)) else (part,):
                if type(inner) in CALL_TYPES:
                    if inner.status == "new" and not inner.excused:
                        excused.append(inner)
                elif each.step.owns_arguments and iscoroutine(inner):
                    inner.close()


def refuse_write_below_race(call: Call[Any]) -> None:
    """Raise where a write is made below a race."""
    race = READS_ONLY.get()
    if race is not None:
        excuse(call)
        msg = f"{call.name} is a write below {race}, whose losers are cancelled: it may not act"
        raise WriteRefused(msg)
