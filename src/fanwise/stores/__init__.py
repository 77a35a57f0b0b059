"""Stores: where what processes share rests, and what must outlive one.

Limits and budgets over Redis, journals over SQLite, and the twins of all in memory.
"""

from fanwise.core._accounts import Account, Spend, Total
from fanwise.stores._gates import SharedLimits, from_address, redis_board
from fanwise.stores._journal_file import JournalFile
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._memory_journal import MemoryJournal
from fanwise.stores._runs import KeptCall, KeptRun
from fanwise.stores._sqlite import SqliteJournal
from fanwise.stores._standing import LimitStanding
from fanwise.stores._till import Count, MemoryTill, Sheet, Till
from fanwise.stores._visit import Board, BoardLost

__all__ = [
    "Account", "Board", "BoardLost", "Count", "JournalFile", "KeptCall", "KeptRun", "LimitStanding",
    "MemoryBoard", "MemoryJournal", "MemoryTill", "SharedLimits", "Sheet", "Spend", "SqliteJournal",
    "Till", "Total", "from_address", "redis_board",
]  # fmt: skip
