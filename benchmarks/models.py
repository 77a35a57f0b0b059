"""What asking a model costs, against the clients below; how soon a loser's connection is closed.

The twin runs in a process of its own, over sockets, so that the processor time is that of the
asking side only.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, Spread, alternate

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from fanwise.models import Model

CALLS = 300
AT_ONCE = 100
CANCELS = 40
TWIN = str(Path(__file__).with_name("_twin.py"))
QUESTION = "Which of these statements is right, and why is it so?"
LONG = "a text of many tokens, " * 20


def asked(scale: Scale) -> Iterator[Figure]:
    """Measure whole calls of `Model.ask` over OpenAI's adapter."""
    in_a_row, at_once = asyncio.run(_asked(scale))
    calls = scale.of(CALLS, AT_ONCE)
    for rounds, what, bar, by in (
        (in_a_row, "Model.ask over OpenAI, one after the other", 1.3, "openai.AsyncOpenAI"),
        (at_once, f"Model.ask over OpenAI, {AT_ONCE} at once", 1.5, "pydantic_ai.direct"),
    ):
        yardstick, ours = (each / 1e3 for each in rounds.each(calls))
        note = f"{ours:.2f} over {yardstick:.2f} ms of processor, a call"
        yield Figure(what, rounds.ratio(), bar, by, note=note)


def cancelled(scale: Scale) -> Iterator[Figure]:
    """Measure from the cancel of a stream that lost until the twin sees its connection closed."""
    seen = asyncio.run(_cancelled(scale.of(CANCELS, 2)))
    what = "a losing stream, until the twin sees it closed"
    yield Figure(what, Spread.of(seen), 20, f"none: a bound; {len(seen)} streams", "ms")


async def _asked(scale: Scale) -> tuple[Rounds, Rounds]:
    # The clients take long to import, which other figures need not wait for.
    from openai import AsyncOpenAI
    from pydantic_ai import ModelRequest
    from pydantic_ai.direct import model_request
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    calls = scale.of(CALLS, AT_ONCE)
    async with _twin() as (address, _), AsyncOpenAI(api_key="k", base_url=f"{address}/v1") as raw:
        below = OpenAIChatModel("m", provider=OpenAIProvider(f"{address}/v1", "k"))
        ours = _model(address, "m")

        async def by_client() -> object:
            messages = [{"role": "user", "content": QUESTION}]
            return await raw.chat.completions.create(model="m", messages=messages)

        async def by_library() -> object:
            return await model_request(below, [ModelRequest.user_text_prompt(QUESTION)])

        async def by_us() -> object:
            return await ours.ask(QUESTION)

        in_a_row = await alternate(
            scale, lambda: _in_a_row(by_client, calls), lambda: _in_a_row(by_us, calls)
        )
        at_once = await alternate(
            scale, lambda: _at_once(by_library, calls), lambda: _at_once(by_us, calls)
        )
        await below.client.close()  # ours are closed by the loop
    return in_a_row, at_once


async def _in_a_row(ask: Callable[[], Awaitable[object]], calls: int) -> Span:
    with Span() as span:
        for _ in range(calls):
            await ask()
    return span


async def _at_once(ask: Callable[[], Awaitable[object]], calls: int) -> Span:
    with Span() as span:
        for _ in range(calls // AT_ONCE):
            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return span


async def _cancelled(count: int) -> list[float]:
    async with _twin() as (address, process):
        model = _model(address, "slow")
        assert process.stdout is not None
        seen = []
        for n in range(count + 1):
            left = await _lose(model)
            closed = float(await asyncio.wait_for(process.stdout.readline(), 10))
            if n:  # the first one warms up
                seen.append((closed - left) * 1e3)
    return seen


async def _lose(model: Model) -> float:
    """Read a stream until its third piece, cancel its reader, and give the instant."""
    begun = asyncio.Event()

    async def read() -> None:
        async with model.stream(LONG) as pieces:
            async for n, _ in _counted(pieces):
                if n == 2:
                    begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    left = monotonic()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    return left


async def _counted(pieces: AsyncIterator[object]) -> AsyncIterator[tuple[int, object]]:
    n = 0
    async for piece in pieces:
        yield n, piece
        n += 1


def _model(address: str, name: str) -> Model:
    from fanwise.models import Model
    from fanwise.providers import openai

    return Model(openai(name, key="k", base_url=f"{address}/v1"))


@asynccontextmanager
async def _twin() -> AsyncIterator[tuple[str, Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, TWIN, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        process.terminate()
        await process.wait()
