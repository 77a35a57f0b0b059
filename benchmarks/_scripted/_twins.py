"""Runs whose retries keep a provider's limit exhausted, and runs that meet 429s and recover."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from benchmarks._scripted._run import arrivals
from fanwise import Limit, Retry, fan_map, providers, step
from fanwise.models import Model
from fanwise.testing import faults
from fanwise.testing.twin import Law, Quota, Twin

if TYPE_CHECKING:
    from fanwise.core import Call

Made = tuple["Call[Any]", dict[str, Any]]


def _model(twin: Twin, **policy: Any) -> tuple[Model, Any]:
    client = twin.client()
    adapter = providers.openai("gpt-x", key="any", base_url="http://twin/v1", http=client)
    return Model(adapter, **policy), client


def _strict(rate: float, burst: float = 1.0) -> Twin:
    """Give a twin that lets so many requests a minute through."""
    return Twin({"gpt-x": Law(first=0.2)}, quota=Quota(requests_per_minute=rate, burst_s=burst))


def _questions(model: Model, count: int, at_once: int, max_tokens: int | None = None) -> Call[Any]:
    @step(name="question")
    async def question(number: int) -> None:
        await model.ask(f"What is {number}?", max_tokens=max_tokens)

    return _all(question, count, at_once)


def _all(worker: Any, count: int, at_once: int) -> Call[Any]:
    @step(name="main")
    async def main() -> None:
        await fan_map(worker, range(count), at_once=at_once, need=0)

    return main()


def a_wave_that_comes_back(draw: random.Random) -> Made:
    """A wave meets a small quota; what is refused comes back and is refused again."""
    twin = _strict(draw.uniform(60, 120))
    model, client = _model(twin, retry=Retry(attempts=4, shortest=0.05))
    return _questions(model, draw.randint(80, 150), 150), {"client": client}


def loops_by_hand(draw: random.Random) -> Made:
    """Workers ask again a fraction of a second after each 429, until they have an answer."""
    model, client = _model(_strict(draw.uniform(60, 180)))
    pause = draw.uniform(0.1, 0.4)

    @step(name="worker")
    async def worker(number: int) -> None:
        for _ in range(30):
            try:
                await model.ask(f"What is {number}?")
            except Exception:
                await asyncio.sleep(pause)
            else:
                return

    return _all(worker, draw.randint(20, 40), 50), {"client": client}


def a_window_that_stays_shut(draw: random.Random) -> Made:
    """A server refuses for seconds and does not say for how long; retries come too early."""

    @step(name="ask", retry=Retry(attempts=4, shortest=0.1))
    async def ask(_: int) -> None:
        await asyncio.sleep(0.2)

    shut = faults.refuses(after=0.05).only(between=(0.0, draw.uniform(3, 6)))
    return _all(ask, draw.randint(80, 200), 200), {"body": faults.Script(ask=shut)}


def arrivals_beyond_the_quota(draw: random.Random) -> Made:
    """More requests than the quota has room for, all the time, each of them tried again."""
    model, client = _model(_strict(draw.uniform(60, 120)), retry=Retry(attempts=5, shortest=0.02))

    @step(name="question")
    async def question(number: int) -> None:
        await model.ask(f"What is {number}?")

    @step(name="main")
    async def main() -> None:
        await fan_map(question, arrivals(draw, 15.0, 15.0), at_once=1000, need=0)

    return main(), {"client": client}


def tokens_run_out(draw: random.Random) -> Made:
    """The quota is of tokens, each question reserves many, and all of them are asked at once."""
    quota = Quota(tokens_per_minute=draw.uniform(3e4, 6e4), burst_s=2)
    twin = Twin({"gpt-x": Law(first=0.2)}, quota=quota)
    model, client = _model(twin, retry=Retry(attempts=4, shortest=0.05))
    return _questions(model, draw.randint(80, 150), 150, max_tokens=500), {"client": client}


def a_ramp_meets_a_few(draw: random.Random) -> Made:
    """The first wave is a little too wide; what is refused waits and passes."""
    model, client = _model(_strict(1200, burst=2.0), retry=Retry(attempts=4, shortest=2.0))
    return _questions(model, draw.randint(100, 200), 50), {"client": client}


def refused_and_heeded(draw: random.Random) -> Made:
    """A wave of refusals, each of which waits as long as it is told to, and its own jitter."""

    @step(name="ask", retry=Retry(attempts=4, shortest=4.0))
    async def ask(_: int) -> None:
        await asyncio.sleep(0.2)

    wait = draw.uniform(1.0, 3.0)
    shut = faults.refuses(retry_after=wait, after=0.05).only(between=(0.0, wait))
    return _all(ask, draw.randint(80, 200), 200), {"body": faults.Script(ask=shut)}


def an_outage_without_a_429(draw: random.Random) -> Made:
    """The server is down, and says so; retries fail, but for no rate."""

    @step(name="ask", retry=Retry(attempts=4, shortest=0.1))
    async def ask(_: int) -> None:
        await asyncio.sleep(0.2)

    down = faults.refuses(status=503, after=0.05).only(between=(0.0, draw.uniform(3, 6)))
    return _all(ask, draw.randint(80, 200), 200), {"body": faults.Script(ask=down)}


def refused_and_given_up(draw: random.Random) -> Made:
    """Far too much at once, all of it refused, and nobody asks again."""
    model, client = _model(_strict(draw.uniform(60, 600)))
    return _questions(model, draw.randint(80, 200), 50), {"client": client}


def held_back_by_a_limit(draw: random.Random) -> Made:
    """A limit of the program's own keeps within the quota, but for bursts that pass again."""
    width = draw.randint(10, 20)
    twin = _strict(60 * width / 0.2, burst=0.18)  # a wave of the limit is a little more than that
    model, client = _model(twin, retry=Retry(attempts=4, shortest=0.2), limit="gpt")
    limits = {"gpt": Limit(at_once=width)}
    return _questions(model, draw.randint(100, 200), 200), {"client": client, "limits": limits}


REFUSED = (
    a_wave_that_comes_back, loops_by_hand, a_window_that_stays_shut, arrivals_beyond_the_quota,
    tokens_run_out,
)  # fmt: skip
HEEDED = (
    a_ramp_meets_a_few, refused_and_heeded, an_outage_without_a_429, refused_and_given_up,
    held_back_by_a_limit,
)  # fmt: skip
