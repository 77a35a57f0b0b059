"""Prompt caches, as the official clients see them and as the ledger charges them."""

import asyncio
from decimal import Decimal

import pytest

from fanwise.testing.twin import Law, Price, Twin
from tests.twin.clients import Chat, Responses, clients

TOKENS = 2000
PREFIX = "word" * TOKENS
"""As many tokens, since the twin's are of four characters."""
PRICES = {"*": Price("3", "15", cached="0.3", written="3.75", written_long="6")}


def marked(text=PREFIX, *, ttl=None):
    cache = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
    return [{"type": "text", "text": text, "cache_control": cache}]


def asking(question="ask!", **more):
    messages = [{"role": "user", "content": question}]
    return {"model": "m", "max_tokens": 50, "system": marked(), "messages": messages, **more}


def told(usage):
    return usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens


async def test_a_mark_is_written_once_and_then_read():
    twin = Twin(prices=PRICES)
    async with clients(twin) as by:
        first = await by.anthropic.messages.create(**asking())
        second = await by.anthropic.messages.create(**asking("more"))
    assert told(first.usage) == (1, TOKENS, 0)
    assert told(second.usage) == (1, 0, TOKENS)
    assert first.usage.cache_creation.ephemeral_5m_input_tokens == TOKENS
    million = Decimal(1_000_000)
    assert twin.ledger[0].cost == (3 + TOKENS * Decimal("3.75") + 15) / million
    assert twin.ledger[1].cost == (3 + TOKENS * Decimal("0.3") + 15) / million


async def test_a_stream_tells_of_the_cache_at_its_start():
    async with clients(Twin()) as by:
        await by.anthropic.messages.create(**asking())
        stream = await by.anthropic.messages.create(**asking(stream=True))
        events = [event async for event in stream]
        del stream
    assert told(events[0].message.usage) == (1, 0, TOKENS)


async def test_an_hour_is_told_apart():
    async with clients(Twin()) as by:
        found = await by.anthropic.messages.create(**asking(system=marked(ttl="1h")))
    assert found.usage.cache_creation.ephemeral_1h_input_tokens == TOKENS
    assert found.usage.cache_creation.ephemeral_5m_input_tokens == 0


async def test_without_a_mark_nothing_is_kept():
    async with clients(Twin()) as by:
        for _ in range(2):
            found = await by.anthropic.messages.create(**asking(system=PREFIX))
            assert told(found.usage) == (TOKENS + 1, 0, 0)


async def test_requests_at_once_all_write_and_one_that_waits_for_the_first_token_reads():
    twin = Twin({"m": Law(first=1, per_second=1)})
    async with clients(twin) as by:
        create = by.anthropic.messages.create
        three = await asyncio.gather(*(create(**asking(f"nr {at}")) for at in range(3)))
        assert [told(each.usage)[1:] for each in three] == [(TOKENS, 0)] * 3
        other = asking(
            system=marked("text" * TOKENS), messages=asking("long answer " * 4)["messages"]
        )
        stream = await create(**other, stream=True)
        early = asyncio.create_task(create(**other))
        await asyncio.sleep(0.5)  # its first token is made at 1 s
        assert not early.done()
        await anext(stream)
        late = await create(**other)
        async for _ in stream:
            pass
        del stream
        assert told((await early).usage)[1:] == (TOKENS, 0)
        assert told(late.usage)[1:] == (0, TOKENS)


@pytest.mark.parametrize(("ttl", "life"), [("5m", 300), ("1h", 3600)])
async def test_an_entry_lives_on_with_each_read(ttl, life):
    async with clients(Twin()) as by:
        create, asked = by.anthropic.messages.create, asking(system=marked(ttl=ttl))
        await create(**asked)
        for _ in range(3):
            await asyncio.sleep(life - 1)
            assert told((await create(**asked)).usage)[2] == TOKENS
        await asyncio.sleep(life)
        assert told((await create(**asked)).usage)[1:] == (TOKENS, 0)


async def test_keys_and_models_share_nothing():
    twin = Twin()
    async with clients(twin) as by, clients(twin, key="another") as others:
        await by.anthropic.messages.create(**asking())
        for client, model in ((others, "m"), (by, "n")):
            found = await client.anthropic.messages.create(**asking(model=model))
            assert told(found.usage)[2] == 0


async def test_a_conversation_grows_on_what_was_marked_before():
    async with clients(Twin()) as by:
        create = by.anthropic.messages.create
        turns = [{"role": "user", "content": marked("turn" * 1500)}]
        first = await create(**asking(messages=turns, system="s" * 4))
        turns += [first.to_param(), {"role": "user", "content": marked("next" * 100)}]
        second = await create(**asking(messages=turns, system="s" * 4))
    assert told(first.usage) == (0, 1501, 0)
    assert told(second.usage) == (0, 150, 1501)  # 50 of them are the first answer


@pytest.mark.parametrize("speaker", [Chat, Responses], ids=lambda each: each.name)
async def test_openai_keeps_prefixes_by_itself_in_steps(speaker):
    twin = Twin(prices={"*": Price("2", "8", cached="0.5")})
    async with clients(twin) as by:
        one = speaker(by)
        first = await one.ask(PREFIX + "one")
        second = await one.ask(PREFIX + "two")
        short = await one.ask("word" * 1000)
    assert (first.cached, second.cached, short.cached) == (0, 1920, 0)
    assert second.tokens_in == TOKENS + 1
    entry = twin.ledger[1]
    out = entry.counts.tokens_out
    plain = TOKENS + 1 - 1920
    assert entry.cost == (plain * 2 + 1920 * Decimal("0.5") + out * 8) / Decimal(1_000_000)
    assert twin.ledger[0].cost == (Decimal((TOKENS + 1) * 2) + out * 8) / Decimal(1_000_000)
