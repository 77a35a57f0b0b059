"""Official clients that talk to a twin in the same loop, and what tests ask of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fanwise.testing import no_orphans
from fanwise.testing.twin import Ask, Part
from tests.twin.clients import clients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import openai

    from fanwise.testing.twin import Twin


@asynccontextmanager
async def openai_on(twin: Twin, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """Give OpenAI's own client, without retries unless asked for; no task is left behind it."""
    named = {"max_retries": 0, **options}
    with no_orphans():
        async with clients(twin) as both:
            yield both.openai.with_options(**named)


def said(text: str) -> list[Any]:
    """Give the messages of a user who says this."""
    return [{"role": "user", "content": text}]


def asked(text: str = "a question", **more: Any) -> Ask:
    """Give a question as the engine sees it."""
    return Ask(
        **{
            "protocol": "openai",
            "endpoint": "chat",
            "model": "m",
            "parts": (Part("user", text),),
            "key": "key",
            **more,
        }
    )


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()
