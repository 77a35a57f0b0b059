"""A journal in memory: the twin of the durable ones, for tests and for runs of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core import JournalError, RunBusy
from fanwise.core._entries import Entry, Head, Opened
from fanwise.stores._runs import KeptCall, KeptRun, calls_of, now, resolved

if TYPE_CHECKING:
    from asyncio import Future


class MemoryJournal:
    """Runs, and their entries by key, for as long as this object lives."""

    def __init__(self) -> None:
        """Start empty."""
        self._heads: list[Head] = []
        self._runs: list[KeptRun] = []
        self._kept: list[dict[bytes, Entry]] = []
        self._claimed: dict[int, KeptRun] = {}  # with what they were before

    async def open(self) -> None:
        """Do nothing: it is ready."""

    async def begin(self, head: Head, /) -> Opened:
        """Claim a run and give what is known of it; raise `RunBusy` where another has it."""
        number = next((n for n, each in enumerate(self._heads) if each.run == head.run), None)
        if number is None:
            number = len(self._heads)
            self._heads.append(head)
            self._runs.append(KeptRun(head.run, head.step, "running", now(), None, None))
            self._kept.append({})
        if number in self._claimed:
            raise RunBusy(f"run {head.run!r} is run by another runtime: two would act twice")
        before = self._claimed[number] = self._runs[number]
        self._runs[number] = before._replace(status="running", ended=None, error=None)
        return Opened(number, self._heads[number], list(self._kept[number].values()))

    def tell(self, run: int, entry: Entry, /) -> None:
        """Keep an entry."""
        self._kept[run][entry.key] = entry

    def keep(self, run: int, entry: Entry, /, *, synced: bool) -> Future[None] | None:  # noqa: ARG002
        """Keep an entry, at once."""
        self._kept[run][entry.key] = entry
        return None

    async def fetch(self, run: int, entry: Entry, /) -> bytes:
        """Give the data of an entry."""
        return self._kept[run][entry.key].data or b""

    def end(self, run: int, status: str, error: str | None, /) -> None:
        """Say how a run ended, and give it free; with "" it is as before."""
        before = self._claimed.pop(run)
        if status:
            self._runs[run] = self._runs[run]._replace(status=status, ended=now(), error=error)
        else:
            stopped = before.status == "running"
            self._runs[run] = before._replace(status="stopped") if stopped else before

    async def aclose(self) -> None:
        """Give all runs free; what is kept stays for the next runtime."""
        for number in self._claimed:
            self._runs[number] = self._runs[number]._replace(status="stopped")
        self._claimed.clear()

    # For people

    def runs(self) -> list[KeptRun]:
        """Give every run, in the order in which they began."""
        return list(self._runs)

    def entries(self, run: str) -> list[Entry]:
        """Give what is kept of a run."""
        return list(self._kept[self._number(run)].values())

    def calls(self, run: str) -> list[KeptCall]:
        """Give the calls of a run, in the order in which they were made."""
        return calls_of(self.entries(run))

    def resolve(self, run: str, key: str, *, done: bool, result: Any = None) -> None:  # noqa: ANN401
        """Say whether a write happened; raise `JournalError` where that is no question."""
        kept = self._kept[self._number(run)]
        entry = kept.get(bytes.fromhex(key))
        if entry is None:
            raise JournalError(f"run {run!r} has no call with the key {key}")
        kept[entry.key] = resolved(entry, done=done, result=result)

    def _number(self, run: str) -> int:
        for number, head in enumerate(self._heads):
            if head.run == run:
                return number
        raise JournalError(f"the journal has no run {run!r}")

    def __repr__(self) -> str:
        """Count."""
        return f"<MemoryJournal, {len(self._runs)} runs>"


def from_address(address: str) -> MemoryJournal:
    """Make the journal of the address "memory"."""
    if address.rstrip(":/") != "memory":
        raise ValueError(f'journal={address!r} is not known; in memory it is "memory"')
    return MemoryJournal()
