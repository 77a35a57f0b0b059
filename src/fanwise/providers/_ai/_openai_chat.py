"""Chat completions without the work that nobody needs.

Measured per call, one after the other, against OpenAI's own client (`make bench`, models): over
pydantic-ai as it is 1.4 times its processor time, as here less than 1.3. Two parts are left out:

- OpenAI's client walks through every request along its type annotations in order to rename fields
  and to format dates, a quarter of a millisecond. What pydantic-ai hands over is JSON already, and
  goes to the client's public `post` as it is.
- pydantic-ai looks up the provider's price table in order to find the counts of a response, and
  reads this table, which stops the loop, at the first. OpenAI's counts have fixed places.

Their names that are not promised, `_map_usage` and `bearer_auth`, are held on to by
`tests/providers/test_below.py`, which says so where a version moves them.
"""

from collections.abc import Mapping
from typing import Final, cast

from openai import AsyncOpenAI, AsyncStream, NotGiven, Omit, RequestOptions
from openai.resources.chat.completions import AsyncCompletions
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.usage import RequestUsage

_BESIDE: Final = frozenset({"stream", "timeout", "extra_headers", "extra_query", "extra_body"})
_LEFT_OUT: Final = (Omit, NotGiven)


class DirectCompletions(AsyncCompletions):
    """Sends what pydantic-ai prepared as it is; put into a client of our own by `make_direct`."""

    async def create(  # type: ignore[override]  # takes what all its overloads take
        self, **given: object
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        """Create a completion; what stands in no body is said in the options."""
        body = {
            name: value
            for name, value in given.items()
            if name not in _BESIDE and not isinstance(value, _LEFT_OUT)
        }
        stream = given.get("stream") is True
        if stream:
            body["stream"] = True
        return await self._client.post(
            "/chat/completions",
            body=body,
            options=_options(given),
            cast_to=ChatCompletion,
            stream=stream,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )


def _options(given: Mapping[str, object]) -> RequestOptions:
    options: dict[str, object] = {"security": {"bearer_auth": True}}
    for name, option in (("extra_headers", "headers"), ("extra_query", "params")):
        if given.get(name) is not None:
            options[option] = given[name]
    if given.get("extra_body") is not None:
        options["extra_json"] = given["extra_body"]
    if not isinstance(given.get("timeout"), (NotGiven, type(None))):
        options["timeout"] = given["timeout"]
    return cast("RequestOptions", options)


def make_direct(client: AsyncOpenAI) -> None:
    """Let the chat completions of a client, which is nobody else's, be sent as they are."""
    vars(client.chat)["completions"] = DirectCompletions(client)


class DirectStream(OpenAIStreamedResponse):
    """A stream whose counts are read from their places."""

    def _map_usage(self, response: ChatCompletionChunk) -> RequestUsage:
        return read_counts(response.usage)


class DirectChat(OpenAIChatModel):
    """A model whose counts are read from their places."""

    def _map_usage(self, response: ChatCompletion) -> RequestUsage:
        return read_counts(response.usage)

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return DirectStream


def read_counts(used: CompletionUsage | None) -> RequestUsage:
    """Read the counts of a response; `prompt_tokens` holds those read from the cache."""
    if used is None:
        return RequestUsage(unmeasured_requests=1)
    details = used.prompt_tokens_details
    return RequestUsage(
        input_tokens=used.prompt_tokens,
        output_tokens=used.completion_tokens,
        cache_read_tokens=(details and details.cached_tokens) or 0,
        cache_write_tokens=(details and getattr(details, "cache_write_tokens", 0)) or 0,
    )
