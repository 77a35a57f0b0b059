"""Progress and summary, on an invented clock and record."""

from fanwise.cli._progress import Progress
from fanwise.cli._streams import say
from fanwise.cli._summary import summary, times_of, to_data
from fanwise.core import CallRow, Header, RunRecord
from fanwise.digest import Digest, Missing, Part
from fanwise.models import Usage


def row(call, parent, step, start, end, **more):
    values = {"fan_in": None, "pattern": None, "role": "work", "key": None, "status": "ok"}
    values |= {"attempts": 1, "load": 0} | more
    return CallRow(call=call, parent=parent, step=step, start=start, end=end, **values)


RECORD = RunRecord(
    Header("r", 0, 0),
    (
        row(1, 0, "read", 0, 1_000_000),
        row(2, 0, "quote", 1_000_000, 3_000_000, waits={"digest/model": 500_000}),
        row(3, 0, "fan_out", 1_000_000, 3_000_000, pattern="fan_out"),
        row(0, None, "digest", 0, 3_000_000),
    ),
)


def test_progress_is_limited_in_rate(capsys):
    now = [100.0]
    progress = Progress(lambda: now[0])
    for _ in range(100):
        progress(Part(documents=1, chunks=2))
        now[0] += 0.0625
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[0] == "fanwise: 17 documents read, 0 of 34 chunks done, 1 s"


def test_quiet_progress_says_nothing(capsys):
    now = [0.0]
    progress = Progress(lambda: now[0], quiet=True)
    now[0] = 10
    progress(Part(answered=1, missing=(Missing("a", "empty"),)))
    assert capsys.readouterr().err == ""
    assert repr(progress) == "<Progress 0 documents read, 1 of 0 chunks done, 1 missing>"


def test_a_closed_standard_error_is_no_reason_to_stop(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    say("nobody reads this")


def test_times_come_from_the_record():
    times = times_of(RECORD, processor=0.25)
    assert (times.sums.calls, times.wall, times.processor) == (4, 3.0, 0.25)
    assert times.in_a_row == 2.5
    data = to_data(times)
    assert data["seconds_in_a_row"] == 2.5
    assert sum(part["seconds"] for part in data["critical_path"]) == 3.0


def test_the_summary_fits_a_terminal_and_names_what_is_missing():
    gaps = tuple(Missing(f"a/rather/long/name/{n}.md", "empty (0 bytes)") for n in range(12))
    part = Part(documents=1_000, chunks=2_000, answered=1_999, dropped=3, missing=gaps,
                usage=Usage(1_000_000, 20_000, estimated=True))  # fmt: skip
    lines = list(summary(Digest("t", "m", part), times_of(RECORD, processor=2.9)))
    text = "\n".join(lines)
    assert all(len(line) <= 71 for line in lines)
    assert "1,000 documents, 1,999 of 2,000 chunks, 4 calls, 0 statements" in text
    assert "3.00 s; calls one after another 2.50 s (0.8 x); processor 2.90 s" in text
    assert "more at once would gain nothing" in text
    assert "critical path: digest > read (1.00 s) > " in text
    assert "1,000,000 in, 20,000 out (estimated)" in text
    assert "dropped: 3 lines" in text
    assert "incomplete, 12 missing:" in text
    assert "and 2 more" in text
