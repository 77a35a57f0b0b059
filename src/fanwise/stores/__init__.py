"""Stores: where what processes share rests, and what must outlive one.

Limits over Redis, journals over SQLite, and the twins of both in memory.
"""

from fanwise.stores._gates import SharedLimits, from_address, redis_board
from fanwise.stores._journal_file import JournalFile
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._memory_journal import MemoryJournal
from fanwise.stores._runs import KeptCall, KeptRun
from fanwise.stores._sqlite import SqliteJournal
from fanwise.stores._standing import Standing
from fanwise.stores._visit import Board, BoardLost

__all__ = [
    "Board", "BoardLost", "JournalFile", "KeptCall", "KeptRun", "MemoryBoard", "MemoryJournal",
    "SharedLimits", "SqliteJournal", "Standing", "from_address", "redis_board",
]  # fmt: skip
