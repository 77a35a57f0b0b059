"""Who runs a run: a lock that the system gives back when its process ends, however it ends.

Each run has one byte of a file beside the journal, locked by an open file description where the
system has that (Linux), so that two runtimes of one process exclude each other too. There are no
leases here: a process that stands still keeps its runs.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

OWN_LOCK: Final = getattr(fcntl, "F_OFD_SETLK", None)


class Claims:
    """The runs that one journal object has."""

    def __init__(self, path: str) -> None:
        """Open the file of locks (mode 0600); raise `OSError` where that fails."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._taken: set[int] = set()

    def take(self, run: int) -> bool:
        """Claim a run; say whether nobody else has it."""
        if run in self._taken or not self._lock(fcntl.F_WRLCK, run):
            return False
        self._taken.add(run)
        return True

    def is_taken(self, run: int) -> bool:
        """Say whether anybody has a run."""
        if not self.take(run):
            return True
        self.give(run)
        return False

    def give(self, run: int) -> None:
        """Give a run free."""
        if run in self._taken:
            self._taken.discard(run)
            self._lock(fcntl.F_UNLCK, run)

    def _lock(self, kind: int, run: int) -> bool:
        try:
            if OWN_LOCK is None:
                fcntl.lockf(self._file, _plain(kind), 1, run)
            else:
                wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, run, 1, 0)
                fcntl.fcntl(self._file, OWN_LOCK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def close(self) -> None:
        """Give everything free."""
        os.close(self._file)

    def __repr__(self) -> str:
        """Count."""
        return f"<Claims of {len(self._taken)} runs>"


def _plain(kind: int) -> int:
    return fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
