"""The thread that writes records, so that the event loop never waits for a disk.

It looks at the live runs every fifth of a second of real time and takes the rows that are new: the
loop's thread does nothing for it (a queue would cost a wake-up of a thread a row). Only a run with
more rows than memory should hold wakes it, once a chunk, and stands back for 5 ms where it produces
rows faster than they can be written.
A disk that refuses ends the writing, is kept as `error`, and never touches the run.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, TextIO

from fanwise.core._lines import line_of, read_rows, text_of_row
from fanwise.core._record import CHUNK

if TYPE_CHECKING:
    from fanwise.core._record import AttemptRow, CallRow
    from fanwise.core._run import Run

PERIOD = 0.2
STAND_BACK = 0.005
# Bytes. Each write lets go of the interpreter, and gets it back from a busy loop 5 ms later.
BUFFER = 1 << 19


class RecordWriter:
    """Writes the rows of runs to one file, as JSON lines."""

    def __init__(self, path: str, keep: int | None = None, *, spill: bool = False) -> None:
        """Open `path` anew (mode 0600); raise `OSError` at once where that fails.

        `keep` is how many rows of a run stay in memory once they are written (`None`: all). A
        `spill` is opened by the thread, with its folder, and its failure only ends the writing.
        """
        self.path = path
        self.keep = keep
        self.error: OSError | None = None
        self._file: TextIO | None = None if spill else _opened(path)
        self._incoming: deque[Run] = deque()
        self._cursors: dict[Run, tuple[int, int]] = {}
        self._latest: Run | None = None
        self._wake = threading.Event()
        self._dropped = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="fanwise-record", daemon=True)
        self._thread.start()

    def follow(self, run: Run) -> None:
        """Write the rows of `run` from now on, until it is over."""
        self._incoming.append(run)

    def hurry(self, *, behind: bool) -> None:
        """Write at once: memory has more rows than it should.

        Where it is far `behind`, the loop's thread stands back for a moment, so that a busy loop
        cannot fill the memory faster than rows leave it.
        """
        self._wake.set()
        if behind and self._thread.is_alive():
            self._dropped.clear()
            self._dropped.wait(STAND_BACK)

    def close(self) -> None:
        """Write everything and close the file; blocks, so it is called off the loop."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def rows_of(self, run: Run, number: int) -> list[CallRow | AttemptRow]:
        """Read the first rows of `run` back: so many as memory has not any more."""
        with open(self.path, encoding="utf-8") as lines:
            return read_rows(lines, run.id)[:number]

    def _work(self) -> None:
        try:
            if self._file is None:
                folder = os.path.dirname(self.path)
                for each in (os.path.dirname(folder), folder):  # the mode is the last one's only
                    os.makedirs(each, mode=0o700, exist_ok=True)
                self._file = _opened(self.path)
            with self._file as file:
                closing = False
                while not closing:
                    self._wake.wait(PERIOD)
                    self._wake.clear()
                    closing = self._closing
                    self._write_new(file)
        except OSError as error:
            self.error = error

    def _write_new(self, file: TextIO) -> None:
        while self._incoming:
            run = self._incoming.popleft()
            self._cursors[run] = (0, 0)
            self._latest = run
            file.write(line_of(run.header) + "\n")
            self._write_rows(run, file)
        for run in list(self._cursors):
            over = run.over  # asked before its rows are taken: none follows
            self._write_rows(run, file)
            if over:
                del self._cursors[run]
        file.flush()

    def _write_rows(self, run: Run, file: TextIO) -> None:
        name = None if run is self._latest else run.id
        sealed = True
        while sealed:  # a chunk more may be full by now, and what is on disk may leave memory
            before, _ = self._cursors[run]
            rows, chunk, offset = run.rows.since(*self._cursors[run])
            self._cursors[run] = (chunk, offset)
            sealed = chunk != before
            file.writelines(text_of_row(row, run.epoch, name, run.cost) + "\n" for row in rows)
            if self.keep is not None:
                self._drop(run, file)

    def _drop(self, run: Run, file: TextIO) -> None:
        spare = len(run.rows.sealed) - self.keep // CHUNK  # type: ignore[operator] # as was asked
        unwritten = run.rows.dropped + len(run.rows.sealed) - self._cursors[run][0]
        chunks = min(spare, len(run.rows.sealed) - unwritten)
        if chunks > 0:
            file.flush()  # what is dropped from memory is to be found in the file
            run.rows.drop(chunks)
            self._dropped.set()

    def __repr__(self) -> str:
        """Name the file."""
        return f"<RecordWriter {self.path!r}>"


def _opened(path: str) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return os.fdopen(descriptor, "w", buffering=BUFFER, encoding="utf-8")


def writer(_address: str) -> type[RecordWriter]:
    """Give what writes a record."""
    return RecordWriter
