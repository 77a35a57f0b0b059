"""What goes into `fanwise digest` and comes out of it: standard input, files, full disks, extras."""

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys

import pytest

from fanwise.documents import Files
from tests.documents.pdfs import STORY, locked, pdf

START = [sys.executable, "-c", "from fanwise.cli import main; main()"]
TEXT = (
    "# Tomatoes\n\nTomatoes need much sun and a\nwarm soil to grow. Water them early in the day.\n"
)
BOOK = pdf([["# The harbour", *STORY]])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.md").write_text(TEXT)
    return tmp_path


def fanwise(*arguments, cwd, start=START, timeout=18, **more):
    more = {"stdin": subprocess.DEVNULL} | more if "input" not in more else more
    done = subprocess.run(
        [*start, "digest", "--task", "Summarise", *map(str, arguments)],
        cwd=cwd, stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
        timeout=timeout, check=False, **more,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    return done


# ------------------------------------------------------------------------------ standard input


@pytest.mark.parametrize(
    ("data", "options", "place"),
    [
        (TEXT.encode(), (), r"\(standard input\):12-59"),
        (TEXT.encode(), ("--format", "markdown"), r"\(standard input\):12-59"),
        (b"<!doctype html><p>Tomatoes need much sun to grow well.", (), r"\(standard input\):0-36 \(line 1\)"),
        (b"Tomatoes\n========\n\nTomatoes need much sun to grow well.\n", ("--format", "rst"), r"\(standard input\):19-55"),
        (BOOK, (), r"\(standard input\):15-69 \(page 1\)"),
    ],
)  # fmt: skip
def test_standard_input_is_a_document(folder, data, options, place):
    done = fanwise("-", *options, "--sentences", "20", cwd=folder, input=data)
    assert done.returncode == 0, done.stderr
    assert re.search(place, done.stdout.decode())


def test_standard_input_stands_beside_files(folder):
    done = fanwise(
        "-", "a.md", "-", "--json", cwd=folder, input=b"Cabbage grows well in cold soil."
    )
    data = json.loads(done.stdout)
    assert (data["documents"], data["complete"]) == (2, True)
    assert {each["source"] for each in data["statements"]} == {"(standard input)", "a.md"}


def test_a_file_named_as_the_sign_is_a_file(folder):
    (folder / "-").write_text("Onions are planted in the spring.")
    done = fanwise("./-", cwd=folder)
    assert b"`-:0-33`" in done.stdout


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b"", (), "(standard input): empty (0 bytes)"),
        (b" \n", (), "(standard input): empty (only blanks)"),
        (bytes(range(256)), (), "(standard input): binary (256 bytes that are not text)"),
        (b"na\xefve", (), "(standard input): not UTF-8 (byte 0xef at offset 2)"),
        (b"plain", ("--format", "pdf"), "(standard input): not a PDF (begins with b'plain')"),
    ],
)
def test_standard_input_that_cannot_be_read_is_named(folder, data, options, said):
    done = fanwise("-", *options, cwd=folder, input=data)
    assert done.returncode == 1
    assert said in done.stderr.decode()


def test_a_standard_input_that_is_closed_is_wrong_use(folder):
    script = '"$0" "$@" <&-'
    start = ["/bin/sh", "-c", script, *START]
    done = fanwise("-", cwd=folder, start=start)
    assert done.returncode == 2
    assert b"standard input cannot be read" in done.stderr
    assert done.stdout == b""


# -------------------------------------------------------------------------------- output to a file


def test_the_file_holds_what_would_be_printed(folder):
    printed = fanwise("a.md", cwd=folder)
    written = fanwise("a.md", "-o", "out.txt", cwd=folder)
    assert (written.returncode, written.stdout) == (0, b"")
    assert (folder / "out.txt").read_bytes() == printed.stdout
    written = fanwise("a.md", "--json", "--output", "out.txt", cwd=folder)
    assert json.loads((folder / "out.txt").read_text())["complete"]
    assert sorted(os.listdir(folder)) == ["a.md", "out.txt"]
    assert fanwise("a.md", "-o", "-", cwd=folder).stdout == printed.stdout


def test_a_new_file_follows_the_umask_and_an_old_one_keeps_its_mode(folder):
    fanwise("a.md", "-o", "new.txt", cwd=folder, umask=0o027)
    assert stat.S_IMODE((folder / "new.txt").stat().st_mode) == 0o640
    (folder / "new.txt").chmod(0o604)
    fanwise("a.md", "-o", "new.txt", cwd=folder)
    assert stat.S_IMODE((folder / "new.txt").stat().st_mode) == 0o604


def test_a_link_stays_a_link(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "real.txt").write_text("old")
    (folder / "link.txt").symlink_to("deep/real.txt")
    fanwise("a.md", "-o", "link.txt", cwd=folder)
    assert (folder / "link.txt").is_symlink()
    assert (folder / "deep" / "real.txt").read_text().startswith("# Summarise")
    assert os.listdir(folder / "deep") == ["real.txt"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/out.txt", "there is no folder"),
        (".", "it is a folder"),
        ("/dev/null", "it is not a regular file; use > instead of -o"),
        ("a.md/out.txt", "there is no folder"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_before_any_work(folder, name, said):
    read, write = os.pipe()  # a standard input that never ends: reading it would never end
    done = fanwise("-", "-o", name, cwd=folder, stdin=read)
    os.close(read)
    os.close(write)
    assert done.returncode == 2
    assert f"--output {name} cannot be written: {said}" in done.stderr.decode()
    assert done.stdout == b""
    assert os.listdir(folder) == ["a.md"]


def test_a_folder_without_permission_is_said_before_any_work(folder):
    (folder / "shut").mkdir()
    (folder / "shut" / "out.txt").write_text("old")
    (folder / "shut").chmod(0o555)
    code = "import difflib, fanwise.cli._digest, fanwise.providers, os; os.geteuid() or (os.setgid(65534), os.setuid(65534)); fanwise.cli.main()"
    for path in (folder, *folder.parents):
        if path.name.startswith(("pytest-", folder.name)):  # pytest makes them for one user only
            path.chmod(0o755)
    start = [sys.executable, "-c", code]
    for name in ("shut/out.txt", "shut/new.txt"):
        done = fanwise(folder / "a.md", "-o", folder / name, cwd="/", start=start)
        assert done.returncode == 2, done.stderr
        assert b"cannot be written" in done.stderr
    assert os.listdir(folder / "shut") == ["out.txt"]
    (folder / "shut").chmod(0o755)


def small_files():
    """Let no file grow beyond 200 bytes: what is written beyond fails, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


def test_where_it_does_not_fit_the_old_file_stays_and_nothing_is_lost(folder):
    printed = fanwise("a.md", cwd=folder)
    (folder / "out.txt").write_text("old")
    done = fanwise("a.md", "-o", "out.txt", cwd=folder, preexec_fn=small_files)
    assert done.returncode == 1
    assert (
        "fanwise: out.txt cannot be written: File too large; it stays as it was"
        in done.stderr.decode()
    )
    assert (folder / "out.txt").read_text() == "old"
    assert sorted(os.listdir(folder)) == ["a.md", "out.txt"]
    assert done.stdout == printed.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_full_disk_behind_standard_output_is_one_line(folder, more):
    with open("/dev/full", "w") as full:
        done = fanwise("a.md", "--quiet", *more, cwd=folder, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"fanwise: standard output cannot be written: No space left on device\n"


def test_a_standard_output_that_is_closed_is_one_line(folder):
    done = fanwise("a.md", "--quiet", cwd=folder, start=["/bin/sh", "-c", '"$0" "$@" >&-', *START])
    assert done.returncode == 1
    assert done.stderr == b"fanwise: standard output cannot be written: it is closed\n"


def test_a_pipe_that_closes_and_a_file(folder):
    script = '"$0" "$@" | head -1; echo ${PIPESTATUS[0]} >&2'
    done = fanwise("a.md", "--quiet", cwd=folder, start=["/bin/bash", "-c", script, *START])
    assert (done.stdout, done.stderr) == (b"# Summarise\n", b"0\n")
    done = fanwise(
        "a.md", "--quiet", "-o", "x", cwd=folder, start=["/bin/bash", "-c", script, *START]
    )
    assert (done.stdout, done.stderr) == (b"", b"0\n")
    assert (folder / "x").read_text().startswith("# Summarise\n")


STUCK = """
import asyncio, sys
from fanwise.providers import Extractive
class Stuck(Extractive):
    async def answer(self, request):
        prompt = request.asked
        if "Onion" in prompt.passages[0].text and len(prompt.passages) == 1:
            print("stuck", file=sys.stderr, flush=True)
            await asyncio.sleep(1)
        return await super().answer(request)
import fanwise.providers
fanwise.providers.extractive = lambda address: Stuck()
from fanwise.cli import main
main()
"""


def test_the_first_interrupt_writes_what_is_there(folder):
    (folder / "b.txt").write_text("Onions are planted in the spring.")
    (folder / "c.txt").write_text("Carrots are sown in rows in the spring.")
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, "digest", "a.md", "b.txt", "c.txt", "--at-once", "1", "--task", "Summarise", "-o", "out.md"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = ""
    while "stuck" not in seen:
        seen += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 130, err
    assert out == ""
    page = (folder / "out.md").read_text()
    assert "**Incomplete:" in page
    assert "told to stop" in page
    assert "b.txt:0-33" in page


# ------------------------------------------------------------------------- need, extras, formats


@pytest.mark.parametrize(
    ("need", "code"), [("0", 3), ("1", 3), ("2", 3), ("3", 1), ("50%", 3), ("all", 1), ("9", 1)]
)
def test_less_than_is_needed_is_a_failure_that_still_prints(folder, need, code):
    (folder / "b.md").write_text("Onions are planted in the spring.")
    (folder / "empty.md").write_text("")
    done = fanwise(".", "--need", need, cwd=folder)
    assert done.returncode == code, done.stderr
    assert b"Onions are planted" in done.stdout
    said = f"too little: 2 of 3 documents went into it; --need {need} asks for"
    assert (said in done.stderr.decode()) is (code == 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--need", "many"), '--need is a count, "all" or a share such as "80%", got \'many\''),
        (("--need", "-1"), "--need is at least 0, got -1"),
        (("--need", "101%"), '--need is a share from "0%" to "100%", got \'101%\''),
        (("--arity", "1"), "--arity 1 is too small; it must be at least 2"),
        (("--within", "-1"), "--within -1.0 is no length of time; give seconds, at least 0"),
        (("--within", "soon"), "Invalid value for '--within': 'soon' is not a valid float"),
        (("--format", "doc"), "Invalid value for '--format': 'doc' is not one of"),
    ],
)
def test_wrong_use_is_named(folder, options, message):
    done = fanwise("a.md", *options, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert done.stdout == b""


def test_no_time_is_said(folder):
    done = fanwise("a.md", "--within", "0", cwd=folder)
    assert done.returncode == 1
    assert b"a.md: not read, the time was up" in done.stderr


@pytest.fixture
def without_pdf(tmp_path_factory):
    """An environment in which the packages of the extra `pdf` cannot be imported."""
    folder = tmp_path_factory.mktemp("absent")
    for name in ("pypdfium2", "pypdf"):
        (folder / f"{name}.py").write_text(
            f'raise ModuleNotFoundError("No module named {name}", name="{name}")'
        )
    path = os.pathsep.join((str(folder), *filter(None, [os.environ.get("PYTHONPATH")])))
    return os.environ | {"PYTHONPATH": path}


def test_without_the_extra_a_pdf_is_named_with_the_command_that_installs_it(folder, without_pdf):
    (folder / "book.pdf").write_bytes(BOOK)
    said = "book.pdf: missing extra (PDF needs: pip install 'fanwise[pdf]')"
    done = fanwise(".", cwd=folder, env=without_pdf)
    assert done.returncode == 3, done.stderr
    assert said in done.stderr.decode()
    assert b"Tomatoes need" in done.stdout
    done = fanwise("book.pdf", cwd=folder, env=without_pdf)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.decode()


def test_a_mixed_folder_in_json(folder):
    (folder / "book.pdf").write_bytes(BOOK)
    (folder / "locked.pdf").write_bytes(locked(BOOK))
    (folder / "page.html").write_text(
        "<title>Soil</title><p>A light soil of sand lets the rain\nrun through it."
    )
    done = fanwise(".", "--json", cwd=folder)
    assert done.returncode == 3, done.stderr
    data = json.loads(done.stdout)
    assert data["missing"] == [
        {"name": "locked.pdf", "reason": "password-protected (it opens with a password only)"}
    ]
    for statement in data["statements"]:
        text = Files().read(str(folder / statement["source"])).text
        assert text[statement["start"] : statement["end"]] == statement["text"]
    assert {(each["source"], each.get("page"), each.get("line")) for each in data["statements"]} == {
        ("a.md", None, None), ("book.pdf", 1, None), ("page.html", None, 1)}  # fmt: skip
