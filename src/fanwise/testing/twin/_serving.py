"""The twin over a socket, by uvicorn, in the caller's loop."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fanwise.testing.twin._app import DROP

try:
    import uvicorn
except ImportError as error:
    raise ImportError(
        "the twin's server needs uvicorn; install it with: pip install 'fanwise[twin]'"
    ) from error

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from fanwise.testing.twin._app import App, Message, Receive, Send


@asynccontextmanager
async def serving(app: App, host: str, port: int) -> AsyncIterator[str]:
    """Serve inside the block; the address is `http://host:port`.

    uvicorn's own loop, which ticks ten times a second and takes over signals, is left out: only
    its start, its protocol and its stop are used.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        _droppable(app), log_config=None, access_log=False, lifespan="off", http="h11", ws="none"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    where = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{where}:{listening.getsockname()[1]}"
    finally:
        for each in list(server.server_state.connections):
            _abort(each.transport)
        await server.shutdown(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except BaseException:
        listening.close()
        raise
    return listening


def _droppable(app: App) -> Any:  # noqa: ANN401 - uvicorn takes any ASGI application
    """Let the application drop a connection, through the cycle behind uvicorn's `receive`."""

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        cycle = getattr(receive, "__self__", None)
        if cycle is not None:
            scope.setdefault("extensions", {})[DROP] = lambda: _reset(cycle.transport)
        await app(scope, receive, send)

    return answer


def _reset(transport: asyncio.Transport) -> None:
    """Close a connection such that its other end sees a reset, not an end."""
    known = transport.get_extra_info("socket")
    if known is not None:
        known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _abort(transport: Any) -> None:  # noqa: ANN401 - uvicorn does not type it
    if transport is not None:
        transport.abort()
