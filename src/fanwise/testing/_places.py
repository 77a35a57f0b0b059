"""Where a task, a generator or a thread stands: file, line and function.

`Task.get_stack` gives only the outermost frame of a task that waits; the place that a reader wants
is at the end of the chain of awaits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from fanwise.testing._internals import awaited_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep  # noqa: PTH120 - compared with co_filename, a str
_FANWISE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - see above
# Where threads of pools wait for work: of a worker process, the thread that speaks for it.
_IDLE = {
    (concurrent.futures.thread.__file__, "_worker"),
    (os.path.join(_FANWISE, "pools", "_process.py"), "_wait_for_work"),  # noqa: PTH118 - see above
}


def frames_of(awaitable: object) -> list[FrameType]:
    """Follow a coroutine or generator to where it waits; give the frames, outermost first."""
    frames: list[FrameType] = []
    while (frame := _attribute(awaitable, "frame")) is not None:
        frames.append(frame)
        awaitable = _inner(_attribute(awaitable, "await", "yieldfrom"))
    return frames


def _attribute(awaitable: object, *names: str) -> Any:  # noqa: ANN401 - frames and awaitables alike
    for prefix in ("cr_", "gi_", "ag_"):
        for name in names:
            value = getattr(awaitable, prefix + name, None)
            if value is not None:
                return value
    return None


def _inner(awaitable: object) -> object:
    # `__await__` of a coroutine and `asend` of an async generator give objects that hide
    # what they drive; the collector sees through them.
    if awaitable is None or _attribute(awaitable, "frame") is not None:
        return awaitable
    if isinstance(awaitable, asyncio.Future):
        return None
    seen = (it for it in gc.get_referents(awaitable) if _attribute(it, "frame") is not None)
    return next(seen, None)


def place(frames: Sequence[FrameType]) -> str:
    """Say where frames stand: the innermost of the user's, and the innermost of all."""
    if not frames:
        return "at an unknown place"
    last = frames[-1]
    users = [it for it in frames if not it.f_code.co_filename.startswith((_ASYNCIO, _FANWISE))]
    first = users[-1] if users else last
    inside = "" if first is last else f", inside {stands_at(last)}"
    return f"at {stands_at(first)}{inside}"


def stands_at(frame: FrameType) -> str:
    """Write a frame as file, line and function."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def place_of_task(task: asyncio.Task[Any]) -> str:
    """Say where a pending task waits, and for which task if it waits for one."""
    awaited = awaited_by(task)
    waits = f", for task {awaited.get_name()!r}" if isinstance(awaited, asyncio.Task) else ""
    return f"{place(frames_of(task.get_coro()))}{waits}"


def frames_of_thread(ident: int | None) -> list[FrameType]:
    """Give the frames of a running thread, outermost first."""
    frame = None if ident is None else sys._current_frames().get(ident)  # noqa: SLF001 - the documented way
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def busy_threads() -> list[threading.Thread]:
    """List the threads other than this one that may still do something.

    Left out are this package's watchdogs, and threads of a `ThreadPoolExecutor` or a `ProcessPool`
    that wait for work: such a thread holds nothing, and whoever made the pool answers for it. (The
    thread of a worker process that still does something, or does not end, is busy.)
    """
    here = threading.current_thread()
    threads = (it for it in threading.enumerate() if it is not here)
    return [it for it in threads if it.name not in OURS and not _is_idle(it)]


def _is_idle(thread: threading.Thread) -> bool:
    frames = frames_of_thread(thread.ident)
    if not frames:
        return not thread.is_alive()
    code = frames[-1].f_code
    return (code.co_filename, code.co_name) in _IDLE


WATCHDOG = "fanwise-watchdog"
OURS = (WATCHDOG, "fanwise loop watch")  # see fanwise.core._blocking
