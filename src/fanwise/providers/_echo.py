"""The model `local:echo`: says again what it was told last, for tests and first steps."""

import re
from collections.abc import AsyncGenerator
from typing import Final

from fanwise.models import Answer, Ended, Finish, Prompt, RawPiece, Request, Text, Usage
from fanwise.text import tokens_estimated

_NAME: Final = "local:echo"
_WORD: Final = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+$")


class Echo:
    """A model without key and network that answers with the text of the last message.

    Of a `Prompt` it says the task. It calls no tools, fits no type but by chance, and streams word
    by word; the same question gives the same answer on every machine. An answer that would be
    longer than `max_tokens` (estimated) is cut after a word.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Show the address."""
        return f"<Model {_NAME}>"

    @property
    def name(self) -> str:
        """The model's address."""
        return _NAME

    async def answer(self, request: Request) -> Answer[str]:
        """Answer with what was asked."""
        words, finish = _said(request)
        text = "".join(words)
        return Answer(text, _used(request, text), _NAME, text, finish=finish)

    async def pieces(self, request: Request) -> AsyncGenerator[RawPiece]:
        """Give the answer, a word at a time."""
        words, finish = _said(request)
        for word in words:
            yield Text(word)
        yield Ended(_used(request, "".join(words)), finish, _NAME)


def _said(request: Request) -> tuple[list[str], Finish]:
    """Give the words of the answer, with the space before each, and why it ends."""
    asked = request.asked
    messages = request.chat.messages
    text = asked.task if isinstance(asked, Prompt) else messages[-1].text if messages else ""
    words = _WORD.findall(text)
    if request.max_tokens is None or tokens_estimated(text) <= request.max_tokens:
        return words, "stop"
    kept: list[str] = []
    for word in words:
        if tokens_estimated("".join((*kept, word))) > request.max_tokens:
            break
        kept.append(word)
    return kept, "length"


def _used(request: Request, text: str) -> Usage:
    chat = request.chat
    asked = "".join((chat.system, chat.shared, *(message.text for message in chat.messages)))
    return Usage(tokens_estimated(asked), tokens_estimated(text), estimated=True)


def echo(_address: str) -> Echo:
    """Make the model for its address."""
    return Echo()
