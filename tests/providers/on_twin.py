"""The adapters of every provider that the twin speaks for, over a twin in the same loop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fanwise import providers
from fanwise.models import Model
from fanwise.providers._ai import _anthropic, _google, _openai
from fanwise.testing import no_orphans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

    from fanwise.testing.twin import Twin

IMPORTED = (_anthropic, _google, _openai)
"""Before a loop runs, in which importing would block."""

SPOKEN = ("openai", "openai-responses", "openai-compatible", "anthropic")
"""Adapters, by name; the model behind each is `claude-haiku-4-5` or `m`."""


def adapter(name: str, http: httpx2.AsyncClient) -> Any:
    """Give an adapter over these connections."""
    match name:
        case "openai":
            return providers.openai("m", key="k", base_url="http://twin/v1", http=http)
        case "openai-responses":
            make = providers.openai
            return make("m", key="k", base_url="http://twin/v1", http=http, api="responses")
        case "openai-compatible":
            return providers.openai_compatible("m", base_url="http://twin/v1", http=http)
        case _:
            make = providers.anthropic
            return make("claude-haiku-4-5", key="k", base_url="http://twin", http=http)


@asynccontextmanager
async def on_twin(name: str, twin: Twin, **policy: Any) -> AsyncIterator[Model]:
    """Give a model over the twin; nothing that was made for it is left behind."""
    with no_orphans():
        async with twin.client() as http:
            yield Model(adapter(name, http), **policy)
