"""Answers of OpenAI that nobody asked for: why, `_rehearsal` says.

Chat completions are rehearsed with the import, responses when the first model that speaks them is
made: their types are many more, and most programs need none of them.
"""

from functools import cache
from typing import TYPE_CHECKING

from openai import OpenAI

from fanwise.providers._ai._rehearsal import rehearsed

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam


def rehearse_chat() -> None:
    """Have the types of chat completions built."""
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
    with OpenAI(
        api_key="-", base_url="http://rehearsal", http_client=rehearsed(whole, [chunk])
    ) as client:
        client.chat.completions.create(model="m", messages=said)
        for _ in client.chat.completions.create(model="m", messages=said, stream=True):
            pass


@cache
def rehearse_responses() -> None:
    """Have the types of responses built, once."""
    counts = {
        "input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    text = {"type": "output_text", "text": ".", "annotations": [], "logprobs": []}
    said = {"id": "m", "type": "message", "role": "assistant", "content": [text]}
    call = {"id": "f", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    whole = {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [said | {"status": "completed"}, call], "usage": counts, "tools": [],
        "tool_choice": "auto", "parallel_tool_calls": True,
    }  # fmt: skip
    done = {"type": "response.completed", "sequence_number": 0, "response": whole}
    with OpenAI(
        api_key="-", base_url="http://rehearsal", http_client=rehearsed(whole, [done])
    ) as client:
        client.responses.create(model="m", input=".")
        for _ in client.responses.create(model="m", input=".", stream=True):
            pass
