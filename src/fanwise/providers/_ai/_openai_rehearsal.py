"""What OpenAI's client builds at its first answers, built before a loop runs; see `_rehearsal`.

Measured, how long the loop would stand still: at the first chat completion 100 ms, at the first
response 330 ms and at its first event 45 ms. The types of responses are many, so they are built
when the first model is made that speaks them.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from openai import OpenAI

from fanwise.providers._ai._rehearsal import rehearsed

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

_ANYWHERE: Final = "http://rehearsal"


@lru_cache(1)
def rehearse_chat() -> None:
    """Have the types of chat completions built, whole ones and pieces."""
    said: list[ChatCompletionMessageParam] = [{"role": "user", "content": "."}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    head = {"id": "1", "created": 1, "model": "m", "usage": counts}
    message = {"role": "assistant", "content": ".", "tool_calls": [call]}
    whole = head | {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    chunk = head | {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": message | {"tool_calls": [call | {"index": 0}]}}],
    }
    http = rehearsed(whole, [chunk])
    with OpenAI(api_key="-", base_url=_ANYWHERE, http_client=http) as client:
        client.chat.completions.create(model="m", messages=said)
        for _ in client.chat.completions.create(model="m", messages=said, stream=True):
            pass


@lru_cache(1)
def rehearse_responses() -> None:
    """Have the types of responses built, whole ones and events."""
    text = {"type": "output_text", "text": ".", "annotations": [], "logprobs": []}
    said = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    call = {"id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    used = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    details = {"input_tokens_details": {"cached_tokens": 0}}
    whole: dict[str, object] = {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [said | {"content": [text]}, call | {"status": "completed"}], "tools": [],
        "parallel_tool_calls": True, "tool_choice": "auto",
        "usage": used | details | {"output_tokens_details": {"reasoning_tokens": 0}},
    }  # fmt: skip
    at = {"item_id": "m", "output_index": 0, "content_index": 0, "sequence_number": 1}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": whole, "sequence_number": 0},
        at | {"type": "response.output_item.added", "item": call},
        at | {"type": "response.output_text.delta", "delta": ".", "logprobs": []},
        at | {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.completed", "response": whole, "sequence_number": 2},
    ]
    http = rehearsed(whole, events)
    with OpenAI(api_key="-", base_url=_ANYWHERE, http_client=http) as client:
        client.responses.create(model="m", input=".")
        for _ in client.responses.create(model="m", input=".", stream=True):
            pass
