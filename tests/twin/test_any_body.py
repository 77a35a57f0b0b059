"""Whatever is sent, the twin answers, or tells the caller what is wrong; it never breaks."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise.testing.twin import Twin

NAMES = st.sampled_from(
    [
        *("model", "messages", "input", "max_tokens", "tools", "tool_choice", "system", "stream"),
        *(
            "role",
            "content",
            "type",
            "text",
            "name",
            "input_schema",
            "function",
            "format",
            "schema",
        ),
        *("output_config", "response_format", "requests", "custom_id", "params", "cache_control"),
        *("tool_use_id", "call_id", "output", "arguments", "id", "ttl", "instructions", "source"),
        *("endpoint", "input_file_id", "completion_window", "previous_response_id", "thinking"),
    ]
)
WORDS = st.sampled_from(
    [
        *("m", "user", "assistant", "tool", "text", "tool_use", "tool_result", "image", "document"),
        *("function", "function_call", "function_call_output", "input_text", "json_schema"),
        *("ephemeral", "auto", "any", "message", "custom", "24h", "/v1/responses", ""),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
BLOCKS = st.fixed_dictionaries(
    {"type": WORDS}, optional=dict.fromkeys(("text", "content", "source", "output"), VALUES)
) | st.fixed_dictionaries(
    {
        "type": WORDS,
        "text": WORDS,
        "call_id": WORDS,
        "id": WORDS,
        "name": WORDS,
        "tool_use_id": WORDS,
    }
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": WORDS | st.lists(BLOCKS, max_size=3)})
    | st.fixed_dictionaries({"role": WORDS, "tool_calls": st.lists(BLOCKS, max_size=2)})
    | BLOCKS,
    min_size=1,
    max_size=3,
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS, "input_schema": VALUES, "type": WORDS, "function": VALUES}
    ),
    max_size=2,
)
ASKED = [{"role": "user", "content": "?"}]
WHOLE = {"model": "m", "messages": ASKED, "input": "?", "max_tokens": 9}
PATHS = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
    "/v1/responses",
    "/v1/batches",
    "/v1/chat/completions",
    "/v1/embeddings",
)


async def sent(path, body):
    twin = Twin(answers="echo")
    async with twin.client() as http:
        response = await http.post(path, content=json.dumps(body))
        return response.status_code, response.text


@pytest.mark.parametrize("path", PATHS)
@given(changed=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
@settings(max_examples=60)
async def test_a_changed_request_is_answered_or_refused(path, changed):
    status, text = await sent(path, WHOLE | changed)
    assert status in (200, 400, 404), text
    if status != 200:
        error = json.loads(text)["error"]
        assert error["message"]
        assert error["type"] in ("invalid_request_error", "not_found_error")


@pytest.mark.parametrize("path", PATHS)
@given(messages=MESSAGES, tools=st.none() | TOOLS, choice=VALUES)
@settings(max_examples=60)
async def test_changed_messages_are_answered_or_refused(path, messages, tools, choice):
    body = {**WHOLE, "messages": messages, "input": messages, "tools": tools, "tool_choice": choice}
    status, text = await sent(path, body)
    assert status in (200, 400, 404), text


@pytest.mark.parametrize("path", PATHS)
@given(body=VALUES)
@settings(max_examples=30)
async def test_a_body_that_is_no_request_is_refused(path, body):
    status, text = await sent(path, body)
    assert status in (400, 404), text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": NaN', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_refused(path, body):
    async with Twin().client() as http:
        response = await http.post(path, content=body)
    assert response.status_code == 400
