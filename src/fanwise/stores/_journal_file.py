"""A journal's file: SQLite with a write-ahead log. Everything here blocks.

Problem: results must outlive the process, intents of writes a loss of power too, and what comes
back must be what was written, or an error.
Method: one table of entries by run and key, written in groups, one transaction each, with one
statement for up to 128 rows: every statement gives the interpreter away and waits to get it back.
A commit of the log is synced where a group has a write's intent or result; the log's own checksums
make what a crash leaves of it a whole prefix, and every entry has a checksum of its own against a
damaged file. The file has an application id and a format number: others are refused, older ones
brought forward in one transaction. Values above 64 KiB go to files of their own, synced before
their entry. Rejected: a log of JSON lines (every resume would read all runs), and a table for each
kind.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from fanwise.core import JournalDamaged, JournalError, JournalFailed, RunBusy
from fanwise.core._entries import Entry, Head, Opened
from fanwise.stores._claims import Claims
from fanwise.stores._runs import KeptCall, KeptRun, calls_of, now, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APPLICATION: Final = 0x46416E57  # "FAnW"
MIGRATIONS: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, step TEXT NOT NULL,
        version TEXT NOT NULL, request BLOB NOT NULL, seed INTEGER NOT NULL, status TEXT NOT NULL,
        begun REAL NOT NULL, ended REAL, error TEXT, owner INTEGER
    ) STRICT;
    CREATE TABLE steps (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, UNIQUE (name, version)
    ) STRICT;
    CREATE TABLE entries (
        run INTEGER NOT NULL, key BLOB NOT NULL, kind INTEGER NOT NULL, parent BLOB NOT NULL,
        home BLOB, step INTEGER NOT NULL, position INTEGER NOT NULL, made INTEGER NOT NULL,
        ended INTEGER NOT NULL, data BLOB NOT NULL, side INTEGER NOT NULL, sum INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""From each format to the next: format 1 is the first. Never changed, only added to."""

COLUMNS: Final = "run, key, kind, parent, home, step, position, made, ended, data, side, sum"
ROW: Final = f"({', '.join('?' * 12)})"
MOST_ROWS: Final = 128
LOADED: Final = 4096
LARGE: Final = 1 << 16
PATIENCE: Final = 30.0  # seconds for another process that writes

Told = tuple[int, Entry]
Ending = tuple[int, str, str | None]


class JournalFile:
    """One connection to a journal's file; raises `JournalError` and nothing else."""

    def __init__(self, path: str, *, create: bool = True) -> None:
        """Open the file, made where it is missing (mode 0600) and `create` says so."""
        self.path = path
        self._steps: dict[tuple[str, int | str], int] = {}
        self._before: dict[int, tuple[str, str | None, float | None]] = {}
        self._synced: bool | None = None
        with explained(path):
            fresh = create and _created(path)
            if not Path(path).is_file():
                raise JournalFailed(f"the journal {path} is not there")
            self._claims = Claims(f"{path}-claims")
            try:
                self._connection = sqlite3.connect(
                    path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
                )
                self._prepare(fresh=fresh)
            except BaseException:
                self._claims.close()
                raise

    def _prepare(self, *, fresh: bool) -> None:
        try:
            self._check(fresh=fresh)
            self._execute("PRAGMA journal_mode=WAL")
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _check(self, *, fresh: bool) -> None:
        (application,) = self._one("PRAGMA application_id")
        (version,) = self._one("PRAGMA user_version")
        (tables,) = self._one("SELECT count(*) FROM sqlite_schema")
        empty = not version and not tables
        if application != APPLICATION and not (empty or fresh):
            raise JournalDamaged(f"{self.path} is a database, but no journal of Fanwise")
        if version > len(MIGRATIONS):
            raise JournalDamaged(
                f"the journal {self.path} has format {version}, and this Fanwise knows formats to "
                f"{len(MIGRATIONS)}: a newer one wrote it, and is needed to read it"
            )

    def _migrate(self) -> None:
        """Bring the file to the newest format, all at once or not at all."""
        if self._one("PRAGMA user_version")[0] == len(MIGRATIONS):
            return
        self._execute("BEGIN IMMEDIATE")
        with self._transaction():
            (version,) = self._one("PRAGMA user_version")  # another process may have done it
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    self._execute(statement)
            self._execute(f"PRAGMA application_id={APPLICATION}")
            self._execute(f"PRAGMA user_version={len(MIGRATIONS)}")

    # Runs

    def begin(self, head: Head) -> Opened:
        """Claim a run, added where it is new, and give what is known of it."""
        with explained(self.path):
            self._sync(full=False)
            self._execute("BEGIN IMMEDIATE")
            with self._transaction():
                number, found = self._claim(head)
            return Opened(number, found, list(self._entries(number)))

    def _claim(self, head: Head) -> tuple[int, Head]:
        """Claim a run within a transaction; where that fails, closing the file gives it free."""
        self._execute(
            "INSERT OR IGNORE INTO runs(name, step, version, request, seed, status, begun)"
            " VALUES (?, ?, ?, ?, ?, 'running', ?)",
            (*head[:2], json.dumps(head.version), head.request, head.seed, now()),
        )
        number, found, owner = self._head(head.run)
        if not self._claims.take(number):
            who = f"process {owner}" if owner else "another process"
            raise RunBusy(
                f"run {head.run!r} is run by {who} now: two would act twice, so wait for its end, "
                "or end it"
            )
        self._before[number] = self._one(
            "SELECT status, error, ended FROM runs WHERE id = ?", (number,)
        )
        self._execute(
            "UPDATE runs SET status = 'running', ended = NULL, error = NULL, owner = ?"
            " WHERE id = ?",
            (os.getpid(), number),
        )
        return number, found

    def _head(self, run: str) -> tuple[int, Head, int | None]:
        row = self._one(
            "SELECT id, name, step, version, request, seed, owner FROM runs WHERE name = ?", (run,)
        )
        if row is None:
            raise JournalError(f"the journal {self.path} has no run {run!r}")
        number, name, step, version, request, seed, owner = row
        return number, Head(name, step, json.loads(version), request, seed), owner

    def _entries(self, number: int) -> Iterator[Entry]:
        rows = self._execute(
            "SELECT key, kind, parent, home, s.name, s.version, position, made, ended,"
            " CASE WHEN side = 0 AND length(data) <= ? THEN data END, sum"
            " FROM entries LEFT JOIN steps s ON s.id = step WHERE run = ?",
            (LOADED, number),
        )
        versions: dict[str, int | str] = {}
        for key, kind, parent, home, step, version, position, made, ended, data, check in rows:
            if version not in versions:
                if version is None:
                    raise self._damaged(key)
                versions[version] = json.loads(version)
            entry = Entry(
                kind, key, parent, home, step, versions[version], position, made, ended, data
            )
            if data is not None and check != checksum(entry):
                raise self._damaged(key)
            yield entry

    def fetch(self, number: int, entry: Entry) -> bytes:
        """Give the data of an entry that came without."""
        with explained(self.path):
            row = self._one(
                "SELECT data, side, sum FROM entries WHERE run = ? AND key = ?", (number, entry.key)
            )
            if row is None:
                raise self._damaged(entry.key)
            data, side, check = row
            if side:
                data = self._side(entry.key).read_bytes()
            if check != checksum(entry._replace(data=data)):
                raise self._damaged(entry.key)
            return bytes(data)

    def _damaged(self, key: bytes) -> JournalDamaged:
        return JournalDamaged(
            f"the journal {self.path} is damaged: its entry {key.hex()} is not what was written. "
            "Take a copy of the file from before, or run the job under another run id"
        )

    # Writing

    def write(self, told: Sequence[Told], endings: Sequence[Ending], *, synced: bool) -> None:
        """Write a group in one transaction: all of it, or nothing."""
        with explained(self.path):
            self._sync(full=synced)
            if len(told) == 1 and not endings:  # a statement alone is a transaction, and cheaper
                self._insert([self._row(*told[0])])
                return
            self._execute("BEGIN IMMEDIATE")
            with self._transaction():
                self._insert([self._row(run, entry) for run, entry in told])
                for run, status, error in endings:
                    ended = (status, error, now()) if status else self._before[run]
                    self._execute(
                        "UPDATE runs SET status = ?, error = ?, ended = ?, owner = NULL"
                        " WHERE id = ?",
                        (*ended, run),
                    )
        for run, _, _ in endings:
            self._claims.give(run)

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        start = 0
        while start < len(rows):
            count = min(MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
            values = [field for row in rows[start : start + count] for field in row]
            places = ", ".join([ROW] * count)
            self._execute(f"INSERT OR REPLACE INTO entries({COLUMNS}) VALUES {places}", values)  # noqa: S608 - places only
            start += count

    def _row(self, run: int, entry: Entry) -> tuple[object, ...]:
        kind, key, parent, home, step, version, position, made, ended, data = entry
        number = self._steps.get((step, version)) or self._step(step, version)
        check = checksum(entry)
        assert data is not None  # noqa: S101 - only what is loaded may lack it
        side = len(data) > LARGE
        if side:
            self._write_side(key, data)
            data = b""
        return run, key, int(kind), parent, home, number, position, made, ended, data, side, check

    def _step(self, name: str, version: int | str) -> int:
        """Give the number of a step, added where it is new."""
        told = (name, json.dumps(version))
        self._execute("INSERT OR IGNORE INTO steps(name, version) VALUES (?, ?)", told)
        (number,) = self._one("SELECT id FROM steps WHERE name = ? AND version = ?", told)
        self._steps[name, version] = number
        return int(number)

    def _side(self, key: bytes) -> Path:
        return Path(f"{self.path}-values", key.hex())

    def _write_side(self, key: bytes, data: bytes) -> None:
        """Write a large value to a file of its own, which is whole on the disk on return."""
        path = self._side(key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(path.parent)

    # For people

    def runs(self) -> list[KeptRun]:
        """Give every run, in the order in which they began."""
        with explained(self.path):
            rows = list(
                self._execute("SELECT id, name, step, status, begun, ended, error FROM runs")
            )
            return [
                KeptRun(name, step, self._status(number, status), begun, ended, error)
                for number, name, step, status, begun, ended, error in rows
            ]

    def _status(self, number: int, status: str) -> str:
        return "stopped" if status == "running" and not self._claims.is_taken(number) else status

    def entries(self, run: str) -> list[Entry]:
        """Give what is kept of a run; raise `JournalError` for one that is not there."""
        with explained(self.path):
            return list(self._entries(self._head(run)[0]))

    def calls(self, run: str) -> list[KeptCall]:
        """Give the calls of a run, in the order in which they were made."""
        return calls_of(self.entries(run))

    def resolve(self, run: str, key: str, *, done: bool, result: Any = None) -> None:  # noqa: ANN401
        """Say whether a write happened; raise `JournalError` where that is no question."""
        with explained(self.path):
            number, _, _ = self._head(run)
            entry = next((each for each in self._entries(number) if each.key.hex() == key), None)
        if entry is None:
            raise JournalError(f"run {run!r} has no call with the key {key}")
        if not self._claims.take(number):
            raise RunBusy(f"run {run!r} runs now: resolve what it asks when it has stopped")
        try:
            self.write([(number, resolved(entry, done=done, result=result))], (), synced=True)
        finally:
            self._claims.give(number)

    # SQLite

    def _sync(self, *, full: bool) -> None:
        if self._synced is not full:
            self._execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._synced = full

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _one(self, statement: str, values: Sequence[object] = ()) -> Any:  # noqa: ANN401 - a row
        return self._execute(statement, values).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is begun, or take all of it back."""
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            self._steps.clear()
            with suppress(sqlite3.Error):  # where SQLite has taken it back already
                self._execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file; runs that were claimed are free."""
        self._claims.close()
        with suppress(sqlite3.Error), closing(self._connection):
            pass

    def __repr__(self) -> str:
        """Name the file."""
        return f"<JournalFile {self.path!r}>"


def checksum(entry: Entry) -> int:
    """Give the checksum of what may not change unseen in an entry."""
    kind, key, parent, home, _, _, position, made, ended, data = entry
    told = b"%d %d %d %d %b%b%b" % (kind, position, made, ended, key, parent, home or b"")
    return crc32(data or b"", crc32(told))


def _created(path: str) -> bool:
    """Make the file, where it is missing; say whether it was."""
    folder = Path(path).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    _sync_folder(folder)
    return True


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Say of what SQLite and the system refuse what is to be done about it."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise JournalFailed(
            f"the journal {path} cannot be used ({error}). What is kept is kept: run it again "
            "under the same run id when that is cured"
        ) from error


ADVICE: Final[tuple[tuple[str, str], ...]] = (
    ("full", "the disk is full: make room"),
    ("locked", f"another program kept it locked for {PATIENCE:g} s: end that"),
    ("readonly", "it may not be written: give it back its permissions"),
    ("unable to open", "it cannot be opened: look at its folder and permissions"),
    ("disk I/O", "its disk fails: look at the system's log"),
)


def _explained(path: str, error: Exception) -> JournalError:
    text = str(error)
    for mark, advice in ADVICE:
        if mark in text:
            return JournalFailed(
                f"the journal {path}: {advice} ({text}). What is kept is kept: run it again under "
                "the same run id afterwards"
            )
    return JournalDamaged(
        f"the journal {path} is damaged, or is none ({text}): take a copy of the file from before, "
        "or run the job with another journal"
    )


__all__ = ["Ending", "JournalFile", "Told", "checksum"]
