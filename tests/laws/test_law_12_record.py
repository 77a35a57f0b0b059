"""Law 12: the record is complete: compact, spilled to a file above a bound, read back whole.

(Law 11, one policy engine, is a rule over sources: tests/repository/test_one_engine.py.)
"""

import asyncio
import inspect
import json
import os
import sys
from contextlib import nullcontext

import pytest
from hypothesis import strategies as st

from fanwise.core import (
    AttemptRow,
    CallRow,
    Header,
    RecordDamaged,
    Retry,
    Runtime,
    step,
)
from fanwise.core import _runtime as runtime_module
from fanwise.core import _writer as writer_module
from fanwise.core._engine import finish
from fanwise.core._lines import _Reader
from fanwise.core._record import CHUNK, Rows
from fanwise.core._writer import RecordWriter
from fanwise.patterns import fan_map, fan_out
from fanwise.record import line_of, read_records
from fanwise.testing import run_virtual
from tests.fuzz.programs import draw
from tests.fuzz.world import execute, silence
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    outcome_of,
    rejects,
    replaced,
    ticks,
    virtually,
)

# Live runs

BRANCH = st.tuples(ticks(), st.sampled_from(["ok", "flaky", "wrong"]))
LIVE = {
    "branches": st.lists(BRANCH, max_size=6),
    "within": st.none() | ticks(0, 6),
    "listener": st.sampled_from(["none", "good", "fails"]),
    "order": ORDERS,
}


def complete(branches, within, listener, order):
    """Each body that ran is in the record, with its times and attempts; a listener changes nothing."""
    bodies = {}
    heard = []

    def listen(row):
        if listener == "fails":
            raise ValueError(row)
        heard.append(row)

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def job(index):
        bodies[index] = bodies.get(index, 0) + 1
        seconds, end = branches[index]
        await asyncio.sleep(seconds)
        if end != "ok":
            raise ConnectionError if end == "flaky" else ValueError

    @step
    async def main():
        jobs = [job(index).named(f"job {index}") for index in range(len(branches))]
        await fan_out(*jobs, need=0, within=within)

    async def program(runtime):
        await outcome_of(runtime.run(main()))
        (run,) = runtime.runs
        record = run.record()
        rows = {row.facts["name"]: row for row in record.calls if row.step == "job"}
        assert len(record.calls) == run.next_id + 1 == len({row.call for row in record.calls})
        for index, times in bodies.items():
            row = rows[f"job {index}"]
            assert row.attempts == times
            own = [it for it in record.attempts if it.call == row.call]
            assert sum(it.status != "ok" for it in own) >= times - 1
            assert row.start <= row.end
        if listener == "good":
            assert set(map(line_of, heard)) == set(map(line_of, record.calls + record.attempts))

    silence()
    virtually(program, order=order, listeners=[listen] if listener != "none" else [])


def test_law_12_holds_for_live_runs():
    holds(complete, **LIVE, examples=100)


def test_law_12_holds_for_random_programs():
    silence()
    holds(whole_program, seed=st.integers(0, 10**6), order=ORDERS, examples=25)


def whole_program(seed, order):
    assert execute(draw(seed, 10), seed, order) == []


def test_law_12_rejects_only_calls_that_end_well():
    def forgetful(call, status):
        finish(call, status)
        rows = call.run.rows.open
        if status != "ok":
            rows[:] = [row for row in rows if row[0] != call.id]

    rejects(complete, **LIVE, mutant=replaced(finish, forgetful))


# Beyond the bound

KEPT = 2 * CHUNK


def spilled(folder, calls, path=None):
    """A run with more rows than memory may keep: the rest lies in a file, nothing is lost."""

    @step
    async def job(index):
        await asyncio.sleep(0.25)

    @step
    async def main():
        await fan_map(job, range(calls), at_once=500)

    async def program():
        async with Runtime(record=path) as runtime:
            await runtime.run(main())
            (run,) = runtime.runs
            return run

    os.chdir(folder)
    run = run_virtual(program())
    record = run.record()
    assert [row.call for row in record.calls if row.step == "job"] == list(range(2, calls + 2))
    assert {row.call for row in record.calls} == set(range(calls + 2))
    assert len(run.rows) <= KEPT + CHUNK, "memory has no bound"
    return run


@pytest.fixture
def small_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_module, "KEPT_ROWS", KEPT)
    before = os.getcwd()
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize("path", [None, "record.jsonl"])
@pytest.mark.parametrize("calls", [KEPT - 2, 5 * CHUNK + 7])
@pytest.mark.blocking_ok  # the record is read in the test itself
def test_law_12_holds_beyond_the_bound(small_memory, calls, path):
    run = spilled(small_memory, calls, path)
    if path is None and calls > KEPT:
        (file,) = (small_memory / ".fanwise" / "runs").iterdir()
        assert run.id in file.name
        with file.open() as lines:
            (record,) = read_records(lines)
        assert len(record.calls) == calls + 2


async def looked_at_while_it_runs(calls):
    """Read the record of a live run again and again, while the writer's thread moves its rows."""
    wrong = []

    @step
    async def job(index):
        await asyncio.sleep(0)

    @step
    async def main():
        await fan_map(job, range(calls), at_once=500)

    def look(run):
        numbers = [row.call for row in run.record().calls]
        ended = run.next_id + 1 - run.runtime.running
        if len(numbers) != ended or len(set(numbers)) != ended:
            wrong.append((len(numbers), len(set(numbers)), ended))

    async with Runtime() as runtime:
        run = runtime.start(main())
        while not run.task.done():
            look(run)
            for _ in range(10):
                await asyncio.sleep(0)
        look(run)
    look(run)
    assert wrong == []


@pytest.mark.blocking_ok  # the record is read in the loop
def test_law_12_holds_while_rows_move(small_memory, monkeypatch):
    monkeypatch.setattr(writer_module, "PERIOD", 0.001)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    os.chdir(small_memory)
    try:
        asyncio.run(looked_at_while_it_runs(10 * CHUNK))
    finally:
        sys.setswitchinterval(before)


@pytest.mark.blocking_ok
def test_law_12_rejects_rows_dropped_before_they_are_written(small_memory):
    def careless(self, run, file):
        run.rows.drop(len(run.rows.sealed))

    with (
        changed((RecordWriter, "_write_rows", careless)),
        pytest.raises((AssertionError, ValueError, KeyError)),
    ):
        spilled(small_memory, 5 * CHUNK)


@pytest.mark.blocking_ok
def test_law_12_rejects_a_chunk_lost_when_it_is_sealed(small_memory):
    def forgetful(self):
        self.open = []

    with changed((Rows, "seal", forgetful)), pytest.raises(AssertionError):
        spilled(small_memory, 2 * CHUNK)


@pytest.mark.blocking_ok
def test_law_12_rejects_a_memory_without_bound(small_memory):
    with changed((Rows, "drop", lambda self, chunks: None)), pytest.raises(AssertionError):
        spilled(small_memory, 5 * CHUNK)


# Write, read, equal

TEXT = st.text(max_size=12)
COUNT = st.integers(0, 10**15)
NUMBERS = st.dictionaries(TEXT, COUNT, max_size=3)
ATOMS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
)


def in_order(row):
    """The same row, ending no earlier than it starts."""
    return row._replace(start=min(row.start, row.end), end=max(row.start, row.end))


CALLS = st.builds(
    CallRow,
    call=COUNT,
    parent=st.none() | COUNT,
    fan_in=st.none() | COUNT,
    step=st.text(min_size=1, max_size=12),
    pattern=st.none() | st.sampled_from(["fan_out", "first"]),
    role=st.sampled_from(["work", "judge"]),
    key=st.none() | st.sampled_from(["ab" * 16]),
    start=COUNT,
    end=COUNT,
    status=st.sampled_from(["ok", "failed", "skipped"]),
    attempts=st.integers(0, 9),
    load=st.integers(0, 9),
    error=st.none() | st.text(min_size=1, max_size=12),
    edges=st.lists(COUNT, max_size=3).map(tuple),
    waits=NUMBERS,
    usage=NUMBERS,
    facts=st.dictionaries(TEXT, ATOMS, max_size=3),
).map(in_order)
ATTEMPTS = st.builds(
    AttemptRow,
    call=COUNT,
    attempt=st.integers(1, 9),
    hedge=st.booleans(),
    start=COUNT,
    end=COUNT,
    status=st.sampled_from(["ok", "failed"]),
    error=st.none() | st.text(min_size=1, max_size=12),
).map(in_order)
HEADERS = st.builds(
    Header,
    run=st.text(min_size=1, max_size=12),
    anchor=COUNT,
    seed=COUNT,
    versions=st.dictionaries(TEXT, TEXT, max_size=2),
)
RUNS = st.lists(
    st.tuples(HEADERS, st.lists(CALLS | ATTEMPTS, max_size=5)),
    min_size=1,
    max_size=3,
    unique_by=lambda run: run[0].run,
)


def lines_of(runs):
    """Write the runs one after the other, each row with the name of its run."""
    lines = []
    for header, rows in runs:
        lines.append(line_of(header))
        lines += [line_of(row, header.run) for row in rows]
    return [line + "\n" for line in lines]


def read_back(runs):
    lines = lines_of(runs)
    assert all(line.count("\n") == 1 for line in lines)
    records = read_records(lines)
    assert [record.header for record in records] == [header for header, _ in runs]
    for record, (_, rows) in zip(records, runs, strict=True):
        assert list(record.calls) == [row for row in rows if isinstance(row, CallRow)]
        assert list(record.attempts) == [row for row in rows if isinstance(row, AttemptRow)]
        assert not record.torn


def test_what_is_written_is_read():
    holds(read_back, RUNS, examples=100)


@pytest.mark.parametrize("name", list(inspect.signature(CallRow).parameters))
def test_reading_rejects_a_field_that_is_not_written(name):
    def forgetful(runs):
        return [without(name, line) for line in lines_of(runs)]

    def read_what_was_left_out(runs):
        written = [row for _, rows in runs for row in rows if isinstance(row, CallRow)]
        records = read_records(forgetful(runs))
        assert [row for record in records for row in record.calls] == written

    broken = (AssertionError, RecordDamaged)
    rejects(read_what_was_left_out, RUNS, mutant=nullcontext(), broken=broken)


def without(name, line):
    data = json.loads(line)
    if "step" in data:
        data.pop(name, None)
    return json.dumps(data) + "\n"


def torn(runs, cut):
    """The last line is cut anywhere: it is left out and said, everything before it is there."""
    lines = lines_of(runs)
    last = lines[-1].rstrip("\n")
    rest = last[: 1 + cut % (len(last) - 1)]
    if len(lines) == 1:
        with pytest.raises(RecordDamaged):
            read_records([rest])
        return
    records = read_records([*lines[:-1], rest])
    whole = read_records(lines[:-1])
    assert all(record.torn for record in records)
    assert [r.calls for r in records] == [r.calls for r in whole]
    assert [r.attempts for r in records] == [r.attempts for r in whole]


def test_a_torn_last_line_is_left_out_and_said():
    holds(torn, RUNS, st.integers(0, 10**6), examples=100)


def damaged(runs, where, cut):
    """A line that is cut anywhere else, or ends with a line break: refused with its number."""
    lines = lines_of(runs)
    number = where % len(lines)
    lines[number] = lines[number][: cut % (len(lines[number]) - 2)] + "\n"
    with pytest.raises(RecordDamaged, match=f"line {number + 1} "):
        read_records(lines)


def test_a_damaged_line_is_refused_with_its_number():
    holds(damaged, RUNS, st.integers(0, 10**6), st.integers(0, 10**6), examples=100)


def test_reading_rejects_silence_about_damage():
    take = _Reader.take

    def silent(self, number, line):
        try:
            take(self, number, line)
        except RecordDamaged:
            return

    runs = [(Header("a", 0, 0), []), (Header("b", 0, 0), [])]
    with changed((_Reader, "take", silent)), pytest.raises(pytest.fail.Exception):
        damaged(runs, 0, 3)
