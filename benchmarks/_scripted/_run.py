"""How a scripted run is made: a program that draws its sizes from a seed, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fanwise import Runtime
from fanwise.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fanwise.core import Call, Limit, RunRecord

Program = Callable[[random.Random], "tuple[Call[Any], dict[str, Any]]"]
Runs = tuple[Program, ...]


def made(program: Program, seed: int) -> RunRecord:
    """Give the record of a program's run; it may fail, as long as it ends."""
    return run_virtual(_record(program, seed), seed=seed)


async def _record(program: Program, seed: int) -> RunRecord:
    call, how = program(random.Random(f"{program.__name__} {seed}"))
    limits: dict[str, Limit] = how.pop("limits", {})
    client = how.pop("client", None)
    async with Runtime(limits=limits, seed=seed) as runtime:
        run = runtime.start(call, **how)
        await run.wait()
        with suppress(Exception):
            await call
        if client is not None:
            await client.aclose()
        return run.record()


async def arrivals(draw: random.Random, rate: float, until: float) -> AsyncIterator[int]:
    """Give numbers at random instants, so many a second, until so many seconds have passed."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while True:
        await asyncio.sleep(draw.expovariate(rate))
        if loop.time() - began > until:
            return
        yield number
        number += 1
