"""Models of providers, made with what a user brings; nothing is imported before one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar, cast

from fanwise.core import _registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2
    from anthropic import AsyncAnthropic
    from google.genai import Client
    from openai import AsyncOpenAI

    from fanwise.providers._ai._anthropic import Anthropic
    from fanwise.providers._ai._google import Google
    from fanwise.providers._ai._openai import Compatible, OpenAI

A = TypeVar("A")


def openai(
    name: str,
    *,
    client: AsyncOpenAI | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
    api: Literal["chat", "responses"] = "chat",
) -> OpenAI:
    """Make the adapter of a model of OpenAI, to be given to `Model`.

    What is not given is read as OpenAI's client reads it: `OPENAI_API_KEY`, `OPENAI_BASE_URL`,
    `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`. A `client` brings all of it and its connections, as `http`
    does these; the user closes them. `api` is the interface spoken. Raises ValueError without key,
    ImportError without the extra `llm`.
    """
    return cast("Callable[..., OpenAI]", _constructor("openai", name))(
        name, client=client, key=key, base_url=base_url, http=http, api=api
    )


def openai_compatible(
    name: str,
    *,
    client: AsyncOpenAI | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
    api: Literal["chat", "responses"] = "chat",
) -> Compatible:
    """Make the adapter of a model behind any address that speaks OpenAI's protocol.

    As `openai`, but `base_url` (or `OPENAI_BASE_URL`) is needed and a key is not.
    """
    return cast("Callable[..., Compatible]", _constructor("openai-compatible", name))(
        name, client=client, key=key, base_url=base_url, http=http, api=api
    )


def anthropic(
    name: str,
    *,
    client: AsyncAnthropic | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
) -> Anthropic:
    """Make the adapter of a model of Anthropic, to be given to `Model`.

    As `openai`; reads `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `ANTHROPIC_BASE_URL` and the
    profiles of Anthropic's client.
    """
    return cast("Callable[..., Anthropic]", _constructor("anthropic", name))(
        name, client=client, key=key, base_url=base_url, http=http
    )


def google(
    name: str,
    *,
    client: Client | None = None,
    key: str | None = None,
    base_url: str | None = None,
    http: httpx2.AsyncClient | None = None,
) -> Google:
    """Make the adapter of a model of Google (Gemini API), to be given to `Model`.

    As `openai`; reads `GOOGLE_API_KEY` and `GEMINI_API_KEY`.
    """
    return cast("Callable[..., Google]", _constructor("google", name))(
        name, client=client, key=key, base_url=base_url, http=http
    )


async def close_connections() -> None:
    """Close the connections to providers that the running loop has open.

    A loop that ends closes them by itself; calls that run meanwhile fail, later ones connect anew.
    """
    close = cast("Callable[[], Awaitable[None]]", _registry.load("adapter", "close"))
    await close()


def from_address(address: str) -> OpenAI | Compatible | Anthropic | Google:
    """Make the adapter of an address such as "anthropic:claude-haiku-4-5"."""
    provider, _, name = address.partition(":")
    if provider == "openai-responses":
        return openai(name, api="responses")
    make = cast("Callable[[str], OpenAI]", _constructor(provider, name))
    return make(name)


def _constructor(provider: str, name: object) -> object:
    if not isinstance(name, str):
        msg = f"name is that of a model, such as 'gpt-5-mini', got {name!r}"
        raise TypeError(msg)
    try:
        return _registry.load("adapter", provider)
    except ImportError as error:
        if (error.name or "").startswith("fanwise"):
            raise
        raise ImportError(f"model='{provider}:{name}' needs: pip install 'fanwise[llm]'") from error
