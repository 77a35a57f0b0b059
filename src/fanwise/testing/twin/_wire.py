"""What a wire is to the twin: it reads a question, and writes an answer whole or in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fanwise.testing.twin._http import Response, Streamed, json_response
from fanwise.testing.twin._turn import Broken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Answer, Request
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Ask, Json, Piece, Reply
    from fanwise.testing.twin._values import Protocol as Wired

# Anthropic's client passes over an event that has no name.
_BROKEN: Final[Mapping[Wired, bytes]] = {
    "openai": b'data: {"broken":\n\n',
    "anthropic": b'event: content_block_delta\ndata: {"broken":\n\n',
}


class Encoder(Protocol):
    """Writes one streamed answer; each method gives the bytes to send, which may be none."""

    def begin(self) -> bytes:
        """Write what comes at once, before the first token is made."""

    def piece(self, piece: Piece) -> bytes:
        """Write an increment."""

    def end(self, reply: Reply) -> bytes:
        """Write what closes the stream."""


class Codec(Protocol):
    """Reads and writes what one endpoint takes and gives, free of input and output."""

    def read(self, request: Request) -> Ask:
        """Read a question; raises Refused (400) where a field is missing or wrong."""

    def write(self, turn: Turn, reply: Reply) -> Json:
        """Write an answer whole."""


class Wire(Codec, Protocol):
    """The codec of an endpoint that streams too."""

    def encoder(self, turn: Turn) -> Encoder:
        """Give what writes this answer in pieces."""


def answer_by(wire: Wire) -> Answer:
    """Give the function that answers a route by a wire."""

    async def answer(twin: Twin, request: Request) -> Response | Streamed:
        turn = await twin.begin(wire.read(request))
        if turn.ask.stream:
            return Streamed(_chunks(turn, wire.encoder(turn)), turn.headers)
        return await _answered(wire, turn)

    return answer


def answer_whole(codec: Codec) -> Answer:
    """Give the function that answers a route by a codec that does not stream."""

    async def answer(twin: Twin, request: Request) -> Response:
        return await _answered(codec, await twin.begin(codec.read(request)))

    return answer


async def _answered(codec: Codec, turn: Turn) -> Response:
    reply = await turn.whole()
    response = json_response(codec.write(turn, reply), headers=turn.headers)
    if turn.broken:
        return Response(response.body[: len(response.body) // 2], headers=turn.headers)
    return response


async def _chunks(turn: Turn, encoder: Encoder) -> AsyncGenerator[bytes, None]:
    pieces, broken = turn.pieces(), _BROKEN[turn.ask.protocol]
    try:
        first = encoder.begin()
        async for piece in pieces:
            chunk = broken if isinstance(piece, Broken) else first + encoder.piece(piece)
            first = b"" if not isinstance(piece, Broken) else first
            if chunk:
                yield chunk
        yield first + encoder.end(turn.reply)
    finally:
        # A generator that is left unfinished would be closed when it is collected, not now.
        await pieces.aclose()
