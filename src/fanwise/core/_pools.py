"""The pools of a runtime: where plain functions run, by name.

"thread" and "process" are always there; `Runtime(pools=...)` sizes them, replaces them by an
`Executor`, or adds others. A pool is made when a step first uses it.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, cast

from fanwise.core._away import check_by_name
from fanwise.core._errors import PoolUnknown
from fanwise.core._limits import Width
from fanwise.core._policies import Limit, whole
from fanwise.core._registry import load

if TYPE_CHECKING:
    from fanwise.core._step import Definition
    from fanwise.core._workers import Worker, Workers

THREADS = 32
THREAD, PROCESS = "thread", "process"


class Place:
    """One pool of a runtime: its slots, and its executor once it is used.

    `workers` is set where a worker can be killed; `shares` says that functions find the memory of
    this process.
    """

    __slots__ = ("_executor", "_given", "checked", "name", "shares", "width", "workers")

    name: str
    shares: bool
    width: Width
    workers: Workers | None

    def __init__(self, name: str, given: Executor | int | None) -> None:
        """Describe a pool; nothing of it starts."""
        self.name = name
        self._given = given
        self._executor: Executor | None = given if isinstance(given, Executor) else None
        self.shares = name == THREAD if self._executor is None else _is_threads(self._executor)
        if self._executor is None and not self.shares:
            workers = "" if given is None else str(given)
            self._executor = cast("Executor", load("pool", f"{PROCESS}:{workers}:{name}"))
        lends = hasattr(self._executor, "lend")
        self.workers = cast("Workers", self._executor) if lends else None
        self.width = Width(name, Limit(at_once=self._size()))

    def _size(self) -> int | None:
        if self.workers is not None:
            return self.workers.at_once
        if self._executor is not None:
            size: object = getattr(self._executor, "_max_workers", None)  # of concurrent.futures
            return size if isinstance(size, int) and size >= 1 else None
        return self._given if isinstance(self._given, int) else THREADS

    @property
    def executor(self) -> Executor:
        """What runs the functions."""
        if self._executor is None:
            size = self.width.at_once
            # By its module, which imports threads when they are asked for: half a millisecond.
            make = concurrent.futures.ThreadPoolExecutor
            self._executor = make(size, "fanwise", initializer=_name_thread)
        return self._executor

    def check(self, step: Definition[Any]) -> None:
        """Raise `TypeError` where the workers could not find a step's function."""
        if self.workers is not None:
            check_by_name(step.name, step.function)

    def forgo(self, lent: concurrent.futures.Future[Worker]) -> None:
        """Leave the line for a worker; one that is lent meanwhile goes back."""
        if not lent.cancel():
            lent.add_done_callback(self._take_back)

    def _take_back(self, lent: concurrent.futures.Future[Worker]) -> None:
        if self.workers is not None and lent.exception() is None:
            self.workers.take_back(lent.result())

    def close(self) -> None:
        """End an executor that was made here; blocks until its functions have ended."""
        if self._executor is None or self._executor is self._given:
            return
        if self.workers is not None:
            self.workers.close()
        else:
            self._executor.shutdown(wait=True)

    def __repr__(self) -> str:
        """Show name and fill."""
        return f"<Place {self.name} {self.width.used}/{self.width.at_once}>"


class Pools:
    """The pools of one runtime, by name."""

    def __init__(self, given: Mapping[str, Executor | int] | None) -> None:
        """Take what `Runtime(pools=)` says; raise `TypeError` or `ValueError` where it is wrong."""
        check_pools(given)
        self._given = dict(given or {})
        self._places: dict[str, Place] = {}
        self.abandoned: set[concurrent.futures.Future[Any]] = set()

    @property
    def widths(self) -> list[Width]:
        """The slots of every pool in use."""
        return [place.width for place in self._places.values()]

    def place(self, name: str | None) -> Place:
        """Give the pool of that name (`None`: threads); raise `PoolUnknown` where there is none."""
        name = THREAD if name is None else name
        found = self._places.get(name)
        if found is None:
            self.check(name)
            found = self._places[name] = Place(name, self._given.get(name))
        return found

    def check(self, name: str | None) -> None:
        """Raise `PoolUnknown` where there is no pool of that name."""
        if name is None or name in self._given or name in (THREAD, PROCESS):
            return
        known = ", ".join(map(repr, [*self._given.keys() - {THREAD, PROCESS}, THREAD, PROCESS]))
        msg = (
            f"pool {name!r} is not there: Runtime(pools={{{name!r}: 4}}) makes one of 4 worker "
            f"processes, and an Executor in its place is used; there are: {known}"
        )
        raise PoolUnknown(msg)

    def abandon(self, future: concurrent.futures.Future[Any]) -> None:
        """Remember a function that cannot be stopped until it ends."""
        self.abandoned.add(future)
        future.add_done_callback(self.abandoned.discard)

    def close(self) -> None:
        """End what was made here, and wait for abandoned functions elsewhere; blocks."""
        for place in self._places.values():
            place.close()
        concurrent.futures.wait(set(self.abandoned))

    def __repr__(self) -> str:
        """Show the pools in use."""
        return f"<Pools {list(self._places.values())}>"


def check_pools(pools: object) -> None:
    """Raise where `pools` does not map names to executors or sizes."""
    if pools is None:
        return
    example = (
        'pools maps names to executors or sizes, such as pools={"process": 4, '
        '"ocr": ProcessPoolExecutor(2)}'
    )
    if not isinstance(pools, Mapping):
        msg = f"{example}, got {pools!r}"
        raise TypeError(msg)
    for name, pool in pools.items():
        if not isinstance(name, str) or isinstance(pool, bool):
            msg = f"{example}, got {pool!r} for {name!r}"
            raise TypeError(msg)
        if isinstance(pool, int):
            whole(f"pools[{name!r}]", pool, 1)
        elif not isinstance(pool, Executor):
            msg = f"{example}, got {pool!r} for {name!r}"
            raise TypeError(msg)


def _is_threads(executor: Executor) -> bool:
    return isinstance(executor, concurrent.futures.ThreadPoolExecutor)


def _name_thread() -> None:
    thread = threading.current_thread()
    thread.name = thread.name.replace("fanwise_", "fanwise-")
