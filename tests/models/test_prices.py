"""Prices: your own first, exact, and unknown rather than 0."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Runtime
from fanwise.models import Price, Prices, Usage, price_of
from fanwise.providers._genai_prices import known_prices, rates_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = NOW.timestamp()
KNOWN = known_prices("known")
MODELS = [
    (provider, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if rates_of(model.get_prices(NOW)) is not None
]


def told(read=0, made=0, cached=0, written=0, hour=0, tier=None):
    return (1, None, tier, False, read, made, cached, written, hour)


@given(
    st.sampled_from(MODELS), st.integers(0, 10**6), st.integers(0, 10**5), st.integers(0, 10**5),
    st.integers(0, 10**5), st.integers(0, 10**5),
)  # fmt: skip
def test_our_arithmetic_is_that_of_the_known_prices(place, plain, made, cached, short, hour):
    """The reference is the package itself, on every model that has rates for tokens."""
    _, model = place
    prices = model.get_prices(NOW)
    rates = rates_of(prices)
    if prices.cache_write_1h_mtok is None:
        hour = 0
    read = plain + cached + short + hour
    usage = genai_prices.Usage(
        input_tokens=read, output_tokens=made, cache_read_tokens=cached,
        cache_write_tokens=short + hour, **({"cache_write_1h_tokens": hour} if hour else {}),
    )  # fmt: skip
    ours = rates.dollars(told(read, made, cached, short + hour, hour))
    if ours is None:
        assert (prices.input_mtok is None and read) or (prices.output_mtok is None and made)
        return
    assert ours == prices.calc_price(usage)["total_price"]


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o-2024-08-06",
        "openai:gpt-4o",
        "openai/gpt-4o",
        "openai:gpt-4o-2024-08-06",
        "azure/gpt-4o",
    ],
)
def test_a_model_is_known_by_every_spelling(name):
    assert Prices().cost(name, told(1000, 100), AT) == Decimal("0.0035")


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-6", "anthropic:claude-sonnet-4-6", "anthropic/claude-sonnet-4-6",
        "google:gemini-2.5-pro", "models/gemini-2.5-flash", "google/gemini-2.5-flash",
        "text-embedding-3-small", "openai:text-embedding-3-small",
    ],
)  # fmt: skip
def test_usual_names_have_a_price(name):
    assert Prices().cost(name, told(1000), AT) > 0


@pytest.mark.parametrize("name", ["nobody-s", "nobody:x", "openai:nobody-s", "", ":", "/", "a/b/c"])
def test_a_model_that_nobody_knows_has_no_price(name):
    assert Prices().cost(name, told(1000, 1000), AT) is None


def test_batches_have_their_price_from_its_date_on():
    usual = Prices().cost("gpt-4o", told(1000, 1000), AT)
    assert Prices().cost("gpt-4o", told(1000, 1000, tier="batch"), AT) == usual / 2
    before = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    assert Prices().cost("gpt-4o", told(1000, 1000, tier="batch"), before) is None


def test_a_tier_that_has_no_price_is_unknown_and_not_the_usual_price():
    """The package itself ignores what it does not know."""
    usual = genai_prices.calc_price(genai_prices.Usage(input_tokens=1000), "gpt-4o")
    odd = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000), "gpt-4o", price_context={"process": "batch"}
    )
    assert odd.total_price == usual.total_price
    assert Prices().cost("gpt-4o", told(1000, tier="btach"), AT) is None


def test_your_own_come_first_by_name_then_by_pattern():
    own = {"openai/*": Price(input=2, output=2), "gpt-4o": Price(input=1, output=1)}
    prices = Prices(own)
    assert prices.cost("openai:gpt-4o", told(1_000_000), AT) == 1
    assert prices.cost("openai:gpt-5", told(1_000_000), AT) == 2
    assert prices.cost("anthropic:claude-sonnet-4-6", told(1_000_000), AT) == 3


@pytest.mark.parametrize(
    ("served", "dollars"),
    [
        ("gpt-4o-2024-08-06", 1), ("openai:gpt-4o-2024-08-06", 1), ("gpt-4o-2024-05-13", 2),
        ("claude-haiku-4-5-20251001", 4), ("claude-haiku-4-5-2025", None), ("gpt-4o-mini-x", None),
    ],
)  # fmt: skip
def test_your_own_price_of_a_name_holds_for_its_dated_ones_too(served, dollars):
    """A response tells the dated name; the price list has the other."""
    own = {
        "gpt-4o": Price(input=1, output=1),
        "gpt-4o-2024-05-13": Price(input=2, output=2),
        "claude-haiku-4-5": Price(input=4, output=4),
    }
    found = Prices(own)._find(served)
    assert (found and found.dollars(told(1_000_000))) == dollars


def test_a_price_of_your_own_is_exact_and_says_what_it_does_not_know():
    price = Price(input=0.15, output="0.6", cached="0.075", batch=0.5)
    assert price.dollars(told(1_000_001, 3, cached=1)) == Decimal("0.150001875")
    assert price.dollars(told(100, tier="batch")) == Decimal("0.0000075")
    assert price.dollars(told(100, tier="flex")) is None
    assert Price(input=1, output=1).dollars(told(1, tier="batch")) is None
    assert Price(input=1, output=1).dollars(told(10, written=5, cached=5)) == Decimal("0.00001")
    assert Price(input=1, output=1, written=2, written_hour=4).dollars(
        told(1_000_000, written=1_000_000, hour=500_000)
    ) == Decimal(3)
    assert price == Price(input=0.15, output="0.6", cached="0.075", batch=0.5)
    assert repr(price) == "Price(input=0.15, output=0.6, cached=0.075, batch=0.5)"


@pytest.mark.parametrize("wrong", [-1, "dear", float("nan"), float("inf"), None])
def test_an_amount_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"Price\(input=\) is US dollars for a million tokens"):
        Price(input=wrong, output=1)


def test_a_share_above_one_is_no_share():
    with pytest.raises(ValueError, match=r"Price\(batch=\) is the share .* 0.5 for half, got 50"):
        Price(input=1, output=1, batch=50)


async def test_only_a_name_and_a_usage_have_a_price():
    with pytest.raises(TypeError, match=r"usage is a Usage, such as .* got None"):
        await price_of("m", None)
    with pytest.raises(TypeError, match=r"model is a name, such as .* got None"):
        await price_of(None, Usage(1, 1))


@pytest.mark.parametrize(
    "wrong", [{"m": 3}, [("m", Price(input=1, output=1))], {3: Price(input=1, output=1)}]
)
def test_prices_that_are_none_are_refused(wrong):
    with pytest.raises(TypeError, match=r'prices=\{"my-model": Price\(input=1, output=4\)\}, got'):
        Runtime(prices=wrong)


def test_local_models_cost_nothing():
    assert Prices().cost("local:extractive", told(1000, 1000), AT) == 0


async def test_the_price_of_a_usage():
    async with Runtime(prices={"mine": Price(input=1, output=2)}):
        assert await price_of("mine", Usage(1_000_000, 500_000)) == 2
        assert await price_of("nobody-s", Usage(1, 1)) is None


@pytest.mark.real_clock
async def test_the_price_of_a_usage_in_a_loop_that_must_not_stand_still():
    async with Runtime():
        assert await price_of("gpt-4o", Usage(1000, 100)) == Decimal("0.0035")
        assert await price_of("gpt-4o", Usage(1000, 100), tier="batch") == Decimal("0.00175")


def test_nothing_is_loaded_where_no_model_was_told(tmp_path):
    code = """
import asyncio, sys
from fanwise import Runtime, current, fan_out, run, step
@step
async def f():
    current().usage(tokens_in=3)
    return [3]
async def main():
    async with Runtime(record="r.jsonl") as runtime:
        await runtime.run(fan_out(f(), f()))
        runtime.runs[0].record()
asyncio.run(main())
print([name for name in ("genai_prices", "pydantic", "decimal", "fanwise.models") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip() == "[]"
