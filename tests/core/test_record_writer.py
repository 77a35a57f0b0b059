"""`record=PATH`: rows of every run in a file, and a disk that refuses never touches the run."""

import asyncio
import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Retry, Runtime, current, fan_map, fan_out, run, step
from fanwise.core import _runtime, _writer
from fanwise.core._lines import line_of, read_records, text_of_row
from fanwise.core._record import CHUNK, view_of

pytestmark = pytest.mark.real_clock


@step
async def gives(value):
    return value


@step(retry=Retry(attempts=2, shortest=0, longest=0))
async def flaky(secret):
    current().usage(tokens_in=3, model="m")
    if current().attempt == 1:
        raise ConnectionError("down")
    return secret


def records(path):
    with path.open(encoding="utf-8") as lines:
        return read_records(lines)


async def test_after_the_block_the_file_has_the_whole_run(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path, seed=7) as runtime:
        await runtime.run(fan_out(gives(1), flaky("hidden")), run_id="r")
        kept = runtime.runs[0].record()
    (record,) = records(path)
    assert record == kept
    assert record.header.run == "r"
    assert record.header.seed == 7
    assert len(record.calls) == 3
    assert [attempt.status for attempt in record.attempts] == ["failed", "ok"]
    assert not record.torn


async def test_arguments_and_results_are_not_in_it(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=str(path)) as runtime:
        await runtime.run(fan_out(flaky("a secret prompt"), gives("a secret answer")))
    assert "secret" not in path.read_text("utf-8")


async def test_only_the_user_may_read_it(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600


async def test_several_runs_at_the_same_time_are_kept_apart(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        runs = [
            runtime.start(fan_map(gives, range(50), at_once=3), run_id=f"run {n}") for n in range(5)
        ]
        for each in runs:
            await each.wait()
        kept = [each.record() for each in runs]
    found = {record.header.run: record for record in records(path)}
    assert list(found) == [f"run {n}" for n in range(5)]
    assert all(found[record.header.run] == record for record in kept)
    assert all(len(record.calls) == 51 for record in kept)


async def test_rows_are_written_while_a_run_goes_on(tmp_path):
    path = tmp_path / "record.jsonl"
    go_on = asyncio.Event()

    @step
    async def waits():
        await gives("first")
        await go_on.wait()

    async with Runtime(record=path) as runtime:
        background = runtime.start(waits(), run_id="r")
        async with asyncio.timeout(10):
            while '"gives"' not in path.read_text("utf-8"):
                await asyncio.sleep(0.02)
        (record,) = records(path)
        assert [row.step for row in record.calls] == ["gives"]
        go_on.set()
        await background.wait()
    assert [row.step for row in records(path)[0].calls] == ["gives", "waits"]


async def test_a_run_that_fails_or_is_cancelled_is_in_it(tmp_path):
    @step
    async def fails():
        raise OSError("gone")

    @step
    async def hangs():
        await asyncio.sleep(100)

    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        with pytest.raises(OSError, match="gone"):
            await runtime.run(fails())
        runtime.start(hangs())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    rows = [row for record in records(path) for row in record.calls]
    assert [(row.step, row.status) for row in rows] == [("fails", "failed"), ("hangs", "cancelled")]


async def test_a_path_that_cannot_be_written_raises_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        async with Runtime(record=tmp_path / "missing" / "record.jsonl"):
            pytest.fail("the block must not be entered")
    with pytest.raises(IsADirectoryError):
        async with Runtime(record=tmp_path):
            pytest.fail("the block must not be entered")
    async with Runtime() as runtime:  # nothing of the others is left
        assert await runtime.run(gives(1)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
async def test_a_full_disk_leaves_the_run_unharmed_and_is_logged(caplog):
    with caplog.at_level(logging.ERROR):
        async with Runtime(record="/dev/full") as runtime:
            found = await runtime.run(fan_map(gives, range(5000), at_once=50))
            assert len(found.values()) == 5000
            assert len(runtime.runs[0].record().calls) == 5001
    assert len(caplog.messages) == 1
    assert "the record /dev/full is not whole" in caplog.messages[0]
    assert "No space left on device" in caplog.messages[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
async def test_a_full_disk_is_said_before_the_end(caplog):
    """A run of days must not learn at its end that it has no record."""
    async with Runtime(record="/dev/full") as runtime:
        await runtime.run(fan_map(gives, range(2000), at_once=50))
        async with asyncio.timeout(5):
            while runtime.writer.error is None:
                await asyncio.sleep(0.02)
        await runtime.run(gives(1))
    assert any("is not whole" in text for text in caplog.messages)


async def test_any_error_of_the_writer_is_said_not_only_the_disks(tmp_path, monkeypatch, caplog):
    """A row that cannot be written as text, say: a lone surrogate in a name."""

    async def odd():
        return 1

    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        await runtime.run(step(odd, name="\udcff\ud800 odd")())
        await runtime.run(gives(1), run_id="\udcff")
    found = [row.step for record in records(path) for row in record.calls]
    assert "gives" in found or any("is not whole" in text for text in caplog.messages)


async def test_beyond_the_bound_rows_move_from_memory_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_runtime, "KEPT_ROWS", 4 * 1024)
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        background = runtime.start(fan_map(gives, range(40_000), at_once=50, need=0))
        await background.wait()
        await eventually(lambda: len(background.rows) <= 6 * 1024)
        assert len(background.record().calls) == 40_001
    (record,) = records(path)
    assert sorted(row.call for row in record.calls) == list(range(40_001))


@pytest.mark.timeout(5)
async def test_they_move_while_rows_keep_coming(tmp_path, monkeypatch):
    """A run that never pauses for a fifth of a second must not keep everything in memory."""
    monkeypatch.setattr(_runtime, "KEPT_ROWS", 2 * CHUNK)
    monkeypatch.setattr(_writer, "PERIOD", 100.0)
    held = []

    @step
    async def main():
        for _ in range(12):
            await fan_map(gives, range(CHUNK), at_once=100)
            (run,) = runtime.live
            writer = runtime.writer
            while writer._wake.is_set():  # it was woken by this chunk, and has not looked yet
                await asyncio.sleep(0.001)
            held.append(len(run.rows.sealed))

    async with Runtime(record=tmp_path / "record.jsonl") as runtime:
        await runtime.run(main())
        assert len(runtime.runs[0].record().calls) == 12 * (CHUNK + 1) + 1
    assert max(held) <= 4


ATOMS = st.floats(0, 1e6).map(lambda it: round(it, 6))
NAMES = st.text(max_size=5)
FED = st.builds(complex, st.integers(-1, 99), st.sampled_from([0.0, 1e-9, 0.5, 3.25]))
PLAIN_ROWS = st.tuples(
    st.integers(0, 99), st.none() | st.integers(0, 99), st.none() | st.integers(0, 99),
    NAMES.filter(bool), st.none() | st.just("fan_map"), st.sampled_from(["work", "judge"]),
    st.none() | st.just("00ff"), ATOMS, ATOMS, st.sampled_from(["ok", "skipped"]),
    st.integers(0, 3), st.integers(0, 99), st.none() | st.just("E: no"),
    st.none() | FED | st.just((("edges", "", (1, 2)),))
    | st.just((("usage", "tokens_in", 3), ("bill", "", ((1, "m", None, False, 3, 0, 0, 0, 0),)))),
)  # fmt: skip
ATTEMPTS = st.tuples(
    st.just("attempt"), st.integers(0, 9), st.integers(1, 3), st.booleans(), ATOMS, ATOMS,
    st.just("failed"), st.none() | st.just("E"),
    st.none() | st.just(((1, "m", None, True, 120, 30, 7, 0, 0), (1, None, "batch", False, 1, 0, 0, 0, 0))),
)  # fmt: skip


@given(PLAIN_ROWS | ATTEMPTS, st.none() | NAMES)
def test_the_short_way_to_a_line_gives_the_same_line(row, run):
    assert text_of_row(row, 1.5, run, told) == line_of(view_of(row, 1.5, told), run)


def told(bill, model, end):
    return {"cost": f"{sum(each[4] for each in bill)}", "unpriced": len(bill)}


async def test_without_a_path_they_move_to_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(_runtime, "KEPT_ROWS", 4 * 1024)
    monkeypatch.chdir(tmp_path)
    async with Runtime() as runtime:
        await runtime.run(fan_map(gives, range(20_000), at_once=50, need=0), run_id="big")
        assert len(runtime.runs[0].record().calls) == 20_001
        await runtime.run(gives(1), run_id="small")
        spilled = tmp_path / ".fanwise" / "runs" / "big.jsonl"
    assert (tmp_path / ".fanwise").stat().st_mode & 0o777 == 0o700
    (record,) = records(spilled)
    assert len(record.calls) == 20_001
    assert os.listdir(tmp_path / ".fanwise" / "runs") == ["big.jsonl"]


@pytest.mark.timeout(5)
async def test_where_spilling_fails_the_run_goes_on(tmp_path, monkeypatch, caplog):
    """The directory cannot be made: rows stay in memory, or are said to be lost."""
    monkeypatch.setattr(_runtime, "KEPT_ROWS", 2 * 1024)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".fanwise").write_text("a file where the directory should be")
    async with Runtime() as runtime:
        found = await runtime.run(fan_map(gives, range(5000), at_once=50))
        assert len(found.values()) == 5000


@pytest.mark.timeout(5)
async def test_a_run_id_with_a_slash_stays_in_its_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(_runtime, "KEPT_ROWS", 1024)
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    async with Runtime() as runtime:
        await runtime.run(fan_map(gives, range(3000), at_once=50), run_id="../../../escaped")
    assert not list(tmp_path.glob("*.jsonl"))
    assert not (tmp_path / "escaped.jsonl").exists()


async def eventually(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_script_writes_its_record(tmp_path):
    path = tmp_path / "record.jsonl"
    assert run(gives(1), runtime=Runtime(record=path)) == 1
    assert len(records(path)[0].calls) == 1


async def test_each_line_is_json_and_the_first_is_the_header(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        await runtime.run(fan_out(gives(1), flaky("x")))
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines[0]["fanwise"] == 1
    assert all("call" in line for line in lines[1:])


async def test_an_existing_record_is_written_anew(tmp_path):
    path = tmp_path / "record.jsonl"
    for value in range(2):
        async with Runtime(record=path) as runtime:
            await runtime.run(gives(value))
    assert len(records(path)) == 1


async def test_many_short_runs_do_not_hold_the_writer_up(tmp_path):
    path = tmp_path / "record.jsonl"
    async with Runtime(record=path) as runtime:
        for n in range(2000):
            await runtime.run(gives(n), run_id=str(n))
    assert [record.header.run for record in records(path)] == [str(n) for n in range(2000)]
    assert _writer.PERIOD < 1
