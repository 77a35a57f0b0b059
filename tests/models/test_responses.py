"""Responses of every client that people have are read by their shape."""

import sys
import types as modules

import pytest
from anthropic.types import Message
from google.genai import types as google
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from fanwise import Runtime, current, step
from fanwise.core import Reading
from fanwise.core._settlement import reader_of


def read(response):
    reader = reader_of(type(response))
    return reader.whole(response)


def metered(pieces, *, broken=False):
    meters = [reader_of(type(piece)).meter for piece in pieces]
    meter = meters[0]()
    found = [meter.take(piece) for piece in pieces]
    return [each for each in [*found, meter.close(broken=broken)] if each is not None]


def completion(**more):
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "hé"},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    given = {"id": "a", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06"}
    return ChatCompletion.model_validate(given | {"choices": [choice], "usage": usage} | more)


def test_a_chat_completion():
    plain = Reading("gpt-4o-2024-08-06", 100, 7, finish="stop", said=3)
    assert read(completion()) == plain
    assert read(completion(service_tier="default")) == plain
    assert read(completion(service_tier="flex")) == plain._replace(tier="flex")
    assert read(completion(usage=None)) == plain._replace(tokens_in=0, tokens_out=0, estimated=True)


def test_openai_embeddings_only_read():
    found = CreateEmbeddingResponse.model_validate({
        "data": [], "model": "text-embedding-3-small", "object": "list",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    })  # fmt: skip
    assert read(found) == Reading("text-embedding-3-small", 5, 0, finish="stop")


def test_what_anthropic_leaves_out_of_its_input_is_added():
    found = Message.model_validate({
        "id": "m", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None,
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "max_tokens",
        "usage": {
            "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 1000, "service_tier": "batch",
            "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
        },
    })  # fmt: skip
    assert read(found) == Reading(
        "claude", 1110, 5, cached=100, written=1000, written_hour=600, tier="batch",
        finish="length", said=5,
    )  # fmt: skip


def gemini(text, *, reason=None, counts=(0, 0, 0)):
    read_, said, thought = counts
    return google.GenerateContentResponse.model_validate({
        "response_id": "r", "model_version": "gemini-2.5-pro",
        "candidates": [{"content": {"parts": [{"text": text}]}, "finish_reason": reason}],
        "usage_metadata": {
            "prompt_token_count": read_, "candidates_token_count": said,
            "thoughts_token_count": thought, "cached_content_token_count": 4,
        },
    })  # fmt: skip


def test_google_counts_thoughts_as_written():
    assert read(gemini("hello", reason="MAX_TOKENS", counts=(9, 5, 2))) == Reading(
        "gemini-2.5-pro", 9, 7, cached=4, finish="length", said=5
    )


def test_the_pieces_of_google_count_so_far():
    pieces = [gemini("out", counts=(9, 1, 0)), gemini("come", reason="STOP", counts=(9, 5, 2))]
    assert metered(pieces) == [Reading("gemini-2.5-pro", 9, 7, cached=4, finish="stop", said=7)]
    (cut,) = metered(pieces[:1], broken=True)
    assert (cut.finish, cut.estimated, cut.tokens_in) == ("cut", True, 9)


USED = {
    "input_tokens": 20, "output_tokens": 3, "total_tokens": 23,
    "input_token_details": {"cache_read": 8, "cache_creation": 2},
}  # fmt: skip


def test_a_message_of_langchain():
    told = {"model_name": "gpt-4o", "finish_reason": "length"}
    found = AIMessage("hello", usage_metadata=USED, response_metadata=told)
    assert read(found) == Reading("gpt-4o", 20, 3, cached=8, written=2, finish="length", said=5)
    assert read(AIMessage("somebody wrote it")) is None
    result = LLMResult(
        generations=[[ChatGeneration(message=found)], [ChatGeneration(message=found)]]
    )
    assert read(result) == Reading("gpt-4o", 40, 6, cached=16, written=4, finish="length", said=10)


def test_the_pieces_of_langchain_are_added_up():
    first = AIMessageChunk(
        "out", id="1", usage_metadata={"input_tokens": 20, "output_tokens": 0, "total_tokens": 20}
    )
    last = AIMessageChunk(
        "come", id="1", chunk_position="last", response_metadata={"model_name": "gpt-4o", "finish_reason": "stop"},
        usage_metadata={"input_tokens": 0, "output_tokens": 3, "total_tokens": 3},
    )  # fmt: skip
    assert metered([first, last]) == [Reading("gpt-4o", 20, 3, finish="stop", said=7)]
    (cut,) = metered([first], broken=True)
    assert (cut.tokens_in, cut.estimated, cut.finish) == (20, True, "cut")
    assert read(first + last) == Reading("gpt-4o", 20, 3, finish="stop", said=7)


def lite(name, **more):
    """An object shaped as LiteLLM's (1.80), which cannot be installed beside openai 3."""
    module = modules.ModuleType("litellm.types.utils")
    kind = type(name, (BaseModel,), {
        "__module__": module.__name__, "model_config": {"extra": "allow", "protected_namespaces": ()},
    })  # fmt: skip
    found = kind(**more)
    object.__setattr__(found, "_hidden_params", {"custom_llm_provider": "anthropic"})
    return found


def test_litellm_names_the_provider():
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "cache_read_input_tokens": 9}
    choices = [{"finish_reason": "stop", "message": {"content": "hi"}}]
    found = lite("ModelResponse", model="claude-x", choices=choices, usage=usage)
    assert read(found) == Reading("anthropic/claude-x", 30, 4, cached=9, finish="stop", said=2)
    pieces = [
        lite("ModelResponseStream", id="1", model="claude-x", choices=[{"delta": {"content": "hi"}}]),
        lite("ModelResponseStream", id="1", model="claude-x", choices=[{"delta": {}, "finish_reason": "stop"}], usage=usage),
    ]  # fmt: skip
    assert metered(pieces) == [
        Reading("anthropic/claude-x", 30, 4, cached=9, finish="stop", said=2)
    ]


@pytest.mark.parametrize("value", [[completion()], {"answer": completion()}, "text", 3, object()])
async def test_what_holds_a_response_is_not_searched(value):
    @step
    async def gives():
        return value

    async with Runtime() as runtime:
        await runtime.run(gives())
        assert not runtime.runs[0].record().calls[0].usage


async def test_a_response_inside_is_told_by_hand():
    @step
    async def gives():
        answer = completion()
        current().usage(answer, sent=100, shared=60)
        return {"answer": answer}

    async with Runtime() as runtime:
        await runtime.run(gives())
        (row,) = runtime.runs[0].record().calls
    assert row.usage == {"tokens_in": 100, "tokens_out": 7, "sent": 100, "shared": 60}
    assert row.facts["cost"] == "0.00032"


async def test_what_the_step_tells_itself_counts_and_nothing_else():
    @step
    async def gives():
        current().usage(model="mine", tokens_in=1)
        return completion()

    async with Runtime() as runtime:
        await runtime.run(gives())
        (row,) = runtime.runs[0].record().calls
    assert (row.usage, row.facts["model"]) == ({"tokens_in": 1}, "mine")


async def test_an_object_that_no_reader_knows_is_refused_by_name():
    @step
    async def tells():
        current().usage("text")

    with pytest.raises(TypeError, match=r"ChatCompletion of openai .* got str: say usage\(model="):
        await tells()


async def test_a_response_that_breaks_while_it_is_read_leaves_the_call_whole(caplog):
    class ChatCompletion:
        __module__ = "openai.types"
        choices = ()

        @property
        def usage(self):
            raise ValueError("no")

    @step
    async def gives():
        return ChatCompletion()

    async with Runtime() as runtime:
        await runtime.run(gives())
        assert runtime.runs[0].record().calls[0].status == "ok"
    assert "usage of" in caplog.text


def test_no_client_is_imported_by_the_readers():
    import subprocess

    code = (
        "import sys, fanwise.models._responses; "
        "print([n for n in ('openai', 'anthropic', 'google.genai', 'langchain_core', 'genai_prices') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
