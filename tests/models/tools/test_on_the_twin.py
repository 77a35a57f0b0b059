"""Tools in mid-stream on the provider twin, over both wires, on the virtual clock."""

import asyncio

import pytest

from benchmarks.tools import SAID
from fanwise import Runtime, step
from fanwise.analysis import waste
from fanwise.models import Chat, Message
from fanwise.models.tools import run_tools, tool_specs
from fanwise.testing import no_orphans
from fanwise.testing.twin import Calls, Fault, Law, Script, ToolUse, Twin
from tests.models.tools.wires import WIRES, model_on
from tests.patterns.steps import all_rows, now

PACE = Law(first=0.05, per_second=20)
pytestmark = [pytest.mark.parametrize("wire", WIRES), pytest.mark.blocking_ok]  # SDKs import late


@step
async def search(query: str) -> str:
    """Search."""
    await asyncio.sleep(1.5)
    return f"{len(query)} found"


@step
async def note(text: str) -> str:
    return "noted"


TOOLS = [search, note]


async def test_a_message_of_2_s_and_a_tool_of_1_5_s_take_2_s(wire):
    twin = Twin({"*": PACE}, answers=Script([SAID]))
    async with model_on(twin, wire) as model:
        began = now()
        turn = await run_tools(model.stream("?", tools=tool_specs(TOOLS)), TOOLS)
        assert now() - began == pytest.approx(2.0)  # in a row: 3.5
    assert [result.text for result in turn.results] == ["27 found", "noted"]


async def test_the_model_is_told_the_tools_and_given_the_results(wire):
    asked = []

    def answers(ask):
        asked.append(ask)
        return Calls([("search", {"query": "tea"}), ("nowhere", {})], after="so: {results}")(ask)

    async with model_on(Twin(answers=answers), wire) as model:
        chat = Chat((Message("user", "Find tea."),))
        turn = await run_tools(model.stream(chat, tools=tool_specs(TOOLS)), TOOLS)
        answer = await model.ask(chat.then(*turn.messages), tools=tool_specs(TOOLS))
    assert answer.text.startswith("so: 3 found\n")
    assert "there is no tool 'nowhere'; there are: search, note" in answer.text
    assert [tool.name for tool in asked[0].tools] == ["search", "note"]
    assert asked[0].tools[0].schema["properties"] == {"query": {"type": "string"}}


async def test_arguments_that_are_no_json_are_told(wire):
    said = [ToolUse("search", {}, raw='{"query": tea}')]
    async with model_on(Twin(answers=Script([said])), wire) as model:
        turn = await run_tools(model.stream("?", tools=tool_specs(TOOLS)), TOOLS)
    (result,) = turn.results
    assert result.failed
    assert "no JSON object: 'tea' is neither a number nor" in result.text


async def test_a_message_that_was_cut_has_a_result_for_every_call(wire):
    async with model_on(Twin({"*": PACE}, answers=Script([SAID])), wire) as model:
        stream = model.stream("?", tools=tool_specs(TOOLS), max_tokens=20)
        turn = await run_tools(stream, TOOLS)
    assert turn.answer.finish == "length"
    assert [result.failed for result in turn.results] == [False, True]


async def test_a_stream_that_is_reset_cancels_its_tools_and_that_is_waste(wire):
    twin = Twin({"*": PACE}, answers=Script([SAID]), faults=[Fault("reset", after=20)])
    async with Runtime() as runtime, model_on(twin, wire) as model, no_orphans():
        with pytest.raises(Exception, match=r"\w"):
            await run_tools(model.stream("?", tools=tool_specs(TOOLS)), TOOLS)
        assert all_rows(runtime)["search"] == ["cancelled"]
        (run,) = runtime.runs
        lost = {loss.name: loss for loss in waste(run.record()).losses}
        assert lost["search"].microseconds == 500_000
        assert lost[f"{wire}:m"].usage["tokens_out"] > 0  # priced like any other answer
        assert lost[f"{wire}:m"].estimated
