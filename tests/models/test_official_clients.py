"""A script that only uses the official clients inside steps has usage and cost in its record."""

import asyncio
from decimal import Decimal

import pytest

from fanwise import Runtime, fan_out, step
from fanwise.testing.twin import Script, Twin
from tests.models.clients import LAW, OURS, PRICES, Steps
from tests.twin.clients import clients

TEXT = "word " * 100
WITH_USAGE = {"stream_options": {"include_usage": True}}


def row_of(record, name):
    (row,) = [row for row in record.calls if row.step == name]
    return row


async def recorded(call, **given):
    async with Runtime(prices=OURS, **given) as runtime:
        run = runtime.start(call)
        await asyncio.wait([run.task])
        return run.record()


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_whole_answer_is_read_and_priced_as_the_provider_does(place):
    twin = Twin({"*": LAW}, prices=PRICES)
    async with clients(twin) as by:
        asked = Steps(by).whole[place]
        row = row_of(await recorded(asked(TEXT)), asked.name)
    (entry,) = twin.ledger
    assert row.usage["tokens_in"] == entry.counts.tokens_in > 0
    assert row.usage["tokens_out"] == entry.counts.tokens_out > 0
    assert row.facts["model"] == entry.model
    assert row.facts["finish"] == "stop"
    assert Decimal(row.facts["cost"]) == entry.cost > 0
    assert "estimated" not in row.facts


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_streamed_answer_is_read_to_its_end(place):
    twin = Twin({"*": LAW}, prices=PRICES)
    async with clients(twin) as by:
        asked = Steps(by).pieces[place]
        more = WITH_USAGE if place == 0 else {}
        row = row_of(await recorded(asked(TEXT, **more)), asked.name)
    (entry,) = twin.ledger
    assert Decimal(row.facts["cost"]) == entry.cost > 0
    assert (row.usage["tokens_in"], row.usage["tokens_out"]) == (
        entry.counts.tokens_in, entry.counts.tokens_out,
    )  # fmt: skip
    assert row.facts["finish"] == "stop"
    assert "estimated" not in row.facts


async def test_a_stream_without_usage_is_estimated_and_marked():
    twin = Twin({"*": LAW}, prices=PRICES)
    async with clients(twin) as by:
        chat = Steps(by).pieces[0]
        row = row_of(await recorded(chat(TEXT)), "chat_pieces")
    assert row.facts["estimated"] is True
    assert row.facts["cost"] == row.facts["cost_estimated"]
    assert row.facts["finish"] == "stop"
    assert float(row.facts["cost"]) == pytest.approx(float(twin.ledger.cost), rel=0.5)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_stream_that_its_reader_leaves_is_estimated_from_what_came(place):
    twin = Twin({"*": LAW}, prices=PRICES)
    async with clients(twin) as by:
        asked = Steps(by).pieces[place]

        @step
        async def reads():
            async with asked(TEXT) as stream:
                async for _ in stream:
                    if twin.ledger[0].sent > 20:
                        break

        row = row_of(await recorded(reads()), asked.name)
    (entry,) = twin.ledger
    assert entry.closed
    assert row.status == "cancelled"
    assert row.facts["estimated"] is True
    assert row.facts["finish"] == "cut"
    assert row.usage["tokens_out"] == pytest.approx(entry.counts.tokens_out, rel=0.3)
    if place == 2:  # it says what it has read at the start
        assert row.usage["tokens_in"] == entry.counts.tokens_in


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_an_answer_cut_at_its_greatest_length_is_marked(place):
    twin = Twin({"*": LAW}, prices=PRICES, answers=Script(["long " * 200]))
    most = "max_output_tokens" if place == 1 else "max_tokens"
    async with clients(twin) as by:
        asked = Steps(by).whole[place]
        row = row_of(await recorded(asked(TEXT, **{most: 20})), asked.name)
        streamed = Steps(by).pieces[place]
        more = WITH_USAGE if place == 0 else {}
        pieces = row_of(await recorded(streamed(TEXT, **{most: 20}, **more)), streamed.name)
    assert row.status == pieces.status == "ok"
    assert row.facts["finish"] == pieces.facts["finish"] == "length"
    assert row.usage["tokens_out"] == pieces.usage["tokens_out"] == 20


async def test_cached_tokens_are_part_of_what_was_read_and_cost_less():
    twin = Twin({"*": LAW}, prices=PRICES)
    system = [
        {
            "type": "text",
            "text": "fact " * 3000,
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]
    async with clients(twin) as by:
        message = Steps(by).whole[2]

        @step
        async def twice():
            await message("one?", system=system)
            await message("two?", system=system)

        record = await recorded(twice())
    first, second = [row for row in record.calls if row.step == "message"]
    assert first.usage["written"] == first.usage["written_hour"] > 1000
    assert second.usage["cached"] > 1000
    for row, entry in zip((first, second), twin.ledger, strict=True):
        assert row.usage["tokens_in"] == entry.counts.tokens_in
        assert Decimal(row.facts["cost"]) == entry.cost


async def test_what_another_step_has_returned_is_not_paid_twice():
    twin = Twin({"*": LAW}, prices=PRICES)
    async with clients(twin) as by:
        chat = Steps(by).whole[0]

        @step
        async def hands_on(text):
            return await chat(text)

        @step
        async def both():
            return (await fan_out(hands_on("a"), hands_on("b"))).values()

        record = await recorded(both())
    costs = [Decimal(row.facts["cost"]) for row in record.calls if "cost" in row.facts]
    assert len(costs) == 2
    assert sum(costs) == twin.ledger.cost
