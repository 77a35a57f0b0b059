"""A provider that says what the test wrote down, at the test's times."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence

from fanwise.models import (
    Answer,
    Ended,
    Message,
    Model,
    RawPiece,
    Request,
    Text,
    ToolBegun,
    ToolCall,
    ToolText,
    Usage,
)

Line = float | Text | ToolBegun | ToolText | Ended | BaseException


def asks(name: str, place: int = 0, /, **arguments: object) -> ToolCall:
    """Ask for a tool; its id says the place."""
    return ToolCall(f"call-{place}", name, arguments)


def message(*calls: ToolCall) -> Message:
    """Make a model's message of tool calls."""
    return Message("assistant", "", calls)


def written(index: int, call: ToolCall, pieces: int = 3) -> list[Line]:
    """Write a tool call as a provider streams it, in so many pieces."""
    text = json.dumps(dict(call.arguments))
    cuts = [len(text) * n // pieces for n in range(pieces + 1)]
    texts = [ToolText(index, text[a:b]) for a, b in itertools.pairwise(cuts)]
    return [ToolBegun(index, call.id, call.name), *texts]


class Scripted:
    """Plays a script: a number waits so many seconds, an error is raised, a piece is given."""

    def __init__(self, *scripts: Sequence[Line], name: str = "fake:one") -> None:
        self.name = name
        self.scripts = list(scripts)
        self.asked: list[Request] = []
        self.closed = 0

    async def answer(self, request: Request) -> Answer[str]:
        """Play the next script, and give its whole text."""
        texts = [piece.text async for piece in self.pieces(request) if isinstance(piece, Text)]
        text = "".join(texts)
        return Answer(text, Usage(1, 1), self.name, text)

    async def pieces(self, request: Request) -> AsyncGenerator[RawPiece]:
        """Play the next script."""
        self.asked.append(request)
        try:
            for line in self.scripts.pop(0):
                if isinstance(line, float | int):
                    await asyncio.sleep(line)
                elif isinstance(line, BaseException):
                    raise line
                else:
                    yield line
        finally:
            self.closed += 1


def end(finish: str = "tools", tokens: tuple[int, int] = (10, 5)) -> Ended:
    """End a message."""
    return Ended(Usage(*tokens), finish, "fake:one")


def says(*lines: Line, **policy: object) -> Model:
    """Make a model that plays one script."""
    return Model(Scripted(lines), **policy)
