"""A journal over SQLite: one thread writes, in groups, and the loop never waits for a disk.

What a turn of the loop tells is handed over together; the thread takes all that is there into one
transaction and says so in one call to the loop. On the virtual clock, where nothing happens beside
the loop, everything is written at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from fanwise.core import JournalError, JournalFailed
from fanwise.stores._journal_file import JournalFile

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from fanwise.core._entries import Entry, Head, Opened
    from fanwise.stores._journal_file import Ending, Told

log = logging.getLogger("fanwise")
T = TypeVar("T")
Sync = Literal["normal", "full"]
PREFIX: Final = "sqlite:///"


class Group:
    """What is written in one transaction, and who waits for it."""

    __slots__ = ("endings", "futures", "synced", "told")

    def __init__(self) -> None:
        """Start empty."""
        self.told: list[Told] = []
        self.endings: list[Ending] = []
        self.futures: list[Future[None]] = []
        self.synced = False

    def take(self, other: Group) -> None:
        """Take another group in, which came later."""
        self.told += other.told
        self.endings += other.endings
        self.futures += other.futures
        self.synced |= other.synced

    def __repr__(self) -> str:
        """Count."""
        return f"<Group of {len(self.told)} entries>"


class Task(NamedTuple):
    """Something else that the thread is to do, between two groups."""

    do: Callable[[JournalFile], Any]
    future: Future[Any]


class SqliteJournal:
    """A journal in one file: `Runtime(journal="sqlite:///runs.db")`.

    `sync` says whether results of reads outlive a loss of power ("full") or only the end of the
    process ("normal"); intents and results of writes always outlive both. Raises ValueError for
    another one.
    """

    def __init__(self, path: str, *, sync: Sync = "normal") -> None:
        """Describe it; nothing is opened yet."""
        if sync not in ("normal", "full"):
            raise ValueError(f'sync is "normal" or "full", got {sync!r}')
        self.path = path
        self.sync = sync
        self._all_synced = sync == "full"
        self._file: JournalFile | None = None
        self._error: JournalError | None = None
        self._group = Group()
        self._queue: SimpleQueue[Group | Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the file; raise `JournalError` where that fails."""
        async with self._opening:
            await self._open()

    async def _open(self) -> None:
        if self._file is not None:
            return
        loop = asyncio.get_running_loop()
        self._loop, self._error, self._group = loop, None, Group()
        if getattr(loop, "virtual", False):
            self._file = JournalFile(self.path)
            return
        self._file = await loop.run_in_executor(None, JournalFile, self.path)
        self._queue = SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, args=(self._file,), name="fanwise-journal", daemon=True
        )
        self._thread.start()

    async def begin(self, head: Head, /) -> Opened:
        """Claim a run and give what is known of it; raise `RunBusy` where another has it."""
        await self.open()
        return await self._ask(lambda file: file.begin(head))

    async def fetch(self, run: int, entry: Entry, /) -> bytes:
        """Give the data of an entry that came without."""
        return await self._ask(lambda file: file.fetch(run, entry))

    def tell(self, run: int, entry: Entry, /) -> None:
        """Keep an entry, some time, and before all that are told later."""
        self._next().told.append((run, entry))
        self._soon()

    def keep(self, run: int, entry: Entry, /, *, synced: bool) -> Future[None] | None:
        """Keep an entry; it is kept when the future is done."""
        group = self._next()
        group.told.append((run, entry))
        if synced or self._all_synced:
            group.synced = True
        if self._thread is None:
            self._soon()
            return None
        future: Future[None] = self._loop.create_future()  # type: ignore[union-attr] # it is open
        group.futures.append(future)
        return future

    def end(self, run: int, status: str, error: str | None, /) -> None:
        """Say how a run ended, and give it free."""
        if self._error is None and self._file is not None:
            self._next().endings.append((run, status, error))
            self._soon()

    def _next(self) -> Group:
        """Give the group of this turn of the loop; raise where nothing can be kept any more."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._file is None:
            raise JournalFailed(f"the journal {self.path} is closed: its runtime has ended")
        group = self._group
        if not group.told and not group.endings and self._thread is not None:
            self._loop.call_soon(self._hand_over)  # type: ignore[union-attr] # as above
        return group

    def _soon(self) -> None:
        """Write at once, where there is no thread."""
        if self._thread is None:
            group, self._group = self._group, Group()
            try:
                self._written(group)
            except JournalError as error:
                self._error = error
                raise

    def _hand_over(self) -> None:
        group, self._group = self._group, Group()
        if group.told or group.endings:
            self._queue.put(group)

    async def _ask(self, do: Callable[[JournalFile], T]) -> T:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._thread is None:
            assert self._file is not None  # noqa: S101 - `begin` opened it
            return do(self._file)
        self._hand_over()
        future: Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(Task(do, future))
        return await future

    async def aclose(self) -> None:
        """Keep all that was told, and close."""
        file, thread = self._file, self._thread
        if file is None:
            return
        if thread is not None:
            self._hand_over()
            self._queue.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
        self._thread = self._file = None
        self._opening = asyncio.Lock()  # the next one may be of another loop
        file.close()
        if self._error is not None:
            log.error("the journal %s is not whole: %s", self.path, self._error)

    # The thread

    def _work(self, file: JournalFile) -> None:
        left: Group | Task | None = None
        while True:
            taken = self._queue.get() if left is None else left
            left = None
            if taken is None:
                return
            if isinstance(taken, Task):
                self._perform(taken, file)
                continue
            over = False
            while not self._queue.empty():  # nobody else takes from it
                more = self._queue.get()
                if not isinstance(more, Group):
                    left, over = more, more is None
                    break
                taken.take(more)
            self._write(taken)
            if over:
                return

    def _write(self, group: Group) -> None:
        error = self._error
        if error is None:
            try:
                self._written(group)
            except JournalError as failure:
                error = self._error = failure
            except Exception as failure:  # noqa: BLE001 - or whoever waits would wait for ever
                error = self._error = JournalFailed(f"the journal {self.path}: {failure!r}")
        if group.futures:
            self._call(_settle, group.futures, error)

    def _written(self, group: Group) -> None:
        assert self._file is not None  # noqa: S101 - it is open
        self._file.write(group.told, group.endings, synced=group.synced)

    def _perform(self, task: Task, file: JournalFile) -> None:
        try:
            found = task.do(file)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            self._call(_fail, task.future, error)
        else:
            self._call(_answer, task.future, found)

    def _call(self, act: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None  # noqa: S101 - it is open
        try:
            self._loop.call_soon_threadsafe(act, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def __repr__(self) -> str:
        """Name the file."""
        return f"<SqliteJournal {self.path!r}>"


def _settle(futures: list[Future[None]], error: JournalError | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # who was cancelled meanwhile does not ask


def _answer(future: Future[Any], found: object) -> None:
    if not future.done():
        future.set_result(found)


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def from_address(address: str) -> SqliteJournal:
    """Make the journal of an address such as "sqlite:///runs.db" (four slashes: from the root).

    "?sync=full" at its end syncs results of reads too. Raises ValueError for another form.
    """
    path, _, query = address.removeprefix(PREFIX).partition("?")
    sync = query.removeprefix("sync=") if query else "normal"
    if not address.startswith(PREFIX) or not path or sync not in ("normal", "full"):
        raise ValueError(
            f'journal={address!r} is no address of a journal: give "sqlite:///runs.db", '
            '"sqlite:////var/lib/runs.db" or "sqlite:///runs.db?sync=full"'
        )
    return SqliteJournal(path, sync="full" if sync == "full" else "normal")
