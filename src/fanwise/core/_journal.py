"""One run under a journal: what it keeps, what it finds, and writes that never act twice unseen.

A call's result is seen by nobody before it is kept. What is only told (failures, calls let go, the
time) is kept before all that comes later, so that whoever depends on it finds it.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, cast

from fanwise.core import _registry
from fanwise.core._ambiguous import digest_of_arguments, resolve
from fanwise.core._attempts import perform, perform_bare
from fanwise.core._canonical import digest_of
from fanwise.core._entries import AGAIN, Entry, Kind
from fanwise.core._errors import (
    JournalError,
    ProgramChanged,
    Unresolved,
    WriteRefused,
)
from fanwise.core._failures import (
    causes_of,
    failure_data,
    failure_of_data,
    run_error,
    was_not_done,
)
from fanwise.core._identity import POSITIONS, key_of
from fanwise.core._items import hand_over
from fanwise.core._record import note
from fanwise.core._replay import Replay
from fanwise.core._scope import CURRENT, Attempt, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._call import Call
    from fanwise.core._entries import Codec, Head, Opened
    from fanwise.core._protocols import Journal
    from fanwise.core._run import Run
    from fanwise.core._scope import Scope
    from fanwise.core._step import Definition

POSITIONED = frozenset({"fan_map", "tree_reduce"})  # patterns that number their calls by position
WHOLE_RUN = b""
MOST_FAILURES = 10_000  # of one step, of which it is known what led to its own
PATIENCE = 5.0  # seconds beyond twice its time, for a call to be let go again


class RunJournal:
    """What stands between one run and its journal."""

    __slots__ = ("aside", "begun", "broken", "codec_of", "codecs", "cut", "direct", "events",
                 "failures", "head", "number", "outside", "replay", "run", "running",
                 "store")  # fmt: skip

    broken: JournalError | None
    codec_of: Callable[[Definition[Any]], Codec]
    cut: bool
    direct: bool
    events: int
    head: Head
    number: int
    run: Run
    store: Journal

    def __init__(self, store: Journal, run: Run, opened: Opened) -> None:
        """Go on with what `opened` has of `run`."""
        self.store = store
        self.run = run
        self.number = opened.number
        self.head = opened.head
        self.replay: Replay | None = Replay(opened.entries) if opened.entries else None
        self.events = 0 if self.replay is None else self.replay.events
        self.broken: JournalError | None = None
        self.cut = False
        self.aside: set[bytes | None] = set()  # writes of which somebody is being asked
        self.running: dict[bytes, Call[Any]] = {}
        self.begun: set[bytes] = set()
        self.outside: dict[bytes, int] = {}
        self.failures: dict[bytes, list[tuple[Entry, Exception | None]]] = {}
        # Nothing else stands between a call without a policy and its body.
        self.direct = run.body is None
        self.codecs: dict[Definition[Any], Codec] = {}
        self.codec_of = cast(
            "Callable[[Definition[Any]], Codec]", _registry.load("codec", "result")
        )

    # Making

    def made(self, call: Call[Any], here: Scope | Attempt, home: bytes) -> None:
        """Give a call that is being made its number and position.

        Raises `ProgramChanged` where another stood there before, `NotStorable` where its results
        could not be kept.
        """
        self.refuse_broken()
        if self.aside and self.is_aside(here):
            return
        try:
            self._make(call, here, home)
        except JournalError as error:
            self.broken = error  # or whoever catches it would go on, half the old, half the new
            raise

    def _make(self, call: Call[Any], here: Scope | Attempt, home: bytes) -> None:
        step = call.step
        if step not in self.codecs:
            self.codecs[step] = self.codec_of(step)
        self.events += 1
        parent, pattern = self._parent(here)
        position = self._position(here, pattern)
        call.entered = (self.events, parent, home if pattern else None, position)
        if self.replay is not None:
            assert call.key is not None  # noqa: S101 - made just before
            self.replay.asked(call, call.key, (home if pattern else parent, position), parent)

    def _parent(self, here: Scope | Attempt | None) -> tuple[bytes, str | None]:
        """Give the key of the step in which a call is made, and the pattern there."""
        pattern: str | None = None
        while here is not None:
            owner = here.call
            if owner is None:
                break
            if owner.step.pattern is None:
                return key_of(owner), pattern
            pattern = pattern or owner.step.name
            here = owner.home
        return WHOLE_RUN, pattern

    def _position(self, here: Scope | Attempt, pattern: str | None) -> int:
        """Number calls whose order is the program's: a step's own task makes them, or its items."""
        if pattern is None:
            task = here.task if isinstance(here, Attempt) else here.call and here.call.task
            if task is None or task is not asyncio.current_task():
                return -1
        elif pattern not in POSITIONED:
            return -1
        counts = here.counts
        if counts is None:
            counts = here.counts = {}
        number = counts.get(POSITIONS, 0)
        counts[POSITIONS] = number + 1
        return number

    def occurrence(self, base: bytes) -> int:
        """Number equal calls that were made before there was a run, in the order of their start."""
        number = self.outside.get(base, 0)
        self.outside[base] = number + 1
        return number

    def refuse_broken(self) -> None:
        """Raise what ended this execution: nothing of it counts any more."""
        if self.broken is not None:
            raise self.broken.with_traceback(None)

    # The life of a call

    async def answer(self, call: Call[Any], scope: Scope) -> Any:  # noqa: ANN401 - the step's value
        """Give the value that the journal has, or make it and keep it."""
        CURRENT.set(scope)
        self.refuse_broken()
        if self.aside and self.is_aside(call.home):
            return await self.ask(call, scope)
        key = key_of(call)
        if getattr(call, "entered", None) is None:  # made before there was a run, or by a pipeline
            self.made(call, self.run.root, WHOLE_RUN)
        try:
            if self.replay is not None:
                found = self.replay.by_key.get(key)
                if found is not None:
                    known = await self.recall(call, found)
                    if known is not None:
                        return known[0]
            return await self.keep(call, key, await self.execute(call, key, scope))
        except JournalError as error:
            self.broken = self.broken or error
            raise

    def is_aside(self, here: Scope | Attempt | None) -> bool:
        """Say whether what is made here asks what became of a write: it is never recalled."""
        while here is not None:
            if here.call is not None and here.call.key in self.aside:
                return True
            here = scope_of(here).parent  # type: ignore[union-attr] # of what is there
        return False

    async def ask(self, call: Call[Any], scope: Scope) -> Any:  # noqa: ANN401 - the step's value
        """Run a call of a `verify=`, which nothing is kept of: it is asked anew each time."""
        if call.policy.effect == "write":
            raise WriteRefused(f"{call.name} is a write below verify=, which asks and does not act")
        return await perform(call, scope)

    async def execute(self, call: Call[Any], key: bytes, scope: Scope) -> Any:  # noqa: ANN401
        """Run a call's body under its policies, and tell how it failed."""
        self.running[key] = call
        try:
            if self.direct and call.policy.bare and call.step.inline and not self.run.budgeted:
                value = await perform_bare(call, scope)
            else:
                value = await perform(call, scope)
            if self.replay is not None:
                self.replay.refuse_unasked(call, key)
        except JournalError:
            raise
        except Exception as error:
            self.tell_failure(call, key, error)
            raise
        except CancelledError:
            self.tell_let_go(call, key)
            raise
        finally:
            self.running.pop(key, None)
            self.begun.discard(key)
        self.failures.pop(key, None)
        return value

    def is_cut(self, call: Call[Any]) -> bool:
        """Say whether a drain may have kept a step from making calls: its value is not the whole.

        One that made none has nothing to miss.
        """
        if not self.run.runtime.draining:
            return False
        here = CURRENT.get()
        return call.policy.hedge is not None or here is None or bool(here.counts)

    async def keep(self, call: Call[Any], key: bytes, value: Any) -> Any:  # noqa: ANN401
        """Give a value when it is kept; not one that a drain has cut.

        That a write happened is kept whatever broke meanwhile.
        """
        written = call.policy.effect == "write"
        if not written:
            self.refuse_broken()
            if self.is_cut(call):
                self.cut = True
                return value
        data = self.codecs[call.step].encode(value)
        entry = self.entry(call, key, Kind.WRITTEN if written else Kind.RESULT, data)
        kept = self.store.keep(self.number, entry, synced=written)
        if kept is not None:
            await kept
        return value

    def entry(self, call: Call[Any], key: bytes, kind: Kind, data: bytes) -> Entry:
        """Make the entry of a call; those under which it stands are told before."""
        self.events += 1
        made, parent, home, position = call.entered
        if parent in self.running and parent not in self.begun:
            self.tell_begun(parent)
        step = call.step
        return Entry(
            kind,
            key,
            parent,
            home,
            step.name,
            step.policy.version,
            position,
            made,
            self.events,
            data,
        )

    def tell_begun(self, key: bytes) -> None:
        """Tell that a call has begun, since something below it is about to be kept.

        Of a write its intent says so, which nothing but its end may replace.
        """
        self.begun.add(key)
        call = self.running[key]
        if call.policy.effect == "read":
            self.store.tell(self.number, self.entry(call, key, Kind.BEGUN, b""))

    # Gaps

    def tell_failure(self, call: Call[Any], key: bytes, error: Exception) -> None:
        """Tell that a call failed; what made it fail runs again when it does."""
        if self.broken is not None or self.run.runtime.draining:
            return
        self.run_again(key, error)
        entry = self.entry(call, key, Kind.FAILED, failure_data(error, begun=call.attempts > 0))
        self.remember(entry, error)
        self.store.tell(self.number, entry)

    def tell_let_go(self, call: Call[Any], key: bytes) -> None:
        """Tell that nobody waited for a call any more, unless all of its step was let go."""
        draining = self.run.runtime.draining
        if not call.dropped or draining or self.broken is not None or self.is_stopped(call):
            return
        self.failures.pop(key, None)
        seconds = self.run.time() - self.began(call)
        acted = call.policy.effect == "write" and call.attempts > 0
        data = f"{seconds:.6f}{' acted' if acted else ''}".encode()
        entry = self.entry(call, key, Kind.LET_GO, data)
        self.remember(entry, None)
        self.store.tell(self.number, entry)

    def began(self, call: Call[Any]) -> float:
        """Give the instant at which the step began in which a call was made, or its run."""
        above = self.running.get(call.entered[1])
        return self.run.epoch if above is None else above.started

    def remember(self, entry: Entry, error: Exception | None) -> None:
        """Keep in memory what did not succeed in a step, while that runs."""
        below = self.failures.setdefault(entry.parent, [])
        below.append((entry, error))
        if len(below) > MOST_FAILURES:
            del below[0]

    def is_stopped(self, call: Call[Any]) -> bool:
        """Say whether the run, or the step in which a call stands, is being let go itself."""
        main = self.run.main
        if main is None or main.dropped:
            return True
        above = call.owner.call
        while above is not None:
            if above.dropped and above.step.pattern is None:
                return True
            above = above.owner.call
        return False

    def refused(self, call: Call[Any], error: Exception) -> None:
        """Tell that a call was never started, since its time was over."""
        if getattr(call, "entered", None) is not None and not self.run.runtime.draining:
            self.tell_failure(call, key_of(call), error)

    def run_again(self, key: bytes, error: BaseException) -> None:
        """Tell of what led to the failure of a step that it counts for nothing: it runs again."""
        below = self.failures.pop(key, None)
        if below is None:
            return
        causes = causes_of(error)
        first = min((entry.ended for entry, each in below if id(each) in causes), default=AGAIN)
        for entry, each in below:
            if id(each) in causes or (each is None and entry.ended > first):
                self.store.tell(self.number, entry._replace(ended=AGAIN))

    # Answers

    async def recall(self, call: Call[Any], found: Entry) -> tuple[Any] | None:
        """Give what a journal has of a call in a tuple, or `None` where it is to be run.

        Raises the failure that is kept, where its step has gone on after it.
        """
        if found.kind in (Kind.RESULT, Kind.WRITTEN):
            assert self.replay is not None  # noqa: S101 - it has the entry
            await self.replay.in_turn(found, self.run.runtime.loop)
            data = await self.data_of(found) if found.data is None else found.data
            value = self.codecs[call.step].decode(data)
            note(call, reused=True)
            if call.reader is not None:
                await hand_over(call, value)
            return (value,)
        if found.kind in (Kind.FAILED, Kind.LET_GO):
            return await self.recall_gap(call, found)
        if found.kind == Kind.INTENT:
            return await resolve(self, call, found, "had begun it")
        return None

    async def recall_gap(self, call: Call[Any], found: Entry) -> tuple[Any] | None:
        """Do as `recall`, for a call that has no value."""
        replay = self.replay
        assert replay is not None  # noqa: S101 - as above
        data = await self.data_of(found)
        acted = call.policy.effect == "write"
        if replay.counts(found):
            del replay.by_key[found.key]  # another attempt of its step makes it anew
            note(call, reused=True)
            if found.kind == Kind.FAILED:
                await replay.in_turn(found, self.run.runtime.loop)
                raise failure_of_data(data, call.id)
            call.attempts = 1  # it had begun
            await self.wait_to_be_let_go(call, float(data.split()[0]))
        if found.kind == Kind.LET_GO and acted and data.endswith(b"acted"):
            return await resolve(self, call, found, "let it go after it began")
        if found.kind == Kind.FAILED and acted and not was_not_done(data):
            return await resolve(self, call, found, f"saw it fail: {_told(data)}")
        return None

    async def wait_to_be_let_go(self, call: Call[Any], seconds: float) -> None:
        """Wait as a call did that was let go so many seconds after its step began.

        Raises `ProgramChanged` where nobody lets it go in twice that time.
        """
        most = 2 * seconds + PATIENCE
        await asyncio.sleep(max(0.0, self.began(call) + most - self.run.time()))
        raise ProgramChanged(
            f"{call.name} was let go {seconds:g} s after its step began when run {self.run.id!r} "
            f"was made, and is still waited for after {most:g} s: the step changed, or hangs on "
            "something that is not in the journal"
        )

    async def data_of(self, entry: Entry) -> bytes:
        """Give an entry's data."""
        return await self.store.fetch(self.number, entry) if entry.data is None else entry.data

    # Writes

    async def intend(self, call: Call[Any]) -> None:
        """Keep that a write is about to be done, against a loss of power too."""
        self.refuse_broken()
        digest = digest_of_arguments(call)
        entry = self.entry(call, key_of(call), Kind.INTENT, digest)
        kept = self.store.keep(self.number, entry, synced=True)
        if kept is not None:
            await kept

    # What a program asks

    def time(self, call: Call[Any], number: int, now: float) -> float:
        """Give the time that the call was told as its `number`th, or keep that it is `now`."""
        if call.key in self.aside:
            return now
        key = digest_of(key_of(call), "time", number)
        known = None if self.replay is None else self.replay.by_key.get(key)
        if known is not None and known.data is not None:
            return float(known.data)
        self.note(key, key_of(call), "time", repr(now))
        return now

    def patched(self, name: str) -> bool:
        """Say whether the run has a change: new ones have, others where they had it before."""
        key = digest_of(self.run.id, "patched", name)
        known = None if self.replay is None else self.replay.by_key.get(key)
        if known is not None:
            return known.data == b"True"
        self.note(key, WHOLE_RUN, "patched", repr(self.replay is None))
        return self.replay is None

    def note(self, key: bytes, parent: bytes, what: str, value: str) -> None:
        """Keep an answer."""
        if parent in self.running and parent not in self.begun:
            self.tell_begun(parent)
        self.events += 1
        made = self.events
        entry = Entry(Kind.NOTED, key, parent, None, what, 0, -1, made, made, value.encode())
        self.store.tell(self.number, entry)

    # Its end

    def close(self, error: BaseException | None) -> None:
        """Say how the run ended."""
        if error is None:
            self.store.end(self.number, "stopped" if self.cut else "ok", None)
            return
        if self.broken is None and not isinstance(error, CancelledError):
            self.run_again(WHOLE_RUN, error)
        status = "stopped" if isinstance(error, CancelledError) else "failed"
        if isinstance(self.broken, Unresolved):
            status, error = "unresolved", self.broken
        told = None if status == "stopped" else run_error(self.broken or error)
        self.store.end(self.number, status, told)

    def __repr__(self) -> str:
        """Name the run."""
        return f"<RunJournal of {self.run.id}, {self.events} events>"


def _told(data: bytes) -> str:
    return str(failure_of_data(data, None))
