"""What the adapters use of the libraries below them that these do not promise.

Where a new version moves one of these names, this says which, and where it is used: without it, the
adapters would go on in silence, slower, or with connections that close late.
"""

import inspect
from dataclasses import fields

import anthropic
import httpx2
import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions
from pydantic_ai.models.anthropic import AnthropicStreamedResponse
from pydantic_ai.models.google import GeminiStreamedResponse
from pydantic_ai.models.openai import (
    OpenAIChatModel,
    OpenAIResponsesStreamedResponse,
    OpenAIStreamedResponse,
)

from fanwise.providers._ai._openai_chat import DirectChat, DirectStream, make_direct

STREAMS = [
    OpenAIStreamedResponse,
    OpenAIResponsesStreamedResponse,
    AnthropicStreamedResponse,
    GeminiStreamedResponse,
]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_holds_the_response_that_break_off_reads_to_its_end(stream):
    """`_closing.break_off`: there is no public way to the generators below a stream."""
    assert "_response" in {field.name for field in fields(stream)}


@pytest.mark.parametrize(("ours", "theirs"), [
    (DirectChat, OpenAIChatModel), (DirectStream, OpenAIStreamedResponse),
])  # fmt: skip
def test_counts_are_read_where_our_reader_stands(ours, theirs):
    """`_openai_chat`: theirs looks the price table up for each answer, and stops the loop."""
    assert "_map_usage" in vars(ours)
    assert list(inspect.signature(theirs._map_usage).parameters) == ["self", "response"]
    source = inspect.getsource(inspect.getmodule(theirs))
    assert "self._map_usage(" in source


def test_a_chat_model_takes_our_class_of_streams():
    """`_openai_chat.DirectChat`; theirs says that subclasses may say another."""
    assert isinstance(vars(OpenAIChatModel)["_streamed_response_cls"], property)
    assert "self._streamed_response_cls(" in inspect.getsource(OpenAIChatModel)


@pytest.mark.parametrize("client", [openai.AsyncOpenAI, anthropic.AsyncAnthropic])
def test_a_client_has_its_connections_where_we_listen(client):
    """`_openai._client`, `_anthropic._client`: the connections of a client have no public name."""
    http = httpx2.AsyncClient()
    assert client(api_key="k", http_client=http)._client is http


def test_the_completions_of_a_client_can_be_put_in_their_place():
    """`_openai_chat.make_direct`: they are a cached property, and keep their client."""
    client = openai.AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient())
    make_direct(client)
    assert client.chat.completions is vars(client.chat)["completions"]
    assert client.chat.completions._client is client
    assert '{"bearer_auth": True}' in inspect.getsource(AsyncCompletions.create)
