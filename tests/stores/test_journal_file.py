"""The file of a journal: what it holds comes back as it was, or an error says what to do."""

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanwise import Runtime, fan_map, step
from fanwise.core._entries import AGAIN, Entry, Head, Kind
from fanwise.errors import JournalDamaged, JournalError, JournalFailed, RunBusy
from fanwise.stores import JournalFile, MemoryJournal, SqliteJournal, _journal_file
from fanwise.stores._journal_file import LARGE, MIGRATIONS

FIXTURE = Path(__file__).parent / "fixtures" / "journal-1.db"


def entry(n, data=b"p1", kind=Kind.RESULT, made=1, ended=2):
    return Entry(kind, n.to_bytes(16), b"", None, "work", 1, 0, made, ended, data)


def head(run="r", seed=1):
    return Head(run, "main", 1, b"request", seed)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "folder" / "runs.db")


def written(path, entries, run="r"):
    with closing(JournalFile(path)) as file:
        number = file.begin(head(run)).number
        file.write([(number, each) for each in entries], [], synced=True)


def read(path, run="r"):
    with closing(JournalFile(path)) as file:
        return {each.key: each for each in file.begin(head(run)).entries}


# What comes back


ENTRIES = st.builds(
    Entry,
    st.sampled_from([int(kind) for kind in Kind if kind > 2]),
    st.binary(min_size=16, max_size=16),
    st.just(b"") | st.binary(min_size=16, max_size=16),
    st.none() | st.binary(min_size=16, max_size=16),
    st.text(min_size=1, max_size=8),
    st.integers(0, 3) | st.text(max_size=3),
    st.integers(-1, 5),
    st.integers(0, 2**40),
    st.integers(0, 2**40) | st.just(AGAIN),
    st.binary(max_size=40) | st.just(b"p" * (LARGE + 1)) | st.just(b"p" * 5000),
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.lists(ENTRIES, max_size=150), max_size=4))
def test_entries_come_back_as_they_were(tmp_path_factory, groups):
    path = str(tmp_path_factory.mktemp("journal") / "runs.db")
    expected = {}
    for group in groups:
        written(path, group)
        expected.update({each.key: each for each in group})
    with closing(JournalFile(path)) as file:
        opened = file.begin(head())
        found = {
            each.key: each if each.data is not None
            else each._replace(data=file.fetch(opened.number, each))
            for each in opened.entries
        }  # fmt: skip
    assert found == expected


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from("ab")),
        st.tuples(st.just("tell"), st.sampled_from("ab"), ENTRIES),
        st.tuples(st.just("keep"), st.sampled_from("ab"), ENTRIES),
        st.tuples(st.just("end"), st.sampled_from("ab"), st.sampled_from(["ok", "failed", ""])),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


@pytest.mark.blocking_ok  # on the virtual clock nothing happens beside the loop
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(OPERATIONS)
def test_memory_and_sqlite_agree(tmp_path_factory, operations):  # noqa: C901 - one state machine
    from fanwise.testing import run_virtual

    path = str(tmp_path_factory.mktemp("journal") / "runs.db")
    memory = MemoryJournal()

    async def both():  # noqa: C901 - as above
        file = SqliteJournal(path)
        numbers = {}
        for what, *told in operations:
            if what == "reopen":
                await file.aclose()
                await memory.aclose()
                numbers.clear()
                continue
            if what == "begin":
                answers = []
                for journal in (memory, file):
                    try:
                        answers.append(await journal.begin(head(told[0])))
                    except RunBusy:
                        answers.append(None)
                assert (answers[0] is None) == (answers[1] is None) == (told[0] in numbers)
                if answers[0] is not None:
                    numbers[told[0]] = [each.number for each in answers]
                    left, right = (
                        {e.key: e._replace(data=None) for e in each.entries} for each in answers
                    )
                    assert left == right
                continue
            if told[0] not in numbers:
                continue
            for journal, number in zip((memory, file), numbers[told[0]], strict=True):
                if what == "tell":
                    journal.tell(number, told[1])
                elif what == "keep":
                    assert journal.keep(number, told[1], synced=True) is None
                else:
                    journal.end(number, told[1], None)
            if what == "end":
                del numbers[told[0]]
        await file.aclose()
        await memory.aclose()

    run_virtual(both())
    with closing(JournalFile(path)) as file:
        assert [(r.id, r.status) for r in file.runs()] == [(r.id, r.status) for r in memory.runs()]
        for run in file.runs():
            assert file.calls(run.id) == [
                call if (call.size or 0) <= 4096 else call._replace(size=None)
                for call in memory.calls(run.id)
            ]


def test_files_are_private(path):
    written(path, [entry(1), entry(2, b"p" * (LARGE + 1))])
    file = JournalFile(path)
    folder = Path(path).parent
    for each in folder.rglob("*"):
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), (each, oct(mode))
    assert {each.name for each in folder.iterdir()} >= {
        "runs.db",
        "runs.db-values",
        "runs.db-claims",
    }
    file.close()


# Formats


@pytest.fixture
def old(tmp_path):
    return shutil.copy(FIXTURE, tmp_path / "old.db")


def test_a_file_of_format_1_holds_what_it_held(old):
    """It was written by the first version of this code; nothing may make it unreadable."""
    with closing(JournalFile(str(old))) as file:
        assert [(run.id, run.step, run.status) for run in file.runs()] == [
            ("monday", "report", "ok"), ("tuesday", "report", "stopped"),
        ]  # fmt: skip
        states = Counter((call.step, call.state) for call in file.calls("tuesday"))
    assert states == {
        ("report", "begun"): 1, ("fetch", "ok"): 3, ("fetch", "failed"): 1,
        ("send", "ambiguous"): 1, ("send", "written"): 1,
    }  # fmt: skip


def test_older_files_are_brought_forward_at_once_or_not_at_all(old, monkeypatch):
    more = (*MIGRATIONS, "ALTER TABLE runs ADD COLUMN note TEXT; UPDATE runs SET note = 'new';")
    monkeypatch.setattr(_journal_file, "MIGRATIONS", (*more, "SELECT broken FROM nowhere"))
    with pytest.raises(JournalError):
        JournalFile(str(old))
    with closing(sqlite3.connect(old)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (1,)
        assert "note" not in [row[1] for row in plain.execute("PRAGMA table_info(runs)")]
    monkeypatch.setattr(_journal_file, "MIGRATIONS", more)
    with closing(JournalFile(str(old))) as file:
        assert len(file.runs()) == 2
        assert file._one("SELECT note FROM runs") == ("new",)
        assert file._one("PRAGMA user_version") == (2,)
    monkeypatch.undo()
    with pytest.raises(
        JournalDamaged, match="format 2, and this Fanwise knows formats to 1: a newer"
    ):
        JournalFile(str(old))


def test_another_database_is_refused(path):
    os.makedirs(os.path.dirname(path))
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mine (id)")
    with pytest.raises(JournalDamaged, match="is a database, but no journal of Fanwise"):
        JournalFile(path)


def test_another_file_is_refused(path):
    os.makedirs(os.path.dirname(path))
    Path(path).write_text("no database at all" * 100)
    with pytest.raises(JournalDamaged, match="is damaged, or is none"):
        JournalFile(path)


# Damage


def test_a_damaged_file_gives_an_error_or_what_was_written(path):
    entries = [entry(n, b"p" + str(n).encode() * 20, made=n, ended=n) for n in range(1, 30)]
    written(path, entries)
    whole = Path(path).read_bytes()
    expected = {each.key: each for each in entries}
    draw = random.Random(1)
    refused = 0
    for offset in draw.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << draw.randrange(8)
        Path(path).write_bytes(damaged)
        try:
            found = read(path)
        except JournalError:
            refused += 1
        else:
            assert {key: expected[key] for key in found} == found, offset
    assert refused > 10


def test_an_entry_without_its_checksum_would_be_believed(path, monkeypatch):
    """The mutant of the test above."""
    written(path, [entry(1, b"p11111111")])
    data = Path(path).read_bytes()
    assert data.count(b"p11111111") == 1
    Path(path).write_bytes(data.replace(b"p11111111", b"p91111111"))
    with pytest.raises(JournalDamaged, match=r"its entry 0+1 is not what was written"):
        read(path)
    monkeypatch.setattr(_journal_file, "checksum", lambda _: sqlite3.connect(path).execute(
        "SELECT sum FROM entries").fetchone()[0])  # fmt: skip
    assert read(path)[entry(1).key].data == b"p91111111"


def with_log(path, groups):
    """A journal whose groups stand in its log, as a killed process leaves them."""
    file = JournalFile(path)
    number = file.begin(head()).number
    for group in groups:
        file.write([(number, each) for each in group], [], synced=True)
    kept = {name: Path(name).read_bytes() for name in (path, f"{path}-wal")}
    file.close()
    return kept


@pytest.mark.timeout(60)
def test_a_log_that_was_cut_or_flipped_gives_whole_groups_only(path, tmp_path):
    groups = [[entry(10 * g + n) for n in range(3)] for g in range(1, 6)]
    kept = with_log(path, groups)
    log = kept[f"{path}-wal"]
    prefixes = [{e.key: e for group in groups[:n] for e in group} for n in range(len(groups) + 1)]
    draw = random.Random(2)
    cuts = [(log[:at], f"cut at {at}") for at in draw.sample(range(len(log)), 150)]
    flips = []
    for at in draw.sample(range(len(log)), 150):
        flipped = bytearray(log)
        flipped[at] ^= 1 << draw.randrange(8)
        flips.append((bytes(flipped), f"flipped at {at}"))
    seen = Counter()
    for number, (damaged, what) in enumerate(cuts + flips):
        place = str(tmp_path / f"{number}.db")
        Path(place).write_bytes(kept[path])
        Path(f"{place}-wal").write_bytes(damaged)
        try:
            found = read(place)
        except JournalError:
            seen["refused"] += 1
            continue
        assert found in prefixes, what
        seen[prefixes.index(found)] += 1
    assert len(seen) > 3


# Errors


async def kept(journal, count=1, run="r"):
    """Keep results through a runtime."""

    @step
    async def work(n):
        return n

    async with Runtime(journal=journal) as runtime:
        return (await runtime.run(fan_map(work, range(count), at_once=count), run_id=run)).values()


@pytest.mark.real_clock
@pytest.mark.blocking_ok  # the test itself makes the file
async def test_a_full_disk_stops_the_run_and_says_so(path, monkeypatch):
    written(path, [], run="other")
    prepare = JournalFile._prepare

    def small(self, *, fresh):
        prepare(self, fresh=fresh)
        (pages,) = self._one("PRAGMA page_count")
        self._execute(f"PRAGMA max_page_count = {pages + 2}")

    monkeypatch.setattr(JournalFile, "_prepare", small)
    with pytest.raises(JournalFailed, match=r"the disk is full: make room .*run it again"):
        await kept(SqliteJournal(path), 2000)
    monkeypatch.undo()
    assert await kept(SqliteJournal(path), 2000) == list(range(2000))


@pytest.mark.real_clock
async def test_a_file_that_another_keeps_locked_is_told(path, monkeypatch):
    monkeypatch.setattr(_journal_file, "PATIENCE", 0.05)
    await kept(SqliteJournal(path))
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed, match="another program kept it locked"):
            await kept(SqliteJournal(path), run="r2")


def test_a_disk_that_fails_is_told(path):
    """The system refuses writes beyond a size: SQLite sees an I/O error."""
    code = f"""
import asyncio, resource, signal
from fanwise import Runtime, fan_map, step
from fanwise.errors import JournalFailed

@step
async def work(n):
    return "x" * 3000

async def main():
    async with Runtime(journal="sqlite:///{path}") as runtime:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        await runtime.run(fan_map(work, range(500), at_once=50), run_id="r")

try:
    asyncio.run(main())
except JournalFailed as error:
    print("told:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert "told: the journal" in done.stdout, done
    assert all(each.data == b'p"' + b"x" * 3000 + b'"' for each in read(path).values())


def test_a_journal_that_is_not_there_is_not_made_by_looking(path):
    with pytest.raises(JournalFailed, match="is not there"):
        JournalFile(path, create=False)
    assert not os.path.exists(path)


@pytest.mark.parametrize("address", ["sqlite://runs.db", "sqlite:///", "sqlite:///a?sync=some"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match=r'is no address of a journal: give "sqlite:///runs.db"'):
        Runtime(journal=address)


def test_an_unknown_journal_is_refused():
    with pytest.raises(ValueError, match=r"journal='oracle:x' is not known; known are: .*sqlite"):
        Runtime(journal="oracle:x")
    with pytest.raises(ValueError, match=r'sync is "normal" or "full", got 3'):
        SqliteJournal("x", sync=3)


@pytest.mark.real_clock
async def test_what_is_no_journal_is_refused_at_the_start(tmp_path):
    (tmp_path / "runs.db").write_text("text" * 1000)
    with pytest.raises(JournalDamaged):
        async with Runtime(journal=f"sqlite:///{tmp_path}/runs.db"):
            pass


# Groups and syncs


@pytest.mark.real_clock
async def test_what_is_ready_together_goes_into_one_transaction(path, monkeypatch):
    groups = []
    write = JournalFile.write

    def counted(self, told, endings, *, synced):
        groups.append(len(told))
        write(self, told, endings, synced=synced)

    monkeypatch.setattr(JournalFile, "write", counted)
    assert await kept(SqliteJournal(path), 500) == list(range(500))
    assert sum(groups) == 500
    assert len(groups) < 100


@pytest.mark.real_clock
@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_intents_and_results_of_writes_are_synced_and_reads_by_choice(
    path, monkeypatch, sync
):
    seen = await levels(path, monkeypatch, sync)
    assert {("INTENT", True), ("WRITTEN", True)} <= seen
    assert not {("INTENT", False), ("WRITTEN", False)} & seen
    assert {synced for kind, synced in seen if kind == "RESULT"} == {sync == "full"}


@pytest.mark.real_clock
async def test_a_sync_that_is_skipped_is_seen(path, monkeypatch):
    """The mutant of the test above."""
    sync = JournalFile._sync
    monkeypatch.setattr(JournalFile, "_sync", lambda self, *, full: sync(self, full=False))
    assert ("WRITTEN", False) in await levels(path, monkeypatch, "full")


async def levels(path, monkeypatch, sync):
    """The kinds that were written, each with whether its transaction was synced."""
    seen = []
    write = JournalFile.write

    def watched(self, told, endings, *, synced):
        write(self, told, endings, synced=synced)
        (level,) = self._one("PRAGMA synchronous")
        seen.extend((Kind(each.kind).name, level == 2) for _, each in told)

    @step
    async def fetch():
        return 1

    @step(effect="write")
    async def send():
        return 1

    @step
    async def main():
        await fetch()
        await send()
        await fetch()

    monkeypatch.setattr(JournalFile, "write", watched)
    async with Runtime(journal=SqliteJournal(path, sync=sync)) as runtime:
        await runtime.run(main(), run_id="r")
    return set(seen)


@pytest.mark.real_clock
@pytest.mark.blocking_ok  # the steps look into the file
async def test_nothing_is_seen_before_it_is_kept(path):
    """Another connection sees every result when the step after it begins."""
    await kept(SqliteJournal(path))
    seen = []

    @step
    async def fetch(n):
        with closing(sqlite3.connect(path)) as other:
            seen.append(
                other.execute("SELECT count(*) FROM entries WHERE run = 2 AND kind = 7").fetchone()
            )
        return n

    @step
    async def main():
        for n in range(4):
            await fetch(n)

    async with Runtime(journal=SqliteJournal(path)) as runtime:
        await runtime.run(main(), run_id="r2")
    assert seen == [(0,), (1,), (2,), (3,)]


# Claims


@pytest.mark.timeout(60)
def test_a_run_of_another_process_is_busy_until_that_ends(path):
    code = f"""
from fanwise.core._entries import Head
from fanwise.stores import JournalFile
file = JournalFile({path!r})
file.begin(Head("r", "main", 1, b"request", 1))
print("claimed", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "claimed\n"
        with closing(JournalFile(path)) as file:
            with pytest.raises(RunBusy, match=rf"run 'r' is run by process {other.pid} now"):
                file.begin(head())
            assert [run.status for run in file.runs()] == ["running"]
            with pytest.raises(JournalError):
                file.resolve("r", "00", done=True)
            file.begin(head("r2"))
        other.kill()
        other.wait()
        with closing(JournalFile(path)) as file:
            assert {run.id: run.status for run in file.runs()} == {"r": "stopped", "r2": "stopped"}
            file.begin(head())


def test_a_lock_that_is_not_taken_lets_two_in(path, monkeypatch):
    """The mutant of the test above."""
    from fanwise.stores._claims import Claims

    with closing(JournalFile(path)) as one, closing(JournalFile(path)) as other:
        one.begin(head())
        with pytest.raises(RunBusy):
            other.begin(head())
        monkeypatch.setattr(Claims, "_lock", lambda *_: True)
        other.begin(head())


def test_growth_of_a_call_beyond_its_result(path):
    count = 20_000
    draw = random.Random(3)
    before = None
    with closing(JournalFile(path)) as file:
        number = file.begin(head()).number
        for start in range(0, count, 500):
            group = [
                Entry(
                    Kind.RESULT,
                    draw.randbytes(16),
                    draw.randbytes(16),
                    None,
                    "work",
                    1,
                    n,
                    n,
                    n,
                    b"p123",
                )
                for n in range(start, start + 500)
            ]
            file.write([(number, each) for each in group], [], synced=False)
        file._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = os.path.getsize(path)
    assert before / count - 4 <= 300
