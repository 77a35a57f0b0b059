"""Models of a test: a provider that says what it is told, in its own time."""

import asyncio

from fanwise.models import Answer, Ended, Model, Text, Usage


class Saying:
    """A provider: `says` is a text, an exception, a function of the request, or a list in turn."""

    def __init__(self, name, says, seconds=0.0, *, finish="stop", tokens=(10, 2)):
        self.name = name
        self.says = says
        self.seconds = seconds
        self.finish = finish
        self.tokens = tokens
        self.requests = []
        self.cancelled = 0

    async def answer(self, request):
        self.requests.append(request)
        says = self.says
        if isinstance(says, list):
            says = says[len(self.requests) - 1]
        elif callable(says):
            says = says(request)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(says, Exception):
            raise says
        return Answer(says, Usage(*self.tokens), self.name, says, finish=self.finish)

    async def pieces(self, request):
        answer = await self.answer(request)
        yield Text(answer.text)
        yield Ended(answer.usage, "stop", self.name)


def saying(name, says, seconds=0.0, **how):
    """A model that says what it is told; `.provider.requests` is what it was asked."""
    return Model(Saying(name, says, seconds, **how))


def numbers_shown(request):
    """The answers that a judge was shown: text -> number."""
    text = request.chat.messages[0].text
    parts = text.split("\n\n[")[1:]
    return {part.split("]\n", 1)[1]: int(part.split("]", 1)[0]) for part in parts}


def liking(wanted):
    """A judge's rule: the number under which it was shown the answer that it likes."""
    return lambda request: str(numbers_shown(request)[wanted])
