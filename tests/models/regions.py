"""Providers of one model in several regions, each out of order when a test says so."""

import asyncio

from fanwise.models import Answer, Ended, Model, Text, Usage


class Answered(Exception):
    """An error with a status, as clients raise it."""

    def __init__(self, status, after=None):
        super().__init__(f"status {status}")
        self.status_code = status
        self.retry_after = after


class Region:
    """Answers after `seconds` with its name, or fails as `wrong(now)` says; keeps its requests."""

    def __init__(self, name, *, seconds=1.0, wrong=lambda now: None, model="m"):
        self.name = f"{name}:{model}"
        self.seconds = seconds
        self.wrong = wrong
        self.asked = []  # when
        self.open = self.most = 0

    async def answer(self, request):
        error = await self.reached()
        if error is not None:
            raise error
        return Answer(self.name, Usage(10, 5), self.name, self.name)

    async def reached(self):
        now = asyncio.get_running_loop().time
        self.asked.append(now())
        error = self.wrong(now())
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.open -= 1
        return error


class Speaking(Region):
    """Writes its name letter by letter, and breaks off after `after` of them where it fails."""

    after = 0

    async def pieces(self, request):
        error = await self.reached()
        for number, letter in enumerate(self.name):
            if error is not None and number == self.after:
                raise error
            yield Text(letter)
        yield Ended(Usage(10, 5), "stop", self.name)


def out(start, end, error=None):
    """Say that it fails between two instants."""
    raised = ConnectionError("down") if error is None else error
    return lambda now: raised if start <= now < end else None


def models(*regions, **policy):
    """Give a model for each."""
    return [Model(each, **policy) for each in regions]
