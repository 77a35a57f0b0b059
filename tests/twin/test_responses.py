"""OpenAI's responses through the official client."""

import openai
import pytest
from pydantic import BaseModel

from fanwise.testing.twin import Calls, Fault, Law, Saying, ToolUse, Twin
from tests.twin.clients import clients

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a town",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    "strict": False,
}
QUESTION = "How is the weather in Oslo and in Rome?"
BOTH = Calls(
    [("weather", {"town": "Oslo"}), ("weather", {"town": "Rome"})],
    before="I look.",
    after="It is: {results}",
)


class Person(BaseModel):
    name: str
    age: int


async def test_tools_are_called_and_their_results_come_back():
    async with clients(Twin(answers=BOTH)) as by:
        first = await by.openai.responses.create(model="m", input=QUESTION, tools=[WEATHER])
        assert first.status == "completed"
        assert [item.type for item in first.output] == [
            "message",
            "function_call",
            "function_call",
        ]
        calls = first.output[1:]
        assert [call.arguments for call in calls] == ['{"town":"Oslo"}', '{"town":"Rome"}']
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"{at} dry"}
            for at, call in enumerate(calls)
        ]
        told = [{"role": "user", "content": QUESTION}, *first.output, *results]
        whole = await by.openai.responses.create(model="m", input=told, tools=[WEATHER])
        # The same by reference to what the provider kept.
        short = await by.openai.responses.create(
            model="m", previous_response_id=first.id, input=results, tools=[WEATHER]
        )
    assert whole.output_text == short.output_text == "It is: 0 dry\n1 dry"
    assert whole.usage.input_tokens == short.usage.input_tokens


async def test_the_events_of_a_stream_come_in_order_and_numbered():
    events = []
    async with clients(Twin(answers=BOTH)) as by:
        stream = await by.openai.responses.create(
            model="m", input=QUESTION, tools=[WEATHER], stream=True
        )
        events = [event async for event in stream]
        del stream
    kinds = [event.type.removeprefix("response.") for event in events]
    told = [kind for at, kind in enumerate(kinds) if kind != kinds[at - 1] or at == 0]
    call = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert told == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        *call,
        *call,
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1].response
    assert last.usage.output_tokens == 2 + 4 + 4
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == last.output


async def test_the_clients_own_stream_puts_the_answer_together():
    async with (
        clients(Twin(answers=BOTH)) as by,
        by.openai.responses.stream(model="m", input=QUESTION, tools=[WEATHER]) as stream,
    ):
        async for _ in stream:
            pass
        found = await stream.get_final_response()
        del stream
    assert [item.type for item in found.output] == ["message", "function_call", "function_call"]


async def test_a_structured_answer_fits_its_type():
    async with clients(Twin()) as by:
        found = await by.openai.responses.parse(
            model="m", input="name: Ada\nage: 36", text_format=Person
        )
    assert found.output_parsed.age == 36


async def test_wrong_json_does_not_fit():
    async with clients(Twin(faults=[Fault("wrong_json")])) as by:
        with pytest.raises(ValueError, match="validation error"):
            await by.openai.responses.parse(model="m", input="age: 36", text_format=Person)


async def test_a_cut_answer_is_incomplete():
    async with clients(Twin()) as by:
        found = await by.openai.responses.create(model="m", input=QUESTION, max_output_tokens=3)
        stream = await by.openai.responses.create(
            model="m", input=QUESTION, max_output_tokens=3, stream=True
        )
        last = [event async for event in stream][-1]
        del stream
    assert found.status == "incomplete"
    assert found.incomplete_details.reason == "max_output_tokens"
    assert found.output_text == QUESTION[:12]
    assert found.output[0].status == "incomplete"
    assert last.type == "response.incomplete"
    assert last.response.output_text == QUESTION[:12]


async def test_instructions_are_not_carried_over():
    seen = []

    def answer(ask):
        seen.append([(part.role, part.text) for part in ask.parts])
        return "ok"

    async with clients(Twin(answers=answer)) as by:
        create = by.openai.responses.create
        first = await create(model="m", instructions="Be brief.", input="one")
        await create(model="m", instructions="Be long.", input="two", previous_response_id=first.id)
    assert seen[1] == [
        ("system", "Be long."),
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
    ]


async def test_tokens_are_counted_as_they_are_charged():
    twin = Twin()
    asked = {"model": "m", "input": QUESTION, "instructions": "Be brief.", "tools": [WEATHER]}
    async with clients(twin) as by:
        counted = await by.openai.responses.input_tokens.count(**asked)
        used = (await by.openai.responses.create(**asked)).usage
    assert counted.input_tokens == used.input_tokens > 20
    assert twin.ledger[0].counts.tokens_in == 0  # costs nothing


async def test_a_streamed_response_is_kept_too():
    async with clients(Twin()) as by:
        stream = await by.openai.responses.create(model="m", input="one", stream=True)
        name = [event async for event in stream][-1].response.id
        del stream
        found = await by.openai.responses.create(model="m", input="two", previous_response_id=name)
    assert found.usage.input_tokens == 3


async def test_a_response_is_kept_until_it_is_deleted_and_only_for_its_key():
    twin = Twin()
    async with clients(twin) as by, clients(twin, key="another") as others:
        found = await by.openai.responses.create(model="m", input="one")
        assert (await by.openai.responses.retrieve(found.id)).output_text == "one"
        with pytest.raises(openai.NotFoundError):
            await others.openai.responses.retrieve(found.id)
        await by.openai.responses.delete(found.id)
        with pytest.raises(openai.NotFoundError):
            await by.openai.responses.create(model="m", input="two", previous_response_id=found.id)
        unkept = await by.openai.responses.create(model="m", input="one", store=False)
        with pytest.raises(openai.NotFoundError):
            await by.openai.responses.retrieve(unkept.id)


async def test_all_kinds_of_input_are_taken():
    seen = []

    def answer(ask):
        seen.extend((part.role, part.text) for part in ask.parts)
        return "ok"

    given = [
        {"role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": "data:,", "detail": "auto"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": "I see."},
    ]
    async with clients(Twin(answers=answer)) as by:
        await by.openai.responses.create(
            model="m",
            input=given,
            temperature=0.5,
            reasoning={"effort": "low"},
            metadata={"a": "b"},
            parallel_tool_calls=False,
        )
    assert seen == [
        ("system", "Be brief."),
        ("user", "Look:"),
        ("user", "[image]"),
        ("assistant", "I see."),
    ]


async def test_an_answer_of_several_blocks_is_given_in_order():
    blocks = [Saying("one"), ToolUse("weather", {"town": "Oslo"}), Saying("two")]
    async with clients(Twin(answers=lambda _ask: blocks)) as by:
        found = await by.openai.responses.create(model="m", input="?", tools=[WEATHER])
    assert [item.type for item in found.output] == ["message", "function_call", "message"]
    assert found.output_text == "onetwo"


async def test_a_closed_stream_told_no_tokens():
    twin = Twin({"m": Law(per_second=10)})
    async with clients(twin) as by:
        stream = await by.openai.responses.create(model="m", input=QUESTION, stream=True)
        seen = [await anext(stream) for _ in range(6)]
        await stream.close()
        del stream
    assert all(event.response.usage is None for event in seen if hasattr(event, "response"))
    assert twin.ledger[0].closed
    assert twin.ledger[0].counts.tokens_out > 0


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": None}, "input"),
        ({"model": None}, "model"),
        ({"input": [{"role": "robot", "content": "?"}]}, "input.0.role"),
        ({"input": [{"type": "smell"}]}, "input.0.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "nothing"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"background": True}, "background"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "input"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(wrong, param):
    body = {"model": "m", "input": "?", **wrong}
    async with clients(Twin()) as by:
        with pytest.raises(openai.BadRequestError) as caught:
            await by.openai.post("/responses", body=body, cast_to=object)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
