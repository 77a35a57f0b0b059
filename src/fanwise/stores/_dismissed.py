"""Ending a task that talks to a server, whose client may lose a cancel."""

from __future__ import annotations

import asyncio

AGAIN = 0.1  # seconds


async def dismissed(task: asyncio.Task[object]) -> None:
    """Cancel `task` and return when it has ended; it is cancelled again while it goes on.

    Before Python 3.12 `asyncio.wait_for`, by which redis-py sends, drops a cancel that comes as
    what it waits for is done: a task that asks again and again would never end.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN)
