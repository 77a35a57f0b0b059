"""The job as it is written next: a semaphore, a timeout for each request, three tries."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fanwise.cli.demo._services import Answer, database, model, news, web
from fanwise.testing.faults import Refused

T = TypeVar("T")


async def tried(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, with a timeout; twice more where that fails in a way that may pass."""
    for wait in (0.1, 0.2):
        try:
            return await asyncio.wait_for(ask(), 0.5)
        except (TimeoutError, ConnectionError, Refused):
            await asyncio.sleep(wait)
    return await asyncio.wait_for(ask(), 0.5)


async def answer(question: str, gate: asyncio.Semaphore) -> Answer:
    """Ask three sources at once, then the model."""
    async with gate:
        found = await asyncio.gather(
            tried(lambda: web(question)),
            tried(lambda: database(question)),
            tried(lambda: news(question)),
        )
        return await tried(lambda: model(question, found))


async def job(questions: Sequence[str]) -> Sequence[Answer | BaseException]:
    """Answer twelve questions at once, for no service refuses twelve."""
    gate = asyncio.Semaphore(12)
    answers = (answer(question, gate) for question in questions)
    return await asyncio.gather(*answers, return_exceptions=True)
