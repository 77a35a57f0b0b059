"""A transport in the caller's loop: no socket, true streaming, and a caller that can leave.

httpx2's own ASGI transport gathers the whole response before it gives any of it, and never tells
the application that its caller left; so the stream, its times and its cancel could not be tested.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fanwise.testing.twin._app import DROP

try:
    import httpx2
except ModuleNotFoundError as error:
    msg = "the twin's transport needs httpx2; install it with: pip install 'fanwise[twin]'"
    raise ModuleNotFoundError(msg, name="httpx2") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fanwise.testing.twin._app import App, Message

Client: TypeAlias = httpx2.AsyncClient

_LATE: Final = object()
_OVER: Final = object()
_DROPPED: Final = object()


class _Exchange:
    """One request and its response, between a client and the application."""

    def __init__(self, body: bytes, patience: float | None) -> None:
        self._body: bytes | None = body
        self._patience = patience
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Exchange gone={self._gone.is_set()}>"

    async def receive(self) -> Message:
        """Give the application the request, and then that its caller left, when it does."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message from the application; one for a caller that left is lost."""
        self._arrived.put_nowait(message)

    def drop(self) -> None:
        """Drop the connection."""
        self._arrived.put_nowait(_DROPPED)
        self._gone.set()

    def start(self, app: App, scope: Message) -> None:
        """Let the application answer."""
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(app(scope, self.receive, self.send), name="twin")
        self.task.add_done_callback(lambda _task: self._arrived.put_nowait(_OVER))

    async def next(self, request: httpx2.Request) -> Message:
        """Give the next message; raises what a client sees where there is none."""
        timer: asyncio.TimerHandle | None = None
        if self._patience is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._patience, self._arrived.put_nowait, _LATE)
        try:
            found = await self._arrived.get()
        finally:
            if timer is not None:
                timer.cancel()
        if found is _LATE:
            raise httpx2.ReadTimeout("the twin was silent for too long", request=request)
        if found is _DROPPED:
            raise httpx2.ReadError("the twin dropped the connection", request=request)
        if found is _OVER:
            self._raise_its_error()
            raise httpx2.RemoteProtocolError("the twin ended too early", request=request)
        message: Message = found
        return message

    def _raise_its_error(self) -> None:
        if self.task is not None and not self.task.cancelled():
            self.task.result()

    async def leave(self) -> None:
        """Close the connection, and wait until the application has seen it."""
        self._gone.set()
        if self.task is not None and not self.task.done():
            await asyncio.wait({self.task})


class _Body(httpx2.AsyncByteStream):
    """The body of a response, as it comes."""

    def __init__(self, exchange: _Exchange, request: httpx2.Request) -> None:
        self._exchange, self._request = exchange, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._exchange.next(self._request)
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def aclose(self) -> None:
        await self._exchange.leave()


class TwinTransport(httpx2.AsyncBaseTransport):
    """Hands the requests of an `httpx2.AsyncClient` to a twin in the same loop.

    The client's read timeout is kept to. A request that is cancelled, or whose response is
    closed before its end, is seen by the twin as a connection that was closed.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __repr__(self) -> str:
        """Show the application."""
        return f"<TwinTransport to {self._app!r}>"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; returns when the head of its response is there."""
        body = await request.aread()
        patience = request.extensions.get("timeout", {}).get("read")
        exchange = _Exchange(body, patience)
        exchange.start(self._app, _scope(request, exchange))
        try:
            head = await exchange.next(request)
        except BaseException:
            await exchange.leave()
            raise
        stream = _Body(exchange, request)
        return httpx2.Response(head["status"], headers=head["headers"], stream=stream)


def client(app: App) -> Client:
    """Give a client over the transport, without a timeout of its own."""
    return httpx2.AsyncClient(transport=TwinTransport(app), base_url="http://twin", timeout=None)


def _scope(request: httpx2.Request, exchange: _Exchange) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "extensions": {DROP: exchange.drop},
    }
