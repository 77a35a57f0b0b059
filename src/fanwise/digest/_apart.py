"""Documents decoded in worker processes, where decoding may break down or take for ever.

pdfium is not safe in threads, and a file made to break a reader can crash or hang it. So each such
file has a worker to itself while it is decoded, which is killed when it takes too long; then
the second reader, if there is one, tries in another worker. What is wrong is that file's alone.
"""

from typing import Final

from fanwise import step
from fanwise.documents import Document, Gap, Raw, Reason, decode, decode_again
from fanwise.errors import StepTimedOut, WorkerDied

_LONGEST: Final = 120.0
"""Seconds that one reader may take for one file."""


@step(name="decode", pool="process", timeout=_LONGEST)
def decode_first(loaded: Raw) -> Document | Gap:
    """Decode with the best reader."""
    return decode(loaded)


@step(name="decode_again", pool="process", timeout=_LONGEST)
def decode_second(loaded: Raw) -> Document | Gap:
    """Decode by other means."""
    return decode_again(loaded)


async def decode_apart(loaded: Raw) -> Document | Gap:
    """Decode in another process; where that dies or hangs, once more with the second reader."""
    try:
        return await decode_first(loaded)
    except (WorkerDied, StepTimedOut):
        pass
    try:
        return await decode_second(loaded)
    except (WorkerDied, StepTimedOut) as error:
        return Gap(loaded.name, Reason.UNREADABLE, f"its readers broke down: {error}")
