"""The dump: every unfinished call and what it waits for, as text, on a signal.

`kill -USR1 PID` prints it on standard error while a runtime is open in the main thread and nothing
else has taken the signal. It works while the event loop is blocked.
"""

from __future__ import annotations

import asyncio
import os.path
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from fanwise.core._watchers import watchers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core._call import Call
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Scope

NOT_THE_USERS = (os.path.dirname(asyncio.__file__), os.path.dirname(__file__))
LISTENING: dict[Runtime, None] = {}


def dump(runtime: Runtime) -> str:
    """Give the unfinished calls of a runtime, indented below their makers."""
    lines = [f"{runtime!r}"]
    now = runtime.time()
    for run in list(runtime.live):
        lines.append(f"run {run.id}")
        calls = list(_below(run.root, 1))
        waits: dict[Call[Any], list[str]] = {}
        for call, _ in calls:
            for watcher in watchers_of(call):
                if watcher.owner is not None:
                    waits.setdefault(watcher.owner, []).append(call.name)
        lines += [f"{'  ' * depth}{_line(call, now, waits)}" for call, depth in calls]
    return "\n".join(lines)


def _below(scope: Scope, depth: int) -> Iterator[tuple[Call[Any], int]]:
    for call in list(scope.live or ()):
        yield call, depth
        if call.scope is not None:
            yield from _below(call.scope, depth + 1)


def _line(call: Call[Any], now: float, waits: dict[Call[Any], list[str]]) -> str:
    since = f"{now - call.started:.1f} s"
    dropped = ", cancelled" if call.dropped else ""
    runtime = call.run.runtime
    lines = {"limit": runtime.limit_waits, "pool": runtime.pool_waits, "": runtime.budget_waits}
    for kind, waits_by_name in lines.items():
        for name, waiting in waits_by_name.items():
            if call in waiting:
                what = f"{kind} {name!r}" if kind else name
                return f"{call.name}: waits for the {what}, {since}{dropped}"
    for leader, flight in runtime.leading.items():
        if call in flight.followers:
            return f"{call.name}: waits for an equal call, #{leader.id}, {since}{dropped}"
    if call in runtime.backing_off:
        left = runtime.backing_off[call] - now
        failed = f"after attempt {call.attempts} failed"
        return f"{call.name}: waits {left:.1f} s more {failed}, {since}{dropped}"
    if call.reader is not None and call.reader.full:
        return f"{call.name}: waits for its reader, {since}{dropped}"
    if call in waits:
        others = waits[call]
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        return f"{call.name}: waits for {', '.join(others[:5])}{more}, {since}{dropped}"
    pool = f" in the pool {call.facts['pool']!r}" if call.facts and "pool" in call.facts else ""
    return f"{call.name}: {call.status}{_place(call)}{pool}, {since}{dropped}"


def _place(call: Call[Any]) -> str:
    """Give the innermost line at which the user's own code stands."""
    inner: Any = call.task.get_coro() if call.task is not None else None
    place = ""
    while inner is not None and hasattr(inner, "cr_await"):
        frame = inner.cr_frame
        if frame is not None and not frame.f_code.co_filename.startswith(NOT_THE_USERS):
            place = f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        inner = inner.cr_await
    return place


def listen(runtime: Runtime) -> None:
    """Dump `runtime` on SIGUSR1, where the signal is free and this is the main thread."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        return
    if not LISTENING:
        if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGUSR1, _print_all)
    LISTENING[runtime] = None


def unlisten(runtime: Runtime) -> None:
    """Stop; the last runtime gives the signal back."""
    if LISTENING.pop(runtime, runtime) is None and not LISTENING:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def _print_all(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal
    for runtime in list(LISTENING):
        sys.stderr.write(dump(runtime) + "\n")
