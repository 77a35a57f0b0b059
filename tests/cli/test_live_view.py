"""The live view as somebody sees it, on a terminal in memory, and where there is none."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from fanwise.record import read_records
from tests.cli.terminals import START, Terminal, environment

# Its calls go on until the file `go` is there; then all that is open ends.
JOBS = """
import asyncio, os, time
from fanwise import Limit, Retry, fan_map, fan_out, step

async def gone():
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)

@step
async def quick(i):
    return i

@step(limit="door")
async def slow(i):
    await gone()
    return i

@step
async def bad():
    raise ValueError("目の前 \\x1b[31mred")

@step
async def answer(query: str) -> str:
    await fan_map(quick, range(50), at_once=50)
    found = await fan_out(slow(1), slow(2), bad().named("the bad one"), need=2)
    return f"{query}: {sum(found.values())}"

@step
async def talks():
    print("said to standard output")
    print("half a ", end="")
    await gone()
    print("line")

@step
async def fails():
    await gone()
    raise RuntimeError("at the end")

@step
async def busy():
    while True:
        time.sleep(0.01)
"""
RUN = ["run", "jobs:answer", "--input", "query=x", "--limit", "door=1"]


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (40, 10)])
def test_it_shows_the_run_and_leaves_the_summary(jobs, columns, rows):
    with Terminal(RUN, cwd=jobs, columns=columns, rows=rows) as terminal:
        terminal.until("slow #", "longest running")
        shown = [line for line in terminal.lines if line]
        assert shown[0].startswith("jobs:answer  ")
        assert len(shown) <= min(30, rows - 1)
        assert "56 calls, 4 live, 1 failed"[: columns - 25] in shown[0]
        if columns >= 80:
            assert any(re.fullmatch(r"  quick +50( +0){4}", line) for line in shown)
            assert any("the bad one" in line and "目" in line for line in shown)
        (jobs / "go").touch()
        assert terminal.end() == (0, "x: 3\n")
        assert "slowest so far" not in terminal.text
        if rows >= 24:
            assert terminal.lines[0] == "fanwise: 56 calls, 1 failed"
        assert b"\x1b[31mred" not in terminal.raw, "an error must not steer the terminal"
        terminal.check_untouched()


def test_what_the_program_prints_stands_above_and_not_in_the_result(jobs):
    with Terminal(["run", "jobs:talks"], cwd=jobs) as terminal:
        terminal.until("said to standard output", "longest running")
        assert terminal.lines[0] == "said to standard output"
        assert "half a" not in terminal.text
        (jobs / "go").touch()
        assert terminal.end() == (0, "")
        assert "half a line" in terminal.lines


def test_the_first_ctrl_c_stops_new_work_and_is_seen(jobs):
    with Terminal(["run", "jobs:talks"], cwd=jobs) as terminal:
        terminal.until("longest running")
        terminal.press(b"\x03")
        terminal.until("fanwise: stopping", "jobs:talks, stopping")
        (jobs / "go").touch()
        assert terminal.end() == (130, "")
        assert "longest running" not in terminal.text
        assert "Traceback" not in terminal.text
        terminal.check_untouched()


def test_the_second_ctrl_c_ends_a_loop_that_hears_nothing(jobs):
    with Terminal(["run", "jobs:busy"], cwd=jobs) as terminal:
        terminal.until("busy #0")
        terminal.press(b"\x03")
        terminal.until("jobs:busy, stopping")
        terminal.press(b"\x03")
        assert terminal.end() == (130, "")
        assert "fanwise: stopped" in terminal.lines
        terminal.check_untouched()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_it_the_terminal_is_as_it_was(jobs, number):
    with Terminal(["run", "jobs:talks"], cwd=jobs) as terminal:
        terminal.until("longest running")
        terminal.process.send_signal(number)
        if number == signal.SIGTERM:
            terminal.until("fanwise: stopping")
            (jobs / "go").touch()
        code, _ = terminal.end()
        assert code == (130 if number == signal.SIGTERM else -number)
        terminal.check_untouched()


def test_a_program_that_fails_shows_its_own_frames(jobs):
    with Terminal(["run", "jobs:fails"], cwd=jobs) as terminal:
        terminal.until("fails #0")
        (jobs / "go").touch()
        code, out = terminal.end()
        assert (code, out) == (1, "")
        assert terminal.lines[0] == "Traceback (most recent call last):"
        assert "RuntimeError: at the end" in terminal.lines
        assert terminal.text.count("File ") == 1
        terminal.check_untouched()


def test_after_a_stop_the_next_frame_stands_below(jobs):
    with Terminal(RUN, cwd=jobs, rows=60) as terminal:
        terminal.until("waits for limit")
        terminal.process.send_signal(signal.SIGSTOP)
        os.waitpid(terminal.process.pid, os.WUNTRACED)
        terminal.drain()
        terminal.stream.feed(b"[1]+  Stopped\r\n")  # as a shell says it
        terminal.process.send_signal(signal.SIGCONT)
        while terminal.text.count("jobs:answer") < 2:
            terminal.read()
        assert "[1]+  Stopped" in terminal.lines, "what others wrote is not drawn over"
        (jobs / "go").touch()
        assert terminal.end() == (0, "x: 3\n")


@pytest.mark.parametrize("variable", [{"CI": "true"}, {"TERM": "dumb"}, {"PYTHONUTF8": "0", "LANG": "C", "LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"}])  # fmt: skip
def test_a_terminal_that_is_not_to_be_drawn_on_gets_lines(jobs, variable):
    with Terminal(RUN, cwd=jobs, **variable) as terminal:
        terminal.until("fanwise: 56 calls, 4 live, 1 failed, ")
        (jobs / "go").touch()
        assert terminal.end() == (0, "x: 3\n")
        assert b"\x1b" not in terminal.raw.replace(b"\\x1b", b"")


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_colours_are_left_out_where_nobody_wants_them(jobs, variables, coloured):
    with Terminal(RUN, cwd=jobs, **variables) as terminal:
        terminal.until("longest running")
        assert (b"\x1b[36m" in terminal.raw) == coloured
        (jobs / "go").touch()
        terminal.end()


def piped(arguments, cwd, start=START, **variables):
    return subprocess.Popen(
        [*start, *arguments], cwd=cwd, env=environment(**variables), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_pipe_gets_plain_lines(jobs):
    process = piped(RUN, jobs)
    line = process.stderr.readline()
    assert re.fullmatch(r"fanwise: 56 calls, 4 live, 1 failed, 1\.\d s\n", line)
    (jobs / "go").touch()
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out) == (0, "x: 3\n")
    assert "\x1b" not in err


@pytest.mark.parametrize(("colours", "seen"), [("1", True), ("0", False), ("", False)])
def test_colours_can_be_forced_into_a_pipe(jobs, colours, seen):
    (jobs / "broken.py").write_text("1 / 0\n")
    process = piped(["run", "broken:x"], jobs, FORCE_COLOR=colours)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert ("\x1b[31mbroken cannot be imported\x1b[0m" in err) == seen
    assert "broken cannot be imported" in err


def test_quiet_shows_nothing_of_its_own(jobs):
    (jobs / "go").touch()
    with Terminal([*RUN, "--quiet"], cwd=jobs) as terminal:
        assert terminal.end() == (0, "x: 3\n")
        assert terminal.raw == b""


BROKEN = (
    "import fanwise.cli._frame as frame\n"
    "def draw(*_): raise KeyError('a flaw of the view')\n"
    "frame.lines_of = draw\n"
    "from fanwise.cli import main; main()"
)


def test_a_view_that_breaks_hurts_nobody(jobs):
    start = [sys.executable, "-c", BROKEN]
    with Terminal([*RUN, "--record", "r.jsonl"], cwd=jobs, start=start) as terminal:
        terminal.until("the live view ends (KeyError")
        (jobs / "go").touch()
        assert terminal.end() == (0, "x: 3\n")
        assert terminal.text.count("a flaw of the view") == 1
    (record,) = read_records((jobs / "r.jsonl").read_text().splitlines(keepends=True))
    assert len(record.calls) == 56


def test_a_terminal_that_goes_away_loses_nothing(jobs):
    ours, its = os.openpty()  # nobody's controlling terminal, so that no signal comes
    with os.fdopen(its, "wb") as stderr:
        process = subprocess.Popen(
            [*START, *RUN, "--record", "r.jsonl"], cwd=jobs, env=environment(),
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    seen = b""
    while b"longest running" not in seen:
        seen += os.read(ours, 65536)
    os.close(ours)
    (jobs / "go").touch()
    out, _ = process.communicate(timeout=15)
    assert (process.returncode, out) == (0, "x: 3\n")
    (record,) = read_records((jobs / "r.jsonl").read_text().splitlines(keepends=True))
    assert len(record.calls) == 56


def test_without_standard_error_there_is_still_the_result(jobs):
    (jobs / "go").touch()
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" run jobs:talks --json 2>&-', *START[::2]],
        cwd=jobs, env=environment(), capture_output=True, text=True, timeout=15, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "complete"


def test_a_digest_has_the_same_view(tmp_path):
    (tmp_path / "a.md").write_text("Tomatoes need much sun and a warm soil to grow.\n")
    code = (
        "import os, time, fanwise.providers\n"
        "from fanwise.providers import Extractive\n"
        "class Held(Extractive):\n"
        "    async def answer(self, request):\n"
        "        import asyncio\n"
        "        while not os.path.exists('go'): await asyncio.sleep(0.01)\n"
        "        return await super().answer(request)\n"
        "fanwise.providers.extractive = lambda address: Held()\n"
        "from fanwise.cli import main; main()"
    )
    command = ["digest", "a.md", "--task", "Summarise"]
    with Terminal(command, cwd=tmp_path, start=[sys.executable, "-c", code]) as terminal:
        terminal.until("1 documents read, 0 of 1 chunks done", "quote #")
        (tmp_path / "go").touch()
        code, out = terminal.end()
        assert code == 0
        assert out.startswith("# Summarise")
        assert terminal.lines[0].startswith("fanwise: 1 document, 1 of 1 chunk")
