"""The official clients, unchanged, each on a twin in the loop; and one way to ask all three."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai

from fanwise.testing.twin import Twin

KEY = "a-key"


@dataclass
class Clients:
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic


@asynccontextmanager
async def clients(twin: Twin, *, retries: int = 0, key: str = KEY) -> AsyncIterator[Clients]:
    """Both clients; they wait at most as long as they do by default."""
    async with twin.client() as http:
        given: dict[str, Any] = {"api_key": key, "http_client": http, "max_retries": retries}
        yield Clients(
            openai.AsyncOpenAI(base_url="http://twin/v1", **given),
            anthropic.AsyncAnthropic(base_url="http://twin", **given),
        )
        # The clients leave generators of closed streams to the garbage collector.
        gc.collect(1)
        for _ in range(20):
            await asyncio.sleep(0)


@dataclass
class Answered:
    text: str
    tokens_in: int  # all of them
    tokens_out: int
    cached: int


class Chat:
    name, errors = "chat", openai

    def __init__(self, by: Clients) -> None:
        self._client = by.openai

    def _create(self, text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        return self._client.chat.completions.create(model="m", messages=messages, **more)

    async def ask(self, text: str, **more: Any) -> Answered:
        found = await self._create(text, **more)
        used = found.usage
        cached = used.prompt_tokens_details.cached_tokens
        said = found.choices[0].message.content
        return Answered(said, used.prompt_tokens, used.completion_tokens, cached)

    async def open(self, text: str, **more: Any) -> Any:
        return await self._create(text, stream=True, **more)

    @staticmethod
    def delta(event: Any) -> str:
        return (event.choices[0].delta.content or "") if event.choices else ""


class Responses:
    name, errors = "responses", openai

    def __init__(self, by: Clients) -> None:
        self._client = by.openai

    async def ask(self, text: str, **more: Any) -> Answered:
        found = await self._client.responses.create(model="m", input=text, **more)
        used = found.usage
        cached = used.input_tokens_details.cached_tokens
        return Answered(found.output_text, used.input_tokens, used.output_tokens, cached)

    async def open(self, text: str, **more: Any) -> Any:
        return await self._client.responses.create(model="m", input=text, stream=True, **more)

    @staticmethod
    def delta(event: Any) -> str:
        return event.delta if event.type == "response.output_text.delta" else ""


class Messages:
    name, errors = "messages", anthropic

    def __init__(self, by: Clients) -> None:
        self._client = by.anthropic

    def _create(self, text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        more = {"max_tokens": 4000, **more}
        return self._client.messages.create(model="m", messages=messages, **more)

    async def ask(self, text: str, **more: Any) -> Answered:
        found = await self._create(text, **more)
        used = found.usage
        whole = used.input_tokens + used.cache_read_input_tokens + used.cache_creation_input_tokens
        said = "".join(block.text for block in found.content if block.type == "text")
        return Answered(said, whole, used.output_tokens, used.cache_read_input_tokens)

    async def open(self, text: str, **more: Any) -> Any:
        return await self._create(text, stream=True, **more)

    @staticmethod
    def delta(event: Any) -> str:
        found = event.type == "content_block_delta" and event.delta.type == "text_delta"
        return event.delta.text if found else ""


SPEAKERS = (Chat, Responses, Messages)
"""Three endpoints, asked in one way."""


async def listen(
    speaker: Any, text: str, *, until: float = math.inf, seen: list | None = None, **more: Any
) -> list[tuple[float, str]]:
    """Read a stream: the pieces of text and their instants; close it after so many characters."""
    seen = [] if seen is None else seen
    stream = await speaker.open(text, **more)
    async for event in stream:
        if piece := speaker.delta(event):
            seen.append((asyncio.get_running_loop().time(), piece))
        if sum(len(each) for _, each in seen) >= until:
            break
    await stream.close()
    return seen


def joined(seen: list[tuple[float, str]]) -> str:
    return "".join(piece for _, piece in seen)
