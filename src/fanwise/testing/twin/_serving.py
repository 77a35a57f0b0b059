"""The twin over a socket, in the caller's loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._http1 import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fanwise.testing.twin._app import App

_BACKLOG: Final = 2048
"""Connections that may wait to be taken: a load test opens its own all at once."""


@asynccontextmanager
async def serving(app: App, host: str, port: int) -> AsyncIterator[str]:
    """Serve inside the block, then drop every connection and wait for what answered it."""
    living: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(app, living), host, port, backlog=_BACKLOG)
    where = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{where}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await _dropped(living)
        await server.wait_closed()


async def _dropped(living: set[Connection]) -> None:
    tasks = {each.task for each in living if each.task is not None and not each.task.done()}
    for each in list(living):
        each.transport.abort()
    if tasks:
        await asyncio.wait(tasks)
