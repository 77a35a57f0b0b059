"""What a journal says of its runs, to people: lists of runs, and what one of them holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fanwise.core import JournalError
from fanwise.core._entries import AGAIN, Entry, Kind
from fanwise.stores._plain_data import encode_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

STATES: Final = ("running", "ok", "failed", "stopped", "unresolved")


class KeptRun(NamedTuple):
    """A run in a journal. `status` is one of "running", "ok", "failed", "stopped", "unresolved".

    Stopped is one that nobody runs any more and that has not ended. Times are Unix seconds.
    """

    id: str
    step: str
    status: str
    begun: float
    ended: float | None
    error: str | None


class KeptCall(NamedTuple):
    """A call in a journal: its key, its step, and how far it came.

    `state` is "ok", "written", "failed", "let go", "begun", "ambiguous" (a write that was begun) or
    "not done" (a write of which somebody said so).
    """

    key: str
    step: str
    version: int | str
    state: str
    size: int | None


WORDS: Final = {
    Kind.BEGUN: "begun",
    Kind.INTENT: "ambiguous",
    Kind.LET_GO: "let go",
    Kind.FAILED: "failed",
    Kind.RESULT: "ok",
    Kind.WRITTEN: "written",
    Kind.NOT_DONE: "not done",
}


def now() -> float:
    """Give the Unix time."""
    return time.time()


def calls_of(entries: Iterable[Entry]) -> list[KeptCall]:
    """Give what people see of entries, in the order in which the calls were made."""
    shown = [entry for entry in entries if entry.kind != Kind.NOTED]
    shown.sort(key=lambda entry: entry.made)
    return [
        KeptCall(
            entry.key.hex(),
            entry.step,
            entry.version,
            WORDS[Kind(entry.kind)],
            None if entry.data is None else len(entry.data),
        )
        for entry in shown
    ]


def resolved(entry: Entry, *, done: bool, result: Any) -> Entry:  # noqa: ANN401 - plain data
    """Give the entry of a write of which somebody says whether it happened.

    Raises `JournalError` where nothing is to be said of it.
    """
    if entry.kind not in (Kind.INTENT, Kind.LET_GO, Kind.FAILED):
        word = WORDS.get(Kind(entry.kind), "no call")
        raise JournalError(f"{entry.step} {entry.key.hex()} is {word}: there is nothing to resolve")
    if not done:
        return entry._replace(kind=Kind.NOT_DONE, ended=AGAIN, data=b"")
    data = encode_plain(result)
    if data is None:
        raise JournalError(f"the result of {entry.step} is plain data, got {result!r}")
    return entry._replace(kind=Kind.WRITTEN, data=data)
