"""Steps that call clients of their own, as a budget sees them before they do."""

import anthropic
import openai
import pytest

from fanwise import Budget, Runtime, step
from fanwise.core import Need
from fanwise.core._clients import own_client
from fanwise.errors import BudgetUndeclared
from fanwise.testing import run_virtual

client = openai.AsyncOpenAI(api_key="none")


async def asks_a_global(question):
    return await client.chat.completions.create(model="m", messages=[question])


async def asks_an_argument(given, question):
    return await given.messages.create(model="m", max_tokens=5, messages=[question])


async def hands_it_on(question):
    return await asks_an_argument(client, question)


async def makes_nothing(question):
    return {"create": question}


class Agent:
    def __init__(self):
        self.client = anthropic.Anthropic(api_key="none")

    @step
    def ask(self, question):
        return self.client.messages.create(model="m", max_tokens=5, messages=[question])

    @step
    async def both(self, question):
        return [self.ask(question), self.ask(question)]


def closed_over():
    inner = openai.OpenAI(api_key="none")

    def ask(question):
        return inner.responses.create(model="m", input=question)

    return ask


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda: step(asks_a_global)("q"), "AsyncOpenAI"),
        (
            lambda: step(asks_an_argument)(anthropic.AsyncAnthropic(api_key="n"), "q"),
            "AsyncAnthropic",
        ),
        (lambda: Agent().ask("q"), "Anthropic"),
        (lambda: step(closed_over())("q"), "OpenAI"),
        (lambda: step(hands_it_on)("q"), None),
        (lambda: Agent().both("q"), None),
        (lambda: step(makes_nothing)("q"), None),
        (lambda: step(print)("q"), None),
    ],
)
@pytest.mark.filterwarnings("ignore:call .* was never awaited")
def test_a_client_that_is_asked_is_seen(make, seen):
    call = make()
    call.excused = True
    assert own_client(call) == seen


def test_under_a_budget_it_is_refused_before_it_asks():
    async def main():
        async with Runtime() as runtime:
            with pytest.raises(BudgetUndeclared, match="asks_a_global uses tokens under a budget"):
                await runtime.run(step(asks_a_global)("q"), budget=Budget(tokens=5))
            said = step(needs=Need(5, 5, 5))(makes_nothing)
            return await runtime.run(said("q"), budget=Budget(tokens=50))

    assert run_virtual(main()) == {"create": "q"}
