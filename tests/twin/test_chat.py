"""Chat completions by OpenAI's own client, unchanged, on the virtual clock."""

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel

from fanwise.testing.twin import Calls, Fault, Law, Saying, Script, ToolUse, Twin
from tests.twin.clients import Chat, clients, listen
from tests.twin.talk import now, openai_on, said

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string"}},
            "required": ["what"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


async def test_an_answer_whole_with_its_usage_and_in_its_time():
    twin = Twin({"m": Law(first=0.5, per_second=10)})
    async with openai_on(twin) as client:
        found = await client.chat.completions.create(model="m", messages=said("twelve chars"))
        assert now() == pytest.approx(0.5 + 2 / 10)
    assert found.choices[0].message.content == "twelve chars"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.prompt_tokens == found.usage.completion_tokens == 3
    assert found.model == "m"


async def test_a_stream_comes_token_by_token_on_the_laws_times():
    twin = Twin({"m": Law(first=0.5, per_second=10)})
    async with openai_on(twin) as client:
        stream = await client.chat.completions.create(
            model="m",
            messages=said("twelve chars"),
            stream=True,
            stream_options={"include_usage": True},
        )
        times, texts, chunks = [], [], []
        async for chunk in stream:
            chunks.append(chunk)
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(now())
                texts.append(chunk.choices[0].delta.content)
    assert texts == ["twel", "ve c", "hars"]
    assert times == pytest.approx([0.5, 0.6, 0.7])
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [each.usage is None for each in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({each.id for each in chunks}) == 1


async def test_without_being_asked_for_a_stream_tells_no_usage():
    async with openai_on(Twin()) as client:
        stream = await client.chat.completions.create(model="m", messages=said("hi"), stream=True)
        assert [chunk.usage async for chunk in stream if chunk.usage] == []


async def test_a_tool_is_called_and_its_result_answered_in_words():
    twin = Twin(answers=Calls([("look", {"what": "tides"}), ("look", None)], before="Let me see."))
    async with openai_on(twin) as client:
        talk = said("what: the moon")
        first = await client.chat.completions.create(model="m", messages=talk, tools=[LOOK])
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.content == "Let me see."
        told = [json.loads(call.function.arguments) for call in message.tool_calls]
        assert told == [{"what": "tides"}, {"what": "the moon"}]
        assert len({call.id for call in message.tool_calls}) == 2
        talk.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            talk.append({"role": "tool", "tool_call_id": call.id, "content": f"seen {call.id}"})
        last = await client.chat.completions.create(model="m", messages=talk, tools=[LOOK])
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].message.content.count("seen call_") == 2


async def test_streamed_calls_are_put_together_by_the_client():
    blocks = [ToolUse("look", {"what": "a" * 40}), ToolUse("look", {"what": "ß…"})]
    async with openai_on(Twin(answers=lambda ask: [Saying("So."), *blocks])) as client:
        streaming = client.chat.completions.stream(model="m", messages=said("go"), tools=[LOOK])
        async with streaming as stream:
            kinds = [event.type async for event in stream]
            found = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.done") == 2
    calls = found.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        block.arguments for block in blocks
    ]
    assert found.choices[0].message.content == "So."


async def test_a_structured_answer_is_filled_from_the_text_and_validates():
    async with openai_on(Twin()) as client:
        found = await client.chat.completions.parse(
            model="m", messages=said("name: Ada\nage: 36"), response_format=Person
        )
    assert found.choices[0].message.parsed == Person(name="Ada", age=36)


async def test_wrong_json_does_not_validate_and_the_next_one_does():
    twin = Twin(faults=[Fault("wrong_json", nth=1)])
    async with openai_on(twin) as client:
        with pytest.raises(ValueError, match="Person"):
            await client.chat.completions.parse(
                model="m", messages=said("name: Ada\nage: 36"), response_format=Person
            )
        found = await client.chat.completions.parse(
            model="m", messages=said("name: Ada\nage: 36"), response_format=Person
        )
    assert found.choices[0].message.parsed.age == 36


async def test_an_answer_is_cut_at_the_tokens_that_were_allowed():
    async with openai_on(Twin()) as client:
        found = await client.chat.completions.create(
            model="m", messages=said("one two three four"), max_completion_tokens=2
        )
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content == "one two "
    assert found.usage.completion_tokens == 2


async def test_a_cancelled_call_is_seen_and_charged_for_what_was_made():
    twin = Twin({"m": Law(first=1.0, per_second=10)})
    async with openai_on(twin) as client:
        call = asyncio.create_task(
            client.chat.completions.create(model="m", messages=said("x" * 400))
        )
        await asyncio.sleep(2.05)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
    entry = twin.ledger[0]
    assert entry.closed_at == pytest.approx(2.05)
    assert entry.counts.tokens_out == 11
    assert entry.finish is None


async def test_a_closed_stream_is_seen_at_once_and_charged_for_what_was_sent():
    twin = Twin({"m": Law(first=1.0, per_second=10)})
    async with clients(twin) as by:
        seen = await listen(Chat(by), "x" * 400, until=20)
        closed = now()
    assert len(seen) == 5
    assert twin.ledger[0].counts.tokens_out == twin.ledger[0].sent == 5
    assert twin.ledger[0].closed_at == closed == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("more", "error", "told"),
    [
        ({"messages": []}, openai.BadRequestError, "'messages'"),
        ({"messages": [{"role": "judge", "content": "x"}]}, openai.BadRequestError, "messages[0]"),
        ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages[0].content"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"max_tokens": True}, openai.BadRequestError, "max_tokens"),
        ({"model": "other"}, openai.NotFoundError, "`other`"),
        ({"tools": [{"type": "function"}]}, openai.BadRequestError, "tools[0].function"),
    ],
)
async def test_wrong_use_is_an_error_of_the_clients_own_and_in_the_ledger(more, error, told):
    twin = Twin({"m": Law()})
    async with openai_on(twin) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(
                **{"model": "m", "messages": said("hello"), **more}
            )
    assert told in str(caught.value)
    assert twin.ledger[-1].status == caught.value.status_code
    assert twin.ledger[-1].cost is None


async def test_an_unknown_address_is_a_404_in_the_clients_form():
    async with openai_on(Twin()) as client:
        with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
            await client.images.generate(prompt="a cat")


async def test_the_models_are_listed():
    async with openai_on(Twin({"a": Law(), "b": Law(), "*": Law()})) as client:
        assert [model.id async for model in client.models.list()] == ["a", "b"]
        assert (await client.models.retrieve("c")).id == "c"


async def test_the_same_seed_gives_the_same_ids_and_times():
    async def run(seed):
        twin = Twin({"m": Law(first=1, jitter=0.5, per_second=5)}, seed=seed)
        began = now()
        async with openai_on(twin) as client:
            found = await client.chat.completions.create(model="m", messages=said("hello there"))
        return found.id, now() - began

    first, again, other = await run(1), await run(1), await run(2)
    assert first == (again[0], pytest.approx(again[1]))
    assert first[0] != other[0]
    assert first[1] != pytest.approx(other[1])


async def test_a_function_that_fails_is_an_error_of_the_server_that_says_so():
    def broken(ask):
        raise KeyError("oh")

    async with openai_on(Twin(answers=broken)) as client:
        with pytest.raises(openai.InternalServerError, match="KeyError"):
            await client.chat.completions.create(model="m", messages=said("hello"))


async def test_answers_by_script_by_match_and_by_an_async_function():
    async def slow(ask):
        await asyncio.sleep(3)
        return "slow"

    script = Script(["one", "two"], matches={"tide": "the moon"})
    twin = Twin(answers={"s": script, "a": slow})
    async with openai_on(twin) as client:

        async def ask(model, text):
            found = await client.chat.completions.create(model=model, messages=said(text))
            return found.choices[0].message.content

        told = [await ask("s", text) for text in ("x", "tide?", "y", "z")]
        assert told == ["one", "the moon", "two", "z"]
        assert await ask("a", "x") == "slow"
        assert now() == 3
