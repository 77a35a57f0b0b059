"""A model's questions: typed, asked again, let go, retried; and what the record says of them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Literal

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from fanwise import (
    Hedge,
    Retry,
    Runtime,
    Timeout,
    deadline,
    fan_map,
    fan_out,
    first,
    step,
    tree_reduce,
    vote,
)
from fanwise.errors import DeadlinePassed, NotEnough
from fanwise.models import (
    Answer,
    Chat,
    MalformedAnswer,
    Message,
    Model,
    Price,
    Prompt,
    ToolCall,
    ToolSpec,
    Usage,
    model,
)
from fanwise.testing import no_orphans, run_virtual
from tests.models.fakes import Scripted


@dataclass
class Hit:
    name: str
    size: int


class Shape(BaseModel):
    sides: int


class Place(TypedDict):
    city: str


class Colour(Enum):
    RED = "red"


LOOK = ToolSpec("look", "Look something up.", {"type": "object"})


def recorded(call):
    """Run a call; give its value or error, its rows, and the time it took."""

    async def main():
        async with no_orphans(), Runtime(seed=1) as runtime:
            run = runtime.start(call)
            try:
                found = await run.wait()
            except Exception as error:
                found = error
            return found, run.record().calls, asyncio.get_running_loop().time()

    return run_virtual(main())


def told(rows):
    """What the rows of models say that was used."""
    return [
        (row.usage.get("tokens_in", 0), row.usage.get("tokens_out", 0), bool(row.facts.get("estimated")))
        for row in rows
        if row.usage
    ]  # fmt: skip


# ------------------------------------------------------------------------------------ questions


def test_an_answer_is_the_text_and_its_usage_is_told_once():
    answer, rows, time = recorded(Model(Scripted("yes")).ask("Is it?"))
    assert (answer.text, answer.value, answer.finish, answer.complete) == (
        "yes",
        "yes",
        "stop",
        True,
    )
    assert [(row.step, row.facts["model"]) for row in rows] == [("fake:scripted", "fake:scripted")]
    assert (told(rows), time) == ([(10, 5, False)], 1.0)


def test_nothing_is_asked_before_the_call_is_awaited():
    provider = Scripted("yes")

    async def main():
        call = Model(provider).ask("Is it?")
        await asyncio.sleep(5)
        assert provider.begun == 0
        await call
        assert (await call).text == "yes"
        assert provider.begun == 1

    run_virtual(main())


def test_a_prompt_and_a_chat_reach_the_provider_as_they_are():
    provider = Scripted("yes")
    prompt, chat = Prompt("Why?"), Chat((Message("user", "Why?"),), system="Be short.")
    for asked in (prompt, chat, "Why?"):
        recorded(Model(provider).ask(asked, tools=[LOOK], max_tokens=9))
    assert [request.asked for request in provider.requests] == [prompt, chat, "Why?"]
    assert all((each.tools, each.max_tokens) == ((LOOK,), 9) for each in provider.requests)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"asked": 3}, "asked a str, a Prompt or a Chat, got 3"),
        ({"max_tokens": 0}, "max_tokens is at least 1, got 0"),
        ({"max_tokens": "9"}, "max_tokens is a whole number, got '9'"),
        ({"max_tokens": 1.5}, "max_tokens is a whole number, got 1.5"),
        ({"tools": [len]}, "tools are each a ToolSpec"),
        ({"output": int, "again": -1}, "again is at least 0, got -1"),
        ({"output": asyncio.Task}, "is no type that JSON can carry"),
        ({"output": {}}, "is no type that JSON can carry"),
        ({"output": 3}, "is no type that JSON can carry"),
        ({"output": int | asyncio.Task}, "is no type that JSON can carry"),
    ],
)
def test_wrong_questions_are_refused_when_they_are_made(wrong, message):
    asked = Model(Scripted("yes"))
    given = {"asked": "Why?"} | wrong
    with pytest.raises((TypeError, ValueError), match=message):
        asked.ask(given.pop("asked"), **given)


def test_an_address_is_no_adapter():
    with pytest.raises(
        TypeError, match=r"got 'openai:x'; the model of an address is model\(address"
    ):
        Model("openai:x")


# ---------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (Hit, '{"name": "a", "size": 2}', Hit("a", 2)),
        (list[Hit], '[{"name": "a", "size": 2}]', [Hit("a", 2)]),
        (Shape, '{"sides": 3}', Shape(sides=3)),
        (Place, '{"city": "Ulm"}', {"city": "Ulm"}),
        (Literal["a", "b"], '"b"', "b"),
        (Colour, '"red"', Colour.RED),
        (int, " 7\n", 7),
        (int | None, "null", None),
        (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (str, '"said"', "said"),
    ],
)
def test_an_answer_is_read_as_the_type(output, text, value):
    provider = Scripted(text)
    answer, _, _ = recorded(Model(provider).ask("?", output=output))
    assert (answer.value, answer.text) == (value, text)
    assert provider.requests[0].schema is not None


def test_one_that_does_not_fit_is_asked_again_with_what_was_wrong():
    provider = Scripted('{"name": "a", "size": "big"}', '{"name": "a", "size": 2}')
    answer, rows, time = recorded(Model(provider).ask("How big?", output=Hit))
    assert answer.value == Hit("a", 2)
    said = provider.requests[1].asked.messages
    assert [message.role for message in said] == ["user", "assistant", "user"]
    assert said[1].text == '{"name": "a", "size": "big"}'
    assert "size: Input should be a valid integer" in said[2].text
    assert answer.usage == Usage(20, 10), "both tries are paid for"
    assert (told(rows), time) == ([(20, 10, False)], 2.0)


@pytest.mark.parametrize("again", [0, 1, 3])
def test_it_is_asked_so_many_times_and_no_more(again):
    provider = Scripted("nonsense")
    error, rows, _ = recorded(Model(provider).ask("?", output=int, again=again))
    assert isinstance(error, MalformedAnswer)
    assert (error.text, provider.begun) == ("nonsense", again + 1)
    assert told(rows) == [(10 * (again + 1), 5 * (again + 1), False)]


@pytest.mark.parametrize(
    ("finish", "text", "message"),
    [
        ("length", "[1, 2", "it was cut at max_tokens=5, and was not read"),
        ("length", "[1]", "it was cut at max_tokens=5, and was not read"),
        ("refused", "No.", "the model would not answer"),
        ("cut", "[1]", "it broke off before it was whole"),
    ],
)
def test_an_answer_that_is_not_whole_is_never_read(finish, text, message):
    provider = Scripted(text, finish=finish)
    error, _, _ = recorded(Model(provider).ask("?", output=list[int], max_tokens=5))
    assert isinstance(error, MalformedAnswer)
    assert message in str(error)
    assert provider.begun == 1, "more of the same would be cut again"


def test_a_cut_text_is_an_answer_that_is_not_complete():
    answer, _, _ = recorded(Model(Scripted("half an", finish="length")).ask("?"))
    assert (answer.text, answer.complete) == ("half an", False)


def test_an_answer_that_asks_for_tools_has_no_value_yet():
    call = ToolCall("1", "look", {"at": "it"})
    asks = Answer("", Usage(3, 2), "fake:scripted", "", (call,), "tools")
    answer, _, _ = recorded(Model(Scripted(asks)).ask("?", output=int, tools=[LOOK]))
    assert (answer.calls, answer.value, answer.complete) == ((call,), None, True)


# ----------------------------------------------------------------------------------- let go


def test_a_cancelled_question_is_cancelled_once_and_its_input_has_a_price():
    provider = Scripted("late", seconds=100)

    @step
    async def hurried():
        with deadline(3):
            return await Model(provider).ask("x" * 400)

    error, rows, time = recorded(hurried())
    assert isinstance(error, DeadlinePassed)
    assert (provider.begun, provider.cancelled, time) == (1, 1, 3.0)
    assert told(rows) == [(100, 0, True)]


def test_losers_of_a_race_are_let_go():
    slow, quick = Scripted("slow", seconds=9), Scripted("quick", name="fake:quick")
    answer, rows, time = recorded(first(Model(slow).ask("?"), Model(quick).ask("?")))
    assert (answer.text, slow.cancelled, time) == ("quick", 1, 1.0)
    assert sorted(told(rows)) == [(1, 0, True), (10, 5, False)]


# ------------------------------------------------------------------------------------ policy


def test_a_policy_holds_for_every_question():
    provider = Scripted(ConnectionRefusedError("no route"), "yes")
    asked = Model(provider).using(retry=Retry(attempts=2, shortest=1, longest=1))
    answer, rows, _ = recorded(asked.ask("?"))
    assert (answer.text, provider.begun) == ("yes", 2)
    assert rows[-1].attempts == 2
    assert told(rows) == [(10, 5, False)]


def test_what_is_not_named_stays_and_the_model_it_was_made_of_too():
    provider = Scripted("yes", seconds=5)
    plain = Model(provider)
    timed = plain.using(timeout=2).using(role="judge")
    error, rows, _ = recorded(timed.ask("?"))
    assert isinstance(error, TimeoutError)
    assert rows[-1].role == "judge"
    assert recorded(plain.ask("?"))[0].text == "yes"


def test_the_waits_of_a_timeout_are_for_streams():
    provider = Scripted("yes", seconds=5)
    asked = Model(provider, timeout=Timeout(9.0, first=2.0))
    assert recorded(asked.ask("?"))[0].text == "yes"
    error, _, time = recorded(asked.stream("?"))
    assert isinstance(error, TimeoutError)
    assert "gave no first item within 2 s" in str(error)
    assert time == 2.0


def test_a_hedge_that_loses_is_priced():
    provider = Scripted("yes", seconds=5)
    asked = Model(provider, hedge=Hedge(after=2.0))
    answer, rows, time = recorded(asked.ask("x" * 400))
    assert (answer.text, time) == ("yes", 5.0)
    assert (provider.begun, provider.cancelled) == (2, 1)
    assert rows[-1].usage["tokens_in"] > 10
    assert rows[-1].facts["estimated"] is True


def test_a_malformed_answer_is_not_what_retries_are_for():
    provider = Scripted("nonsense")
    asked = Model(provider, retry=Retry(attempts=5))
    error, _, _ = recorded(asked.ask("?", output=int, again=1))
    assert isinstance(error, MalformedAnswer)
    assert provider.begun == 2


def test_a_retried_parent_takes_over_what_was_answered():
    provider = Scripted("1", "2", "3", "4")
    asked = Model(provider)
    tries = []

    @step(retry=Retry(attempts=2, shortest=1, longest=1))
    async def parent():
        same = [
            asked.ask("?"),
            asked.ask("?"),
            asked.ask("?", max_tokens=5),
            asked.ask("?", output=int),
        ]
        found = [(await each).text for each in same]
        tries.append(found)
        if len(tries) == 1:
            raise ConnectionError("no route")
        return found

    found, _, _ = recorded(parent())
    assert provider.begun == 4, "the second attempt asked nothing again"
    assert tries[0] == tries[1] == found == ["1", "2", "3", "4"]


def test_a_retried_parent_tells_prompts_of_one_text_apart():
    provider = Scripted("1", "2")
    tries = []

    @step(retry=Retry(attempts=2, shortest=1, longest=1))
    async def parent():
        most = (3, 5) if not tries else (5, 3)  # another order, the same two questions
        tries.append([(await Model(provider).ask(Prompt("Why?", most=n))).text for n in most])
        if len(tries) == 1:
            raise ConnectionError("no route")

    recorded(parent())
    assert tries == [["1", "2"], ["2", "1"]]


def test_a_retried_parent_tells_streams_from_questions():
    provider = Scripted("1", "2")
    asked = Model(provider)
    tries = []

    @step(retry=Retry(attempts=2, shortest=1, longest=1))
    async def parent():
        texts = [(await asked.ask("?")).text, (await asked.stream("?"))[-1].text]
        tries.append(texts)
        if len(tries) == 1:
            raise ConnectionError("no route")
        return texts

    found, _, _ = recorded(parent())
    assert found == ["1", "2"]


# ---------------------------------------------------------------------------------- patterns


def test_questions_run_at_once_in_every_pattern():
    asked = Model(Scripted("yes"))
    found, _, time = recorded(fan_map(asked.ask, ["a", "b", "c"], at_once=2))
    assert ([answer.text for answer in found.values()], time) == (["yes"] * 3, 2.0)
    typed = fan_map(lambda text: asked.ask(text, max_tokens=3), ["a", "b"], at_once=2)
    assert len(recorded(typed)[0].values()) == 2
    voted, _, _ = recorded(vote([asked.ask("?") for _ in range(4)], key=lambda answer: answer.text))
    assert voted.answer.text == "yes"
    found, rows, _ = recorded(fan_out(a=asked.ask("a"), b=asked.ask("b")))
    assert found["a"].usage == {"tokens_in": 10, "tokens_out": 5}
    assert [row.fan_in for row in rows] == [0, 0, None]


def test_a_group_of_questions_reduces():
    asked = Model(model("local:echo").provider)

    @step
    async def joined(texts):
        return (await asked.ask(" ".join(texts))).text

    reduced, _, _ = recorded(tree_reduce(joined, ["a", "b", "c", "d"], arity=2))
    assert reduced.value == "a b c d"


def test_too_few_answers_hand_over_what_is_there():
    good, bad = Model(Scripted("yes")), Model(Scripted(ConnectionError("no route")))
    error, _, _ = recorded(fan_out(good.ask("?"), bad.ask("?")))
    assert isinstance(error, NotEnough)
    assert [answer.text for answer in error.found.values()] == ["yes"]


# ---------------------------------------------------------------------------------- estimates


def test_estimates_learn_from_the_answers():
    async def main():
        async with Runtime():
            asked = Model(Scripted("x" * 40, usage=Usage(60, 20)))
            assert asked.estimate("x" * 100) == Usage(25, 0, estimated=True)
            for _ in range(3):
                await asked.ask("x" * 100)
            assert asked.estimate("x" * 100) == Usage(60, 20, estimated=True)
            assert asked.estimate("x" * 100, max_tokens=5) == Usage(60, 5, estimated=True)
            assert asked.estimate("x" * 200).tokens_in > 60
            other = Model(Scripted("?", name="fake:other"))
            assert other.estimate("x" * 100).tokens_in == 25, "another model's answers say nothing"

    run_virtual(main())


def test_what_a_question_will_use_is_estimated():
    asked = Model(Scripted("yes"))
    plain = asked.estimate("x" * 400, max_tokens=50)
    assert plain == Usage(100, 50, estimated=True)
    chat = Chat((Message("user", "x" * 200),), system="x" * 100, shared="x" * 100)
    assert asked.estimate(chat).tokens_in == 100
    assert asked.estimate("?", output=Hit).tokens_in > asked.estimate("?").tokens_in
    assert asked.estimate("?", tools=[LOOK]).tokens_in > asked.estimate("?").tokens_in


def priced(call, provider="fake/*"):
    async def main():
        price = Price(input=1_000, output=10_000, cached=100, batch="0.5")
        async with Runtime(prices={provider: price}) as runtime:
            run = runtime.start(call)
            try:
                found = await run.wait()
            except Exception as error:
                found = error
            return found, run.record().calls, runtime.statistics().estimates

    return run_virtual(main())


def test_an_answer_has_its_cost_and_so_has_its_row():
    answer, rows, _ = priced(Model(Scripted("yes")).ask("?"))
    assert answer.cost == Decimal("0.06"), "10 at 0.001 and 5 at 0.01"
    assert [row.facts["cost"] for row in rows] == ["0.06"]


def test_every_try_is_in_the_cost():
    answer, rows, _ = priced(Model(Scripted("nonsense", "1")).ask("?", output=int))
    assert (answer.cost, rows[-1].facts["cost"]) == (Decimal("0.12"), "0.12")


def test_a_stream_has_its_cost():
    pieces, rows, _ = priced(Model(Scripted("yes")).stream("?"))
    assert (pieces[-1].cost, rows[-1].facts["cost"]) == (Decimal("0.06"), "0.06")


def test_what_was_let_go_costs_what_the_others_of_its_step_lead_one_to_expect():
    quick, slow = Scripted("x" * 40), Scripted("x" * 40, seconds=100)

    @step
    async def both():
        for _ in range(3):
            await Model(quick).ask("x" * 40)
        with suppress(DeadlinePassed), deadline(5):
            await Model(slow).ask("x" * 40)

    _, rows, (estimates,) = priced(both())
    (lost,) = [row for row in rows if row.status != "ok"]
    assert (lost.usage, lost.facts["estimated"]) == ({"tokens_in": 10, "tokens_out": 25}, True)
    assert lost.facts["cost"] == lost.facts["cost_estimated"]
    assert (estimates.calls, estimates.error_in, estimates.error_out) == (3, 0, 0)


def test_a_price_is_asked_of_the_model_too():
    async def main():
        async with Runtime(prices={"fake/*": Price(input=1, output=4, batch="0.5")}):
            asked = Model(Scripted("yes"))
            usage = Usage(1_000_000, 250_000)
            assert await asked.price(usage) == 2
            assert await asked.price(usage, batch=True) == 1
            assert await Model(Scripted("yes", name="other:one")).price(usage) is None
            assert await model("local:echo").price(usage) == 0

    run_virtual(main())


def test_models_are_known_by_their_address():
    assert repr(model("local:echo")) == "<Model local:echo>"
    with pytest.raises(ValueError, match=r"model='nobody:x' is not known; known are: .*local:echo"):
        model("nobody:x")
