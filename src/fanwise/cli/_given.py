"""`-`: standard input as a document."""

import sys
from collections.abc import Sequence
from typing import Final

from fanwise.cli._streams import say
from fanwise.documents import LARGEST, Files, Given, Library

SIGN: Final = "-"
NAME: Final = "(standard input)"


def with_input(places: Sequence[str], form: str | None) -> tuple[tuple[str, ...], Library]:
    """Give the places with standard input's name for `-`, and the library that they are in.

    Reads standard input to its end, before anything else begins. Raises OSError.
    """
    if SIGN not in places:
        return tuple(places), Files()
    if sys.stdin is None or sys.stdin.closed:
        raise OSError("it is closed")
    if sys.stdin.isatty():
        say("reading standard input; end it with Ctrl-D")
    data = sys.stdin.buffer.read(LARGEST + 1)
    named = tuple(NAME if place == SIGN else place for place in places)
    return named, Given(Files(), NAME, data, form)
