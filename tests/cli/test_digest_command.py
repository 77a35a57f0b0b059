"""`fanwise digest` as a user meets it: in a process of its own."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from fanwise.documents import Files

ROOT = Path(__file__).parents[2]
PEPS = ROOT.parent / "shared/data/documents/peps.tar.gz"
START = [sys.executable, "-c", "from fanwise.cli import main; main()"]
PAGES = {
    "a.md": "# Tomatoes\n\nTomatoes need much sun and a\nwarm soil to grow. Water them early in the day.\n",
    "deep/b.rst": "Cabbage\n=======\n\nCabbage grows well in cold soil. Frost does it no harm at all.\n",
}


@pytest.fixture
def pages(tmp_path):
    for name, text in PAGES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def fanwise(*arguments, cwd, start=START, timeout=18):
    return subprocess.run(
        [*start, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def places(markdown):
    """Give (file, start, end, shown text) of each statement on the page."""
    return [
        (m[2], int(m[3]), int(m[4]), " ".join(m[1].split()))
        for m in re.finditer(
            r"^- (.*?)\n  `(.+?):(\d+)-(\d+)`$", markdown, re.MULTILINE | re.DOTALL
        )
    ]


def check_places(markdown, cwd):
    found = places(markdown)
    for name, start, end, shown in found:
        text = (cwd / name).read_bytes().decode()
        assert " ".join(text[start:end].split()) == shown
    return found


def test_the_result_is_on_standard_output_and_all_else_is_not(pages):
    done = fanwise("digest", ".", "--task", "Summarise", cwd=pages)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Summarise\n")
    assert len(check_places(done.stdout, pages)) == 4
    lines = done.stderr.splitlines()
    assert all(line.startswith("fanwise: ") and len(line) <= 80 for line in lines)
    assert "2 documents, 2 of 2 chunks" in lines[0]
    assert "critical path: " in done.stderr
    assert "(estimated)" in done.stderr


def test_json_holds_everything(pages):
    done = fanwise("digest", "deep", "a.md", "--task", "What does frost do?", "--json", cwd=pages)
    data = json.loads(done.stdout)
    assert (data["complete"], data["documents"], data["missing"]) == (True, 2, [])
    (statement,) = data["statements"]
    text = PAGES["deep/b.rst"][statement["start"] : statement["end"]]
    assert text == statement["text"] == "Frost does it no harm at all."
    assert data["tokens"]["estimated"]
    assert data["seconds"] > 0
    assert data["critical_path"]


def test_quiet_is_quiet(pages):
    done = fanwise("digest", "a.md", "--task", "Summarise", "--quiet", cwd=pages)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout


def test_the_record_is_written(pages):
    done = fanwise("digest", ".", "--task", "Summarise", "--record", "run.jsonl", cwd=pages)
    assert done.returncode == 0
    rows = [json.loads(line) for line in (pages / "run.jsonl").read_text().splitlines()]
    assert rows[0]["fanwise"] == 1
    assert {"read", "cut", "quote", "merge"} <= {row.get("step") for row in rows}
    assert "Tomatoes" not in (pages / "run.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digest", "--task", "x"], "PATH is missing"),
        (["digest", "a.md"], "--task is empty"),
        (["digest", "a.md", "--task", "  "], "--task is empty"),
        (["digest", "a.md", "--task", "x", "--sentences", "0"], "--sentences 0 is too small"),
        (["digest", "a.md", "--task", "x", "--sentences", "many"], "'many' is not a valid integer"),
        (
            ["digest", "a.md", "--task", "x", "--chunk-tokens", "-1"],
            "--chunk-tokens -1 is too small",
        ),
        (["digest", "a.md", "--task", "x", "--at-once", "0"], "--at-once is 0"),
        (["digest", "a.md", "--task", "x", "--model", "no"], "--model 'no' is not known"),
        (
            ["digest", "a.md", "--task", "x", "--record", "a.md/x"],
            "the record cannot be written",
        ),
        (["digest", "a.md", "--tusk", "x"], "No such option '--tusk'"),
        (["digst"], "No such command 'digst'"),
    ],
)
def test_wrong_use_is_named_and_ends_with_2(pages, arguments, message):
    done = fanwise(*arguments, cwd=pages)
    assert done.returncode == 2
    assert done.stderr.startswith("fanwise: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_nothing_that_could_be_read_is_a_failure(pages):
    done = fanwise("digest", "absent.md", "--task", "x", cwd=pages)
    assert done.returncode == 1
    assert "absent.md: not found" in done.stderr
    assert "No document could be read." in done.stdout


def test_version_and_help(pages):
    assert fanwise("--version", cwd=pages).stdout.startswith("fanwise 0.")
    page = fanwise("--help", cwd=pages)
    assert page.returncode == 0
    assert "digest" in page.stdout
    page = fanwise("digest", "--help", cwd=pages)
    assert "--chunk-tokens" in page.stdout
    assert all(len(line) <= 80 for line in page.stdout.splitlines())


def test_help_imports_no_command(pages):
    code = (
        "import sys\nfrom fanwise.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith(('fanwise.digest', 'fanwise.prov', 'fanwise.core', 'asyncio', 'rich', 'pydantic'))])"
    )
    done = fanwise(cwd=pages, start=[sys.executable, "-c", code])
    assert done.stdout.splitlines()[-1] == "[]"


def piped(pages, reader, *more):
    script = (
        f'"$0" -c "$1" digest . --task Summarise --quiet $2 | {reader}; echo ${{PIPESTATUS[0]}} >&2'
    )
    return subprocess.run(
        ["/bin/bash", "-c", script, *START[::2], *more],
        cwd=pages, capture_output=True, text=True, timeout=18, check=False,
    )  # fmt: skip


def test_a_pipe_that_closes_ends_it_quietly(pages):
    done = piped(pages, "head -1")
    assert (done.stdout, done.stderr) == ("# Summarise\n", "0\n")
    done = piped(pages, "true", "absent.md")
    assert (done.stdout, done.stderr) == ("", "3\n")


def test_odd_names_and_encodings_are_shown_as_escapes(pages):
    name = os.fsencode(pages) + b"/odd\xff.md"
    with open(name, "wb") as file:
        file.write("Ein Satz über Gärten steht hier allein.".encode())
    for environment in ({}, {"PYTHONIOENCODING": "ascii"}):
        done = subprocess.run(
            [*START, "digest", ".", "gone\udcff.md", "--task", "Summarise"],
            cwd=pages, env=os.environ | environment, capture_output=True, timeout=18, check=False,
        )  # fmt: skip
        assert done.returncode == 3, done.stderr
        assert b"`odd\\udcff.md:0-39`" in done.stdout
        assert b"gone\\udcff.md: not found" in done.stderr


SLOW = """
import asyncio, sys
from fanwise.providers import Extractive
answered = []  # which document comes first is the threads' affair
class Slow(Extractive):
    async def answer(self, request):
        answer = await super().answer(request)
        answered.append(request)
        if len(answered) == 2:
            print("slow", file=sys.stderr, flush=True)
            await asyncio.sleep({seconds})
        return answer
import fanwise.providers
fanwise.providers.extractive = lambda address: Slow()
from fanwise.cli import main
main()
"""


def interrupted(pages, seconds, times):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(seconds=seconds), "digest", "a.md", "deep", "more.txt", "--at-once", "1", "--task", "Summarise"],
        cwd=pages, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = ""
    while "slow" not in seen:
        seen += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    while "stopping" not in seen:  # the first was heard
        seen += process.stderr.readline()
    if times > 1:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    return process.returncode, out, seen + err


def test_a_record_that_cannot_be_written_is_one_line(pages):
    done = fanwise(
        "digest", pages, "--task", "Summarise", "--record", "no/such/folder.jsonl", cwd=pages
    )
    assert done.returncode == 2
    assert "the record cannot be written" in done.stderr
    assert "never awaited" not in done.stderr


def test_the_first_interrupt_prints_what_is_there(pages):
    (pages / "more.txt").write_text("Compost turns old leaves into food for plants.\n")
    code, out, err = interrupted(pages, seconds=1, times=1)
    assert code == 130, err
    assert "stopping: no new work is started" in err
    assert "**Incomplete:" in out
    assert re.search(r"`\S+:\d+-\d+`", out), "what was answered before is there"
    assert "told to stop" in out
    assert "Traceback" not in err


def test_the_second_interrupt_stops_at_once(pages):
    (pages / "more.txt").write_text("Compost turns old leaves into food for plants.\n")
    started = time.monotonic()
    code, _, err = interrupted(pages, seconds=600, times=2)
    assert code == 130
    assert time.monotonic() - started < 15
    assert err.rstrip().endswith("fanwise: stopped")
    assert "Traceback" not in err


@pytest.mark.timeout(60)  # 7 s of processor time, on a machine that may be shared
@pytest.mark.skipif(not PEPS.exists(), reason=f"the PEPs are not there: {PEPS}")
def test_five_hundred_documents_and_five_that_cannot_be_read(tmp_path):
    folder = tmp_path / "peps"
    with tarfile.open(PEPS) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.size)
        archive.extractall(folder, [m for m in members if m.isfile()][:500], filter="data")
    (folder / "zero.rst").write_bytes(b"")
    (folder / "random.rst").write_bytes(random.Random(7).randbytes(10_000))
    (folder / "invalid.rst").write_bytes(b"Title\n=====\n\nGood until here: \xff\xfe.\n")
    (folder / "dangling.rst").symlink_to("nowhere.rst")
    (folder / "secret.rst").write_text("Secret.")
    (folder / "secret.rst").chmod(0)
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("pytest-", tmp_path.name)):  # pytest makes them for one user only
            path.chmod(0o755)
    command = ("digest", folder, "--task", "Summarise", "--json")
    done = fanwise(*command, cwd="/", start=unprivileged(), timeout=55)
    assert done.returncode == 3, done.stderr
    data = json.loads(done.stdout)
    assert data["documents"] == 500
    reasons = {Path(gap["name"]).name: gap["reason"].split(" (")[0] for gap in data["missing"]}
    assert reasons == {
        "zero.rst": "empty",
        "random.rst": "binary",
        "invalid.rst": "not UTF-8",
        "dangling.rst": "dangling link",
        "secret.rst": "unreadable",
    }
    assert all(name in done.stderr for name in reasons)
    assert len(data["statements"]) == 12
    for statement in data["statements"]:
        text = Files().read(statement["source"]).text
        assert text[statement["start"] : statement["end"]] == statement["text"]


def unprivileged():
    """Give a command that reads as a user without privileges: root reads files of mode 0.

    What it imports later is imported before, since that user may not be able to read it.
    """
    if os.geteuid() != 0:
        return START
    code = (
        "import concurrent.futures.thread, os\nimport fanwise.cli._digest, fanwise.providers\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "fanwise.cli.main()"
    )
    return [sys.executable, "-c", code]
