"""A model with `cache=`: what it keeps is keyed by the whole question, and never what was cut."""

import asyncio

import pytest
from openai.types.chat import ChatCompletion

from fanwise import Cache, Hedge, Runtime, fan_out, step
from fanwise.models import Answer, Ended, Model, Passage, Prompt, Text, ToolSpec, Usage


class Says:
    """A provider that counts, and says as many words as it may."""

    def __init__(self, name="fake:says"):
        self.name = name
        self.asked = 0

    async def answer(self, request):
        self.asked += 1
        await asyncio.sleep(1)
        text, finish = self.said(request)
        return Answer(text, Usage(10, 2), self.name, text, finish=finish)

    async def pieces(self, request):
        self.asked += 1
        text, finish = self.said(request)
        for word in text.split():
            await asyncio.sleep(1)
            yield Text(word)
        yield Ended(Usage(10, 2), finish, self.name)

    def said(self, request):
        whole = request.max_tokens is None or request.max_tokens >= 2
        return ("yes indeed", "stop") if whole else ("yes", "length")


@pytest.fixture
def provider():
    return Says()


@pytest.fixture
def cached(provider):
    return Model(provider).using(cache=Cache(size=100, ttl=600))


async def test_equal_questions_are_paid_for_once(provider, cached):
    async with Runtime() as runtime:
        found = await runtime.run(fan_out(*[cached.ask("is it?") for _ in range(5)]))
        await runtime.run(cached.ask("is it?"))
        rows = [row for run in runtime.runs for row in run.record().calls if row.pattern is None]
    assert {answer.text for answer in found.values()} == {"yes indeed"}
    assert provider.asked == 1
    assert sum(row.usage.get("tokens_in", 0) for row in rows) == 10
    assert [row.facts.get("reused") for row in rows].count("joined") == 4


class FirstIsSlow(Says):
    """Its first answer takes ten seconds, the others one."""

    async def answer(self, request):
        if self.asked == 0:
            self.asked += 1
            await asyncio.sleep(10)
        return await super().answer(request)


async def test_an_answer_whose_slower_twin_was_cut_is_whole_and_kept():
    asked = Model(FirstIsSlow(), hedge=Hedge(after=2.0), cache=Cache(size=100, ttl=600))
    async with Runtime() as runtime:
        first = await runtime.run(asked.ask("is it?"))
        again = await runtime.run(asked.ask("is it?"))
        rows = [row for run in runtime.runs for row in run.record().calls]
    assert again is first
    assert [row.facts.get("finish") for row in rows] == ["stop", None]
    assert [row.attempts for row in rows] == [2, 0]
    assert rows[0].facts["estimated"] is True


async def test_models_of_one_address_share_and_others_do_not(provider, cached):
    other = Says("fake:other")
    async with Runtime() as runtime:
        await runtime.run(cached.ask("is it?"))
        await runtime.run(Model(provider).using(cache=Cache(size=100, ttl=600)).ask("is it?"))
        assert provider.asked == 1
        await runtime.run(Model(other, cache=Cache(size=100, ttl=600)).ask("is it?"))
    assert other.asked == 1


async def test_everything_that_is_asked_counts(provider, cached):
    tool = ToolSpec("look", "Looks.", {"type": "object"})
    told = ToolSpec("look", "Looks elsewhere.", {"type": "object"})
    questions = [
        {"asked": "is it?"},
        {"asked": "was it?"},
        {"asked": "is it?", "max_tokens": 5},
        {"asked": "is it?", "tools": [tool]},
        {"asked": "is it?", "tools": [told]},
        {"asked": Prompt("is it?", (Passage("it is"),))},
        {"asked": Prompt("is it?", (Passage("it is"),), most=1)},
        {"asked": Prompt("is it?", (Passage("it is"),), shared="Be brief.")},
    ]
    async with Runtime() as runtime:
        for _ in range(2):
            for each in questions:
                await runtime.run(cached.ask(**each))
    assert provider.asked == len(questions)


async def test_an_answer_that_was_cut_is_not_kept(provider, cached):
    async with Runtime() as runtime:
        for _ in range(2):
            answer = await runtime.run(cached.ask("is it?", max_tokens=1))
            assert not answer.complete
        (state,) = runtime.statistics().caches
    assert provider.asked == 2
    assert (state.kept, state.refused) == (0, 2)


async def test_a_stream_is_kept_for_itself_and_given_at_once(provider, cached):
    async with Runtime():
        await cached.ask("is it?")
        began = asyncio.get_running_loop().time()
        for seconds in (2, 0):
            async with cached.stream("is it?") as pieces:
                *words, answer = [piece async for piece in pieces]
            assert [word.text for word in words] == ["yes", "indeed"]
            assert answer.text == "yesindeed"
            assert asyncio.get_running_loop().time() - began == seconds
            began = asyncio.get_running_loop().time()
        async with cached.stream("is it?", max_tokens=1) as pieces:
            assert len([piece async for piece in pieces]) == 2
        async with cached.stream("is it?", max_tokens=1) as pieces:
            assert len([piece async for piece in pieces]) == 2
    assert provider.asked == 4


@pytest.mark.parametrize(("reason", "kept"), [("stop", 1), ("length", 0)])
async def test_an_official_clients_response_that_was_cut_is_not_kept(reason, kept):
    response = ChatCompletion.model_validate(
        {
            "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-1",
            "choices": [{"index": 0, "finish_reason": reason,
                         "message": {"role": "assistant", "content": "yes"}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
        }
    )  # fmt: skip

    @step(cache=Cache())
    async def ask(question):
        return response

    async with Runtime() as runtime:
        await runtime.run(ask("is it?"))
        assert runtime.statistics().caches[0].kept == kept
