"""HTTP/1.1 for an ASGI application, as small as a provider's clients need it.

A server for production has far more to do, and takes the longer: uvicorn on h11 needed 650 µs of
processor time a call here, most of it for validation of what the twin wrote itself and for a write
each of head and body, and cannot drop a connection before its response. This one parses the head,
takes bodies with a length or in chunks, keeps connections alive, answers requests that were sent
ahead in their order, holds back where the caller does not read, and drops on demand. No TLS, no
upgrade, no trailers (RFC 9112, sections 2 to 9).
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from fanwise.testing.twin._app import DROP

if TYPE_CHECKING:
    from fanwise.testing.twin._app import App, Message

_HEAD: Final = 65_536
"""Bytes that a head may have."""
_BODY: Final = 256 * 1024 * 1024
"""Bytes that a body may have."""
_LINE: Final = 4096
"""Bytes that the line of a chunk's size may have."""
_HEX: Final = re.compile(rb"([0-9A-Fa-f]{1,16})\s*(?:;|$)")
_AHEAD: Final = 1_048_576
"""Bytes of requests sent ahead at which the caller is held back."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}


class BadRequest(Exception):
    """What came is not HTTP as this server reads it; `status` is the answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Head:
    """The head of a request."""

    __slots__ = ("headers", "method", "path", "query", "version")

    def __init__(self, data: bytes) -> None:
        first, *lines = data.split(b"\r\n")
        try:
            method, target, version = first.decode("ascii").split(" ")
            pairs = [line.split(b":", 1) for line in lines]
            self.headers = [(name.strip().lower(), value.strip()) for name, value in pairs]
        except ValueError as error:
            raise BadRequest(400, "the head of the request is not HTTP") from error
        if version not in ("HTTP/1.0", "HTTP/1.1"):
            raise BadRequest(505, f"the version must be HTTP/1.0 or HTTP/1.1, not {version!r}")
        self.method, self.version = method, version.removeprefix("HTTP/")
        # An address in absolute form, as proxies get it, keeps its path only.
        _, scheme, rest = target.partition("://")
        target = f"/{rest.partition('/')[2]}" if scheme and not target.startswith("/") else target
        self.path, _, self.query = target.partition("?")

    def __repr__(self) -> str:
        """Show the first line."""
        return f"<Head {self.method} {self.path}>"

    def get(self, name: bytes) -> bytes:
        """Give the value of a header, in small letters; empty where there is none."""
        return next((value.lower() for key, value in self.headers if key == name), b"")

    @property
    def length(self) -> int | None:
        """The length of the body; `None` where it comes in chunks."""
        if b"chunked" in self.get(b"transfer-encoding"):
            return None
        told = self.get(b"content-length") or b"0"
        if not told.isdigit():
            raise BadRequest(400, f"content-length is no number: {told!r}")
        if int(told) > _BODY:
            raise BadRequest(413, f"the body has {int(told)} bytes, more than {_BODY}")
        return int(told)

    @property
    def stays(self) -> bool:
        """Whether the connection is kept for another request."""
        told = self.get(b"connection")
        return told == b"keep-alive" if self.version == "1.0" else told != b"close"


class Chunks:
    """A body that comes in chunks."""

    __slots__ = ("body",)

    def __init__(self) -> None:
        self.body = bytearray()

    def take(self, buffer: bytearray) -> bool:
        """Take whole chunks from the front of the buffer; true at the last one."""
        while (end := buffer.find(b"\r\n", 0, _LINE)) >= 0:
            size = _size(bytes(buffer[:end]))
            if len(self.body) + size > _BODY:
                raise BadRequest(413, f"the body has more than {_BODY} bytes")
            needed = end + 2 + size + 2
            if len(buffer) < needed:
                return False
            if buffer[needed - 2 : needed] != b"\r\n":
                raise BadRequest(400, "a chunk does not end where it says")
            self.body += buffer[end + 2 : needed - 2]
            del buffer[:needed]
            if size == 0:
                return True
        if len(buffer) >= _LINE:
            raise BadRequest(400, f"the size of a chunk has more than {_LINE} bytes")
        return False


def _size(line: bytes) -> int:
    told = _HEX.match(line)
    if told is None:
        raise BadRequest(400, f"the size of a chunk is no number: {line[:40]!r}")
    return int(told[1], 16)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered by the application."""

    def __init__(self, app: App, living: set[Connection]) -> None:
        self._app, self._living = app, living
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._invited = False
        self._exchange: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        self.transport: Any = None
        self.writable = asyncio.Event()
        self.writable.set()

    def __repr__(self) -> str:
        """Show what is going on."""
        return f"<Connection answering={self._exchange is not None}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        self.transport = transport
        self._living.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell the application that its caller left."""
        self._living.discard(self)
        self.writable.set()
        if self._exchange is not None:
            self._exchange.gone.set()

    def pause_writing(self) -> None:
        """Hold the application back: the caller does not read."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Let the application go on."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data
        if self._exchange is not None:
            if len(self._buffer) > _AHEAD:
                self.transport.pause_reading()
            return
        self._advance()

    def _advance(self) -> None:
        try:
            if self._head is None:
                self._head = self._next_head()
            body = None if self._head is None else self._next_body(self._head)
        except BadRequest as error:
            self._refuse(error)
            return
        if self._head is not None and body is not None:
            head, self._head, self._chunks, self._invited = self._head, None, None, False
            self._exchange = Exchange(self, head, body)
            answer = self._exchange.run(self._app)
            self.task = asyncio.get_running_loop().create_task(answer, name="twin")

    def _next_head(self) -> Head | None:
        # Blank lines before a request are passed over (RFC 9112, section 2.2).
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD:
                raise BadRequest(431, f"the head has more than {_HEAD} bytes")
            return None
        head = Head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        return head

    def _next_body(self, head: Head) -> bytes | None:
        body: bytes | None = None
        length = head.length
        if length is None:
            self._chunks = self._chunks or Chunks()
            if self._chunks.take(self._buffer):
                body = bytes(self._chunks.body)
        elif len(self._buffer) >= length:
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
        if body is None and not self._invited and head.get(b"expect") == b"100-continue":
            self._invited = True
            self.transport.write(_CONTINUE)
        return body

    def _refuse(self, error: BadRequest) -> None:
        told = f"{error}\n".encode()
        head = _head_of(error.status, [(b"content-length", str(len(told)).encode())], stays=False)
        self.transport.write(head + told)
        self.transport.close()

    def answered(self, *, stays: bool) -> None:
        """Go on with the next request, or close."""
        self._exchange = None
        if not stays:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.resume_reading()
            if self._buffer:
                self._advance()

    def reset(self) -> None:
        """Close such that the other end sees a reset, not an end."""
        known = self.transport.get_extra_info("socket")
        if known is not None and not self.transport.is_closing():
            known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Exchange:
    """One request and its response, between a connection and the application."""

    __slots__ = ("_body", "_chunked", "_connection", "_head", "_pending", "_state", "gone")

    def __init__(self, connection: Connection, head: Head, body: bytes) -> None:
        self._connection, self._head = connection, head
        self._body: bytes | None = body
        self._pending = b""
        self._chunked = False
        self._state = "new"
        self.gone = asyncio.Event()

    def __repr__(self) -> str:
        """Show the request and how far the response is."""
        return f"<Exchange {self._head!r} {self._state}>"

    async def run(self, app: App) -> None:
        """Let the application answer; an answer without an end closes the connection."""
        try:
            await app(self._scope(), self.receive, self.send)
        finally:
            complete = self._state == "complete"
            self._connection.answered(stays=complete and self._head.stays)

    def _scope(self) -> Message:
        head = self._head
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "method": head.method,
            "headers": head.headers,
            "scheme": "http",
            "path": unquote(head.path),
            "raw_path": head.path.encode(),
            "query_string": head.query.encode(),
            "root_path": "",
            "client": self._connection.transport.get_extra_info("peername"),
            "server": self._connection.transport.get_extra_info("sockname"),
            "extensions": {DROP: self._connection.reset},
        }

    async def receive(self) -> Message:
        """Give the application the request, and then that its caller left, when it does."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Write a message of the application; for a caller that left it is lost."""
        if self.gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (
                b"" if more else b"0\r\n\r\n"
            )
        data, self._pending = self._pending + body, b""
        if data:
            self._connection.transport.write(data)
        if not more:
            self._state = "complete"
        await self._connection.writable.wait()

    def _start(self, message: Message) -> None:
        self._state = "started"
        headers = message["headers"]
        sized = any(name == b"content-length" for name, _ in headers)
        self._chunked = not sized and self._head.version == "1.1"
        if self._chunked:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        stays = self._head.stays and (sized or self._chunked)
        head = _head_of(message["status"], headers, stays=stays)
        # A head of a known length waits for its body, so that both are one write.
        if sized:
            self._pending = head
        else:
            self._connection.transport.write(head)


@lru_cache(maxsize=4)
def _date(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}".encode()


def _head_of(status: int, headers: list[tuple[bytes, bytes]], *, stays: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_PHRASES.get(status, 'Overloaded')}".encode(),
        _date(int(time.time())),
        *(b"%b: %b" % pair for pair in headers),
    ]
    if not stays:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
