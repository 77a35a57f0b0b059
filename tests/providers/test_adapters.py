"""Every adapter that the twin speaks for: answers, streams, tools, typed answers, caches."""

import asyncio

import pytest
from pydantic import BaseModel

from fanwise.models import (
    Answer,
    Chat,
    Counted,
    Ended,
    Message,
    Part,
    Request,
    Text,
    ToolBegun,
    ToolCall,
    ToolResult,
    ToolSpec,
    ToolText,
)
from fanwise.testing.twin import Calls, Law, Script, Twin
from tests.providers.on_twin import SPOKEN, on_twin

LOOK = ToolSpec(
    "look",
    "Looks something up.",
    {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
)
every = pytest.mark.parametrize("name", SPOKEN)


class Person(BaseModel):
    name: str
    age: int


@every
async def test_an_answer_with_its_usage_and_the_models_address(name):
    twin = Twin({"*": Law(first=0.5, per_second=10)})
    async with on_twin(name, twin) as model:
        answer = await model.ask("twelve chars")
    assert (answer.text, answer.value, answer.finish) == ("twelve chars", "twelve chars", "stop")
    assert answer.model == model.name
    assert model.name.startswith(name.removesuffix("-responses") + ":")
    counts = twin.ledger[0].counts
    assert (answer.usage.tokens_in, answer.usage.tokens_out) == (counts.tokens_in, 3)
    assert not answer.usage.estimated


@every
async def test_a_stream_comes_in_pieces_and_on_time(name):
    twin = Twin({"*": Law(first=0.5, per_second=10)})
    now = asyncio.get_running_loop().time
    async with on_twin(name, twin) as model:
        pieces, times = [], []
        async for piece in model.provider.pieces(Request("twelve chars")):
            pieces.append(piece)
            times.append(now())
    texts = [piece for piece in pieces if isinstance(piece, Text)]
    assert [piece.text for piece in texts] == ["twel", "ve c", "hars"]
    last = pieces[-1]
    assert isinstance(last, Ended)
    assert last.finish == "stop"
    assert (last.usage.tokens_in, last.usage.tokens_out) == (twin.ledger[0].counts.tokens_in, 3)
    begun = next(n for n, piece in enumerate(pieces) if isinstance(piece, Text))
    assert times[begun : begun + 3] == pytest.approx([0.5, 0.6, 0.7])


@every
async def test_tools_are_asked_for_and_their_results_answered(name):
    calls = Calls([("look", {"what": "tides"}), ("look", {"what": "moon"})], before="Let me see.")
    async with on_twin(name, Twin(answers=calls)) as model:
        chat = Chat((Message("user", "why?"),), system="Be short.")
        first = await model.ask(chat, tools=[LOOK])
        assert first.finish == "tools"
        assert first.text == "Let me see."
        assert [(call.name, call.arguments) for call in first.calls] == [
            ("look", {"what": "tides"}),
            ("look", {"what": "moon"}),
        ]
        results = tuple(
            ToolResult(call.id, call.name, f"found {n}", failed=n == 1)
            for n, call in enumerate(first.calls)
        )
        second = await model.ask(
            chat.then(first.message, Message("user", results=results)), tools=[LOOK]
        )
    assert second.finish == "stop"
    assert "found 0" in second.text
    assert "found 1" in second.text


@every
async def test_tool_calls_of_a_stream_stand_by_their_place_among_the_calls(name):
    calls = Calls([("look", {"what": "tides"}), ("look", {"what": "moon"})], before="Let me see.")
    async with on_twin(name, Twin(answers=calls)) as model:
        request = Request("why?", (LOOK,))
        pieces = [piece async for piece in model.provider.pieces(request)]
    begun = [piece for piece in pieces if isinstance(piece, ToolBegun)]
    assert [(piece.index, piece.name) for piece in begun] == [(0, "look"), (1, "look")]
    assert len({piece.id for piece in begun}) == 2
    for index, what in enumerate(("tides", "moon")):
        texts = [
            piece.text for piece in pieces if isinstance(piece, ToolText) and piece.index == index
        ]
        assert "".join(texts).replace(" ", "") == f'{{"what":"{what}"}}'
        assert len(texts) > 1
    assert pieces[-1].finish == "tools"


@every
async def test_an_answer_of_a_type_is_asked_for_as_json_of_its_schema(name):
    twin = Twin()
    async with on_twin(name, twin) as model:
        answer = await model.ask("name: Ada\nage: 36", output=Person)
    assert answer.value == Person(name="Ada", age=36)
    assert answer.finish == "stop"


@every
async def test_an_answer_that_is_no_object_is_wrapped_on_its_way_and_nowhere_else(name):
    script = Script(['{"answer_value": ["a", "b}", "c"]}'], repeat=True)
    async with on_twin(name, Twin(answers=script)) as model:
        answer = await model.ask("three letters", output=list[str])
        assert answer.value == ["a", "b}", "c"]
        async with model.stream("three letters", output=list[str]) as stream:
            pieces = [piece async for piece in stream]
    assert [piece.value for piece in pieces if isinstance(piece, Part)][:3] == ["a", "b}", "c"]
    assert pieces[-1].value == ["a", "b}", "c"]


@every
async def test_an_answer_cut_by_max_tokens_says_so(name):
    async with on_twin(name, Twin()) as model:
        answer = await model.ask("a text of more tokens than two", max_tokens=2)
    assert answer.finish == "length"
    assert not answer.complete
    assert answer.usage.tokens_out == 2


@every
async def test_system_text_and_shared_text_come_first(name):
    twin = Twin(answers=lambda ask: " | ".join(part.text for part in ask.parts))
    async with on_twin(name, twin) as model:
        answer = await model.ask(
            Chat((Message("user", "the task"),), system="the system", shared="the shared text")
        )
    said = answer.text
    assert said.index("the system") < said.index("the shared text") < said.index("the task")


@every
async def test_what_was_read_from_the_cache_is_counted_inside_of_what_was_read(name):
    twin = Twin()
    long = "word " * 4000
    async with on_twin(name, twin) as model:
        first = await model.ask(Chat((Message("user", "one"),), shared=long))
        second = await model.ask(Chat((Message("user", "two"),), shared=long))
        pieces = [
            piece
            async for piece in model.provider.pieces(
                Request(Chat((Message("user", "six"),), shared=long))
            )
        ]
    counts = [entry.counts for entry in twin.ledger]
    told = [first.usage, second.usage, pieces[-1].usage]
    assert [use.tokens_in for use in told] == [count.tokens_in for count in counts]
    assert [use.cached for use in told] == [count.cached for count in counts]
    assert [use.written for use in told] == [count.written for count in counts]
    assert told[0].cached == 0
    assert told[1].cached > 3000
    assert told[1].tokens_in > told[1].cached
    if name == "anthropic":
        assert told[0].written > 3000
        assert isinstance(pieces[0], Counted)
        assert pieces[0].usage.cached == told[2].cached


@every
async def test_broken_arguments_go_back_to_the_model_as_what_they_were(name):
    seen = []

    def rule(ask):
        seen.append([part.text for part in ask.parts])
        return "yes"

    chat = Chat(
        (
            Message("user", "why?"),
            Message("assistant", calls=(ToolCall("c1", "look", broken='{"what": '),)),
            Message("user", results=(ToolResult("c1", "look", "no JSON", failed=True),)),
        )
    )
    async with on_twin(name, Twin(answers=rule)) as model:
        assert (await model.ask(chat, tools=[LOOK])).text == "yes"
    assert any("no JSON" in text for text in seen[0])


@every
async def test_a_hundred_at_once(name):
    twin = Twin({"*": Law(first=1.0, per_second=100)})
    now = asyncio.get_running_loop().time
    async with on_twin(name, twin) as model:
        answers = await asyncio.gather(*(model.ask(f"number {n}") for n in range(100)))
        assert now() < 2
    assert [answer.text for answer in answers] == [f"number {n}" for n in range(100)]
    assert all(isinstance(answer, Answer) for answer in answers)
