"""How a stream ends, so that nothing of it is left when its reader is told.

A dozen async generators of httpx2, of the provider's client and of pydantic-ai stand between a
connection and us. One that is closed, or fails, while those below it wait in their `yield` drops
them; each is then closed by a task that the loop starts for it, and drops the next one (PEP 525).
The tasks are short, and they are nobody's: so they are waited for here.
"""

import asyncio
import traceback
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import Final

from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse

_TURNS: Final = 32
"""Turns of the loop until the last generator is closed: two for each of those that may be open."""


async def break_off(
    stream: StreamedResponse, events: AsyncIterator[ModelResponseStreamEvent]
) -> None:
    """Close a stream that nobody reads on, from the inside out.

    The connection is closed first; the next read then fails in the innermost generator, and the
    failure ends the others on its way. A cancel may have struck in between, at a lock: then the
    upper half is ended already, and the lower is read from where they meet. (The clients' streams
    hold their generators in a cycle, which only the collector would undo.)
    """
    await stream.cancel()
    # No public name leads to the generators below; tests/providers/test_below.py holds on to it.
    for rest in (events, getattr(stream, "_response", None)):
        if isinstance(rest, AsyncIterable):
            with suppress(Exception):
                async for _ in rest:
                    pass


def let_go(error: BaseException) -> None:
    """Take generators out of the frames that an error passed; its traceback would keep them."""
    failed: BaseException | None = error
    while failed is not None:
        traceback.clear_frames(failed.__traceback__)
        failed = failed.__cause__ or failed.__context__


async def generators_closed() -> None:
    """Wait for the tasks that close the generators of a stream that is over."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
