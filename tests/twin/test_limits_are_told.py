"""The headers on what is left of a quota, as each provider writes them."""

import asyncio
from datetime import UTC, datetime, timedelta

import anthropic
import openai
import pytest

from fanwise.testing.twin import Law, Quota, Twin
from tests.twin.clients import clients

ASKED = [{"role": "user", "content": "word" * 10}]
QUOTA = Quota(
    requests_per_minute=60,
    tokens_per_minute=6000,
    input_tokens_per_minute=1200,
    output_tokens_per_minute=600,
)


async def test_anthropic_tells_instants():
    twin = Twin(quota=QUOTA)
    async with clients(twin) as by:
        raw = await by.anthropic.messages.with_raw_response.create(
            model="m", max_tokens=100, messages=ASKED
        )
    told = {
        name.removeprefix("anthropic-ratelimit-"): value
        for name, value in raw.headers.items()
        if name.startswith("anthropic-ratelimit-")
    }
    assert told["requests-limit"] == "60"
    assert told["requests-remaining"] == "59"
    assert told["input-tokens-remaining"] == "1190"
    assert told["output-tokens-remaining"] == "500"
    assert told["tokens-remaining"] == "5890"
    full = datetime.fromisoformat(told["output-tokens-reset"])
    assert timedelta(seconds=9) < full - datetime.now(UTC) < timedelta(seconds=12)
    assert raw.headers["request-id"].startswith("req_")


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
async def test_openai_tells_lengths_of_time(endpoint):
    twin = Twin(quota=QUOTA)
    async with clients(twin) as by:
        if endpoint == "chat":
            create = by.openai.chat.completions.with_raw_response.create
            raw = await create(model="m", max_tokens=100, messages=ASKED)
        else:
            create = by.openai.responses.with_raw_response.create
            raw = await create(model="m", max_output_tokens=100, input=ASKED)
    told = {
        name.removeprefix("x-ratelimit-"): value
        for name, value in raw.headers.items()
        if name.startswith("x-ratelimit-")
    }
    assert told == {
        "limit-requests": "60",
        "remaining-requests": "59",
        "reset-requests": "1s",
        "limit-tokens": "6000",
        "remaining-tokens": "5890",
        "reset-tokens": "1.1s",
    }
    assert raw.headers["x-request-id"].startswith("req_")


async def test_a_stream_tells_them_before_its_first_token():
    twin = Twin({"m": Law(first=5)}, quota=QUOTA)
    async with clients(twin) as by:
        stream = await by.anthropic.messages.create(
            model="m", max_tokens=100, messages=ASKED, stream=True
        )
        assert stream.response.headers["anthropic-ratelimit-requests-remaining"] == "59"
        assert asyncio.get_running_loop().time() == 0
        await stream.close()
        del stream


async def test_a_refusal_tells_them_and_when_to_come_again():
    twin = Twin(quota=Quota(requests_per_minute=4, burst_s=15))
    async with clients(twin) as by:
        create = by.anthropic.messages.create
        await create(model="m", max_tokens=100, messages=ASKED)
        with pytest.raises(anthropic.RateLimitError) as first:
            await create(model="m", max_tokens=100, messages=ASKED)
        ask = by.openai.responses.create
        with pytest.raises(openai.RateLimitError) as second:  # one key and model: one quota
            await ask(model="m", input=ASKED)
    headers = first.value.response.headers
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["retry-after"] == "15"
    assert first.value.body["error"]["type"] == "rate_limit_error"
    headers = second.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("15", "15000")
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert second.value.code == "rate_limit_exceeded"


async def test_anthropics_limit_leaves_out_what_comes_from_the_cache():
    twin = Twin(quota=Quota(input_tokens_per_minute=3000))
    cache = {"type": "ephemeral"}
    system = [{"type": "text", "text": "word" * 2900, "cache_control": cache}]
    async with clients(twin) as by:
        for _ in range(5):
            found = await by.anthropic.messages.create(
                model="m", max_tokens=10, messages=ASKED, system=system
            )
        assert found.usage.cache_read_input_tokens == 2900
        create = by.openai.responses.create
        await create(model="n", input="word" * 2900)
        with pytest.raises(openai.RateLimitError):
            await create(model="n", input="word" * 2900)
