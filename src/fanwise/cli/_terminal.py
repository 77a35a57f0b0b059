"""What standard error can show: a live view, colours, or plain lines."""

import os
from collections.abc import Mapping
from typing import Final, TextIO

_PLAIN_TERMINALS: Final = frozenset({"", "dumb", "unknown"})
_OFF: Final = frozenset({"", "0", "false"})


def shows_view(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether a frame may be drawn: a terminal that moves its cursor, in UTF-8, not in CI."""
    if stream is None or not is_terminal(stream) or _is_on("CI", environment):
        return False
    utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return utf8 and environment.get("TERM", "") not in _PLAIN_TERMINALS


def shows_colours(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether colours may be used: never under NO_COLOR, always under FORCE_COLOR.

    Else on a terminal that has them (https://no-color.org).
    """
    if stream is None or environment.get("NO_COLOR"):
        return False
    able = environment.get("TERM", "") not in _PLAIN_TERMINALS
    return _is_on("FORCE_COLOR", environment) or (is_terminal(stream) and able)


def is_terminal(stream: TextIO) -> bool:
    """Say whether a stream leads to a terminal; one that is closed does not."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def size_of(stream: TextIO) -> os.terminal_size:
    """Give the columns and lines of a terminal; 80 and 24 where it does not say."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return os.terminal_size((80, 24))
    return os.terminal_size((size.columns or 80, size.lines or 24))


def in_foreground(stream: TextIO) -> bool:
    """Say whether the terminal is ours to draw on: a job in the background leaves it alone."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def _is_on(name: str, environment: Mapping[str, str]) -> bool:
    return environment.get(name, "").lower() not in _OFF
