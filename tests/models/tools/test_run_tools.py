"""The tool calls of one message, run at once: a result for every call id."""

import asyncio
import gc
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from fanwise import Breaker, Limit, NotEnough, Retry, Runtime, deadline, first, step
from fanwise.analysis import fan_ins
from fanwise.errors import LimitUnknown, NotDone, WriteRefused
from fanwise.models import Answer, ToolCall, Usage
from fanwise.models.tools import as_tool, run_tools, tool_specs
from fanwise.testing import no_orphans
from tests.models.tools.scripted import asks, message
from tests.patterns.steps import all_rows, now


@step
async def weather(city: str) -> str:
    """Say the weather."""
    await asyncio.sleep(1.0)
    return f"rain in {city}"


@step
async def add(a: int, b: int = 1) -> int:
    return a + b


def texts(results):
    return [result.text for result in results.results]


async def test_all_run_at_once_and_results_stand_in_call_order():
    @step
    async def slow(n: int) -> int:
        await asyncio.sleep(3 - n)
        return n

    turn = await run_tools(message(*(asks("slow", n, n=n) for n in range(3))), [slow])
    assert texts(turn) == ["0", "1", "2"]
    assert [result.id for result in turn.results] == ["call-0", "call-1", "call-2"]
    assert turn.values == {"call-0": 0, "call-1": 1, "call-2": 2}
    assert turn.message.results == turn.results
    assert now() == 3.0


async def test_no_calls_give_no_results():
    assert (await run_tools(message(), [weather])).results == ()


async def test_every_failure_is_a_text_for_the_model():
    @step(timeout=0.5)
    async def slow() -> str:
        await asyncio.sleep(9)
        return ""

    @step
    async def breaks() -> str:
        raise OSError("no route to host")

    calls = [
        asks("weathr", 0, city="Oslo"),
        asks("add", 1, a="two"),
        asks("add", 2, b=1, c=3),
        ToolCall("call-3", "add", broken='{"a": 1, "b"'),
        asks("slow", 4),
        asks("breaks", 5),
        asks("add", 6, a=1),
    ]
    turn = await run_tools(calls, [weather, add, slow, breaks])
    assert texts(turn) == [
        "there is no tool 'weathr'; there are: weather, add, slow, breaks",
        (
            "the arguments of add do not fit: a: Input should be a valid integer, unable to parse "
            "string as an integer"
        ),
        (
            "the arguments of add do not fit: a: Missing required argument; c: Unexpected keyword "
            "argument"
        ),
        (
            "the arguments of add are no JSON object: the text ends before the value does "
            "(at character 12)"
        ),
        "slow took too long: slow took longer than its timeout of 0.5 s",
        "breaks failed: OSError: no route to host",
        "2",
    ]
    assert [result.failed for result in turn.results] == [True] * 6 + [False]
    assert len(turn.failed) == 6


async def test_identical_reads_are_one_call_and_it_is_said():
    async with Runtime() as runtime:
        turn = await run_tools(
            message(asks("add", 0, a=1), asks("add", 1, a=2), asks("add", 2, a=1)), [add]
        )
        assert texts(turn) == ["2", "3", "2"]
        assert turn.collapsed == {"call-2": "call-0"}
        assert all_rows(runtime)["add"] == ["ok", "ok"]
        facts = [row.facts for run in runtime.runs for row in run.record().calls if row.pattern]
        assert facts == [{"collapsed": 1}]


async def test_two_identical_writes_are_two_writes():
    sent = []

    @step(effect="write")
    async def send(to: str) -> str:
        sent.append(to)
        return "sent"

    turn = await run_tools(message(asks("send", 0, to="a"), asks("send", 1, to="a")), [send])
    assert sent == ["a", "a"]
    assert turn.collapsed == {}


async def test_an_open_breaker_is_unavailable_for_the_rest_of_the_turn():
    tried = []

    @step(breaker=Breaker(share=1.0, minimum=2, window=10.0, pause=1.0))
    async def search(n: int) -> str:
        tried.append(n)
        await asyncio.sleep(1.0)
        if n < 2:
            raise ConnectionError("down")
        return "found"

    calls = message(*(asks("search", n, n=n) for n in range(6)))
    turn = await run_tools(calls, [search], at_once=1)
    assert tried == [0, 1]  # a probe would have been let through at 3 s
    assert (
        texts(turn)[2:]
        == ["search is unavailable, it failed too often lately: do not call it again this turn"] * 4
    )


async def test_a_tool_that_fails_again_and_again_is_not_called_any_more_in_this_run():
    tried = []

    @step
    async def search(query: str) -> str:
        tried.append(query)
        raise OSError("down")

    @step
    async def agent():
        for turn in range(4):
            told = await run_tools([asks("search", turn, query=str(turn))], [search], failures=2)
        return told.results[0].text

    assert "it failed 2 times in a row: do not call it again" in await agent()
    assert tried == ["0", "1"]
    await agent()
    assert tried == ["0", "1"] * 2  # another run counts anew


async def test_a_success_between_begins_the_count_anew():
    @step
    async def flaky(n: int) -> int:
        if n % 2:
            raise OSError
        return n

    @step
    async def agent():
        turns = [await run_tools([asks("flaky", n, n=n)], [flaky], failures=2) for n in range(6)]
        return [turn.results[0].failed for turn in turns]

    assert await agent() == [False, True] * 3


async def test_each_tool_keeps_its_own_policy():
    attempts = []

    @step(retry=Retry(attempts=3))
    async def search(query: str) -> str:
        attempts.append(query)
        if len(attempts) < 3:
            raise ConnectionError
        return "found"

    assert texts(await run_tools([asks("search", query="x")], [search])) == ["found"]
    assert len(attempts) == 3


async def test_within_bounds_the_tools():
    async with Runtime() as runtime, no_orphans():
        calls = message(asks("add", 0, a=1), asks("weather", 1, city="Oslo"))
        turn = await run_tools(calls, [add, weather], within=0.5)
        assert now() == 0.5
        assert turn.results[0].text == "2"
        assert turn.results[1].text.startswith("weather took too long: ")
        assert all_rows(runtime)["weather"] == ["cancelled"]
        (run,) = runtime.runs
        (group,) = fan_ins(run.record())
        assert (group.reason, group.closed) == ("within", 500_000)


async def test_within_zero_starts_nothing():
    turn = await run_tools([asks("add", a=1)], [add], within=0)
    assert turn.results[0].failed


async def test_at_once_bounds_the_width():
    calls = message(*(asks("weather", n, city=str(n)) for n in range(4)))
    await run_tools(calls, [weather], at_once=2)
    assert now() == 2.0


async def test_cancelled_it_cancels_and_awaits_all():
    ended = []

    @step
    async def lingers() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    async with no_orphans():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await run_tools(message(asks("lingers", 0), asks("lingers", 1)), [lingers])
        assert ended == [1.5]


async def test_a_deadline_above_travels_down():
    @step
    async def agent():
        with deadline(0.5):
            return texts(await run_tools([asks("weather", city="Oslo")], [weather]))

    with pytest.raises(TimeoutError):
        await agent()


async def test_a_write_that_timed_out_is_said_to_be_ambiguous():
    @step(effect="write", timeout=0.5)
    async def send() -> None:
        await asyncio.sleep(1)

    @step(effect="write")
    async def refuses() -> None:
        raise NotDone("the queue is full")

    turn = await run_tools(message(asks("send", 0), asks("refuses", 1)), [send, refuses])
    assert texts(turn) == [
        (
            "send took too long: send took longer than its timeout of 0.5 s; it may or may not have "
            "happened, so find out before you repeat it"
        ),
        "refuses failed: NotDone: the queue is full",
    ]


async def test_writes_of_a_message_that_was_cut_are_not_done():
    sent = []

    @step(effect="write")
    async def send(to: str) -> None:
        sent.append(to)

    calls = (asks("send", 0, to="a"), asks("add", 1, a=1))
    cut = Answer("", Usage(1, 1), "fake", "", calls, "length")
    turn = await run_tools(cut, [send, add])
    assert sent == []
    assert texts(turn) == [
        "send was not called: your message was cut before its end; say it again, shorter",
        "2",
    ]
    assert turn.answer is cut


async def test_a_mistake_of_the_program_is_raised_and_not_told_to_the_model():
    @step(limit="nowhere")
    async def search() -> str:
        return ""

    async with Runtime(limits={"other": Limit(at_once=1)}), no_orphans():
        with pytest.raises(LimitUnknown):
            await run_tools(
                message(asks("search", 0), asks("weather", 1, city="")), [search, weather]
            )
    assert now() == 0.0


async def test_a_write_below_a_race_is_refused():
    @step(effect="write")
    async def send() -> None:
        raise AssertionError

    with pytest.raises(NotEnough) as caught:
        await first(run_tools([asks("send")], [send]))
    assert isinstance(caught.value.__cause__, WriteRefused)


async def test_a_retried_agent_takes_over_what_had_finished():
    sent = []

    @step(effect="write")
    async def send(to: str) -> str:
        sent.append(to)
        return "sent"

    tries = []

    @step(retry=Retry(attempts=2))
    async def agent():
        turn = await run_tools(message(asks("send", 0, to="a"), asks("send", 1, to="a")), [send])
        tries.append(texts(turn))
        if len(tries) == 1:
            raise ConnectionError
        return tries

    assert await agent() == [["sent", "sent"]] * 2
    assert sent == ["a", "a"]


async def test_a_thread_and_a_stream_are_tools_too():
    def plain(n: int) -> list[int]:
        return [n] * 2

    async def items(n: int):
        for each in range(n):
            yield each

    turn = await run_tools(
        message(asks("plain", 0, n=2), asks("items", 1, n=3)), [plain, as_tool(items, name="items")]
    )
    assert texts(turn) == ["[2,2]", "[0,1,2]"]


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @step
    async def find(self, what: str) -> str:
        """Find it."""
        return f"{what} in {self.name}"


async def test_a_method_is_a_tool():
    tool = as_tool(Shop("one").find, name="find")
    assert tool.schema["properties"] == {"what": {"type": "string"}}
    assert texts(await run_tools([asks("find", what="tea")], [tool])) == ["tea in one"]


async def test_one_that_is_forgotten_names_the_line_that_made_it():
    def forget():
        run_tools([asks("add", a=1)], [add])
        gc.collect()

    with pytest.warns(RuntimeWarning, match="'run_tools' was made and never awaited") as caught:
        forget()
    assert caught[0].filename == __file__


# What the model is told of a tool


@dataclass
class Place:
    city: str
    near: float = 1.0


def test_the_schema_is_that_of_the_signature():
    async def visit(
        place: Place,
        days: Annotated[int, Field(description="how long", ge=1)],
        mood: Literal["calm", "wild"] = "calm",
    ) -> None:
        """Visit a place."""

    (spec,) = tool_specs([visit])
    assert (spec.name, spec.description) == ("visit", "Visit a place.")
    assert spec.schema["required"] == ["place", "days"]
    assert spec.schema["additionalProperties"] is False
    properties = spec.schema["properties"]
    assert properties["days"] == {"type": "integer", "description": "how long", "minimum": 1}
    assert properties["mood"] == {"type": "string", "enum": ["calm", "wild"], "default": "calm"}


async def test_arguments_arrive_as_their_types():
    async def visit(place: Place, copy: bool = False) -> str:
        assert isinstance(place, Place)
        return place.city

    assert texts(await run_tools([asks("visit", place={"city": "Oslo"})], [visit])) == ["Oslo"]


async def test_values_are_written_as_json_and_text_stays_text():
    async def gives(n: int):
        return ["a text", None, {"b": Place("Oslo")}, [object()], b"\xff"][n]

    turn = await run_tools([asks("gives", n, n=n) for n in range(5)], [gives])
    plain, nothing, inner, odd, raw = texts(turn)
    assert (plain, nothing, inner) == ("a text", "null", '{"b":{"city":"Oslo","near":1.0}}')
    assert odd.startswith('["<object object')
    assert raw.startswith("gives failed: ")


# Wrong use


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: run_tools("text", [add]), "run_tools takes a stream, an answer, a message"),
        (lambda: run_tools(add(1), [add]), "takes an answer, not the call of one"),
        (lambda: run_tools([1], [add]), "run_tools takes"),
        (lambda: run_tools(message(), [3]), "a tool is a step, a function, a LangChain tool"),
        (lambda: run_tools(message(), [int]), "a tool is a step, a function"),
        (lambda: run_tools(message(), [add, add]), "two tools are named 'add'"),
        (lambda: run_tools(message(), [add], within=-1), "within is at least 0"),
        (lambda: run_tools(message(), [add], at_once=0), "at_once is at least 1"),
        (lambda: run_tools(message(), [add], failures=0), "failures is at least 1"),
        (lambda: run_tools(message(), [add], heard=print), "heard= is told the pieces"),
        (lambda: as_tool(lambda x: x), "a tool's name has letters"),
        (lambda: as_tool(add, effect="write"), "add is a read by its step"),
        (lambda: as_tool(lambda x, /: x, name="f"), "positional only"),
        (lambda: as_tool(lambda *x: x, name="f"), "a model gives arguments by name"),
        (lambda: as_tool(lambda x, /, y: x, name="f"), "a model gives arguments by name"),
        (lambda: as_tool(unresolved), "cannot be read"),
        (lambda: as_tool(Shop.find), "give that of an object, such as shop.find"),
    ],
)
def test_wrong_use_is_told(make, told):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert told in str(caught.value)


def unresolved(x: "Missing"):  # noqa: F821 - that is what is tested
    return x


# LangChain, by shape


async def test_a_langchain_tool_is_a_tool():
    from langchain_core.tools import tool

    @tool
    async def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    made = as_tool(multiply)
    assert made.effect == "write"
    assert made.description == "Multiply two numbers."
    assert set(made.schema["properties"]) == {"a", "b"}
    turn = await run_tools(
        message(asks("multiply", 0, a=6, b=7), asks("multiply", 1, a="x")), [made]
    )
    assert turn.results[0].text == "42"
    assert turn.results[1].failed
    assert "b" in turn.results[1].text
    assert as_tool(multiply, effect="read").effect == "read"
