"""Providers that answer by script, and count how they were let go."""

import asyncio

from fanwise.models import Answer, Ended, Usage


class Scripted:
    """Answers with its texts in turn, each after `seconds`; an exception among them is raised."""

    def __init__(self, *texts, seconds=1.0, finish="stop", usage=None, name="fake:scripted"):
        self.name = name
        self.texts = list(texts)
        self.seconds = seconds
        self.finish = finish
        self.usage = usage or Usage(10, 5)
        self.requests = []
        self.begun = self.cancelled = 0

    async def answer(self, request):
        self.begun += 1
        self.requests.append(request)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(text, BaseException):
            raise text
        if isinstance(text, Answer):
            return text
        return Answer(text, self.usage, self.name, text, finish=self.finish)


class Speaking(Scripted):
    """Gives its pieces, one a second; an exception among them breaks the stream."""

    def __init__(self, *pieces, name="fake:speaking", **more):
        super().__init__(name=name, **more)
        self.given = pieces
        self.opened = self.closed = 0

    async def pieces(self, request):
        self.requests.append(request)
        self.opened += 1
        try:
            for piece in self.given:
                await asyncio.sleep(self.seconds)
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.closed += 1


def ended(tokens_in=10, tokens_out=5, finish="stop"):
    return Ended(Usage(tokens_in, tokens_out), finish, "fake:speaking-1")
