"""Prompt caches: when a prefix is read, what a write costs, and until when it lives."""

import asyncio
from decimal import Decimal

import pytest

from fanwise.testing.twin import Law, Part, Price, Tool, Twin
from fanwise.testing.twin._cache import PromptCache
from tests.laws.proving import changed
from tests.twin.talk import asked, openai_on, said

# 1,500 tokens: 11 steps of 128 fit in, 1,408 tokens.
SHARED = "".join(f"line {n:04} " for n in range(600))
PRICE = {"m": Price("10", "0")}


async def cached_of(client, text):
    found = await client.chat.completions.create(model="m", messages=said(text))
    return found.usage.prompt_tokens_details.cached_tokens


async def test_a_long_prefix_is_read_again_in_steps_of_128_tokens():
    twin = Twin(prices=PRICE, answers=lambda ask: "")
    async with openai_on(twin) as client:
        assert await cached_of(client, SHARED + "one") == 0
        assert await cached_of(client, SHARED + "two") == 1408
        assert await cached_of(client, SHARED[:4092]) == 0
        assert await cached_of(client, "x" + SHARED) == 0
        assert await cached_of(client, SHARED[:5000] + "y" * 2000) == 1152
        other = client.with_options(api_key="other")
        assert await cached_of(other, SHARED) == 0
    first, second = twin.ledger[0], twin.ledger[1]
    assert first.counts.tokens_in == second.counts.tokens_in == 1501
    assert first.cost == Decimal("0.01501")
    assert second.cost == (Decimal(1501 - 1408) + Decimal("0.1") * 1408) * 10 / 1_000_000


async def test_nothing_is_read_before_the_first_token_of_the_writer():
    twin = Twin({"m": Law(first=2.0, per_second=10)})
    async with openai_on(twin) as client:
        writer = asyncio.create_task(cached_of(client, SHARED + "a" * 100))
        await asyncio.sleep(1.9)
        early = asyncio.create_task(cached_of(client, SHARED + "b"))
        await asyncio.sleep(0.2)
        assert await cached_of(client, SHARED + "c") == 1408
        assert await early == 0
        assert await writer == 0


async def test_requests_that_start_together_all_pay():
    twin = Twin({"m": Law(first=1.0)})
    async with openai_on(twin) as client:
        assert await asyncio.gather(*(cached_of(client, SHARED) for _ in range(5))) == [0] * 5
        assert await asyncio.gather(*(cached_of(client, SHARED) for _ in range(5))) == [1408] * 5


async def test_an_entry_lives_for_five_minutes_from_its_last_read():
    async with openai_on(Twin()) as client:
        assert await cached_of(client, SHARED) == 0
        for _ in range(3):
            await asyncio.sleep(299)
            assert await cached_of(client, SHARED) == 1408
        await asyncio.sleep(301)
        assert await cached_of(client, SHARED) == 0


def test_a_cache_holds_no_more_than_can_still_be_read():
    cache = PromptCache()
    for number in range(2000):  # four prefixes each, one prompt a second
        both(cache, asked(f"{number:05}" * 1150), now=float(number))
    alive = 300 * 4
    assert alive <= len(cache._kept) <= 2 * alive + 1024
    assert both(cache, asked("01990" * 1150), now=2000.0)[0] == 1408


def test_what_expires_while_the_answer_is_thought_of_was_read():
    cache, ask = PromptCache(), asked(SHARED)
    both(cache, ask)
    slow = cache.look(ask, 299.0)
    assert cache.look(ask, 301.0).cached == 0  # a request that is refused then, and writes nothing
    cache.read(slow, 299.0)
    assert slow.cached == 1408


def marked(*parts, tools=()):
    return asked(protocol="anthropic", endpoint="messages", parts=parts, tools=tools)


def both(cache, ask, now=0.0):
    """Look, read and write, as a request does that is answered at once."""
    found = cache.look(ask, now)
    cache.read(found, now)
    cache.write(found, now)
    return found.cached, found.written, found.written_long


def test_marks_write_what_lies_before_them_and_read_it_again():
    cache, system = PromptCache(), Part("system", SHARED, mark="5m")
    assert both(cache, marked(system, Part("user", "one"))) == (0, 1500, 0)
    assert both(cache, marked(system, Part("user", "two"))) == (1500, 0, 0)
    # Without a mark nothing is written, and nothing is looked for.
    assert both(cache, marked(Part("system", SHARED), Part("user", "two"))) == (0, 0, 0)
    assert both(cache, marked(system, Part("user", "x" * 400, mark="5m"))) == (1500, 100, 0)
    assert both(cache, marked(system, Part("user", "x" * 400, mark="5m"))) == (1600, 0, 0)


def test_an_hours_write_is_told_apart_and_lives_for_it():
    cache = PromptCache()
    ask = marked(Part("system", SHARED, mark="1h"), Part("user", "y" * 800, mark="5m"))
    assert both(cache, ask) == (0, 1700, 1500)
    assert both(cache, ask, now=301.0) == (1500, 200, 0)
    assert both(cache, ask, now=301.0 + 3601) == (0, 1700, 1500)


def test_what_is_too_short_is_not_kept():
    cache, ask = PromptCache(), marked(Part("system", "x" * 4000, mark="5m"))
    assert both(cache, ask) == both(cache, ask) == (0, 0, 0)


def test_a_conversation_that_grows_reads_what_the_turn_before_wrote():
    cache = PromptCache()
    talk = [Part("system", SHARED), Part("user", "one", mark="5m")]
    assert both(cache, marked(*talk)) == (0, 1501, 0)
    longer = [talk[0], Part("user", "one"), Part("assistant", "1"), Part("user", "two", mark="5m")]
    assert both(cache, marked(*longer)) == (1501, 2, 0)


def test_an_entry_too_many_blocks_back_is_not_found():
    cache = PromptCache()
    assert both(cache, marked(Part("system", SHARED, mark="5m"))) == (0, 1500, 0)
    far = [Part("user", "word") for _ in range(21)]
    ask = marked(Part("system", SHARED), *far, Part("user", "last", mark="5m"))
    assert both(cache, ask)[0] == 0


def test_other_tools_are_another_prefix():
    cache, system = PromptCache(), Part("system", SHARED, mark="5m")
    both(cache, marked(system))
    assert both(cache, marked(system, tools=(Tool("t"),)))[0] == 0


@pytest.mark.parametrize(
    ("protocol", "dollars"),
    [("openai", "10"), ("anthropic", "12.5")],
)
def test_a_write_has_a_price_of_its_own_on_one_wire_only(protocol, dollars):
    from fanwise.testing.twin import Counts

    counts = Counts(tokens_in=1_000_000, written=1_000_000)
    assert PRICE["m"].cost(counts, protocol) == Decimal(dollars)
    long = Counts(tokens_in=1_000_000, written=1_000_000, written_long=1_000_000)
    assert PRICE["m"].cost(long, "anthropic") == 20
    assert PRICE["m"].cost(counts, protocol, batch=True) == Decimal(dollars) / 2


async def test_a_cache_that_is_written_at_admission_is_found():
    look = PromptCache.look

    def eager(self, ask, now):
        found = look(self, ask, now)
        self.write(found, now)
        return found

    with changed((PromptCache, "look", eager)), pytest.raises(AssertionError):
        await test_requests_that_start_together_all_pay()
