"""`fanwise runs`, and `fanwise digest --resume`, as a user meets them: in processes of their own."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest

from fanwise import Runtime, step
from fanwise.errors import Unresolved
from fanwise.stores import JournalFile

START = [sys.executable, "-c", "from fanwise.cli import main; main()"]


def fanwise(*arguments, cwd):
    return subprocess.run(
        [*START, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    """A journal with a run that ended, and one that asks what became of a write."""

    @step
    async def fetch(n):
        return n

    @step(effect="write")
    async def send(n):
        if n == 2:
            await asyncio.sleep(20)
        return f"sent {n}"

    @step
    async def report(n):
        await fetch(n)
        return await send(n)

    async def main(n, seconds=None):
        async with Runtime(journal=f"sqlite:///{tmp_path}/.fanwise/journal.db") as runtime:
            with suppress(TimeoutError, Unresolved):
                return await asyncio.wait_for(runtime.run(report(n), run_id=f"run-{n}"), seconds)

    assert asyncio.run(main(1)) == "sent 1"
    asyncio.run(main(2, 0.5))
    asyncio.run(main(2))
    return tmp_path


def test_runs_are_listed_with_what_they_ask(folder):
    done = fanwise("runs", "list", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    one, other = done.stdout.splitlines()
    assert one.startswith("run-1  ok  report  begun 2")
    assert other.startswith("run-2  unresolved  report  begun 2")
    assert "Unresolved: send is a write, and run 'run-2'" in other


def test_a_run_is_shown_with_what_is_open(folder):
    done = fanwise("runs", "show", "run-2", cwd=folder)
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines()
    assert first.startswith("run-2  unresolved")
    assert rest[:4] == [
        "  report: 1 begun",
        "  fetch: 1 ok",
        "  send: 1 ambiguous",
        "  3 calls kept",
    ]
    assert rest[4].endswith("  ambiguous  send")
    every = fanwise("runs", "show", "run-1", "--calls", cwd=folder)
    assert [line.split()[1] for line in every.stdout.splitlines()[-3:]] == ["ok", "ok", "written"]


def test_json_is_for_programs(folder):
    runs = json.loads(fanwise("runs", "list", "--json", cwd=folder).stdout)
    assert [run["status"] for run in runs] == ["ok", "unresolved"]
    shown = json.loads(fanwise("runs", "show", "run-2", "--json", cwd=folder).stdout)
    assert [call["state"] for call in shown["calls"]] == ["ambiguous"]


@pytest.mark.parametrize("said", ["--done", "--not-done"])
def test_a_write_is_resolved(folder, said):
    shown = json.loads(fanwise("runs", "show", "run-2", "--json", cwd=folder).stdout)
    key = shown["calls"][0]["key"]
    result = ["--result", '"by hand"'] if said == "--done" else []
    done = fanwise("runs", "resolve", "run-2", key, said, *result, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(
        f"fanwise: {key} is {said[2:].replace('-', ' ')}: run 'run-2' can"
    )
    with closing(JournalFile(f"{folder}/.fanwise/journal.db")) as file:
        states = {call.step: call.state for call in file.calls("run-2")}
    assert states["send"] == ("written" if said == "--done" else "not done")
    again = fanwise("runs", "resolve", "run-2", key, said, cwd=folder)
    assert again.returncode == 2
    assert "there is nothing to resolve" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "x"], "has no run 'x'; fanwise runs list shows all"),
        (["resolve", "run-2", "00", "--done"], "has no call with the key 00"),
        (["resolve", "run-2", "00"], "say --done or --not-done, one of them"),
        (["resolve", "run-2", "00", "--done", "--not-done"], "one of them"),
        (["resolve", "run-2", "00", "--not-done", "--result", "1"], "it goes with --done"),
        (["resolve", "run-2", "00", "--done", "--result", "sent"], "--result sent is no JSON"),
        (["list", "--journal", "none.db"], "the journal none.db is not there"),
    ],
)
def test_wrong_use_is_said_in_a_line(folder, arguments, told):
    done = fanwise("runs", *arguments, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_journal_is_said_in_a_line(tmp_path):
    (tmp_path / "notes.db").write_text("notes" * 1000)
    done = fanwise("runs", "list", "--journal", "notes.db", cwd=tmp_path)
    assert done.returncode == 2
    assert "notes.db is damaged, or is none" in done.stderr


# fanwise digest --resume


@pytest.fixture
def pages(tmp_path):
    words = ["soil", "sun", "water", "frost", "seed", "root", "leaf", "rain"]
    for n in range(12):
        lines = [
            f"{words[(n + i) % 8].title()} needs {words[(n * i + 1) % 8]} in the month {n + i} of it."
            for i in range(400)
        ]
        (tmp_path / f"{n:02}.md").write_text(f"# Page {n}\n\n" + "\n".join(lines))
    return tmp_path


DIGEST = ["digest", ".", "--task", "What does a seed need?", "--chunk-tokens", "200"]


def kept_in(folder):
    path = folder / ".fanwise" / "journal.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            return file.execute("SELECT count(*) FROM entries WHERE kind = 7").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.mark.timeout(120)
def test_a_digest_that_is_killed_again_and_again_ends_the_same(pages):
    whole = fanwise(*DIGEST, cwd=pages)
    assert whole.returncode == 0, whole.stderr
    kills = 0
    for more in (5, 20, 40):
        before = kept_in(pages)
        with subprocess.Popen(
            [*START, *DIGEST, "--resume"], cwd=pages, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            while process.poll() is None and kept_in(pages) < before + more:
                time.sleep(0.002)  # another process has no event to wait for
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    assert kills == 3
    done = fanwise(*DIGEST, "--resume", cwd=pages)
    assert done.returncode == 0, done.stderr
    assert done.stdout == whole.stdout
    assert "goes on, kept in .fanwise/journal.db" in done.stderr
    assert "which were not asked for again" in done.stderr
    runs = json.loads(fanwise("runs", "list", "--json", cwd=pages).stdout)
    assert [run["status"] for run in runs] == ["ok"]
    anew = fanwise(*DIGEST, "--resume", cwd=pages)
    assert "begins, kept in" in anew.stderr
    assert anew.stdout == whole.stdout


def test_without_resume_nothing_is_kept(pages):
    assert fanwise(*DIGEST, cwd=pages).returncode == 0
    assert not (pages / ".fanwise" / "journal.db").exists()
