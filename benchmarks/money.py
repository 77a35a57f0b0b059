"""The cost of 1,000 mixed calls of official clients, against the account of the provider twin."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import anthropic
import openai

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Spread
from fanwise import FanIn, Retry, Runtime, fan_map, step
from fanwise.models import Price
from fanwise.testing import run_virtual
from fanwise.testing import twin as twins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fanwise.record import RunRecord

CALLS = 1_000
AT_ONCE = 40
WARM = 60  # calls before the first is let go: of a step that never told nothing is known
LET_GO = 0.2  # of the calls, after a time drawn for each
FAULTS = 0.05  # of the requests: an error before the answer, and a connection that drops in it
GPT, CLAUDE = "gpt-4o-2024-08-06", "claude-sonnet-4-6"
LAW = twins.Law(first=0.5, per_second=60, jitter=0.3)
LEDGER = "the twin's own ledger"
THEIRS = {GPT: twins.Price("2.5", "10", cached="1.25"), CLAUDE: twins.Price("3", "15")}
OURS = {
    GPT: Price(input="2.5", output="10", cached="1.25"),
    CLAUDE: Price(input=3, output=15, cached="0.3", written="3.75", written_hour=6),
}


class Sums(NamedTuple):
    """What a number of calls cost: by the record, and by the ledger."""

    calls: int
    ours: Decimal
    theirs: Decimal


class Account(NamedTuple):
    """Settled calls, estimated ones, and how many not marked as estimated differ at all."""

    settled: Sums
    estimated: Sums
    wrong: int


def cost(scale: Scale) -> Iterator[Figure]:
    """Measure on the virtual clock: settled calls exactly, estimated ones in their sum."""
    calls = scale.of(CALLS, least=100)
    account = run_virtual(_account(calls))
    settled, estimated, wrong = account
    equal = 1 - wrong / settled.calls
    note = f"{settled.calls:,} calls, ${settled.ours:f} and ${settled.theirs:f}, {wrong} differ"
    yield Figure(
        f"cost of {calls:,} calls, settled, part equal", _one(equal), 1.0, LEDGER,
        unit="number", at_least=True, note=note,
    )  # fmt: skip
    share = abs(estimated.ours / estimated.theirs - 1) if estimated.theirs else Decimal(0)
    note = f"{estimated.calls:,} calls, ${estimated.ours:.6f} and ${estimated.theirs:.6f}"
    yield Figure(
        f"cost of {calls:,} calls, estimated, part off", _one(float(share)), 0.1, LEDGER,
        unit="number", note=note,
    )  # fmt: skip


def _one(value: float) -> Spread:
    return Spread(value, value, value)


async def _account(calls: int) -> Account:
    twin = twins.Twin(
        {"*": LAW},
        answers=_answer,
        prices=THEIRS,
        faults=[
            twins.Fault("status", share=FAULTS, status=503),
            twins.Fault("reset", share=FAULTS, after=20),
        ],
    )
    async with twin.client() as http, Runtime(prices=OURS, seed=1) as runtime:
        ask = _steps(http)
        run = runtime.start(_program(ask, calls))
        found: FanIn[object] = await run.wait()
        assert len(found) == calls
        record = run.record()
    return _compared(record, twin)


def _answer(ask: twins.Ask) -> str:
    draw = random.Random(ask.question)
    return " ".join(draw.choices(("yes", "indeed", "the", "possibility"), k=draw.randint(20, 200)))


def _steps(http: Any) -> Any:
    """Give one step over all ways to ask; it says nothing of usage."""
    openai_ = openai.AsyncOpenAI(
        api_key="k", base_url="http://twin/v1", http_client=http, max_retries=0
    )
    anthropic_ = anthropic.AsyncAnthropic(
        api_key="k", base_url="http://twin", http_client=http, max_retries=0
    )
    policy: dict[str, Any] = {"retry": Retry(attempts=3), "timeout": 8.0}

    @step(**policy)
    async def chat(text: str, call: str) -> object:
        return await openai_.chat.completions.create(
            model=GPT, messages=_said(text), extra_headers=_bearer(call)
        )

    @step(**policy)
    async def respond(text: str, call: str) -> object:
        return await openai_.responses.create(model=GPT, input=text, extra_headers=_bearer(call))

    @step(**policy)
    async def message(text: str, call: str) -> object:
        return await anthropic_.messages.create(
            model=CLAUDE, messages=_said(text), max_tokens=4000, extra_headers={"x-api-key": call}
        )

    @step(**policy)
    async def chat_pieces(text: str, call: str) -> AsyncIterator[object]:
        pieces = await openai_.chat.completions.create(
            model=GPT, messages=_said(text), stream=True, extra_headers=_bearer(call),
            stream_options={"include_usage": True},
        )  # fmt: skip
        async with pieces:
            async for piece in pieces:
                yield piece

    @step(**policy)
    async def message_pieces(text: str, call: str) -> AsyncIterator[object]:
        pieces = await anthropic_.messages.create(
            model=CLAUDE, messages=_said(text), max_tokens=4000, stream=True,
            extra_headers={"x-api-key": call},
        )  # fmt: skip
        async with pieces:
            async for piece in pieces:
                yield piece

    return chat, respond, message, chat_pieces, message_pieces


def _said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def _bearer(call: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {call}"}


def _program(ways: Any, calls: int) -> Any:
    """Give the main call: every fifth by another way, some let go after a time of their own."""

    @step
    async def one(number: int) -> None:
        draw = random.Random(number)
        text = " ".join(
            draw.choices(("what", "is", "remembered", "of", "it"), k=draw.randint(30, 400))
        )
        call = ways[number % len(ways)](text, f"call-{number}").named(f"call-{number}")
        if number < WARM or draw.random() > LET_GO:
            await call
            return
        try:
            async with asyncio.timeout(draw.uniform(0.2, 4.0)):
                await call
        except TimeoutError:
            return

    return fan_map(one, range(calls), at_once=AT_ONCE, need=0)


def _compared(record: RunRecord, twin: twins.Twin) -> Account:
    """Compare each call with the ledger's entries of the same key, in the order of its attempts."""
    theirs: dict[str, Decimal] = {}
    for entry in twin.ledger:
        theirs[entry.key] = theirs.get(entry.key, Decimal(0)) + (entry.cost or Decimal(0))
    settled: list[tuple[Decimal, Decimal]] = []
    estimated: list[tuple[Decimal, Decimal]] = []
    for row in record.calls:
        key = str(row.facts.get("name", ""))
        if key in theirs:
            pair = Decimal(str(row.facts.get("cost", 0))), theirs[key]
            (estimated if row.facts.get("estimated") else settled).append(pair)
    wrong = sum(ours != their for ours, their in settled)
    return Account(_sums(settled), _sums(estimated), wrong)


def _sums(pairs: list[tuple[Decimal, Decimal]]) -> Sums:
    nothing = Decimal(0)
    return Sums(
        len(pairs), sum((o for o, _ in pairs), nothing), sum((t for _, t in pairs), nothing)
    )
