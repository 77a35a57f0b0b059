"""A pool of worker processes of which each can be killed, and replaced, alone.

`concurrent.futures.ProcessPoolExecutor` hands tasks to whichever worker takes them from a shared
queue: it cannot say who runs what, so that a task cannot be killed, and the end of one worker
breaks them all. Here a worker is lent to one task at a time and has a pipe of its own. The price is
that no task waits at a worker beforehand: between two tasks a worker waits for the loop.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fanwise.core import (
    FanwiseError,
    Job,
    WorkerNotStarted,
    module_of,
    refuse_while_importing,
    whole,
)
from fanwise.pools._process import GRACE, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

OPEN: weakref.WeakSet[ProcessPool] = weakref.WeakSet()


class ProcessPool(Executor):
    """At most `at_once` worker processes (`None`: one a processor), started when they are needed.

    A `concurrent.futures.Executor`, whose workers the engine can also borrow and kill. A worker is
    a new Python with the program's main module, as of multiprocessing's "spawn"; it stays for the
    next task. `name` is for threads and messages. Not on Windows.
    """

    def __init__(self, at_once: int | None = None, *, name: str = "process") -> None:
        """Describe a pool; nothing starts."""
        if not hasattr(os, "killpg"):
            msg = "ProcessPool needs process groups: Runtime(pools={...: ProcessPoolExecutor()})"
            raise NotImplementedError(msg)
        refuse_while_importing("a pool of processes")
        if at_once is not None:
            whole("ProcessPool(at_once)", at_once, 1)
        self._at_once = _processors() if at_once is None else at_once
        self._name = name
        self._lock = threading.RLock()
        self._workers: set[WorkerProcess] = set()
        self._ending: set[WorkerProcess] = set()  # told to end, and not seen gone yet
        self._idle: list[WorkerProcess] = []
        self._line: deque[tuple[Future[WorkerProcess], str]] = deque()
        self._made = 0
        self._closed = False
        self._proven = False  # whether any worker of this pool ever started
        weakref.finalize(self, _stop_all, self._workers).atexit = False
        OPEN.add(self)

    @property
    def at_once(self) -> int:
        """How many workers there are at most."""
        return self._at_once

    # Lending

    def lend_nowait(self, function: Callable[..., Any]) -> WorkerProcess | None:
        """Give an idle worker that has the module of `function`, if there is one."""
        with self._lock:
            if self._line or not self._idle or self._closed:
                return None
            worker = self._idle[-1]
            if module_of(function) not in worker.modules or worker.is_gone():
                return None
            return self._idle.pop()

    def lend(self, function: Callable[..., Any]) -> Future[WorkerProcess]:
        """Give a worker that has started and has the module of `function`, in order of asking."""
        lent: Future[WorkerProcess] = Future()
        module = module_of(function)
        with self._lock:
            if self._closed:
                msg = f"{self!r} is closed: it takes nothing more"
                raise RuntimeError(msg)
            worker = self._pick(module)
            if worker is None:
                self._line.append((lent, module))
                return lent
        self._prepare(worker, lent, module)
        return lent

    def take_back(self, worker: WorkerProcess) -> None:
        """Take a worker back, and lend it, or one in its place, to the first in line."""
        with self._lock:
            if worker.dead:
                self._forget(worker)
            else:
                self._idle.append(worker)
            following = self._next()
            if following is None and self._closed and not self._line:
                self._stop_idle()
        if following is not None:
            self._prepare(*following)

    def _next(self) -> tuple[WorkerProcess, Future[WorkerProcess], str] | None:
        """Give the first in line and a worker for it, where there are both."""
        while self._line and self._line[0][0].cancelled():
            self._line.popleft()
        worker = self._pick(self._line[0][1]) if self._line else None
        return None if worker is None else (worker, *self._line.popleft())

    def _pick(self, module: str) -> WorkerProcess | None:
        """Give an idle worker, best one that has the module, or a new one where there is room."""
        for worker in [each for each in self._idle if each.is_gone()]:
            self._forget(worker)
        if not self._idle and len(self._workers) >= self._at_once:
            return None
        for place in range(len(self._idle) - 1, -1, -1):
            if module in self._idle[place].modules:
                return self._idle.pop(place)
        if len(self._workers) < self._at_once:
            self._made += 1
            worker = WorkerProcess(f"fanwise-{self._name}-{self._made}")
            self._workers.add(worker)
            return worker
        return self._idle.pop()

    def _prepare(self, worker: WorkerProcess, lent: Future[WorkerProcess], module: str) -> None:
        if module in worker.modules:
            self._grant(worker, lent)
        else:
            worker.prepare(module, partial(self._prepared, lent))

    def _prepared(
        self, lent: Future[WorkerProcess], worker: WorkerProcess, error: FanwiseError | None
    ) -> None:
        if error is None:
            self._proven = True
            self._grant(worker, lent)
            return
        for each in [lent, *self._hopeless(error)]:
            if each.set_running_or_notify_cancel():
                again = WorkerNotStarted(str(error))  # each call raises its own
                again.__cause__ = error.__cause__
                each.set_exception(again)
        self.take_back(worker)

    def _hopeless(self, error: FanwiseError) -> list[Future[WorkerProcess]]:
        """Give those in line where no worker ever started: theirs would not start either."""
        if self._proven or not isinstance(error, WorkerNotStarted):
            return []
        with self._lock:
            waiting = [lent for lent, _ in self._line]
            self._line.clear()
        return waiting

    def _grant(self, worker: WorkerProcess, lent: Future[WorkerProcess]) -> None:
        if lent.set_running_or_notify_cancel():
            lent.set_result(worker)
        else:
            self.take_back(worker)

    def _forget(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        self._ending = {each for each in self._ending if not each.join(0)}
        if worker in self._idle:
            self._idle.remove(worker)
            worker.stop()
            self._ending.add(worker)

    # As an Executor

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a worker; its future cannot be cancelled once it runs.

        `WorkerDied` where its worker ends under it; the others go on.
        """
        job = Job()
        self.lend(fn).add_done_callback(partial(self._run, job, fn, args, kwargs))
        return job

    def _run(
        self,
        job: Job,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        lent: Future[WorkerProcess],
    ) -> None:
        if lent.cancelled():  # by `shutdown`
            job.cancel()
            job.set_running_or_notify_cancel()
            return
        error = lent.exception()
        if error is not None:
            if job.set_running_or_notify_cancel():
                job.set_exception(error)
            return
        worker = lent.result()
        job.add_done_callback(lambda _: self.take_back(worker))
        worker.run_as(job, function, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of Executor
        """Take nothing more, and let the workers end when what was submitted is done.

        With `wait`, blocks until they have; one that does not end of itself is killed.
        """
        with self._lock:
            self._closed = True
            if cancel_futures:
                for lent, _ in self._line:
                    lent.cancel()
                self._line.clear()
            self._stop_idle()
        while wait and (workers := [*self._workers, *self._ending]):
            for worker in workers:
                worker.join()
            self._ending.difference_update(workers)

    def close(self) -> None:
        """Take nothing more, wait a moment for what runs, and kill what still does; blocks."""
        self.shutdown(wait=False, cancel_futures=True)
        for worker in [*self._workers, *self._ending]:
            worker.stop()
        for worker in [*self._workers, *self._ending]:
            if not worker.join(GRACE):
                worker.kill()
                worker.join()

    def _stop_idle(self) -> None:
        for worker in list(self._idle):
            self._forget(worker)

    def __repr__(self) -> str:
        """Show name and fill."""
        busy = len(self._workers) - len(self._idle)
        return f"<ProcessPool {self._name} {busy}/{self._at_once}, {len(self._line)} waiting>"


def process_pool(address: str) -> ProcessPool:
    """Make the pool of an address: "process", "process:4" or "process:4:name"."""
    _, _, rest = address.partition(":")
    size, _, name = rest.partition(":")
    return ProcessPool(int(size) if size else None, name=name or "process")


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # what a container may use
    return os.cpu_count() or 1


def _stop_all(workers: set[WorkerProcess]) -> None:
    for worker in list(workers):
        worker.stop()


@atexit.register
def _end_all() -> None:
    """End what nobody has closed: the pools of loops without a runtime of their own."""
    for pool in list(OPEN):
        pool.close()
