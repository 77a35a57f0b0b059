"""The twin as an ASGI application: finds the route, answers, and sees its caller leave.

It is bare ASGI: what a framework would add (routing by regular expression, middleware, a task
group for each response) is most of the time that a request without any wait takes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl

from fanwise.testing.twin import (
    _anthropic,
    _models,
    _openai_chat,
    _openai_embeddings,
    _openai_more,
)
from fanwise.testing.twin._errors import error_response
from fanwise.testing.twin._http import Dropped, Refused, Request, Response, Streamed
from fanwise.testing.twin._ledger import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Route
    from fanwise.testing.twin._values import Protocol

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

ROUTES: Final = [
    *_openai_chat.ROUTES,
    *_openai_embeddings.ROUTES,
    *_models.ROUTES,
    *_openai_more.ROUTES,
    *_anthropic.ROUTES,
]
DROP: Final = "fanwise.drop"
"""The extension of a server that can drop a connection: a function without arguments."""
_ID: Final[Mapping[Protocol, str]] = {"openai": "x-request-id", "anthropic": "request-id"}


class App:
    """An ASGI application that answers for a twin."""

    __slots__ = ("_fixed", "_requests", "_twin")

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._requests = 0
        self._fixed = {(each.method, each.path): each for each in ROUTES if "{" not in each.path}

    def __repr__(self) -> str:
        """Show the twin."""
        return f"<App of {self._twin!r}>"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; raises nothing but what is a fault of the twin itself."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            msg = f"the twin speaks HTTP, not {scope['type']!r}"
            raise RuntimeError(msg)
        request = await _read(scope, receive)
        if request is not None:
            leaving = _Leaving(receive)
            try:
                await self._answer(request, send)
            except Dropped:
                await leaving.end()
                await _drop(scope, receive, send)
            except asyncio.CancelledError:
                if not leaving.seen:
                    raise
                leaving.forgive()
            finally:
                await leaving.end()

    async def _answer(self, request: Request, send: Send) -> None:
        self._requests += 1
        route, params = self._find(request)
        protocol = None if route is None else route.protocol
        protocol = _protocol(request) if protocol is None else protocol
        request_id = self._twin.name("req_", self._requests)
        try:
            found = await self._found(route, request, params)
        except Refused as refused:
            self._note(refused, request, protocol)
            found = error_response(refused, protocol, request_id)
        headers = {"content-type": found.media, _ID[protocol]: request_id, **found.headers}
        if isinstance(found, Response):
            headers["content-length"] = str(len(found.body))
            await send(_start(found.status, headers))
            await send({"type": "http.response.body", "body": found.body})
        else:
            await _stream(found, headers, send)

    async def _found(
        self, route: Route | None, request: Request, params: Mapping[str, str]
    ) -> Response | Streamed:
        if route is None:
            text = f"Unknown request URL: {request.method} {request.path}."
            raise Refused(404, "missing", text, code="unknown_url")
        if params:
            request = Request(
                request.method, request.path, request.headers, request.body, request.query, params
            )
        return await route.answer(self._twin, request)

    def _find(self, request: Request) -> tuple[Route | None, Mapping[str, str]]:
        path = request.path.rstrip("/")
        if (found := self._fixed.get((request.method, path))) is not None:
            return found, {}
        for route in ROUTES:
            if route.method == request.method and (match := route.pattern.fullmatch(path)):
                return route, match.groupdict()
        return None, {}

    def _note(self, refused: Refused, request: Request, protocol: Protocol) -> None:
        """Write what never became a question into the ledger too."""
        if not refused.noted:
            now, number = self._twin.now(), self._twin.ledger.number()
            entry = Entry(number, now, "", protocol, request.path, request.key)
            entry.status, entry.error, entry.ended_at = refused.status, refused.message, now
            self._twin.note(entry)


class _Leaving:
    """Watches for the caller to leave, and cancels the task that answers it.

    The watch is a task of its own, begun at the loop's next turn: an answer that waits for nothing
    is complete by then, and does without.
    """

    __slots__ = ("_answering", "_begin", "_over", "_receive", "_watch", "seen")

    def __init__(self, receive: Receive) -> None:
        self.seen = False
        self._over = False
        self._receive = receive
        self._answering = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._begin = asyncio.get_running_loop().call_soon(self._watch_it)

    def _watch_it(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(_left(self._receive))
        self._watch.add_done_callback(self._leave)

    def _leave(self, watch: asyncio.Task[None]) -> None:
        if not self._over and not watch.cancelled() and self._answering is not None:
            self.seen = True
            self._answering.cancel()

    def forgive(self) -> None:
        """Take the cancel back: it was ours."""
        if self._answering is not None:
            self._answering.uncancel()

    async def end(self) -> None:
        """Stop watching."""
        self._over = True
        self._begin.cancel()
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            await asyncio.wait({self._watch})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(scope: Message, receive: Receive) -> Request | None:
    """Read a request to its end, or give None where the caller left before."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    return Request(scope["method"], scope["path"], headers, body, query)


def _protocol(request: Request) -> Protocol:
    """Guess whose answer a request understands that could be either's."""
    return "anthropic" if "anthropic-version" in request.headers else "openai"


def _start(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _stream(found: Streamed, headers: Mapping[str, str], send: Send) -> None:
    try:
        await send(_start(found.status, headers))
        async for chunk in found.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        # Left unfinished it would be closed when it is collected, not now.
        await found.chunks.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _drop(scope: Message, receive: Receive, send: Send) -> None:
    """Drop the connection, or, on a server that cannot, promise more than is sent."""
    drop = scope.get("extensions", {}).get(DROP)
    if drop is None:
        await send(_start(200, {"content-type": "application/json", "content-length": "1"}))
        return
    drop()
    await _left(receive)


async def _live(receive: Receive, send: Send) -> None:
    """Answer a server's start and stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
