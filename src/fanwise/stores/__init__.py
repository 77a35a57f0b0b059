"""Stores: where what processes share rests. Limits over Redis, and their twin in memory."""

from fanwise.stores._gates import SharedLimits, from_address, redis_board
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._standing import LimitStanding
from fanwise.stores._visit import Board, BoardLost

__all__ = [
    "Board", "BoardLost", "LimitStanding", "MemoryBoard", "SharedLimits", "from_address",
    "redis_board",
]  # fmt: skip
