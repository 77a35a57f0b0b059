"""What is really outside a loop and must be waited for: jobs, child processes, sockets."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from fanwise.testing._internals import TimerLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from _typeshed import FileDescriptorLike

    Events = Sequence[tuple[selectors.SelectorKey, int]]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

# Each loop's own wake-up socket is always watched.
_OWN = 1


class _Selector(selectors.DefaultSelector):
    """The platform's selector, which counts what it watches and leaves the waiting to its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = -_OWN
        self.poll: Callable[[float | None], Events] = super().select
        self.turn: Callable[[float | None], Events] = super().select

    def __repr__(self) -> str:
        return f"<_Selector watched={self.watched}>"

    def register(
        self,
        fileobj: FileDescriptorLike,
        events: int,
        data: Any = None,  # noqa: ANN401 - the signature of selectors
    ) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self.watched += 1
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self.watched -= 1
        return key

    def select(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - see register
        return self.turn(timeout)


class OutsideLoop(TimerLoop):
    """A loop that counts what it has outside, and asks `_turn` what to wait for."""

    def __init__(self, start: float) -> None:
        self._jobs = 0
        self._children: list[asyncio.SubprocessTransport] = []
        self._input = _Selector()
        super().__init__(self._input, start)
        self._input.turn = self._turn

    def _turn(self, timeout: float | None) -> Events:
        # asyncio asks once between two rounds of callbacks: with 0 where something is ready,
        # with None where nothing is. (Our timers are hidden from it.)
        raise NotImplementedError

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*_Ts], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Run a function in a thread or process; virtual time stands still until it is back."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_is_back)
        return future

    def _job_is_back(self, _: object) -> None:
        self._jobs -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's signature
        """Wait, really, until the threads of the default executor have ended.

        `timeout` is not used: it is real time (from Python 3.12 on), which we would jump past.
        """
        self._jobs += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jobs -= 1

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - asyncio's signature
        """Start a child process; time goes at real speed while it runs."""
        return self._watch_child(await super().subprocess_exec(*args, **kwargs))

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - see above
        """Start a shell command; time goes at real speed while it runs."""
        return self._watch_child(await super().subprocess_shell(*args, **kwargs))

    def _watch_child(self, child: tuple[asyncio.SubprocessTransport, _T]) -> object:
        self._children.append(child[0])
        return child

    def _running_children(self) -> int:
        self._children = [it for it in self._children if it.get_returncode() is None]
        return len(self._children)

    def _outside(self) -> str:
        return (
            f"jobs in executors: {self._jobs}, child processes: {self._running_children()}, "
            f"sockets and pipes watched: {self._input.watched}"
        )
