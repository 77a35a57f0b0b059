"""What keeps a loop from turning: a thread that names the step, the file and the line.

An async step that computes, or calls something that waits without `await`, holds up every other
call of its loop, and no timeout can end it. The thread looks in every 17 ms. Where the loop is not
at rest it asks for a turn (`call_soon_threadsafe`), and where the same callback still runs, with no
turn in between, after 50 ms of looking, that callback blocks. A wide fan-out, whose one turn runs
thousands of short steps, does not; nor does a machine that gives the process no time, since a look
that comes late counts nothing. So a function in C that keeps the interpreter's lock all the time
is not seen: the thread cannot look meanwhile.

The thread waits without a tick while no run is live. Rejected: asyncio's debug mode, which times
every callback on the hot path and tells only afterwards; a signal, which only the main thread has;
to count late looks where the loop's thread was on the processor (other processes look the same).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any
from weakref import ref

from fanwise.core._errors import LoopBlocked
from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from fanwise.core._call import Call
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Scope

AFTER = 0.05  # seconds without a turn
TICK = AFTER / 3
MOST = 1000  # blocks that are kept
LATE = 2 * TICK  # of a tick: the machine had no time for this process
ATTRIBUTE = "_fanwise_watch"
THREAD = "fanwise loop watch"
STANDARD = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,  # and this library
    os.path.dirname(os.__file__) + os.sep,
    "<frozen",
)
INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Block(Frozen):
    """One time that a loop could not turn: who held it, where, and for how many seconds so far.

    `kind` is "step", "pattern" (which started very many calls at once), or "callback" for what is
    no call.
    """

    kind: str
    step: str
    file: str
    line: int
    seconds: float

    @property
    def text(self) -> str:
        """Say it in a sentence, with the cure."""
        where = f"{self.file}:{self.line} (no turn for {self.seconds:.2g} s)"
        if self.kind == "pattern":
            return (
                f"{self.step} starts so many calls at once that it blocks the event loop, made at "
                f"{where}: at_once=... bounds what it starts"
            )
        return (
            f"{self.kind} {self.step!r} blocks the event loop at {where}: await something that "
            "does not block, or make it a step of its own with a plain `def`, which runs in a "
            "thread"
        )


class Sample:
    """What ran at one look: its task, what tells it from other callbacks, and where it stands."""

    __slots__ = ("frame", "task", "what")

    def __init__(
        self, task: asyncio.Task[Any] | None, what: object, frame: FrameType | None
    ) -> None:
        """Keep all three."""
        self.task = task
        self.what = what
        self.frame = frame

    def __repr__(self) -> str:
        """Say what ran."""
        return f"<Sample of {self.what!r}>"


class LoopWatch:
    """Watches one loop while runs are live in its runtimes; `found` keeps what blocked it last."""

    __slots__ = ("__weakref__", "found", "ident", "idle", "kept", "lock", "loop", "over",
                 "runtimes", "seen", "signal", "thread", "turns")  # fmt: skip

    ident: int
    idle: bool
    kept: bool  # whether it stays when the last runtime closes
    lock: threading.Lock  # of `runtimes`: a runtime closes in a thread
    loop: ref[asyncio.AbstractEventLoop]
    over: bool
    signal: threading.Event
    thread: threading.Thread
    turns: int

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch `loop`, which runs in this thread, from now on."""
        self.signal = threading.Event()
        self.lock = threading.Lock()
        self.loop = ref(loop, lambda _: self.signal.set())
        self.ident = threading.get_ident()
        self.runtimes: tuple[ref[Runtime], ...] = ()  # replaced whole: the thread may be reading
        self.found: list[Block] = []
        self.seen: set[tuple[str, int]] = set()
        self.turns = 0
        self.idle = self.over = False
        self.kept = False
        self.thread = threading.Thread(target=self._watch, name=THREAD, daemon=True)
        self.thread.start()

    def wake(self) -> None:
        """Look in from now on: a run has begun."""
        if self.idle:
            self.signal.set()

    def join(self, runtime: Runtime) -> None:
        """Watch for `runtime` too."""
        with self.lock:
            self.runtimes = (*[ref(each) for each in self.open_runtimes()], ref(runtime))

    def leave(self, runtime: Runtime) -> None:
        """Watch no longer for `runtime`, which closes."""
        with self.lock:
            self.runtimes = tuple([ref(it) for it in self.open_runtimes() if it is not runtime])
        if not self.runtimes and not self.kept:
            self.stop()

    def stop(self) -> None:
        """End the thread, soon."""
        self.over = True
        self.signal.set()

    def open_runtimes(self) -> list[Runtime]:
        """Give the runtimes that are watched for."""
        return [runtime for it in self.runtimes if (runtime := it()) is not None]

    def _watch(self) -> None:
        while not self.over:
            loop = self.loop()
            if loop is None or loop.is_closed():
                return
            if self._is_idle():
                del loop
                self.signal.wait()
                self.idle = False
            else:
                self._look(loop)
                del loop

    def _is_idle(self) -> bool:
        self.signal.clear()
        self.idle = True  # before the look: a run that begins meanwhile sets the signal
        if any(runtime.live for runtime in self.open_runtimes()) and not self.over:
            self.idle = False
        return self.idle and not self.over

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask for a turn, and see who keeps it from coming."""
        if self._rests():
            self.signal.wait(TICK)
            return
        block: Block | None = None
        turns = self.turns
        try:
            loop.call_soon_threadsafe(self._turn)
        except RuntimeError:  # closed meanwhile
            return
        held = 0.0
        running = self._running(loop)
        while True:
            spent = self._tick()
            if self.turns != turns or self.over:
                break
            last, running = running, self._running(loop)
            held = held + spent if running.what is last.what else 0.0
            if held >= AFTER:
                block = self._tell(running, held, block)

    def _turn(self) -> None:
        self.turns += 1

    def _tick(self) -> float:
        """Wait a little, and give the seconds that count: none where this thread came late."""
        began = time.monotonic()
        self.signal.wait(TICK)
        spent = time.monotonic() - began
        return spent if spent < LATE else 0.0

    def _rests(self) -> bool:
        frame = sys._current_frames().get(self.ident)  # noqa: SLF001 - there is no public way
        return frame is not None and frame.f_code.co_name == "select"

    def _running(self, loop: asyncio.AbstractEventLoop) -> Sample:
        """Give what runs now, and where it stands."""
        frame = sys._current_frames().get(self.ident)  # noqa: SLF001 - as above
        task = asyncio.current_task(loop)
        if task is not None:
            return Sample(task, task, frame)
        inner = outer = frame
        while outer is not None and outer.f_code.co_name != "_run":
            inner, outer = outer, outer.f_back
        return Sample(None, object() if outer is None else inner, frame)

    def _tell(self, running: Sample, seconds: float, before: Block | None) -> Block | None:
        """Say, once a block and once a place, that the loop is blocked; note it with the call.

        `before` is what was found of the same block earlier.
        """
        task, (file, line) = running.task, user_place(running.frame)
        call = self._call_of(task)
        if call is None:  # or one that has just ended
            coroutine = getattr(task and task.get_coro(), "__name__", "")
            kind = "step" if coroutine == "run_call" else "callback"
            name = "without a task" if task is None else task.get_name()
        elif call.step.pattern is not None:
            kind, name, (file, line) = "pattern", call.name, call.made_at
        elif call.step.inline:
            kind, name = "step", call.step.name
            code = getattr(call.step.function, "__code__", None)
            if file.startswith(STANDARD) and code is not None:  # its last line is done already
                file, line = code.co_filename, code.co_firstlineno
        else:  # a plain `def` on the virtual clock, where it runs in the loop
            return before
        block = Block(kind, name, file, line, seconds)
        self.found[len(self.found) - (before is not None) :] = [block]
        del self.found[:-MOST]
        if call is not None:
            call.run.runtime.note_at_end(call, block)
        known = (file, line) in self.seen
        self.seen.add((file, line))
        if before is None and not known:
            try:
                warnings.warn_explicit(block.text, LoopBlocked, file, line)
            except LoopBlocked as error:  # as filters may have it; there is nobody to raise it to
                sys.stderr.write(f"LoopBlocked: {error}\n")
        return block

    def _call_of(self, task: object) -> Call[Any] | None:
        for runtime in self.open_runtimes():
            for run in list(runtime.live):
                for call in calls_below(run.root):
                    # A call of an item lives for an instant before it has its task.
                    if task is not None and getattr(call, "task", None) is task:
                        return call
        return None

    def __repr__(self) -> str:
        """Count."""
        return f"<LoopWatch of {self.loop()!r}, blocked {len(self.found)} times>"


def calls_below(scope: Scope) -> Iterator[Call[Any]]:
    """Give the calls that live under a scope; safe from another thread."""
    for call in list(scope.live or ()):
        yield call
        inner = call.scope
        if inner is not None:
            yield from calls_below(inner)


def user_place(frame: FrameType | None) -> tuple[str, int]:
    """Give file and line of the innermost frame outside all libraries; else outside Python's."""
    frames = []
    while frame is not None and frame.f_code.co_name != "_run":  # of asyncio's handle
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    ours = [it for it in frames if not it[0].startswith(STANDARD)]
    own = [it for it in ours if not any(part in it[0] for part in INSTALLED)]
    return (own or ours or frames or [("?", 0)])[0]


def watch_of(loop: asyncio.AbstractEventLoop) -> LoopWatch | None:
    """Give the watch that a loop has."""
    found: LoopWatch | None = getattr(loop, ATTRIBUTE, None)
    return found


def watch(loop: asyncio.AbstractEventLoop) -> LoopWatch:
    """Give the watch of the running loop, started where there is none."""
    found = watch_of(loop)
    if found is None or found.over:
        found = LoopWatch(loop)
        setattr(loop, ATTRIBUTE, found)
    return found
