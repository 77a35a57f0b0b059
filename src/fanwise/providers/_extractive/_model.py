"""The model `local:extractive`: quotes sentences, writes none of its own."""

from collections.abc import AsyncGenerator
from typing import Final

from fanwise.core import step
from fanwise.models import Answer, Ended, Prompt, RawPiece, Request, Text, Usage
from fanwise.providers._extractive._select import select
from fanwise.text import tokens_estimated

_NAME: Final = "local:extractive"


class Extractive:
    """A model without key and network that answers with sentences of the passages.

    It ranks by words, knows no meanings and writes nothing of its own; the same prompt
    gives the same answer on every machine. The work is the processor's and is done in a
    thread, so that the event loop goes on.
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
        """Answer with the best sentences, one a line as `[n] sentence`.

        Stops before the line that would take the answer over `max_tokens` (estimated).
        """
        asked = request.asked
        prompt = asked if isinstance(asked, Prompt) else Prompt(request.chat.messages[-1].text)
        return await choose_sentences(prompt, request.max_tokens)

    async def pieces(self, request: Request) -> AsyncGenerator[RawPiece]:
        """Give the answer, a line at a time."""
        answer = await self.answer(request)
        for line in answer.text.splitlines(keepends=True):
            yield Text(line)
        yield Ended(answer.usage, answer.finish, answer.model)


@step(name="extractive")
def choose_sentences(prompt: Prompt, max_tokens: int | None) -> Answer[str]:
    """Select the sentences and count the tokens that a model would have read and written."""
    lines: list[str] = []
    for quote in select(prompt):
        line = str(quote)
        if max_tokens is not None and tokens_estimated("\n".join((*lines, line))) > max_tokens:
            break
        lines.append(line)
    text = "\n".join(lines)
    used = Usage(tokens_estimated(prompt.text()), tokens_estimated(text), estimated=True)
    return Answer(text, used, _NAME, text)


def extractive(_address: str) -> Extractive:
    """Make the model for its address."""
    return Extractive()
