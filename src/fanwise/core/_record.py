"""The record of a run: one row of atoms a call, written at its end (format 1, docs/record.md).

In memory a row is a tuple of str, int, float and None, in chunks of 1,024 sealed into tuples: the
collector stops visiting what can hold no reference cycle, so that a million rows cost a user's own
code nothing. Views with names (`CallRow`) and JSON lines are made when somebody reads.
"""

from __future__ import annotations

import json
from functools import lru_cache
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fanwise.core._errors import RecordDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
NO_CALL: Row = (None,) * CALL_FIELDS  # an attempt's row has fewer fields
NOTHING: Mapping[str, Any] = MappingProxyType({})
ID = frozenset({int, type(None)})
TEXT = frozenset({str, type(None)})
DECODE = json.JSONDecoder().raw_decode


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


Checked = TypeVar("Checked", CallRow, AttemptRow)


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


def line_of(view: Header | CallRow | AttemptRow, run: str | None = None) -> str:
    """Give the JSON line of a header or row, without what is empty; `run` where it is named."""
    if isinstance(view, Header):
        data: dict[str, Any] = {"fanwise": view.format, "run": view.run, "anchor": view.anchor}
        data |= {"seed": view.seed, "versions": dict(view.versions)}
        return json.dumps(data, separators=(",", ":"))
    named = view._asdict()
    data = {n: v for n, v in named.items() if v or (v == 0 and v is not False)}
    data |= {} if run is None else {"run": run}
    return json.dumps(data, separators=(",", ":"))


def text_of_row(row: Row, epoch: float, run: str | None = None, cost: Cost | None = None) -> str:
    """Give the JSON line of a row, as `line_of` does; a plain success at a third of its cost."""
    (call, parent, fan_in, step, pattern, role, key, start, end, status, attempts, load, error,
     extra) = row if len(row) == CALL_FIELDS else NO_CALL  # fmt: skip
    if call is None or error is not None or type(extra) is tuple:
        return line_of(view_of(row, epoch, cost), run)
    text = f'{{"call":{call}'
    for name, number in (("parent", parent), ("fan_in", fan_in)):
        if number is not None:
            text += f',"{name}":{number}'
    text += f',"step":{_quoted(step)}'
    for name, word in (("pattern", pattern), ("role", role), ("key", key)):
        if word is not None:
            text += f',"{name}":{_quoted(word)}'
    text += (
        f',"start":{microseconds(start, epoch)},"end":{microseconds(end, epoch)}'
        f',"status":"{status}","attempts":{attempts},"load":{load}'
    )
    if extra is not None:
        edge, seconds = edge_and_wait(extra)
        waited = round(seconds * 1_000_000)
        text += "" if edge is None else f',"edges":[{edge}]'
        text += f',"waits":{{"buffer":{waited}}}' if waited else ""
    return text + ("}" if run is None else f',"run":{_quoted(run)}}}')


@lru_cache(1024)
def _quoted(text: str) -> str:
    return json.dumps(text)


def read_records(lines: Iterable[str]) -> list[RunRecord]:
    """Read the runs of a record, in the order of their headers.

    A last line that was cut short is left out and said (`torn`); any other damage raises
    `RecordDamaged` with the number of the line.
    """
    return _read(lines).records()


def read_rows(lines: Iterable[str], run: str) -> list[CallRow | AttemptRow]:
    """Read the rows of one run, in the order in which they were written."""
    return _read(lines).rows.get(run, [])


def _read(lines: Iterable[str]) -> _Reader:
    reader = _Reader()
    pending: tuple[int, str] | None = None
    for number, line in enumerate(lines, 1):
        if pending is not None:
            reader.take(*pending)
        pending = (number, line)
    if pending is not None:
        reader.take_last(*pending)
    return reader


def _parsed(line: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Parse a line as `json.loads` does, a third faster for those of the writer."""
    try:
        data, end = DECODE(line)
    except ValueError:
        return json.loads(line)  # space before it, or the error that names the place
    return data if line[end:] in {"\n", ""} else json.loads(line)


def _checked(row: Checked) -> Checked:
    """Raise TypeError where a row is none: its readers count with what is a number in it."""
    numbers = row.call.__class__ is row.start.__class__ is row.end.__class__ is int
    if not numbers or row.status.__class__ is not str:
        msg = "call, start and end are integers, status is text"
        raise TypeError(msg)
    if row.call < 0 or row.end < row.start:
        msg = "ids count from 0, and no end is before its start"
        raise ValueError(msg)
    if row.__class__ is CallRow:
        _check_call(row)
    return row


def _check_call(row: CallRow) -> None:
    if row.step.__class__ is not str or row.attempts.__class__ is not int:
        msg = "step is text, attempts an integer"
        raise TypeError(msg)
    odd = (row.parent.__class__, row.fan_in.__class__, *(each.__class__ for each in row.edges))
    if not ID.issuperset(odd):
        msg = "parent, fan_in and edges are ids of calls"
        raise TypeError(msg)
    if not TEXT.issuperset((row.pattern.__class__, row.error.__class__)):
        msg = "pattern and error are text"
        raise TypeError(msg)
    for given in (row.waits, row.usage, row.facts):
        if given is not NOTHING and given.__class__ is not dict:
            msg = "waits, usage and facts are objects"
            raise TypeError(msg)
    counts = (*row.waits.values(), *row.usage.values()) if row.waits or row.usage else ()
    if counts and any(count.__class__ is not int for count in counts):
        msg = "waits and usage are integers"
        raise TypeError(msg)


def _call_of(data: dict[str, Any]) -> CallRow:
    """Make a call's row of its line; by place, which takes half as long as by name."""
    take = data.pop
    row = CallRow(
        take("call"), take("parent", None), take("fan_in", None), take("step"),
        take("pattern", None), take("role"), take("key", None), take("start"), take("end"),
        take("status"), take("attempts"), take("load"), take("error", None),
        tuple(take("edges", ())), take("waits", NOTHING), take("usage", NOTHING),
        take("facts", NOTHING),
    )  # fmt: skip
    if data:
        msg = f"a call has no {', '.join(data)}"
        raise TypeError(msg)
    return _checked(row)


class _Reader:
    """Collects the lines of a record under their headers."""

    def __init__(self) -> None:
        self.headers: dict[str, Header] = {}
        self.rows: dict[str, list[CallRow | AttemptRow]] = {}
        self.latest = ""
        self.torn = False

    def take(self, number: int, line: str) -> None:
        try:
            self._file(_parsed(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            msg = f"line {number} is not a line of a record: {line.strip()[:60]!r} ({error})"
            raise RecordDamaged(msg) from error

    def take_last(self, number: int, line: str) -> None:
        try:
            self.take(number, line)
        except RecordDamaged:
            if line.endswith("\n") or not self.headers:
                raise
            self.torn = True

    def _file(self, data: dict[str, Any]) -> None:
        if data.__class__ is not dict:
            msg = "not a JSON object"
            raise TypeError(msg)
        if "fanwise" in data:
            self._open(data)
            return
        run = data.pop("run", self.latest)
        if "step" in data:
            self.rows[run].append(_call_of(data))
        else:
            self.rows[run].append(_checked(AttemptRow(**({"hedge": False} | data))))

    def _open(self, data: dict[str, Any]) -> None:
        version = data.pop("fanwise")
        if version != FORMAT:
            msg = f"format {version} is not known here (known: {FORMAT})"
            raise ValueError(msg)
        header = Header(**data, format=version)
        if header.run.__class__ is not str:
            msg = "the id of a run is text"
            raise TypeError(msg)
        self.latest = header.run
        self.headers[header.run] = header
        self.rows[header.run] = []

    def records(self) -> list[RunRecord]:
        return [record_of(h, self.rows[run], torn=self.torn) for run, h in self.headers.items()]


def record_of(
    header: Header, rows: Iterable[CallRow | AttemptRow], *, torn: bool = False
) -> RunRecord:
    """Sort rows into a record."""
    rows = list(rows)
    calls = tuple(row for row in rows if isinstance(row, CallRow))
    attempts = tuple(row for row in rows if isinstance(row, AttemptRow))
    return RunRecord(header, calls, attempts, torn)
