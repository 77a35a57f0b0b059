"""The least engine: a diamond of calls with what the design asks of every call, and nothing else.

It bounds what `bind` can cost here. Written for this one shape: no policy, no failure, no cancel,
no pattern, no plan. Each call has what no engine under the design can do without: the place that
made it (for the warning), its number among equal ones (for its identity), its maker, a task of its
own in a copied context, a scope that its body finds, its place among the living (so that nothing
outlives its parent), watchers that it tells itself, its data edges, and one row at its end.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from sys import _getframe
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Place:
    """What the body of a call finds around itself."""

    __slots__ = ("counts", "live", "next", "number", "parent", "rows", "work")

    def __init__(self, work: Work | None, parent: Place | None) -> None:
        self.work = work
        self.parent = parent
        self.counts: dict[Any, int] | None = None
        self.live: dict[Work, None] | None = None

    def __repr__(self) -> str:
        return f"<Place of {self.work!r}>"


HERE: ContextVar[Place] = ContextVar("here")


class Work:
    """One call."""

    __slots__ = ("args", "code", "context", "edges", "function", "home", "id", "inputs", "number",
                 "open", "place", "started", "status", "task", "value", "watchers")  # fmt: skip

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> None:
        frame = _getframe(1)
        self.code = frame.f_code
        self.place = frame.f_lasti
        self.function = function
        self.args = args
        self.status = "new"
        self.watchers: list[Work | asyncio.Future[None]] = []
        self.inputs = [each for each in args if each.__class__ is Work]
        self.edges: tuple[int, ...] = ()
        home = self.home = HERE.get()
        counts = home.counts
        if counts is None:
            counts = home.counts = {}
        self.number = counts.get(function, 0)
        counts[function] = self.number + 1

    def __repr__(self) -> str:
        return f"<Work of {self.function.__name__}>"


def ask(work: Work, watcher: Work | asyncio.Future[None], root: Place) -> None:
    """Start a call, or its inputs, where it is new."""
    work.watchers.append(watcher)
    if work.status != "new":
        return
    work.status = "waiting"
    work.id = root.next = root.next + 1
    work.home.live[work] = None  # type: ignore[index] # the program has opened it
    work.context = copy_context()
    work.open = len(work.inputs)
    for each in work.inputs:
        ask(each, work, root)  # type: ignore[arg-type]
    if not work.inputs:
        launch(work)


def launch(work: Work) -> None:
    loop = asyncio.get_running_loop()
    work.started = loop.time()
    if work.inputs:
        work.edges = tuple([each.id for each in work.inputs])  # type: ignore[attr-defined]
        work.args = tuple(
            [each.value if each.__class__ is Work else each for each in work.args]  # type: ignore[attr-defined]
        )
    work.status = "starting"
    work.task = asyncio.Task(live(work, loop), loop=loop, name="work", context=work.context)


async def live(work: Work, loop: asyncio.AbstractEventLoop) -> None:
    """Run a call in its task, and tell its watchers as the last act."""
    work.status = "running"
    home = work.home
    place = Place(work, home)
    HERE.set(place)
    try:
        work.value = await work.function(*work.args)
        work.status = "ok"
    except BaseException:
        work.status = "failed"
        raise
    place.work = None
    del home.live[work]  # type: ignore[union-attr]
    work.task = work.inputs = work.context = None  # type: ignore[assignment]
    work.args = ()
    row = (work.id, 0, None, "work", None, "work", None, work.started, loop.time(), work.status, 1,
           0, None, work.edges)  # fmt: skip
    home.rows.append(row)
    for watcher in work.watchers:
        if watcher.__class__ is Work:
            watcher.open -= 1
            if not watcher.open:
                launch(watcher)
        elif not watcher.done():  # type: ignore[union-attr]
            watcher.set_result(None)  # type: ignore[union-attr]


async def result(work: Work, root: Place) -> Any:
    """Run a call, and give its value."""
    done = asyncio.get_running_loop().create_future()
    ask(work, done, root)
    await done
    return work.value


def opened() -> Place:
    """Give the place of a program."""
    root = Place(None, None)
    root.live, root.rows, root.next = {}, [], 0
    HERE.set(root)
    return root
