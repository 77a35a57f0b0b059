"""What outlived the block that made it: tasks, threads, sockets, async generators, timers.

Everything is compared with what lived before the block, so that it also works inside a larger
program. Nothing is waited for: whoever closes a thing waits until it is closed. The one exception
is a thread of a pool that has just handed over its result and needs some microseconds to go back
to waiting.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import ref

from fanwise.testing._errors import OrphansLeft
from fanwise.testing._internals import generators_of, timers_of, transport_of
from fanwise.testing._places import (
    busy_threads,
    frames_of,
    frames_of_thread,
    place,
    place_of_task,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Kind = Literal["task", "thread", "socket", "generator", "timer", "other"]

# New descriptors get the lowest free number, so that gaps are short; after one of this
# length the search for open sockets ends.
_GAP = 256
# A pool's thread gets this many milliseconds to go back to waiting.
_THREAD_PATIENCE = 50


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that was left: its kind, its name, and where it waits or was made."""

    kind: Kind
    name: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.where}".rstrip()


@dataclass(frozen=True, slots=True)
class Living:
    """What lives at one moment, held weakly; made by `living`."""

    loop: asyncio.AbstractEventLoop | None
    # By identity: two timers with the same contents are equal, and are two.
    things: dict[int, ref[Any]]
    sockets: frozenset[tuple[int, int]]

    def has(self, thing: object) -> bool:
        """Tell whether a task, thread, generator or timer lived at that moment."""
        known = self.things.get(id(thing))
        return known is not None and known() is thing

    def __repr__(self) -> str:
        return f"<Living things={len(self.things)} sockets={len(self.sockets)}>"


def living(loop: asyncio.AbstractEventLoop | None = None) -> Living:
    """Take down what lives now, for `assert_no_orphans` later.

    `loop` is the loop to look into, by default the running one; without any, only threads and
    sockets are seen.
    """
    loop = loop or _running_loop()
    # A thread that is idle now and busy later has been left with something.
    things: list[Any] = [threading.current_thread(), *busy_threads()]
    if loop is not None:
        things += [*asyncio.all_tasks(loop), *generators_of(loop), *timers_of(loop)]
    return Living(loop, {id(it): ref(it) for it in things}, frozenset(_open_sockets()))


def find_orphans(
    before: Living,
    *,
    probes: Iterable[Callable[[], Iterable[str]]] = (),
    allow: Callable[[Orphan], bool] | None = None,
) -> tuple[Orphan, ...]:
    """Give what lives now, did not live `before` and should have ended.

    `probes` are functions that name anything else that is still held, such as slots of a limit;
    what they name is reported whatever there was before. `allow` says of an `Orphan` that it may
    stay. The task that asks is never an orphan, an idle thread of a thread pool neither. Sockets
    are not seen on Windows.
    """
    found = [*_loop_orphans(before), *_threads(before), *_sockets(before)]
    found += [Orphan("other", name) for probe in probes for name in probe()]
    return tuple(it for it in found if allow is None or not allow(it))


def assert_no_orphans(
    before: Living,
    *,
    probes: Iterable[Callable[[], Iterable[str]]] = (),
    allow: Callable[[Orphan], bool] | None = None,
) -> None:
    """Raise OrphansLeft with everything that `find_orphans` finds, if that is anything."""
    if found := find_orphans(before, probes=probes, allow=allow):
        raise OrphansLeft(found)


class OrphanCheck:
    """The context of `no_orphans`: `with` and `async with` do the same."""

    def __init__(
        self,
        probes: Iterable[Callable[[], Iterable[str]]],
        allow: Callable[[Orphan], bool] | None,
    ) -> None:
        self._probes = tuple(probes)
        self._allow = allow
        self._before: Living | None = None

    def __repr__(self) -> str:
        return f"<OrphanCheck before={self._before!r} probes={len(self._probes)}>"

    def __enter__(self) -> Self:
        self._before = living()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        # What the block raised says more than what it left behind on its way out.
        if error is None and self._before is not None:
            assert_no_orphans(self._before, probes=self._probes, allow=self._allow)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.__exit__(kind, error, trace)


def no_orphans(
    *,
    probes: Iterable[Callable[[], Iterable[str]]] = (),
    allow: Callable[[Orphan], bool] | None = None,
) -> OrphanCheck:
    """Make the context, `with` or `async with`, in which nothing may be left behind.

    The arguments are those of `find_orphans`. Raises OrphansLeft at the end of the block, unless
    the block itself raised.
    """
    return OrphanCheck(probes, allow)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _loop_orphans(before: Living) -> Iterator[Orphan]:
    loop = before.loop
    if loop is None:
        return
    tasks = asyncio.all_tasks(loop) - {_current_task(loop)}
    for task in sorted(tasks, key=lambda it: it.get_name()):
        if not before.has(task):
            yield Orphan("task", repr(task.get_name()), f"waits {place_of_task(task)}")
    for generator in generators_of(loop):
        if not before.has(generator):
            name = generator.ag_code.co_qualname
            yield Orphan("generator", name, f"is open {place(frames_of(generator))}")
    for timer in timers_of(loop):
        if not before.has(timer):
            yield Orphan("timer", repr(timer), f"at {timer.when():g} s")


def _current_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any] | None:
    return asyncio.current_task(loop) if _running_loop() is loop else None


def _threads(before: Living) -> Iterator[Orphan]:
    for _ in range(_THREAD_PATIENCE):
        if not _new_threads(before):
            return
        _pause()
    for thread in _new_threads(before):
        yield Orphan("thread", repr(thread.name), f"is {place(frames_of_thread(thread.ident))}")


def _new_threads(before: Living) -> list[threading.Thread]:
    return [it for it in busy_threads() if not before.has(it)]


def _pause() -> None:
    # Not time.sleep: it is a millisecond at most, and checkers for blocking calls would
    # blame the user's loop for it.
    if os.name == "posix":
        select.select((), (), (), 0.001)


def _open_sockets() -> Iterator[tuple[int, int]]:
    if os.name != "posix":
        return
    fd = unused = 0
    while unused < _GAP:
        try:
            status = os.fstat(fd)
        except OSError:
            unused += 1
        else:
            unused = 0
            if stat.S_ISSOCK(status.st_mode):
                # The inode tells a new socket from an old one under the same number.
                yield fd, status.st_ino
        fd += 1


def _sockets(before: Living) -> Iterator[Orphan]:
    for fd, inode in _open_sockets():
        if (fd, inode) not in before.sockets:
            transport = transport_of(before.loop, fd) if before.loop is not None else None
            where = "" if transport is None else f"of {transport!r}"
            yield Orphan("socket", f"fd={fd} {_address(fd)}", where)


def _address(fd: int) -> str:
    # A copy of the descriptor: a socket object closes what it was made from.
    with socket.socket(fileno=os.dup(fd)) as it:
        try:
            return f"{it.getsockname()} to {it.getpeername()}"
        except OSError:
            return f"{it.getsockname()}"
