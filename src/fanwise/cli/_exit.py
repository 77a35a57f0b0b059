"""The exit codes of every command."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command's end says to the shell."""

    COMPLETE = 0
    FAILED = 1
    WRONG_USE = 2
    PARTIAL = 3
    INTERRUPTED = 130
