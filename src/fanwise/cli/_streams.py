"""Standard output for the result, standard error for everything else."""

import os
import sys
import textwrap
from shutil import get_terminal_size
from typing import Final, TextIO

import click

from fanwise.cli._terminal import is_terminal, shows_colours

_STREAMS: Final = ("stdout", "stderr")
_PREFIX: Final = "fanwise: "
_NARROWEST: Final = 30


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


def say(line: str, colour: str | None = None) -> None:
    """Write a line for people, in a colour where standard error shows any.

    In a terminal it is broken between words, with its own indentation; elsewhere it stays whole.
    """
    coloured = colour is not None and shows_colours(sys.stderr)
    for each in _fitted(line):
        tell(f"{_PREFIX}{click.style(each, fg=colour) if coloured else each}\n")


def _fitted(line: str) -> list[str]:
    if sys.stderr is None or not is_terminal(sys.stderr):
        return [line]
    width = max(_NARROWEST, get_terminal_size().columns - len(_PREFIX))
    indent = line[: len(line) - len(line.lstrip())]
    fitted = textwrap.wrap(
        line,
        width,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return fitted or [line]


def tell(text: str) -> None:
    """Write text for people; a standard error that is closed, or absent, is no reason to stop."""
    stream: TextIO | None = sys.stderr  # None where the process was started without
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return
