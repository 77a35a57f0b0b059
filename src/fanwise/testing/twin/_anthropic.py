"""Anthropic's endpoints: messages, the count of their tokens, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin import _anthropic_batches as batches
from fanwise.testing.twin._anthropic_messages import (
    begin_stream,
    end_stream,
    read_message,
    write_message,
    write_piece,
)
from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Response, Route, json_response
from fanwise.testing.twin._values import Counts
from fanwise.testing.twin._wire import answer_by

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Ask, Json, Piece, Reply


class Messages:
    """The wire of messages."""

    def read(self, request: Request) -> Ask:
        """Read a question."""
        return replace(
            read_message(Fields(request.json())), key=request.key, headers=request.headers
        )

    def write(self, turn: Turn, reply: Reply) -> Json:
        """Write an answer whole."""
        return write_message(reply, id=_name(turn), model=turn.ask.model)

    def encoder(self, turn: Turn) -> MessageEvents:
        """Give what writes this answer in pieces."""
        return MessageEvents(turn)


@dataclass(frozen=True, slots=True)
class MessageEvents:
    """The events of one streamed message."""

    turn: Turn

    def begin(self) -> bytes:
        """Write the message without its content, and what is known of the tokens."""
        return begin_stream(self.turn.counts(), id=_name(self.turn), model=self.turn.ask.model)

    def piece(self, piece: Piece) -> bytes:
        """Write an increment."""
        return write_piece(piece)

    def end(self, reply: Reply) -> bytes:
        """Write why it ended, and the counts."""
        return end_stream(reply.finish, reply.counts)


def _name(turn: Turn) -> str:
    return turn.twin.name("msg_", turn.number)


async def count_tokens(twin: Twin, request: Request) -> Response:
    """Count the tokens of a message that is not sent; costs nothing, and takes no quota."""
    ask = replace(read_message(Fields(request.json()), endpoint="count_tokens"), key=request.key)
    entry = twin.enter(ask)
    entry.status, entry.ended_at = 200, entry.time
    twin.ledger.settle(entry, Counts())
    return json_response({"input_tokens": ask.tokens})


_BATCHES: Final = "/v1/messages/batches"

ROUTES: Final = tuple(
    Route(method, path, answer, "anthropic")
    for method, path, answer in (
        ("POST", "/v1/messages", answer_by(Messages())),
        ("POST", "/v1/messages/count_tokens", count_tokens),
        ("POST", _BATCHES, batches.create),
        ("GET", _BATCHES, batches.listing),
        ("GET", _BATCHES + "/{id}", batches.retrieve),
        ("DELETE", _BATCHES + "/{id}", batches.delete),
        ("GET", _BATCHES + "/{id}/results", batches.results),
        ("POST", _BATCHES + "/{id}/cancel", batches.cancel),
    )
)
