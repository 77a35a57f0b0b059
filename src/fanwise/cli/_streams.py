"""Standard output for the result, standard error for everything else."""

import os
import sys
from typing import Final

_STREAMS: Final = ("stdout", "stderr")


def accept_any_text() -> None:
    """Let both streams show what their encoding cannot, such as odd file names, as escapes."""
    for name in _STREAMS:
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def deliver(text: str) -> None:
    """Write the result; a reader that has left, as `head` does, is no failure.

    Raises OSError where standard output is closed, or what is behind it is full.
    """
    if sys.stdout is None:
        raise OSError("it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError:
        _discard()
        raise


def _discard() -> None:
    """Lead what is still to be written nowhere, so that the end of the process is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """Write a line for people; a standard error that is closed is no reason to stop."""
    try:
        sys.stderr.write(f"fanwise: {line}\n")
        sys.stderr.flush()
    except OSError:
        return
