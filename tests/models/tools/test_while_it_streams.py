"""Tools that start while the model still speaks."""

import asyncio

import pytest

from fanwise import Limit, Retry, Runtime, step
from fanwise.analysis import waste
from fanwise.models import Answer, Model, Text, ToolBegun, ToolCall, ToolText, Usage
from fanwise.models.tools import run_tools
from fanwise.testing import no_orphans
from tests.models.tools.scripted import Scripted, asks, end, says, written
from tests.patterns.steps import all_rows, cancelled_at, now


def searching(seconds=1.5, begun=None):
    @step
    async def search(query: str) -> str:
        if begun is not None:
            begun.append((query, now()))
        await asyncio.sleep(seconds)
        return f"found {query}"

    return search


def sending(sent):
    @step(effect="write")
    async def send(to: str) -> str:
        sent.append((to, now()))
        return "sent"

    return send


FIRST = asks("search", 0, query="x")


async def test_a_call_that_reads_starts_when_it_is_complete():
    model = says(0.5, *written(0, FIRST), 1.5, end())
    turn = await run_tools(model.stream("?"), [searching()])
    assert now() == 2.0  # in a row: 3.5
    assert [result.text for result in turn.results] == ["found x"]
    assert turn.answer.calls == (FIRST,)
    assert [m.role for m in turn.messages] == ["assistant", "user"]


async def test_it_does_not_wait_for_the_end_of_the_tool_call_nor_start_before_its_brace():
    begun = []
    pieces = [ToolBegun(0, "call-0", "search"), ToolText(0, '{"query": "x"'), 1.0, ToolText(0, "}")]
    model = says(*pieces, 0.4, Text("more"), 0.6, end())
    await run_tools(model.stream("?"), [searching(begun=begun)])
    assert begun == [("x", 1.0)]


async def test_writes_wait_for_the_end_of_the_message():
    sent = []
    model = says(0.5, *written(0, asks("send", 0, to="a")), *written(1, FIRST), 1.5, end())
    turn = await run_tools(model.stream("?"), [searching(0.5), sending(sent)])
    assert sent == [("a", 2.0)]
    assert [result.text for result in turn.results] == ["sent", "found x"]


async def test_writes_of_a_message_that_was_cut_are_not_done():
    sent = []
    half = [ToolBegun(1, "call-1", "send"), ToolText(1, '{"to": "ev')]
    model = says(*written(0, asks("send", 0, to="a")), *half, end("length"))
    turn = await run_tools(model.stream("?"), [sending(sent)])
    assert sent == []
    assert not turn.answer.complete
    assert all(result.failed for result in turn.results)
    assert len(turn.results) == 2


async def test_a_stream_that_breaks_cancels_what_it_had_started_and_it_is_waste():
    sent = []
    lines = [*written(0, FIRST), *written(1, asks("send", 1, to="a")), 0.5, ConnectionError("gone")]
    async with Runtime() as runtime, no_orphans():
        with pytest.raises(ConnectionError):
            await run_tools(says(*lines).stream("?"), [searching(), sending(sent)])
        assert now() == 0.5
        assert sent == []
        assert all_rows(runtime)["search"] == ["cancelled"]
        (run,) = runtime.runs
        lost = {loss.name: loss.microseconds for loss in waste(run.record()).losses}
        assert lost["search"] == 500_000


async def test_what_had_finished_before_the_stream_broke_is_waste_too():
    lines = [*written(0, FIRST), 0.5, ConnectionError("gone")]
    async with Runtime() as runtime:
        with pytest.raises(ConnectionError):
            await run_tools(says(*lines).stream("?"), [searching(0.25)])
        (run,) = runtime.runs
        lost = {loss.name: (loss.why, loss.microseconds) for loss in waste(run.record()).losses}
        assert lost["search"] == ("message broken", 250_000)


async def test_cancelled_it_closes_the_stream_once_and_cancels_the_tools():
    provider = Scripted([*written(0, FIRST), 10.0, end()])
    async with Runtime() as runtime, no_orphans():

        async def work():
            await run_tools(Model(provider).stream("?"), [searching(9)])

        task = await cancelled_at(1.0, work())
        assert task.cancelled()
        assert provider.closed == 1
        assert all_rows(runtime)["search"] == ["cancelled"]
        assert now() == 1.0


async def test_a_retried_agent_streams_anew_and_joins_nothing_that_was_cancelled():
    begun = []
    provider = Scripted(
        [*written(0, FIRST), 0.5, ConnectionError("gone")], [*written(0, FIRST), 0.5, end()]
    )
    search = searching(1.0, begun)

    @step(retry=Retry(attempts=2))
    async def agent():
        turn = await run_tools(Model(provider).stream("?"), [search])
        return turn.results[0].text

    assert await agent() == "found x"
    assert len(begun) == 2


async def test_a_retried_agent_takes_over_what_had_finished_and_that_is_no_waste():
    begun = []
    lines = [*written(0, FIRST), 1.5, ConnectionError("gone")]
    provider = Scripted(lines, [*written(0, FIRST), 0.5, end()])
    search = searching(1.0, begun)

    @step(retry=Retry(attempts=2))
    async def agent():
        turn = await run_tools(Model(provider).stream("?"), [search])
        return turn.results[0].text

    async with Runtime() as runtime:
        assert await agent() == "found x"
        assert len(begun) == 1
        (run,) = runtime.runs
        assert "message broken" not in waste(run.record()).reasons


async def test_what_is_heard_are_the_pieces_in_their_order():
    heard = []
    model = says(Text("I "), Text("look"), *written(0, FIRST), end())
    turn = await run_tools(model.stream("?"), [searching()], heard=heard.append)
    assert heard == [Text("I "), Text("look"), FIRST, turn.answer]
    assert turn.answer.text == "I look"


async def test_within_counts_from_the_end_of_the_message():
    model = says(*written(0, FIRST), 2.0, *written(1, asks("search", 1, query="y")), end())
    turn = await run_tools(model.stream("?"), [searching(2.25)], within=0.5)
    assert [result.failed for result in turn.results] == [False, True]
    assert now() == 2.5


async def test_a_tool_may_ask_the_model_that_still_speaks():
    inner = says(1.0, Text("fine"), end("stop"), limit="model")

    @step
    async def judge(text: str) -> str:
        return (await inner.ask(text)).text

    lines = [*written(0, asks("judge", 0, text="x")), 1.0, end()]
    async with Runtime(limits={"model": Limit(at_once=1)}):
        turn = await run_tools(says(*lines, limit="model").stream("?"), [judge])
        assert turn.results[0].text == "fine"
        assert now() == 2.0  # it waited for the message's end, and was not refused


async def test_calls_that_only_the_answer_has_are_run_too():
    @step
    async def says_at_the_end():
        yield Text("no pieces of calls")
        yield Answer("", Usage(1, 1), "m", "", (FIRST,), "tools")

    turn = await run_tools(says_at_the_end(), [searching()])
    assert [result.text for result in turn.results] == ["found x"]


async def test_a_stream_without_an_answer_is_refused():
    @step
    async def other():
        yield "text"

    with pytest.raises(ValueError, match="ended without an Answer"):
        await run_tools(other(), [])


async def test_a_broken_call_has_a_result():
    model = says(ToolBegun(0, "call-0", "search"), ToolText(0, '{"query": }'), end())
    turn = await run_tools(model.stream("?"), [searching()])
    assert turn.answer.calls == (ToolCall("call-0", "search", broken='{"query": }'),)
    assert "a JSON value expected, found '}' (at character 10)" in turn.results[0].text
