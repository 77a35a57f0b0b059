"""The wire of OpenAI's responses, which remembers what was said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._openai_responses import (
    Frame,
    ResponseEvents,
    read_response,
    write_response,
)
from fanwise.testing.twin._reading import has
from fanwise.testing.twin._shelf import owned
from fanwise.testing.twin._values import Part, Saying
from fanwise.testing.twin._wire import answer_by

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request, Response, Streamed
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Ask, Block, Json, Piece, Reply


class Responses:
    """The wire of responses, for one request: what was asked is told again in the answer."""

    def __init__(self, twin: Twin, body: Json) -> None:
        self._twin, self._asked, self._body = twin, Fields(body), body

    def read(self, request: Request) -> Ask:
        """Read a question; the conversation that it goes on comes from the shelf."""
        earlier: tuple[Part, ...] = ()
        if has(self._asked, "previous_response_id"):
            name = self._asked.text("previous_response_id")
            kept = owned(self._twin.shelf.responses, name, request.key, "previous response")
            earlier = kept.parts
        return replace(
            read_response(self._asked, earlier), key=request.key, headers=request.headers
        )

    def frame(self, turn: Turn) -> Frame:
        """Give what every shape of the answer repeats."""
        name = self._twin.name("resp_", turn.number)
        return Frame(name, turn.ask.model, turn.created, self._body)

    def write(self, turn: Turn, reply: Reply) -> Json:
        """Write an answer whole, and keep it unless it is not to be stored."""
        response = write_response(self.frame(turn), reply)
        if response["store"]:
            instructed = turn.ask.parts[1:] if response["instructions"] else turn.ask.parts
            parts = (*instructed, *(_said(block) for block in reply.blocks))
            self._twin.shelf.remember(response, parts, turn.ask.key)
        return response

    def encoder(self, turn: Turn) -> Storing:
        """Give what writes this answer in pieces."""
        return Storing(self, turn, ResponseEvents(self.frame(turn)))


@dataclass(frozen=True, slots=True)
class Storing:
    """The events of one streamed response, which is kept at its end."""

    wire: Responses
    turn: Turn
    events: ResponseEvents

    def begin(self) -> bytes:
        """Write that it began."""
        return self.events.begin()

    def piece(self, piece: Piece) -> bytes:
        """Write an increment."""
        return self.events.piece(piece)

    def end(self, reply: Reply) -> bytes:
        """Write the response whole."""
        self.wire.write(self.turn, reply)
        return self.events.end(reply.finish, reply.counts)


def _said(block: Block) -> Part:
    if isinstance(block, Saying):
        return Part("assistant", block.text)
    return Part("assistant", block.text, call=block.id, tool=block.name)


async def respond(twin: Twin, request: Request) -> Response | Streamed:
    """Answer, whole or in pieces."""
    return await answer_by(Responses(twin, request.json()))(twin, request)
