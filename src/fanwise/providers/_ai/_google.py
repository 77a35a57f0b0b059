"""Google: the Gemini API."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import httpx2
from google.genai import Client
from google.genai.types import EmbedContentConfig, HttpOptions, HttpRetryOptions
from pydantic_ai.models import Model
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider

from fanwise.models import Embedded, Usage
from fanwise.models._embedder import Kind
from fanwise.providers._ai._adapter import Adapter
from fanwise.providers._ai._given import Given
from fanwise.providers._ai._http import listen_on
from fanwise.text import tokens_estimated

_MILLISECONDS: Final = 600_000  # as of the other clients; steps have `timeout=`


if TYPE_CHECKING:
    from google.genai.types import ContentListUnion


@dataclass(frozen=True, slots=True)
class _Maker:
    """The user's client, or what one is made of over the connections of a loop."""

    name: str
    given: Given[Client]

    def client(self, http: httpx2.AsyncClient | None) -> Client:
        if self.given.client is not None:
            return self.given.client
        options = HttpOptions(
            base_url=self.given.base_url,
            httpx_async_client=http or self.given.http,
            retry_options=HttpRetryOptions(attempts=1),
            timeout=_MILLISECONDS,
        )
        return Client(vertexai=False, api_key=self.given.key, http_options=options)

    def model(self, client: Client) -> Model[Client]:
        return GoogleModel(self.name, provider=GoogleProvider(client=client))


class Google(Adapter[Client]):
    """A model of Google, an embedding model among them."""

    __slots__ = ()

    most = 100
    """Texts in one request of embeddings (ai.google.dev/api/embeddings)."""

    async def embed(self, texts: Sequence[str], kind: Kind, /) -> Embedded:
        """Give a vector for each text; Google tells no tokens, so they are estimated."""
        client, _ = await self.connected()
        contents = cast("ContentListUnion", [*texts])  # a list, which mypy takes for exact
        found = await client.aio.models.embed_content(
            model=self.model,
            contents=contents,
            config=EmbedContentConfig(task_type=_TASKS[kind]),
        )
        vectors = tuple(each.values or [] for each in found.embeddings or ())
        usage = Usage(sum(map(tokens_estimated, texts)), 0, estimated=True)
        return Embedded(vectors, usage, self.name)


_TASKS: Final[dict[Kind, str]] = {"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"}


def google(
    name: str,
    *,
    client: Client | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
) -> Google:
    """Make the adapter of a model of Google; see `fanwise.providers.google`."""
    if key is None and client is None:
        key = os.environ.get("GOOGLE_API_KEY") or os.environ.get("GEMINI_API_KEY")
    given = Given(f"google:{name}", client, key, base_url, http)
    given.check_client(Client, "a google.genai.Client")
    if key is None and client is None:
        raise given.without_key("GOOGLE_API_KEY", "GEMINI_API_KEY")
    if http is not None:
        listen_on(http)
    return Google(given.address, _Maker(name, given), borrowed=given.borrowed, marks=False)


def google_maker(_address: str) -> object:
    """Give the constructor, for the registry."""
    return google
