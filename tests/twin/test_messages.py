"""Anthropic's messages through the official client."""

import json

import anthropic
import pytest
from pydantic import BaseModel

from fanwise.testing.twin import Calls, Fault, Law, Saying, ToolUse, Twin
from tests.twin.clients import clients

WEATHER = {
    "name": "weather",
    "description": "The weather of a town",
    "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}},
}
ASKED = {"role": "user", "content": "How is the weather in Oslo and in Rome?"}
BOTH = Calls(
    [("weather", {"town": "Oslo"}), ("weather", {"town": "Rome"})],
    before="I look.",
    after="It is: {results}",
)


class Person(BaseModel):
    name: str
    age: int


def asking(**more):
    return {"model": "m", "max_tokens": 500, "messages": [ASKED], **more}


async def test_tools_are_called_and_their_results_come_back():
    twin = Twin(answers=BOTH)
    async with clients(twin) as by:
        first = await by.anthropic.messages.create(**asking(tools=[WEATHER]))
        assert first.stop_reason == "tool_use"
        assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
        uses = first.content[1:]
        assert [use.input for use in uses] == [{"town": "Oslo"}, {"town": "Rome"}]
        assert len({use.id for use in uses}) == 2
        assert all(use.id.startswith("toolu_") for use in uses)
        results = [
            {"type": "tool_result", "tool_use_id": use.id, "content": f"{use.input['town']} dry"}
            for use in uses
        ]
        told = [ASKED, first.to_param(), {"role": "user", "content": results}]
        last = await by.anthropic.messages.create(**asking(tools=[WEATHER], messages=told))
    assert last.stop_reason == "end_turn"
    assert last.content[0].text == "It is: Oslo dry\nRome dry"


async def test_calls_are_streamed_as_pieces_of_json():
    events = []
    async with (
        clients(Twin(answers=BOTH)) as by,
        by.anthropic.messages.stream(**asking(tools=[WEATHER])) as stream,
    ):
        async for event in stream:
            events.append(event)
        message = await stream.get_final_message()
    raw = [event.type for event in events if event.type not in ("text", "input_json")]
    assert raw[0] == "message_start"
    assert raw[-2:] == ["message_delta", "message_stop"]
    assert raw.count("content_block_start") == raw.count("content_block_stop") == 3
    pieces = [event.partial_json for event in events if event.type == "input_json"]
    assert "".join(pieces) == '{"town":"Oslo"}{"town":"Rome"}'
    assert max(map(len, pieces)) <= 4  # a token each
    assert [block.input for block in message.content[1:]] == [{"town": "Oslo"}, {"town": "Rome"}]
    assert message.usage.output_tokens == 2 + 4 + 4
    assert message.stop_reason == "tool_use"


async def test_the_start_of_a_stream_tells_the_input_and_its_end_the_output():
    usages = []
    async with clients(Twin()) as by:
        stream = await by.anthropic.messages.create(**asking(stream=True))
        async for event in stream:
            if event.type == "message_start":
                usages.append(event.message.usage)
            if event.type == "message_delta":
                usages.append(event.usage)
    start, end = usages
    assert (start.input_tokens, end.input_tokens) == (10, 10)
    assert (start.output_tokens, end.output_tokens) == (1, 10)


async def test_a_tool_that_must_be_called_is_called():
    async with clients(Twin()) as by:
        for choice in ({"type": "tool", "name": "weather"}, {"type": "any"}):
            found = await by.anthropic.messages.create(
                **asking(tools=[WEATHER], tool_choice=choice)
            )
            assert found.content[0].name == "weather"


async def test_a_structured_answer_fits_its_type():
    messages = [{"role": "user", "content": "name: Ada\nage: 36"}]
    async with clients(Twin()) as by:
        found = await by.anthropic.messages.parse(
            model="m", max_tokens=500, messages=messages, output_format=Person
        )
        assert found.parsed_output.age == 36
        async with by.anthropic.messages.stream(
            model="m", max_tokens=500, messages=messages, output_format=Person
        ) as stream:
            last = await stream.get_final_message()
    assert last.parsed_output == found.parsed_output


async def test_wrong_json_does_not_fit_and_is_json():
    twin = Twin(faults=[Fault("wrong_json", nth=1)])
    schema = {"type": "json_schema", "schema": Person.model_json_schema()}
    config = {"output_config": {"format": schema}}
    async with clients(twin) as by:
        texts = [
            (await by.anthropic.messages.create(**asking(**config))).content[0].text
            for _ in range(2)
        ]
    with pytest.raises(ValueError, match="validation error"):
        Person.model_validate_json(texts[0])
    json.loads(texts[0])
    Person.model_validate_json(texts[1])


async def test_system_blocks_documents_and_thinking_are_taken():
    seen = []

    def answer(ask):
        seen.append(ask)
        return "ok"

    document = {"type": "text", "media_type": "text/plain", "data": "All of it."}
    turns = [
        {"role": "user", "content": [{"type": "document", "source": document}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}]},
        {"role": "user", "content": "And?"},
    ]
    async with clients(Twin(answers=answer)) as by:
        await by.anthropic.messages.create(
            **asking(
                messages=turns,
                system=[
                    {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
                ],
                thinking={"type": "enabled", "budget_tokens": 1024},
                metadata={"user_id": "u"},
                extra_body={"temperature": 1.0, "top_k": 5},
            )
        )
    parts = [(part.role, part.text, part.mark) for part in seen[0].parts]
    assert parts == [
        ("system", "Be brief.", "5m"),
        ("user", "All of it.", None),
        ("assistant", "", None),
        ("user", "And?", None),
    ]


async def test_an_answer_of_several_blocks_is_given_in_order():
    blocks = [Saying("one"), ToolUse("weather", {"town": "Oslo"}), Saying("two")]
    async with clients(Twin(answers=lambda _ask: blocks)) as by:
        found = await by.anthropic.messages.create(**asking(tools=[WEATHER]))
    assert [block.type for block in found.content] == ["text", "tool_use", "text"]


async def test_tokens_are_counted_as_they_are_charged():
    twin = Twin()
    async with clients(twin) as by:
        asked = asking(tools=[WEATHER], system="Be brief.")
        counted = await by.anthropic.messages.count_tokens(
            **{name: asked[name] for name in ("model", "messages", "tools", "system")}
        )
        used = (await by.anthropic.messages.create(**asked)).usage
    assert counted.input_tokens == used.input_tokens > 20
    assert twin.ledger[0].endpoint == "count_tokens"
    assert twin.ledger[0].counts.tokens_in == 0  # costs nothing


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "?"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"tool_choice": {"type": "tool", "name": "nothing"}, "tools": [WEATHER]}, "nothing"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{"name": "t"}]}, "tools.0.input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "server tools"),
        ({"system": 5}, "system"),
        ({"stream": "yes"}, "stream"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": "x", "content": "y"}],
                    }
                ]
            },
            "unexpected `tool_use_id`",
        ),
        ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(wrong, told):
    twin = Twin()
    async with clients(twin) as by:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await by.anthropic.post("/v1/messages", body=asking(**wrong), cast_to=object)
    error = caught.value.body
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert told in error["error"]["message"]
    assert twin.ledger[0].status == 400


async def test_a_missing_bound_is_told():
    async with clients(Twin()) as by:
        body = {"model": "m", "messages": [ASKED]}
        with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
            await by.anthropic.post("/v1/messages", body=body, cast_to=object)


async def test_what_the_twin_does_not_know_is_not_found_in_the_providers_words():
    async with clients(Twin()) as by:
        with pytest.raises(anthropic.NotFoundError) as caught:
            await by.anthropic.post("/v1/complete", body={}, cast_to=object)
    assert caught.value.body["error"]["type"] == "not_found_error"


async def test_an_overloaded_provider_is_told_so():
    async with clients(Twin(faults=[Fault("status", status=529)])) as by:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await by.anthropic.messages.create(**asking())
    assert caught.value.status_code == 529
    assert caught.value.body["error"]["type"] == "overloaded_error"


async def test_the_beta_client_speaks_the_same():
    async with clients(Twin()) as by:
        found = await by.anthropic.beta.messages.create(**asking(), betas=["some-beta"])
    assert found.content[0].text == ASKED["content"]


async def test_a_closed_stream_told_its_input():
    twin = Twin({"m": Law(per_second=10)})
    async with clients(twin) as by:
        stream = await by.anthropic.messages.create(**asking(stream=True))
        usage = (await anext(stream)).message.usage
        await stream.close()
        del stream
    assert usage.input_tokens == twin.ledger[0].counts.tokens_in == 10
    assert twin.ledger[0].closed
