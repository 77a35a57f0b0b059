"""Google: the Gemini API."""

import os
from dataclasses import dataclass
from typing import Final

import httpx2
from google.genai import Client
from google.genai.types import HttpOptions, HttpRetryOptions
from pydantic_ai.models import Model
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider

from fanwise.providers._ai._adapter import Adapter
from fanwise.providers._ai._given import Given
from fanwise.providers._ai._http import listen_on

_MILLISECONDS: Final = 600_000  # as of the other clients; steps have `timeout=`


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
    """A model of Google."""

    __slots__ = ()


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
    if key is None and client is None:
        raise given.without_key("GOOGLE_API_KEY", "GEMINI_API_KEY")
    if http is not None:
        listen_on(http)
    return Google(given.address, _Maker(name, given), borrowed=given.borrowed, marks=False)


def google_maker(_address: str) -> object:
    """Give the constructor, for the registry."""
    return google
