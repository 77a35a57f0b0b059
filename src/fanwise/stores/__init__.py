"""Stores: where what processes share rests. Limits and budgets over Redis, and twins in memory."""

from fanwise.core._accounts import Account, Spend, Total
from fanwise.stores._gates import SharedLimits, from_address, redis_board
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._standing import LimitStanding
from fanwise.stores._till import Count, MemoryTill, Sheet, Till
from fanwise.stores._visit import Board, BoardLost

__all__ = [
    "Account", "Board", "BoardLost", "Count", "LimitStanding", "MemoryBoard", "MemoryTill",
    "SharedLimits", "Sheet", "Spend", "Till", "Total", "from_address", "redis_board",
]  # fmt: skip
