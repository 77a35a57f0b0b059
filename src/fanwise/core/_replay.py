"""What an earlier execution left of a run, and whether this one does the same.

Problem: a program that is run again must be given the same answers in the same order, and one that
changed meanwhile must be noticed before it acts, without a list of everything it ever did.
Method: calls are found by key. A failure, or a call that was let go, counts where its parent went
on afterwards, which is known from the numbers of events: something that was made later is there.
Calls that one task of a step makes one after the other have positions, and at the position of a
call that is in the journal no other may stand. Results come in the order in which they once came,
among those that are asked for in the same turn of the loop.
Rejected: a log of events that is gone through one by one (Temporal's), since here parts of a step
run at once and their order is an accident; and no check at all (a call that differs would be taken
for a new one, and act beside the old).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.core._entries import AGAIN, Kind
from fanwise.core._errors import ProgramChanged

if TYPE_CHECKING:
    import asyncio

    from fanwise.core._call import Call
    from fanwise.core._entries import Entry

GAPS = frozenset({Kind.FAILED, Kind.LET_GO})


class Replay:
    """The entries that a run had when it was opened."""

    __slots__ = ("by_key", "events", "latest", "positions", "turn", "unasked", "versions")

    events: int

    def __init__(self, entries: list[Entry]) -> None:
        """Take the entries of a run; none where it is new."""
        self.by_key: dict[bytes, Entry] = {entry.key: entry for entry in entries}
        self.events = 0
        self.latest: dict[bytes, int] = {}
        self.positions: dict[tuple[bytes, int], list[Entry]] = {}
        self.unasked: dict[bytes, dict[bytes, Entry]] = {}
        self.versions: dict[str, set[int | str]] = {}
        self.turn: list[tuple[int, asyncio.Future[None]]] = []
        for entry in entries:
            self._count(entry)
        for entry in entries:
            self._index(entry)

    def _count(self, entry: Entry) -> None:
        last = entry.made if entry.ended == AGAIN else max(entry.made, entry.ended)
        self.events = max(self.events, last)
        self.latest[entry.parent] = max(self.latest.get(entry.parent, 0), entry.made)

    def _index(self, entry: Entry) -> None:
        if entry.kind == Kind.NOTED or (entry.kind in GAPS and not self.counts(entry)):
            return
        self.versions.setdefault(entry.step, set()).add(entry.version)
        if entry.position >= 0:
            where = (entry.parent if entry.home is None else entry.home, entry.position)
            self.positions.setdefault(where, []).append(entry)
            if entry.home is None:
                self.unasked.setdefault(entry.parent, {})[entry.key] = entry

    def counts(self, entry: Entry) -> bool:
        """Say whether a gap was seen by its parent, which went on after it."""
        return self.latest.get(entry.parent, 0) > entry.ended

    def asked(
        self, call: Call[object], key: bytes, where: tuple[bytes, int], parent: bytes
    ) -> None:
        """Compare a call that is being made with what is kept; raise `ProgramChanged`."""
        step = call.step
        versions = self.versions.get(step.name)
        if versions is not None and step.policy.version not in versions:
            told = ", ".join(map(repr, sorted(versions, key=str)))
            msg = (
                f"the step {step.name} has version {step.policy.version!r} and had {told} when "
                f"run {call_run(call)} began, which is pinned to it: let that run end with the old "
                f'code, or keep both behind `if patched("...")`'
            )
            raise ProgramChanged(msg)
        if key in self.by_key:
            unasked = self.unasked.get(parent)
            if unasked is not None:
                unasked.pop(key, None)
            return
        for entry in self.positions.get(where, ()):
            if entry.home is not None or entry.key in self.unasked.get(parent, ()):
                raise ProgramChanged(_differs(call, entry, where[1]))

    def refuse_unasked(self, call: Call[object], key: bytes) -> None:
        """Raise where a step ends without a call that it had made before."""
        left = self.unasked.get(key)
        if left:
            entry = min(left.values(), key=lambda each: each.made)
            msg = (
                f"{call.name} ends without its call {entry.position + 1}, {entry.step}, which run "
                f"{call_run(call)} has made: the program changed, or what it does hangs on "
                f"something that is not in the journal; {CURE}"
            )
            raise ProgramChanged(msg)

    async def in_turn(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the results that came earlier and are asked for in this turn of the loop."""
        if not self.turn:
            loop.call_soon(self._release)
        future: asyncio.Future[None] = loop.create_future()
        self.turn.append((entry.ended, future))
        await future

    def _release(self) -> None:
        turn, self.turn = self.turn, []
        turn.sort(key=lambda each: each[0])
        for _, future in turn:
            if not future.done():
                future.set_result(None)

    def __repr__(self) -> str:
        """Count."""
        return f"<Replay of {len(self.by_key)} entries>"


CURE = 'what is new stands behind `if patched("...")`, so that old runs go on without it'


def call_run(call: Call[object]) -> str:
    """Give the id of a call's run, which it may not have begun in yet."""
    return repr(call.home.run.id if call.home is not None else call.run.id)


def _differs(call: Call[object], entry: Entry, position: int) -> str:
    other = "with other arguments" if entry.step == call.step.name else f"of {entry.step}"
    return (
        f"call {position + 1} of its step was one {other} when run {call_run(call)} was made, and "
        f"is {call.step.name} now: the program, or what it was given, changed, and is not run any "
        f"further, lest it acts twice; {CURE}"
    )
