"""One of the processes that share a quota over Redis: asks its part of the questions at once.

`_quota_worker.py REDIS TWIN FROM TO TPM RPM BURST` begins when its standard input says so.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.quota import CASES, MOST, Case
from fanwise import Limit, Runtime, fan_map, providers
from fanwise.models import Model

if TYPE_CHECKING:
    from fanwise.models import Answer


def name_of(case: Case) -> str:
    """Give the model, and the limit, of a case."""
    return f"{case.charge}-{case.guess}"


async def main(redis: str, twin: str, asked: range, limit: dict[str, float]) -> None:
    """Ask the questions of all cases."""
    limits = {
        name_of(case): Limit(**limit, charge=case.charge)  # type: ignore[arg-type]
        for case in CASES
    }
    async with Runtime(limits=limits, shared=redis):
        models = [
            (providers.openai(name_of(case), key="k", base_url=f"{twin}/v1"), case)
            for case in CASES
        ]
        warm = Model(providers.openai("warm", key="k", base_url=f"{twin}/v1"))
        await ask(warm, 0)  # so that everything is imported
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for provider, case in models:
                model = Model(provider, limit=name_of(case), needs=case.need)
                group.create_task(ask_all(model, asked))


async def ask_all(model: Model, asked: range) -> None:
    """Ask at once; each waits for its turn."""
    await fan_map(partial(ask, model), asked, at_once=len(asked), need=0)


async def ask(model: Model, number: int) -> Answer[str]:
    """Ask one question."""
    return await model.ask(f"What of {number}? " * (1 + number % 19), max_tokens=MOST)


if __name__ == "__main__":
    where, first, last, tpm, rpm, burst = sys.argv[1:3], *sys.argv[3:]
    given = {
        "tokens_per_minute": float(tpm),
        "requests_per_minute": float(rpm),
        "burst": float(burst),
    }
    asyncio.run(main(*where, range(int(first), int(last)), given))
