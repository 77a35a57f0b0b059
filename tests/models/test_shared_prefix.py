"""`ask_shared`: one goes first, the others when its first token is there, and who leads may fail."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import strategies as st

from fanwise import NotEnough, Runtime, fan_out
from fanwise.models import (
    Answer,
    Chat,
    Ended,
    Message,
    Model,
    Prompt,
    Text,
    Usage,
    ask_shared,
)
from fanwise.models import Price as OurPrice
from fanwise.models._shared_prefix import _Door
from fanwise.providers import anthropic, openai
from fanwise.providers._ai import _anthropic, _openai
from fanwise.testing.twin import Law, Price, Twin
from tests.laws.proving import ORDERS, changed, holds, rejects, ticks, virtually

IMPORTED = (_anthropic, _openai)  # which a model would import in the loop, and so block it
SHARED = "What every prompt begins with. " * 200
TOKENS = 1550


def now():
    return asyncio.get_running_loop().time()


class Keeps:
    """A provider that keeps the beginning from the first token on, and may fail by question."""

    name = "fake:keeps"

    def __init__(self, first=1.0, rest=2.0, fails=()):
        self.first, self.rest, self.fails = first, rest, dict(fails)
        self.kept = False
        self.asked = []

    async def begin(self, request, how):
        question = request.chat.messages[-1].text
        self.asked.append((question, how, now()))
        cached = TOKENS if self.kept else 0
        after = self.fails.get(question)
        if after is not None and after <= self.first:
            await asyncio.sleep(after)
            raise ConnectionError(question)
        await asyncio.sleep(self.first)
        self.kept = True
        written = 0 if cached else TOKENS
        return question, after, Usage(TOKENS + 5, 3, cached=cached, written=written)

    async def answer(self, request):
        question, after, usage = await self.begin(request, "whole")
        await asyncio.sleep(self.rest)
        if after is not None:
            raise ConnectionError(question)
        return Answer(question, usage, self.name, question)

    async def pieces(self, request):
        question, after, usage = await self.begin(request, "pieces")
        yield Text(question)
        await asyncio.sleep(self.rest)
        if after is not None:
            raise ConnectionError(question)
        yield Ended(usage, "stop", self.name)


def questions(count):
    return [f"question {n}" for n in range(count)]


async def test_the_others_follow_at_the_first_token_and_not_at_the_end():
    provider = Keeps()
    async with Runtime() as runtime:
        answers = await runtime.run(ask_shared(Model(provider), SHARED, questions(4)))
    assert [answer.text for answer in answers.found.values()] == questions(4)
    assert [(how, at) for _, how, at in provider.asked] == [("pieces", 0), *[("whole", 1)] * 3]
    assert now() == 4  # one first token, and then a whole answer
    assert (answers.read, answers.written) == (3 * TOKENS, TOKENS)
    assert answers.saved is None  # nobody said what such a model costs
    assert answers.predicted == 3 * TOKENS


async def test_the_record_counts_what_is_sent_and_what_is_shared_and_who_waited():
    async with Runtime() as runtime:
        await runtime.run(ask_shared(Model(Keeps()), SHARED, questions(2)))
        rows = [r for r in runtime.runs[-1].record().calls if r.step == "ask_shared/branch"]
    assert [row.usage for row in rows] == [{"sent": TOKENS + 5, "shared": TOKENS}] * 2
    assert sorted(row.waits.get("prefix", 0) for row in rows) == [0, 1_000_000]


async def test_a_beginning_that_no_provider_keeps_is_not_waited_for():
    provider = Keeps()
    async with Runtime() as runtime:
        short = await runtime.run(ask_shared(Model(provider), "Briefly.", questions(3)))
        assert [(how, at) for _, how, at in provider.asked] == [("whole", 0)] * 3
        assert short.predicted == 0
        provider.asked.clear()
        provider.name = "fake:claude-haiku-4-5-20990101"  # from 4,096 tokens on
        await runtime.run(ask_shared(Model(provider), SHARED, questions(3)))
        assert [how for _, how, _ in provider.asked] == ["whole"] * 3


async def test_one_prompt_alone_has_nobody_to_wait_for_it():
    provider = Keeps()
    async with Runtime() as runtime:
        await runtime.run(ask_shared(Model(provider), SHARED, questions(1)))
        nothing = await runtime.run(ask_shared(Model(provider), SHARED, []))
    assert [how for _, how, _ in provider.asked] == ["whole"]
    assert (len(nothing.found), nothing.read, nothing.predicted) == (0, 0, 0)


async def test_the_next_one_leads_where_the_first_fails_before_its_first_token():
    provider = Keeps(fails={"question 0": 0.5, "question 1": 0.25})
    async with Runtime() as runtime:
        answers = await runtime.run(ask_shared(Model(provider), SHARED, questions(4), need=2))
    assert [o.status for o in answers.found] == ["failed", "failed", "ok", "ok"]
    leads = [(question, at) for question, how, at in provider.asked if how == "pieces"]
    assert leads == [("question 0", 0), ("question 1", 0.5), ("question 2", 0.75)]
    assert provider.asked[-1] == ("question 3", "whole", 1.75)
    assert answers.written == TOKENS


async def test_one_that_breaks_after_its_first_token_stops_nobody():
    provider = Keeps(fails={"question 0": 2})
    async with Runtime() as runtime:
        with pytest.raises(NotEnough) as caught:
            await runtime.run(ask_shared(Model(provider), SHARED, questions(3), need="80%"))
        answers = await runtime.run(ask_shared(Model(provider), SHARED, questions(3), need=2))
    assert caught.value.found.outcomes[0].status == "failed"
    assert [o.status for o in answers.found] == ["failed", "ok", "ok"]


async def test_in_a_row_it_is_the_same_program():
    provider = Keeps()
    async with Runtime() as runtime:
        answers = await runtime.run(ask_shared(Model(provider), SHARED, questions(3), at_once=1))
    assert [at for _, _, at in provider.asked] == [0, 3, 6]
    assert answers.written == TOKENS


async def test_cancelled_it_cancels_everything():
    provider = Keeps()
    async with Runtime() as runtime:
        for after in (0.5, 1.5):
            task = asyncio.ensure_future(
                runtime.run(ask_shared(Model(provider), SHARED, questions(3)))
            )
            await asyncio.sleep(after)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert runtime.statistics().running == 0


async def test_within_bounds_all_of_it():
    async with Runtime() as runtime:
        answers = await runtime.run(
            ask_shared(Model(Keeps()), SHARED, questions(3), need=1, within=3.5)
        )
    assert [o.status for o in answers.found] == ["ok", "timed_out", "timed_out"]


async def test_prompts_and_chats_get_the_beginning():
    seen = []

    class Sees(Keeps):
        async def answer(self, request):
            seen.append(request.chat.shared)
            return await super().answer(request)

    chat = Chat((Message("user", "b"),))
    asked = [Prompt("a"), chat, Prompt("c", shared=SHARED)]
    async with Runtime() as runtime:
        await runtime.run(ask_shared(Model(Sees()), SHARED, asked, at_once=3))
    assert seen == [SHARED] * 2  # the first one was a stream
    assert chat.shared == ""


def test_wrong_use_is_named():
    model = Model(Keeps())
    with pytest.raises(TypeError, match=r"model is a Model, such as model\("):
        ask_shared("openai:gpt", SHARED, [])
    with pytest.raises(ValueError, match="shared is the text that all prompts begin with"):
        ask_shared(model, "", ["a"])
    with pytest.raises(TypeError, match="prompts are each a str, a Prompt or a Chat, got 3"):
        ask_shared(model, SHARED, [3])
    with pytest.raises(TypeError, match=r"prompts are several questions, .* got 'abc'"):
        ask_shared(model, SHARED, "abc")
    with pytest.raises(ValueError, match="at_once is at least 1, got 0"):
        ask_shared(model, SHARED, ["a"], at_once=0)
    with pytest.raises(ValueError, match="max_tokens is at least 1, got 0"):
        ask_shared(model, SHARED, ["a"], max_tokens=0)
    with pytest.raises(ValueError, match="within is at least 0, got -1"):
        ask_shared(model, SHARED, ["a"], within=-1)
    with pytest.raises(ValueError, match="need=2 is above the number of branches, 1"):
        ask_shared(model, SHARED, ["a"], need=2)
    with pytest.raises(ValueError, match="declared once"):
        ask_shared(model, SHARED, [Prompt("a", shared="another")])
    with pytest.raises(ValueError, match="the same system text"):
        ask_shared(model, SHARED, [Chat((), system="a"), Chat((), system="b")])
    with pytest.raises(ValueError, match="need"):
        ask_shared(model, SHARED, ["a"], need="many")


@pytest.mark.parametrize(
    ("make", "name", "written"), [(anthropic, "claude-1", "3.75"), (openai, "gpt-1", 3)]
)
async def test_a_real_wire_pays_for_the_beginning_once(make, name, written):
    """Against the twin, whose own ledger judges."""
    twin = Twin({name: Law(first=1.0, per_second=50)}, prices={"*": Price("3", "15")})
    model = Model(make(name, http=twin.client(), key="k"))
    price = {"input": 3, "output": 15, "cached": "0.3", "written": written}
    async with Runtime(prices={model.name: OurPrice(**price)}) as runtime:
        answers = await runtime.run(ask_shared(model, SHARED, questions(20)))
        paid = list(twin.ledger)
        spent = sum(answer.cost for answer in answers.found.values())
        await runtime.run(
            fan_out(*[model.ask(Prompt(q, shared="Another. " * 700)) for q in questions(20)])
        )
    naive = twin.ledger.entries[20:]
    assert spent == sum(entry.cost for entry in paid)
    plain = sum(3 * e.counts.tokens_in + 15 * e.counts.tokens_out for e in paid)
    assert spent + answers.saved == Decimal(plain) / 1_000_000
    assert [entry.counts.cached > 0 for entry in paid] == [False, *[True] * 19]
    assert not any(entry.counts.cached for entry in naive)
    assert answers.read == sum(entry.counts.cached for entry in paid)
    assert answers.written == sum(entry.counts.written for entry in paid)
    if make is anthropic:
        assert sum(entry.counts.written > 0 for entry in paid) == 1
        assert sum(entry.counts.written > 0 for entry in naive) == 20
    assert abs(answers.predicted - answers.read) < 0.05 * answers.read


FATES = st.lists(st.none() | ticks(0, 12), min_size=1, max_size=6)


def followed(fails, at_once, order):
    """Nobody but one at a time asks before a first token came, and everybody is asked once."""
    provider = Keeps(fails={f"question {n}": at for n, at in enumerate(fails) if at is not None})

    async def main(runtime):
        asked = ask_shared(Model(provider), SHARED, questions(len(fails)), need=0, at_once=at_once)
        answers = await runtime.run(asked)
        assert [o.status == "ok" for o in answers.found] == [at is None for at in fails]

    virtually(main, order=order)
    assert sorted(question for question, _, _ in provider.asked) == questions(len(fails))
    if len(fails) > 1:
        ends = [
            at + min(provider.first, provider.fails.get(question, 99.0))
            for question, how, at in provider.asked
            if how == "pieces"
        ]
        assert ends, "nobody led"
        begins = [at for _, how, at in provider.asked if how == "pieces"]
        assert begins[1:] == ends[:-1], "two led at a time, or the next one waited"
        wholes = [at for _, how, at in provider.asked if how == "whole"]
        assert all(at >= ends[-1] for at in wholes), "it did not wait for the first token"


def test_who_leads_and_who_follows():
    holds(followed, FATES, st.none() | st.integers(1, 6), ORDERS, examples=200)


def test_a_door_that_is_open():
    async def leads(_):
        return False

    rejects(followed, FATES, st.none(), ORDERS, mutant=changed((_Door, "leads", leads)))


def test_a_door_that_never_hands_on():
    rejects(
        followed,
        FATES,
        st.none(),
        ORDERS,
        mutant=changed((_Door, "hand_on", lambda _: None)),
    )
