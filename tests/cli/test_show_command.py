"""`fanwise show` as a user meets it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fanwise.core import AttemptRow
from fanwise.record import line_of
from tests.analysis.rows import recorded, row

START = [sys.executable, "-c", "from fanwise.cli import main; main()"]
FIXTURE = Path(__file__).parents[1] / "core" / "fixtures" / "record-1.jsonl"


def fanwise(*arguments, cwd, given=None, **environment):
    known = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(
        [*START, *map(str, arguments)],
        cwd=cwd,
        env=known | {"PYTHONIOENCODING": "utf-8"} | environment,
        input=given,
        capture_output=True,
        timeout=18,
        check=False,
    )


def text_of(*rows, attempts=(), run="r"):
    record = recorded(*rows, attempts=attempts)
    views = (record.header._replace(run=run), *record.attempts, *record.calls)
    return "".join(line_of(view) + "\n" for view in views)


SMALL = text_of(
    row(0, 0, 1_000_000, step="main"),
    row(1, 0, 900_000, step="slow"),
    row(2, 0, 300_000, step="fast", waits={"limit": 100_000}),
)


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.jsonl").write_text(SMALL)
    return tmp_path


def test_the_waterfall_is_on_standard_output(small):
    done = fanwise("show", "small.jsonl", cwd=small)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "run r: main, ok, 3 calls"
    assert lines[1].startswith("The run took 1.00 s; 0.90 s of it was `slow`; making `fast`")
    assert max(map(len, lines)) == 80
    assert b"\x1b" not in done.stdout


def test_from_standard_input(small):
    done = fanwise("show", "-", cwd=small, given=SMALL.encode())
    assert done.stdout == fanwise("show", "small.jsonl", cwd=small).stdout


def test_json_has_the_documented_fields(small):
    data = json.loads(fanwise("show", "small.jsonl", "--json", cwd=small).stdout)
    page = (Path(__file__).parents[2] / "docs" / "show.md").read_text("utf-8")
    assert [name for name in data if f"`{name}`" not in page] == []
    assert (data["format"], data["run"], data["over"], data["calls"]) == (1, "r", True, 3)
    assert sum(data["blame"].values()) == data["end"] - data["start"] == 1_000_000
    assert data["slack"] == {"0": 0, "1": 0, "2": 600_000}
    assert [line["name"] for line in data["outline"]] == ["main", "slow", "fast"]


def test_a_flowchart(small):
    done = fanwise("show", "small.jsonl", "--mermaid", cwd=small)
    assert done.stdout.startswith(b"flowchart LR\n")


def test_of_several_runs_the_last_and_any_other_by_its_id(tmp_path):
    (tmp_path / "runs.jsonl").write_bytes(FIXTURE.read_bytes())
    last = fanwise("show", "runs.jsonl", cwd=tmp_path)
    assert last.stdout.startswith(b"run third: ")
    assert b"3 runs; this is the last; --run names another of: first, second, third" in last.stderr
    first = fanwise("show", "runs.jsonl", "--run", "first", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, b"")
    assert first.stdout.startswith(b"run first: main, ok, 11 calls")
    none = fanwise("show", "runs.jsonl", "--run", "forth", cwd=tmp_path)
    assert none.returncode == 2
    assert b"--run forth is not in it; there are: first, second, third" in none.stderr


def test_a_torn_last_line_is_said(tmp_path):
    cut = text_of(row(1, 0, 9, step="before"), row(0, 0, 9, step="ol\u00e9")).encode()
    cut = cut[: cut.rindex(b"ol") + 2] + b"\xc3"  # inside a character
    (tmp_path / "torn.jsonl").write_bytes(cut)
    done = fanwise("show", "torn.jsonl", cwd=tmp_path)
    assert done.returncode == 0
    assert b"the last line was cut short, and is left out" in done.stderr
    assert b"not over" in done.stdout


DAMAGED = [
    ("\n".join([*SMALL.splitlines()[:2], "{oops", *SMALL.splitlines()[2:]]), "line 3 "),
    (SMALL.replace('"end":300000', '"end":"soon"'), "line 2 "),
    (SMALL + '{"call":7,"parent":[1],"step":"x","start":1,"end":1,"status":"ok"}\n', "line 5 "),
    (SMALL + "[" * 100_000 + "\n", "line 5 "),
    (SMALL + '"a"\n', "line 5 "),
    (SMALL + "7\n", "line 5 "),
    ('{"fanwise":2}\n', "format 2 is not known here"),
    ('{"hello": "world"}\n', "line 1 is not a line of a record"),
    ("# Readme\n\x1b[31mred\n", "line 1 is not a line of a record"),
    ("", "holds no run: it is empty"),
    ("\n\n", "line 1 is not a line of a record"),
]


@pytest.mark.parametrize(("content", "said"), DAMAGED)
def test_what_is_no_record_is_said_with_what_would_be_right(tmp_path, content, said):
    (tmp_path / "it.jsonl").write_text(content)
    done = fanwise("show", "it.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    message = done.stderr.decode()
    assert said in message
    assert "Runtime(record=PATH)" in message
    assert "Traceback" not in message
    assert "\x1b" not in message


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "it.gz").write_bytes(b"\x1f\x8b\x08\x00" + os.urandom(99) + b"\n")
    done = fanwise("show", "it.gz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is not a line of a record" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "RECORD is missing"),
        (["gone.jsonl"], "gone.jsonl cannot be read: No such file"),
        (["."], ". cannot be read: Is a directory"),
        (["small.jsonl", "--width", "10"], "--width is 10; it must be from 60 to 1000"),
        (["small.jsonl", "--width", "wide"], "'wide' is not a valid integer"),
        (["small.jsonl", "--json", "--mermaid"], "two forms of output; choose one"),
        (["small.jsonl", "other.jsonl"], "unexpected extra argument (other.jsonl)"),
        (["no\x1b[31m.jsonl"], "no\\x1b[31m.jsonl cannot be read"),
    ],
)
def test_wrong_use(small, arguments, said):
    done = fanwise("show", *arguments, cwd=small)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_colour_only_where_it_is_asked_for(small):
    def coloured(**environment):
        return b"\x1b[1;33m" in fanwise("show", "small.jsonl", cwd=small, **environment).stdout

    assert not coloured()
    assert coloured(FORCE_COLOR="1")
    assert not coloured(FORCE_COLOR="0")
    assert not coloured(FORCE_COLOR="1", NO_COLOR="1")


def test_a_terminal_that_knows_no_blocks_gets_ascii(small):
    done = fanwise("show", "small.jsonl", cwd=small, PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert b"####" in done.stdout


def test_the_width_is_that_of_the_terminal(small):
    lines = fanwise("show", "small.jsonl", cwd=small, COLUMNS="120").stdout.decode().splitlines()
    assert max(map(len, lines)) == 120
    narrow = fanwise("show", "small.jsonl", cwd=small, COLUMNS="20").stdout.decode().splitlines()
    assert max(map(len, narrow)) == 60


def test_a_reader_that_leaves_is_no_failure(tmp_path):
    rows = [row(n, n, n + 1, parent=n - 1) for n in range(1, 3000)]
    (tmp_path / "it.jsonl").write_text(text_of(row(0, 0, 4000), *rows))
    script = f"{sys.executable} -c 'from fanwise.cli import main; main()' show it.jsonl | head -1"
    done = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, check=False)  # noqa: S602
    assert done.stdout.startswith(b"run r: s")
    assert done.stderr == b""


def test_findings_stand_below_the_heading_and_in_the_json(tmp_path):
    herd = [row(0, 0, 5_000_000, step="main")]
    tries = []
    for call in range(1, 31):
        waits = {"backoff": 2_000_000}
        herd.append(row(call, 0, 3_100_000, step="fetch", attempts=2, waits=waits))
        error = "ConnectionError: down"
        tries.append(AttemptRow(call, 1, False, 0, 1_000_000, "failed", error))
        tries.append(AttemptRow(call, 2, False, 3_000_000, 3_100_000, "ok"))
    (tmp_path / "herd.jsonl").write_text(text_of(*herd, attempts=tries))
    done = fanwise("show", "herd.jsonl", cwd=tmp_path)
    assert done.returncode == 0
    page = done.stdout.decode()
    assert "\nfound synchronised retries: 30 callers of `fetch` tried again within 0 us," in page
    assert "\n  cure: spread them: Retry(shortest=, longest=)" in page
    assert page.index("found") < page.index("slack")
    (found,) = json.loads(fanwise("show", "herd.jsonl", "--json", cwd=tmp_path).stdout)["findings"]
    assert (found["kind"], found["steps"]) == ("synchronised retries", ["fetch"])
    assert (found["start"], found["end"]) == (3_000_000, 3_000_000)
    assert found["evidence"]["callers"] == 30
