"""Models over every wire that the twin speaks: typed, cut, malformed, streamed, let go."""

import asyncio
from dataclasses import dataclass

import pytest

from fanwise import Runtime, step
from fanwise.models import MalformedAnswer, Part, Text, ToolCall, ToolSpec
from fanwise.testing import run_virtual
from fanwise.testing.twin import Law, Script, ToolUse, Twin
from tests.providers.on_twin import SPOKEN, on_twin

HITS = '[{"name": "clay", "size": 2}, {"name": "sand", "size": 3}]'
LOOK = ToolSpec("look", "Look it up.", {"type": "object", "properties": {"at": {"type": "string"}}})
wires = pytest.mark.parametrize("wire", SPOKEN)


@dataclass
class Hit:
    name: str
    size: int


@dataclass
class Found:
    hits: list[Hit]
    sure: bool


FOUND = f'{{"hits": {HITS}, "sure": true}}'


def on(wire, twin, body, **policy):
    """Run `body(model)` over the twin; give what it gives, and the rows of its run."""

    async def main():
        async with on_twin(wire, twin, **policy) as model, Runtime() as runtime:

            @step
            async def asks():
                return await body(model)

            run = runtime.start(asks())
            try:
                found = await run.wait()
            except Exception as error:
                found = error
            rows = [row for row in run.record().calls if row.step == model.name]
            return found, rows

    return run_virtual(main())


@wires
def test_an_answer_is_read_as_an_object(wire):
    twin = Twin(answers=lambda _: FOUND)

    async def body(model):
        return await model.ask("?", output=Found)

    answer, (row,) = on(wire, twin, body)
    assert answer.value == Found([Hit("clay", 2), Hit("sand", 3)], sure=True)
    (entry,) = twin.ledger
    assert row.usage["tokens_in"] == answer.usage.tokens_in == entry.counts.tokens_in
    assert row.usage["tokens_out"] == entry.counts.tokens_out


@wires
def test_one_that_does_not_fit_is_asked_again_on_the_wire(wire):
    twin = Twin(answers=Script(['{"hits": 3, "sure": true}', FOUND]))

    async def body(model):
        return await model.ask("?", output=Found)

    answer, (row,) = on(wire, twin, body)
    assert answer.value.sure is True
    assert len(twin.ledger) == 2
    assert row.usage["tokens_in"] == sum(entry.counts.tokens_in for entry in twin.ledger)


@wires
def test_one_that_is_cut_is_not_read(wire):
    twin = Twin(answers=lambda _: FOUND)

    async def body(model):
        return await model.ask("?", output=Found, max_tokens=5)

    error, _ = on(wire, twin, body)
    assert isinstance(error, MalformedAnswer)
    assert "it was cut at max_tokens=5" in str(error)
    assert len(twin.ledger) == 1


@wires
def test_parts_come_while_it_is_written(wire):
    twin = Twin(answers=lambda _: FOUND, models={"*": Law(first=1.0, per_second=10.0)})

    async def body(model):
        return await model.stream("?", output=Found)

    pieces, _ = on(wire, twin, body)
    parts = [piece.path for piece in pieces if isinstance(piece, Part)]
    assert parts == [("hits", 0), ("hits", 1), ("hits",), ("sure",)]
    assert pieces[-1].value == Found([Hit("clay", 2), Hit("sand", 3)], sure=True)


@wires
def test_tool_calls_come_whole_beside_the_text(wire):
    twin = Twin(answers=lambda _: [ToolUse("look", {"at": "clay"}), ToolUse("look", {"at": "s"})])

    async def body(model):
        return await model.stream("?", tools=[LOOK])

    pieces, _ = on(wire, twin, body)
    calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
    assert [call.arguments for call in calls] == [{"at": "clay"}, {"at": "s"}]
    assert pieces[-1].calls == tuple(calls)
    assert pieces[-1].finish == "tools"


@wires
def test_a_stream_that_is_left_costs_what_the_twin_says_nearly(wire):
    twin = Twin(answers=lambda _: "word " * 200, models={"*": Law(first=1.0, per_second=20.0)})

    async def body(model):
        async with model.stream("x" * 4000) as stream:
            async for piece in stream:
                assert isinstance(piece, Text)
                if asyncio.get_running_loop().time() > 6:
                    break

    _, (row,) = on(wire, twin, body)
    (entry,) = twin.ledger
    assert row.facts["estimated"] is True
    assert row.usage["tokens_in"] == pytest.approx(entry.counts.tokens_in, rel=0.1)
    assert row.usage["tokens_out"] == pytest.approx(entry.counts.tokens_out, rel=0.35)
