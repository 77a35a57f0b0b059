"""Models on a twin in the loop, over both wires."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fanwise.models import Model
from fanwise.providers import anthropic, openai
from fanwise.testing.twin import Twin

WIRES = ["openai", "anthropic"]


@asynccontextmanager
async def model_on(twin: Twin, wire: str, **policy: object) -> AsyncIterator[Model]:
    """Give a model that asks the twin over this wire."""
    async with twin.client() as http:
        if wire == "openai":
            provider = openai("m", key="k", base_url="http://twin/v1", http=http)
        else:
            provider = anthropic("m", key="k", base_url="http://twin", http=http)
        yield Model(provider, **policy)
        # The clients leave generators of closed streams to the garbage collector.
        gc.collect(1)
        for _ in range(20):
            await asyncio.sleep(0)
