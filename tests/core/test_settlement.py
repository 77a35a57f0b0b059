"""What attempts used is kept for each of them, with its price, whatever became of them (law 13)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from fanwise import Hedge, Retry, Runtime, current, fan_map, fan_out, step
from fanwise.analysis import report, waste
from fanwise.core._settlement import MOST, PLAIN, READERS, reader_of
from fanwise.models import Price

PRICES = {"m": Price(input=1_000_000, output=1_000_000), "dear": Price(input=2_000_000, output=0)}


async def recorded(call, **given):
    async with Runtime(prices=PRICES, **given) as runtime:
        run = runtime.start(call)
        await asyncio.wait([run.task])
        return run.record()


def tell(read, made=0, **more):
    current().usage(model=more.pop("model", "m"), tokens_in=read, tokens_out=made, **more)


async def test_each_attempt_has_its_part_and_the_call_all_of_it():
    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def flaky():
        tell(current().attempt, 10)
        if current().attempt < 3:
            raise ConnectionError

    record = await recorded(flaky())
    (row,) = record.calls
    assert row.usage == {"tokens_in": 6, "tokens_out": 30}
    assert row.facts["cost"] == "36"
    assert [(a.attempt, a.status, a.usage["tokens_in"], a.facts["cost"]) for a in record.attempts] == [
        (1, "failed", 1, "11"), (2, "failed", 2, "12"), (3, "ok", 3, "13"),
    ]  # fmt: skip
    lost = waste(record)
    assert lost.usage == {"tokens_in": 3, "tokens_out": 20}
    assert lost.cost == Decimal(23)


async def test_the_loser_of_a_hedge_is_priced_as_waste():
    @step(hedge=Hedge(after=1.0))
    async def slow():
        tell(5)
        await asyncio.sleep(10 if current().attempt == 1 else 1)

    record = await recorded(slow())
    assert record.calls[0].facts["cost"] == "10"
    assert waste(record).cost == Decimal(5)


async def test_an_attempt_that_is_let_go_in_silence_is_estimated_where_its_step_is_known():
    asked = []

    @step(name="ask", timeout=5.0)
    async def ask(text):
        asked.append(text)
        if len(asked) > 3:
            await asyncio.sleep(60)
        await asyncio.sleep(2)
        tell(len(text), 100)

    @step(name="other", timeout=5.0)
    async def other(text):
        await asyncio.sleep(60)

    @step
    async def program():
        for length in (10, 20, 30):
            await ask("x" * length)
        await fan_out(ask("x" * 25), other("y"), need=0)

    record = await recorded(program())
    *_, lost = [row for row in record.calls if row.step == "ask"]
    assert lost.status == "timed_out"
    assert lost.facts["estimated"] is True
    assert lost.facts["finish"] == "cut"
    assert lost.usage["tokens_in"] == pytest.approx(25, abs=3)
    assert lost.facts["cost"] == lost.facts["cost_estimated"]
    assert not next(row for row in record.calls if row.step == "other").usage
    assert not next(row for row in record.calls if row.step == "program").usage


@pytest.mark.parametrize(("error", "charged"), [
    (ConnectionResetError("gone"), True),
    (ConnectionRefusedError("nobody there"), False),
    (ValueError("ours"), False),
])  # fmt: skip
async def test_a_connection_that_broke_may_have_been_paid_for(error, charged):
    tried = []

    @step
    async def ask(text):
        tried.append(text)
        await asyncio.sleep(1)
        if len(tried) == 3:
            raise error
        tell(100, 50)

    @step
    async def program():
        await ask("one")
        await ask("two")
        await fan_out(ask("six"), need=0)

    record = await recorded(program())
    lost = next(row for row in record.calls if row.status == "failed")
    assert ("estimated" in lost.facts) is charged


async def test_answers_are_priced_one_by_one():
    @step
    async def agent():
        tell(3)
        tell(4, model="dear")
        tell(0, 5, model="dear")  # goes on with the same answer
        tell(1, model="nobody")

    (row,) = (await recorded(agent())).calls
    assert row.usage == {"tokens_in": 8, "tokens_out": 5}
    assert row.facts["cost"] == "11"
    assert row.facts["unpriced"] == 1
    assert row.facts["model"] == "nobody"


async def test_the_account_of_one_call_is_bounded():
    @step
    async def agent():
        for _ in range(1000):
            tell(1, 1)

    async with Runtime(prices=PRICES) as runtime:
        await runtime.run(agent())
        (run,) = runtime.runs
        _, _, bill = next(part for part in run.rows.open[0][-1] if part[0] == "bill")
        assert len(bill) == MOST
        assert run.record().calls[0].facts["cost"] == "2000"


async def test_an_outcome_has_its_cost():
    @step
    async def ask(read):
        tell(read)

    async with Runtime(prices=PRICES):
        found = await fan_map(ask, [1, 2], at_once=2)
        assert [outcome.cost for outcome in found] == [Decimal(1), Decimal(2)]
        assert [outcome.usage["tokens_in"] for outcome in found] == [1, 2]


async def test_the_summary_says_cost_estimates_unknown_prices_and_cut_answers():
    @step
    async def ask(read, **more):
        tell(read, **more)

    @step
    async def program():
        await ask(3, finish="length")
        await ask(1, estimated=True)
        await ask(1, model="nobody")

    known = report(await recorded(program())).summary
    assert str(known.money) == "$4.00, of which $1.00 estimated; 1 call of unknown price"
    assert "cost: $4.00, of which $1.00 estimated; 1 call of unknown price" in str(known)
    assert "not complete: 1 answer cut off" in str(known)


@pytest.mark.real_clock
async def test_the_loop_waits_for_no_price(tmp_path):
    """Listeners are told on the loop: without a cost while a thread still loads the prices."""
    heard = []

    @step
    async def ask():
        tell(7)

    path = tmp_path / "r.jsonl"
    async with Runtime(prices=PRICES, record=path, listeners=[heard.append]) as runtime:
        await runtime.run(ask())
        deadline = asyncio.get_running_loop().time() + 10
        while not runtime.bills.ready:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.001)
        await runtime.run(ask())
    assert heard[-1].facts["cost"] == "7"
    assert '"cost":"7"' in path.read_text("utf-8")


@pytest.mark.real_clock
async def test_nor_for_that_of_an_answer_in_another_pool():
    @step(pool="mine")
    def ask():
        tell(7)

    with ThreadPoolExecutor(1) as mine:
        async with Runtime(pools={"mine": mine}) as runtime:
            await runtime.run(ask())
            assert runtime.bills._expected  # a thread has begun to load them


async def test_what_a_rehearsal_drew_teaches_no_estimate():
    class Drawn:
        async def play(self, own):
            tell(7, 3)

    @step
    async def ask():
        tell(70, 30)

    async with Runtime() as runtime:
        await runtime.run(ask(), body=lambda call, attempt, draw: Drawn())
        assert runtime.runs[0].record().calls[0].usage == {"tokens_in": 7, "tokens_out": 3}
        assert runtime.statistics().estimates == ()
        await runtime.run(ask())
        assert [known.calls for known in runtime.statistics().estimates] == [1]


async def test_a_price_that_fails_is_unknown_and_costs_no_row(caplog):
    class Broken:
        def dollars(self, told):
            return 1 / 0

    @step
    async def ask():
        tell(7)

    async with Runtime(prices={"m": Broken()}) as runtime:
        await runtime.run(fan_out(ask(), ask()))
        rows = [row for row in runtime.runs[0].record().calls if row.step == "ask"]
    assert [(row.usage["tokens_in"], row.facts["unpriced"]) for row in rows] == [(7, 1)] * 2
    assert [each for each in caplog.messages if "price of m" in each] == [
        "the price of m could not be worked out"
    ]


def test_a_class_is_looked_at_once():
    class Mine:
        pass

    assert reader_of(Mine) is None
    assert Mine in PLAIN
    assert Mine not in READERS


def test_classes_without_end_are_not_kept():
    for number in range(5000):
        reader_of(type(f"Made{number}", (), {}))
    assert len(PLAIN) < 4200
    assert {str, list, dict, type(None)} <= PLAIN
