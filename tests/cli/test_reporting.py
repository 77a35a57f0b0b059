"""Progress, lines and summary, on invented looks and records."""

import io

import pytest

from fanwise.analysis import Look
from fanwise.cli._progress import Progress
from fanwise.cli._streams import say
from fanwise.cli._summary import summary, times_of, to_data
from fanwise.cli._terminal import shows_colours, shows_view
from fanwise.cli._view import View
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


def test_progress_adds_up_what_a_digest_tells():
    progress = Progress()
    for _ in range(1_000):
        progress(Part(documents=1, chunks=2))
    assert progress.text() == "1,000 documents read, 0 of 2,000 chunks done"
    progress(Part(answered=1, missing=(Missing("a", "empty"),)))
    assert repr(progress) == ("<Progress 1,000 documents read, 1 of 2,000 chunks done, 1 missing>")


def lines_at(seconds_of_looks, capsys):
    """The pauses that a view without a terminal makes after looks at these times, and its lines."""
    view = View("jobs:x")
    look = Look(0.0, 5, 2, 0, 0, {}, False, 1, (), (), (), ())
    pauses = [view.show(look._replace(seconds=seconds)) for seconds in seconds_of_looks]
    return pauses, capsys.readouterr().err.splitlines()


def test_lines_come_ever_more_seldom(capsys):
    pauses, lines = lines_at([1.0, 9.0, 50.0, 7_200.0], capsys)
    assert pauses == [1.0, 1.0, 5.0, 60.0]
    assert lines[0] == "fanwise: 5 calls, 2 live, 1 failed, 1.0 s"
    assert lines[-1] == "fanwise: 5 calls, 2 live, 1 failed, 2 h 00 min"


@pytest.mark.parametrize(
    ("variables", "terminal", "encoding", "expected"),
    [
        ({"TERM": "xterm"}, True, "utf-8", (True, True)),
        ({"TERM": "xterm"}, True, "UTF8", (True, True)),
        ({"TERM": "xterm"}, True, "ascii", (False, True)),
        ({"TERM": "xterm"}, False, "utf-8", (False, False)),
        ({"TERM": "dumb"}, True, "utf-8", (False, False)),
        ({}, True, "utf-8", (False, False)),
        ({"TERM": "xterm", "CI": "true"}, True, "utf-8", (False, True)),
        ({"TERM": "xterm", "CI": "false"}, True, "utf-8", (True, True)),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, "utf-8", (True, False)),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, "utf-8", (True, True)),
        ({"FORCE_COLOR": "1"}, False, "utf-8", (False, True)),
        ({"FORCE_COLOR": "0"}, False, "utf-8", (False, False)),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, "utf-8", (False, False)),
    ],
)
def test_what_standard_error_can_show(variables, terminal, encoding, expected):
    class Stream:
        def isatty(self):
            return terminal

    stream = Stream()
    stream.encoding = encoding
    assert (shows_view(stream, variables), shows_colours(stream, variables)) == expected
    assert not shows_view(None, variables)
    assert not shows_colours(None, variables)


def test_a_closed_stream_is_no_terminal(tmp_path):
    with open(tmp_path / "a", "w") as stream:
        pass
    assert not shows_view(stream, {"TERM": "xterm"})
    assert not shows_colours(stream, {"TERM": "xterm"})
    say("still fine")


def test_a_closed_standard_error_is_no_reason_to_stop(monkeypatch):
    class Closed(io.TextIOBase):
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
