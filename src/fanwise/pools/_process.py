"""One worker process and the thread here that speaks for it.

The thread does everything that takes time: it starts the process, pickles, writes, reads, unpickles
and reaps. The loop puts an order into a queue; but a call whose arguments are small and plain it
writes itself, and it reads the answer, where that is small and plain too, since two changes between
threads cost more than the rest of such a call. One thread for each process, since a
pool has as many as there are processors: no selector, no lock between workers, and the end of one
is seen by its own thread alone, where `ProcessPoolExecutor` breaks whole.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import InvalidStateError, wait
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from fanwise.core import FanwiseError, Job, WorkerDied, WorkerNotStarted
from fanwise.pools._channel import SMALL, is_plain
from fanwise.pools._link import Link, ended, main_module
from fanwise.pools._messages import dumps, error_of, loads, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._away import Facts

FUNCTIONS = {FunctionType, BuiltinFunctionType}  # whose pickling runs no code of others
GRACE = 2.0  # seconds for a worker to end of itself when it is told to


class WorkerProcess:
    """A worker: `dead` once its process has ended and was reaped."""

    __slots__ = ("_asked", "_inbox", "_killed", "_link", "_thread", "dead", "modules", "name")

    dead: bool
    modules: set[str]
    name: str

    def __init__(self, name: str) -> None:
        """Start the thread; the process starts with the first order."""
        self.name = name
        self.dead = False
        self.modules = set()
        self._asked: tuple[Job, Callable[..., Any]] | None = None  # by the loop, which listens
        self._killed = False
        self._link: Link | None = None
        self._inbox: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # What others ask for; none of it waits

    def prepare(
        self, module: str, tell: Callable[[WorkerProcess, FanwiseError | None], None]
    ) -> None:
        """Start the process, have it import `module`, and tell, with the error if there is one."""
        self._inbox.put((self._prepare, (module, tell)))

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        facts: Facts | None,
    ) -> Job:
        """Start a function in the process."""
        job = Job()
        if not self._ask_now(job, function, args, kwargs, facts):
            self._inbox.put((self._call, (job, function, args, kwargs, facts)))
        return job

    def run_as(
        self,
        job: Job,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Start a function in the process, for a future that is there already."""
        self._inbox.put((self._call, (job, function, args, kwargs, None)))

    def kill(self) -> None:
        """End the process and what it has started, at once; its job ends when they are gone."""
        self._killed = True
        if self._link is not None:
            self._link.kill()

    def stop(self) -> None:
        """Let the process end when it has done what it was given."""
        self._inbox.put(None)

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end of process and thread; say whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def is_gone(self) -> bool:
        """Say of an idle worker whether its process has ended without being told."""
        return self.dead or self._killed or (self._link is not None and self._link.is_gone())

    # In the loop, for what is small

    def _ask_now(
        self,
        job: Job,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        facts: Facts | None,
    ) -> bool:
        """Write a call from the loop; say `False` where that may take time or run others' code."""
        link = self._link
        if link is None or link.watched is None or type(function) not in FUNCTIONS:
            return False
        if not is_plain(args, kwargs):
            return False
        try:
            message = dumps((function, args, kwargs, facts))
        except Exception:  # noqa: BLE001 - the thread says why
            return False
        if len(message) > SMALL:
            return False
        job.set_running_or_notify_cancel()
        self._asked = job, function
        if not link.send_now(message):
            self._inbox.put((self._answered, ()))
            return True
        loop = asyncio.get_running_loop()
        job.here = loop.create_future()
        loop.add_reader(link.watched, self._heard, link, job, loop)
        return True

    def _heard(self, link: Link, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Read an answer in the loop, or leave it to the thread."""
        asked = self._asked
        if asked is None or asked[0] is not job:
            return  # the end of the worker told so already
        assert link.watched is not None  # noqa: S101 - it told so
        loop.remove_reader(link.watched)
        answer = link.answer_now()
        try:
            if answer is not None:
                self._asked = None
                _settle(*asked, answer)
            elif not self.dead:
                self._inbox.put((self._answered, ()))
        finally:
            if job.here is not None and not job.here.done():
                job.here.set_result(None)

    # The thread

    def _run(self) -> None:
        while not self.dead and (order := self._wait_for_work()) is not None:
            act, arguments = order
            del order
            act(*arguments)
            del act, arguments  # of a call that is over nothing may be held while it waits
        if self._link is not None and not self.dead:
            self._wind_up(self._link)
        self.dead = True

    def _wind_up(self, link: Link) -> None:
        """End the process; a call to whose answer a loop listens has a moment more."""
        asked = self._asked
        if asked is not None:
            wait([asked[0]], GRACE)
        code = link.end(dumps(None), GRACE)
        self.dead = True
        if asked is None or self._asked is not asked:
            return
        job, function = asked
        with suppress(InvalidStateError):
            job.set_exception(_died(function, code))
        if job.here is not None:
            loop = job.here.get_loop()
            with suppress(RuntimeError):  # closed: nobody waits any more
                loop.call_soon_threadsafe(self._heard, link, job, loop)

    def _wait_for_work(self) -> tuple[Callable[..., None], tuple[Any, ...]] | None:
        # The orphan check knows an idle worker by this frame.
        return self._inbox.get()

    def _prepare(
        self, module: str, tell: Callable[[WorkerProcess, FanwiseError | None], None]
    ) -> None:
        error: FanwiseError | None = None
        try:
            link = self._link
            if link is None:
                link = self._link = Link(self.name)
                self._import_main(link)
            if module not in self.modules:
                link.ask(dumps(module))  # an import that fails fails again under its call
                self.modules.add(module)
        except Exception as lost:  # noqa: BLE001 - its end, no process to be had, a refused import
            error = self._not_started(module, lost)
        tell(self, error)

    def _import_main(self, link: Link) -> None:
        refusal = loads(link.ask(dumps(main_module(self.name))))
        if refusal is not None:
            msg = f"a worker could not import the program's main module: {refusal.line}"
            raise WorkerNotStarted(msg) from error_of(refusal)
        self.modules |= {"__main__", "builtins"}

    def _not_started(self, module: str, lost: Exception) -> FanwiseError:
        how = "was not to be had" if self._link is None else ended(self._link.reap())
        self.dead = True
        if isinstance(lost, WorkerNotStarted):
            return lost
        error = WorkerNotStarted(
            f"a worker process of {self.name} {how} before it could take a call: while it started, "
            f"or imported {module!r}"
        )
        error.__cause__ = lost
        return error

    def _call(
        self,
        job: Job,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        facts: Facts | None,
    ) -> None:
        link = self._link
        assert link is not None  # noqa: S101 - a worker is lent when it has started
        if not job.set_running_or_notify_cancel():
            return
        try:
            message = dumps((function, args, kwargs, facts))
        except Exception as error:  # noqa: BLE001 - whatever an argument's class does in pickling
            job.set_exception(_unsendable(function, args, kwargs, error))
            return
        self._wait_for_answer(link, job, function, partial(link.ask, message))

    def _answered(self) -> None:
        """Wait for the answer to what the loop has asked."""
        assert self._link is not None  # noqa: S101 - it was asked
        assert self._asked is not None  # noqa: S101 - as above
        (job, function), self._asked = self._asked, None
        self._wait_for_answer(self._link, job, function, self._link.answer)

    def _wait_for_answer(
        self,
        link: Link,
        job: Job,
        function: Callable[..., Any],
        ask: Callable[[], bytes | bytearray],
    ) -> None:
        try:
            answer = ask()
        except Exception as error:  # noqa: BLE001 - the worker's end, or no memory for the answer
            code = link.reap()
            self.dead = True
            died = _died(function, code)
            died.__cause__ = None if isinstance(error, (OSError, EOFError)) else error
            job.set_exception(died)
            return
        del ask
        _settle(job, function, answer)

    def __repr__(self) -> str:
        """Show name and process."""
        return f"<WorkerProcess {self.name} {self._link}{' dead' * self.dead}>"


def _died(function: Callable[..., Any], code: int) -> WorkerDied:
    return WorkerDied(f"the worker that ran {name_of(function)} {ended(code)}", code)


def _settle(job: Job, function: Callable[..., Any], answer: bytes | bytearray) -> None:
    try:
        succeeded, value, job.used = loads(answer)
    except Exception as why:  # noqa: BLE001 - whatever the value's class does in unpickling
        error = TypeError(f"the result of {name_of(function)} cannot be read here: {why}")
        error.__cause__ = why
        job.set_exception(error)
        return
    if succeeded:
        job.set_result(value)
    else:
        job.set_exception(error_of(value))


def _unsendable(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], why: Exception
) -> TypeError:
    """Name what cannot be pickled."""
    what = "the function itself" if _fails(function) else "what it is given"
    for name, value in _arguments(function, args, kwargs).items():
        if _fails(value):
            what = f"argument {name!r}"
            break
    error = TypeError(f"{what} of {name_of(function)} cannot be sent to a worker: {why}")
    error.__cause__ = why
    return error


def _arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a built-in without a signature, or wrong arguments
        return {**{str(place): value for place, value in enumerate(args)}, **kwargs}


def _fails(value: object) -> bool:
    failure: Exception | None = None
    try:
        dumps(value)
    except Exception as why:  # noqa: BLE001 - whatever its class does
        failure = why
    return failure is not None
