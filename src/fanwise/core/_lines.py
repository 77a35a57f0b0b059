"""The record as JSON lines, written and read (format 1, docs/record.md).

Loaded when the first record is written or read: half of what it costs is the module `json`, which
the import of the library does without.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from fanwise.core._errors import RecordDamaged
from fanwise.core._record import (
    CALL_FIELDS,
    FORMAT,
    NOTHING,
    AttemptRow,
    CallRow,
    Header,
    edge_and_wait,
    microseconds,
    record_of,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fanwise.core._record import Cost, Row, RunRecord

NO_CALL: Row = (None,) * CALL_FIELDS  # an attempt's row has fewer fields
ID = frozenset({int, type(None)})
TEXT = frozenset({str, type(None)})
DECODE = json.JSONDecoder().raw_decode

Checked = TypeVar("Checked", CallRow, AttemptRow)


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
