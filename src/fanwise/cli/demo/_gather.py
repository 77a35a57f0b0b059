"""The job as it is written first: `asyncio.gather`, and a timeout for each question."""

import asyncio
from collections.abc import Sequence

from fanwise.cli.demo._services import Answer, database, model, news, web


async def answer(question: str) -> Answer:
    """Ask three sources at once, then the model."""
    asked = web(question), database(question), news(question)
    return await model(question, await asyncio.gather(*asked))


async def job(questions: Sequence[str]) -> Sequence[Answer | BaseException]:
    """Answer all questions at once."""
    answers = (asyncio.wait_for(answer(question), 1.5) for question in questions)
    return await asyncio.gather(*answers, return_exceptions=True)
