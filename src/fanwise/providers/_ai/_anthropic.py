"""Anthropic: messages, and message batches."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import httpx2
from anthropic import Anthropic as AnthropicSync
from anthropic import AsyncAnthropic
from anthropic.types.messages import MessageBatch
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider, AsyncAnthropicClient

from fanwise.models import BatchResult, BatchState, BatchStatus, Request
from fanwise.providers._ai import _batches
from fanwise.providers._ai._adapter import Adapter
from fanwise.providers._ai._given import Given, nowhere
from fanwise.providers._ai._http import listen_on
from fanwise.providers._ai._rehearsal import rehearsed

if TYPE_CHECKING:
    from anthropic.types.beta import BetaMessageParam


@dataclass(frozen=True, slots=True)
class _Maker:
    """A client, whose connections are replaced by those of the loop."""

    name: str
    owned: AsyncAnthropic

    def client(self, http: httpx2.AsyncClient | None) -> AsyncAnthropic:
        if http is None:
            return self.owned.with_options(max_retries=0)
        return self.owned.with_options(max_retries=0, http_client=http)

    def model(self, client: AsyncAnthropic) -> Model[AsyncAnthropic]:
        model = AnthropicModel(self.name, provider=AnthropicProvider(anthropic_client=client))
        return cast("Model[AsyncAnthropic]", model)  # its type names the clouds' clients too


class Anthropic(Adapter[AsyncAnthropic]):
    """A model of Anthropic, with its batch API."""

    __slots__ = ()

    async def submit(self, requests: Mapping[str, Request], /) -> str:
        """Hand in requests by their custom ids and give the id of the batch."""
        _, model = await self.connected()
        return await _batches.submit(model, requests, partial(self.ask, model=model))

    async def status(self, handle: str, /) -> BatchStatus:
        """Say how far the batch is."""
        client, _ = await self.connected()
        return _status(await client.messages.batches.retrieve(handle))

    async def results(self, handle: str, /) -> AsyncGenerator[BatchResult]:
        """Give what became of its requests, in any order."""
        _, model = await self.connected()
        for result in await _batches.results(model, self.name, handle):
            yield result

    async def cancel(self, handle: str, /) -> None:
        """Ask Anthropic to stop the batch."""
        client, _ = await self.connected()
        await client.messages.batches.cancel(handle)


_STATES: Final[dict[str, BatchState]] = {"canceling": "cancelling", "ended": "ended"}


def _status(batch: MessageBatch) -> BatchStatus:
    counts = batch.request_counts
    total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    state = _STATES.get(batch.processing_status, "running")
    return BatchStatus(state, total, counts.succeeded, counts.errored)


def anthropic(
    name: str,
    *,
    client: AsyncAnthropic | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
) -> Anthropic:
    """Make the adapter of a model of Anthropic; see `fanwise.providers.anthropic`."""
    given = Given(f"anthropic:{name}", client, key, base_url, http)
    maker = _Maker(name, _client(given))
    return Anthropic(given.address, maker, borrowed=given.borrowed, marks=True)


def _client(given: Given[AsyncAnthropic]) -> AsyncAnthropic:
    """Give the user's client, or one over connections that are put in at the first question."""
    given.check_client(AsyncAnthropicClient, "an anthropic.AsyncAnthropic")
    given.check_environment("ANTHROPIC_BASE_URL")
    if given.client is not None:
        listen_on(given.client._client)  # noqa: SLF001 - it has no public name
        return given.client
    http = given.http or nowhere()
    listen_on(http)
    client = AsyncAnthropic(api_key=given.key, base_url=given.base_url, http_client=http)
    if client.api_key is None and client.auth_token is None and client.credentials is None:
        raise given.without_key("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    return client


def anthropic_maker(_address: str) -> object:
    """Give the constructor, for the registry."""
    return anthropic


def _rehearse() -> None:
    """Have the types of answers built; see `_rehearsal`."""
    said: list[BetaMessageParam] = [{"role": "user", "content": "."}]
    counts = {"input_tokens": 1, "output_tokens": 1}
    texts = {"type": "text", "text": "."}
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    head = {"id": "1", "type": "message", "role": "assistant", "model": "m", "usage": counts}
    whole = head | {"content": [texts, tool], "stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": whole | {"content": []}},
        {"type": "content_block_start", "index": 0, "content_block": texts},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": counts},
        {"type": "message_stop"},
    ]
    http = rehearsed(whole, events)
    with AnthropicSync(api_key="-", base_url="http://rehearsal", http_client=http) as client:
        ask = client.beta.messages.create
        ask(model="m", max_tokens=1, messages=said)
        for _ in ask(model="m", max_tokens=1, messages=said, stream=True):
            pass


_rehearse()
