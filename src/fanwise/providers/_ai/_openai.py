"""OpenAI, and every address that speaks its protocol: chat completions, or responses."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Final, Literal, get_args

import httpx2
from openai import AsyncOpenAI, OpenAIError
from openai.types import Batch
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from fanwise.models import BatchResult, BatchState, BatchStatus, Embedded, Request, Usage
from fanwise.models._embedder import Kind
from fanwise.providers._ai import _batches
from fanwise.providers._ai._adapter import Adapter
from fanwise.providers._ai._given import Given, nowhere
from fanwise.providers._ai._http import listen_on
from fanwise.providers._ai._openai_chat import DirectChat, make_direct
from fanwise.providers._ai._openai_rehearsal import rehearse_chat, rehearse_responses

Api = Literal["chat", "responses"]

_NO_KEY: Final = "no-key"  # servers of one's own ask for none, and the client insists on some text


@dataclass(frozen=True, slots=True)
class _Maker:
    """A client, whose connections are replaced by those of the loop, and how the model is made."""

    name: str
    owned: AsyncOpenAI
    api: Api
    compatible: bool

    def client(self, http: httpx2.AsyncClient | None) -> AsyncOpenAI:
        if http is None:
            client = self.owned.with_options(max_retries=0)
        else:
            client = self.owned.with_options(max_retries=0, http_client=http)
        make_direct(client)
        return client

    def model(self, client: AsyncOpenAI) -> Model[AsyncOpenAI]:
        provider: OpenAICompatibleProvider | OpenAIProvider
        if self.compatible:
            provider = OpenAICompatibleProvider("openai-compatible", openai_client=client)
            profile = OpenAIModelProfile()
        else:
            provider = OpenAIProvider(openai_client=client)
            profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
        if self.api == "responses":
            return OpenAIResponsesModel(self.name, provider=provider)
        return DirectChat(self.name, provider=provider, profile=profile)


class Compatible(Adapter[AsyncOpenAI]):
    """A model behind any address that speaks OpenAI's protocol, an embedding model among them."""

    __slots__ = ()

    most = 2048
    """Texts in one request of embeddings (platform.openai.com/docs/api-reference/embeddings)."""

    async def embed(self, texts: Sequence[str], kind: Kind, /) -> Embedded:  # noqa: ARG002 - one for both
        """Give a vector for each text."""
        client, _ = await self.connected()
        with self.hearing():
            found = await client.embeddings.create(input=list(texts), model=self.model)
        vectors = sorted(found.data, key=attrgetter("index"))
        usage = Usage(found.usage.prompt_tokens, 0)
        return Embedded(tuple(each.embedding for each in vectors), usage, self.name)


class OpenAI(Compatible):
    """A model of OpenAI, with its batch API, which is asked for responses."""

    __slots__ = ()

    async def submit(self, requests: Mapping[str, Request], /) -> str:
        """Hand in requests by their custom ids and give the id of the batch."""
        model = await self._batch_model()
        return await _batches.submit(model, requests, partial(self.ask, model=model))

    async def status(self, handle: str, /) -> BatchStatus:
        """Say how far the batch is."""
        return _status(await (await self.connected())[0].batches.retrieve(handle))

    async def results(self, handle: str, /) -> AsyncGenerator[BatchResult]:
        """Give what became of its requests, in any order."""
        for result in await _batches.results(await self._batch_model(), self.name, handle):
            yield result

    async def cancel(self, handle: str, /) -> None:
        """Ask OpenAI to stop the batch."""
        await (await self.connected())[0].batches.cancel(handle)

    async def _batch_model(self) -> OpenAIResponsesModel:
        provider = OpenAIProvider(openai_client=(await self.connected())[0])
        return OpenAIResponsesModel(self.model, provider=provider)


def _status(batch: Batch) -> BatchStatus:
    counts = batch.request_counts
    errors = (batch.errors.data if batch.errors else None) or []
    return BatchStatus(
        _STATES.get(batch.status, "running"),
        counts.total if counts else 0,
        counts.completed if counts else 0,
        counts.failed if counts else 0,
        "; ".join(error.message or error.code or "" for error in errors),
    )


_STATES: Final[dict[str, BatchState]] = {
    "cancelling": "cancelling",
    "completed": "ended",
    "failed": "ended",
    "expired": "ended",
    "cancelled": "ended",
}


def openai(
    name: str,
    *,
    client: AsyncOpenAI | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
    api: Api = "chat",
) -> OpenAI:
    """Make the adapter of a model of OpenAI; see `fanwise.providers.openai`."""
    given = Given(f"openai:{name}", client, key, base_url, http)
    if (key, client) == (None, None) and (base_url or os.environ.get("OPENAI_BASE_URL")):
        given = replace(given, key=os.environ.get("OPENAI_API_KEY") or _NO_KEY)
    maker = _Maker(name, _client(given, api), api, compatible=False)
    return OpenAI(given.address, maker, borrowed=given.borrowed, marks=True)


def compatible(
    name: str,
    *,
    client: AsyncOpenAI | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
    api: Api = "chat",
) -> Compatible:
    """Make the adapter of a model behind another address; see `fanwise.providers`."""
    if client is None and base_url is None and "OPENAI_BASE_URL" not in os.environ:
        raise ValueError(
            f"model='openai-compatible:{name}' needs a server's address: set OPENAI_BASE_URL, or"
            f" use fanwise.providers.openai_compatible({name!r}, base_url='http://...')"
        )
    if key is None and client is None:
        key = os.environ.get("OPENAI_API_KEY") or _NO_KEY
    given = Given(f"openai-compatible:{name}", client, key, base_url, http)
    maker = _Maker(name, _client(given, api), api, compatible=True)
    return Compatible(given.address, maker, borrowed=given.borrowed, marks=False)


def _client(given: Given[AsyncOpenAI], api: Api) -> AsyncOpenAI:
    """Give the user's client, or one over connections that are put in at the first question."""
    if api not in get_args(Api):
        raise ValueError(f'api is "chat" or "responses", got {api!r}')
    given.check_client(AsyncOpenAI, "an openai.AsyncOpenAI")
    given.check_environment("OPENAI_BASE_URL")
    if api == "responses":
        rehearse_responses()
    if given.client is not None:
        listen_on(given.client._client)  # noqa: SLF001 - it has no public name
        return given.client
    http = given.http or nowhere()
    listen_on(http)
    try:
        return AsyncOpenAI(api_key=given.key, base_url=given.base_url, http_client=http)
    except OpenAIError as error:
        more = "" if api == "chat" else f", api={api!r}"
        raise given.without_key("OPENAI_API_KEY", more=more) from error


def openai_maker(_address: str) -> object:
    """Give the constructor, for the registry."""
    return openai


def compatible_maker(_address: str) -> object:
    """Give the constructor, for the registry."""
    return compatible


rehearse_chat()
