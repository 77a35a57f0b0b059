"""The record of a run: one row of atoms a call, written at its end (format 1, docs/record.md).

In memory a row is a tuple of str, int, float and None, in chunks of 1,024 sealed into tuples: the
collector stops visiting what can hold no reference cycle, so that a million rows cost a user's own
code nothing. Views with names (`CallRow`) are made when somebody reads, JSON lines when they are
written (`fanwise.core._lines`).
"""

from __future__ import annotations

from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from fanwise.core._call import Call
    from fanwise.core._settlement import Told

    Cost = Callable[[tuple[Told, ...], str | None, float], dict[str, Any]]

FORMAT = 1
CHUNK = 1024
COUNTS = ("tokens_in", "tokens_out", "cached", "written", "written_hour")  # that are paid for
ATTEMPT = "attempt"
LONGEST_ERROR = 300  # characters

Row = tuple[Any, ...]
STARTED, ENDED, ATTEMPTS = 7, 8, 10  # places in a call's row
CALL_FIELDS = 14
NOTHING: Mapping[str, Any] = MappingProxyType({})

Contents = Literal["none", "shape", "full"]


class Record(Frozen):
    """Where rows are written, and what they hold of arguments and results.

    `contents` is "none", "shape" (types and lengths) or "full". `redact` is given the text of each
    before it is kept, and gives the text to keep.
    """

    path: str | os.PathLike[str]
    contents: Contents = "none"
    redact: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.contents not in get_args(Contents):
            msg = f'Record(contents=) is "none", "shape" or "full", got {self.contents!r}'
            raise ValueError(msg)
        if self.redact is not None and not callable(self.redact):
            msg = f"Record(redact=) is a function from text to text, got {self.redact!r}"
            raise TypeError(msg)


class Header(NamedTuple):
    """The first line of a run's record. `anchor` is Unix time in nanoseconds at time 0."""

    run: str
    anchor: int
    seed: int
    versions: Mapping[str, str] = NOTHING
    format: int = FORMAT


class CallRow(NamedTuple):
    """What became of one call. Times are integer microseconds since the header's anchor.

    `parent` is the call whose body made it, `fan_in` the pattern that gathered it, `edges` the
    calls whose values it was bound to. `waits` maps limit, pool, buffer and backoff to
    microseconds. `facts` holds what only some calls have: cause, ambiguous, late, hedges; `cost`
    in US dollars as a decimal string.
    """

    call: int
    parent: int | None
    fan_in: int | None
    step: str
    pattern: str | None
    role: str
    key: str | None
    start: int
    end: int
    status: str
    attempts: int
    load: int
    error: str | None = None
    edges: tuple[int, ...] = ()
    waits: Mapping[str, int] = NOTHING
    usage: Mapping[str, int] = NOTHING
    facts: Mapping[str, str | int | float | bool] = NOTHING


class AttemptRow(NamedTuple):
    """An attempt under retry or hedge that did not succeed, or was not the first.

    `usage` is its part of the usage of its call, `facts` its part of the cost.
    """

    call: int
    attempt: int
    hedge: bool
    start: int
    end: int
    status: str
    error: str | None = None
    usage: Mapping[str, int] = NOTHING
    facts: Mapping[str, str | int | float | bool] = NOTHING


class RunRecord(NamedTuple):
    """All rows of one run. `torn` says that a last line was cut and left out."""

    header: Header
    calls: tuple[CallRow, ...]
    attempts: tuple[AttemptRow, ...] = ()
    torn: bool = False


class Rows:
    """The rows of a live run: an open chunk and the sealed ones. The lock is taken once a chunk."""

    __slots__ = ("dropped", "lock", "open", "sealed")

    dropped: int
    lock: Lock

    def __init__(self) -> None:
        """Start empty."""
        self.open: list[Row] = []
        self.sealed: list[tuple[Row, ...]] = []
        self.dropped = 0  # sealed chunks that only a file holds now
        self.lock = Lock()

    def seal(self) -> None:
        """Close the open chunk."""
        with self.lock:
            self.sealed.append(tuple(self.open))
            self.open = []

    def since(self, chunk: int, offset: int) -> tuple[list[Row], int, int]:
        """Give the rows after a position, and the new position; safe from another thread."""
        with self.lock:
            sealed = self.sealed[chunk - self.dropped :]
            if sealed:
                rows = [row for part in sealed for row in part][offset:]
                return rows, chunk + len(sealed), 0
            rows = self.open[offset:]
            return rows, chunk, offset + len(rows)

    def drop(self, chunks: int) -> None:
        """Forget the oldest sealed chunks, which are on disk."""
        with self.lock:
            del self.sealed[:chunks]
            self.dropped += chunks

    def snapshot(self) -> tuple[int, list[Row]]:
        """Give how many rows only a file holds, and the others, oldest first."""
        with self.lock:
            sealed, rows, dropped = list(self.sealed), list(self.open), self.dropped
        return dropped * CHUNK, [*(row for part in sealed for row in part), *rows]

    def __len__(self) -> int:
        """Count the rows in memory."""
        return sum(map(len, self.sealed)) + len(self.open)


def facts_of(call: Call[Any]) -> dict[str, Any]:
    """Give what only few calls have, to add to it: it stands in the call's row at its end."""
    if call.facts is None:
        call.facts = {}
    return call.facts


def note(call: Call[Any], **facts: object) -> None:
    """Keep what only few calls have."""
    facts_of(call).update(facts)


def add_wait(call: Call[Any], kind: str, seconds: float) -> None:
    """Add to the time for which a call waited."""
    waits = facts_of(call).setdefault("waits", {})
    waits[kind] = waits.get(kind, 0.0) + seconds


def view_of(row: Row, epoch: float, cost: Cost | None = None) -> CallRow | AttemptRow:
    """Give the named view of a row; `epoch` is the loop's time at the anchor.

    `cost` gives the facts of what answers cost (`None`: nobody knows).
    """
    if row[0] == ATTEMPT:
        _, call, attempt, hedge, start, end, status, error, told = row
        times = microseconds(start, epoch), microseconds(end, epoch)
        tried = AttemptRow(call, attempt, bool(hedge), *times, status, error)
        return tried if told is None else _with_share(tried, told, end, cost)
    (call, parent, fan_in, step, pattern, role, key, start, end, status, attempts, load, error,
     extra) = row  # fmt: skip
    view = CallRow(
        call, parent, fan_in, step, pattern, role, key, microseconds(start, epoch),
        microseconds(end, epoch), status, attempts, load, error,
    )  # fmt: skip
    return view if extra is None else _with_extra(view, extra, end, cost)


def edge_and_wait(fed: complex) -> tuple[int | None, float]:
    """Give whose value a stage's call took (-1: the source's), and for how long that had waited.

    They are packed into a single atom: a pair would be one more object a row for the collector to
    visit, which is a tenth of the time of a pipeline of short calls.
    """
    return (None if fed.real < 0 else int(fed.real)), fed.imag


def _with_share(
    view: AttemptRow, told: tuple[Told, ...], end: float, cost: Cost | None
) -> AttemptRow:
    sums = [sum(counts) for counts in zip(*(each[4:] for each in told), strict=True)]
    usage = {name: count for name, count in zip(COUNTS, sums, strict=True) if count}
    facts: dict[str, Any] = {} if cost is None else cost(told, None, end)
    models = [each[1] for each in told if each[1] is not None]
    if models:
        facts = {"model": models[-1], **facts}
    if any(each[3] for each in told):
        facts["estimated"] = True
    return view._replace(usage=usage, facts=facts)


def _with_extra(
    view: CallRow, extra: tuple[Any, ...] | complex, end: float, cost: Cost | None
) -> CallRow:
    if isinstance(extra, complex):  # a stage's call, which says no more than that
        edge, seconds = edge_and_wait(extra)
        taken = () if edge is None else (edge,)
        waited = round(seconds * 1_000_000)
        return view._replace(edges=taken, waits={"buffer": waited} if waited else NOTHING)
    edges: tuple[int, ...] = ()
    waits: dict[str, int] = {}
    usage: dict[str, int] = {}
    facts: dict[str, Any] = {}
    told: tuple[Told, ...] = ()
    for group, name, value in extra:
        if group == "edges":
            edges = value
        elif group == "waits":
            waits[name] = round(value * 1_000_000)
        elif group == "bill":
            told = value
        else:
            (usage if group == "usage" else facts)[name] = value
    if told and cost is not None:
        facts |= cost(told, facts.get("model"), end)
    return view._replace(edges=edges, waits=waits, usage=usage, facts=facts)


def microseconds(time: float, epoch: float) -> int:
    """Give a loop's time as integer microseconds since the anchor."""
    return round((time - epoch) * 1_000_000)


def text_of(error: BaseException) -> str:
    """Give an error as it stands in a row."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "\u2026"


def record_of(
    header: Header, rows: Iterable[CallRow | AttemptRow], *, torn: bool = False
) -> RunRecord:
    """Sort rows into a record."""
    rows = list(rows)
    calls = tuple(row for row in rows if isinstance(row, CallRow))
    attempts = tuple(row for row in rows if isinstance(row, AttemptRow))
    return RunRecord(header, calls, attempts, torn)
