"""A run of more than 200 journal writes of every kind, whose effects go to a file that is only added to.

The file is the oracle: what stands in it has happened, whatever the journal believes.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from fanwise import Hedge, Retry, current, fan_map, fan_out, first, step, tree_reduce
from fanwise.durable import patched
from fanwise.errors import NotDone

GROUPS = 8
effects = Path("effects")  # of the process that runs it: see `execution`


def log(*words: object) -> None:
    """Add a line, at once: it survives the process."""
    file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


def happened(*words: object) -> bool:
    """Whether such a line is there."""
    wanted = " ".join(map(str, words))
    return any(line.startswith(wanted) for line in lines())


def lines() -> list[str]:
    return effects.read_text().splitlines() if effects.exists() else []


def key() -> str:
    return current().idempotency_key


@step
async def read(n: int) -> dict[str, int]:
    log("read", key())
    await asyncio.sleep(0)
    return {"n": n}


@step
async def large(n: int) -> str:
    log("read", key())
    return "x" * 70_000 + str(n)


@step(hedge=Hedge(after=0.002))
async def hedged(n: int) -> int:
    await asyncio.sleep(0.005)
    return n


@step
async def letters(n: int):
    for letter in "abc":
        yield f"{letter}{n}"


@step
async def fails(n: int) -> int:
    log("fails", key())
    raise LookupError(n)


@step
async def hangs(n: int) -> int:
    await asyncio.sleep(30)
    return n


@step
async def add(values: list[int]) -> int:
    log("read", key())
    return sum(values)


def was_sent(n: int) -> str:
    """What verify= asks: the world itself."""
    if not happened("verified", n):
        raise NotDone
    return f"sent {n}"


@step(effect="write", verify=was_sent)
async def verified(n: int) -> str:
    log("verified", n)
    await asyncio.sleep(0)
    return f"sent {n}"


@step(effect="write", keyed=True)
async def keyed(n: int) -> str:
    log("keyed", n, key())
    await asyncio.sleep(0)
    return f"sent {n}"


@step(effect="write")
async def plain(n: int) -> str:
    current().time()
    await read(100 + n)
    log("plain", n, key())
    await asyncio.sleep(0)
    return f"sent {n}"


@step(effect="write")
async def refused(n: int) -> str:
    raise NotDone(n)


@step(retry=Retry(attempts=2, shortest=0, longest=0))
async def again(n: int) -> list[Any]:
    """Fails once after its write, and takes it over."""
    found = [await read(n), await verified(n), str(current().uuid())]
    if current().attempt == 1:
        raise ConnectionError(n)
    return found


@step
async def group(n: int) -> list[Any]:
    """One of everything."""
    here = current()
    known = [here.random().random(), str(here.uuid())]
    told = here.time()
    log("time", n, told)
    mapped = await fan_map(read, range(4), at_once=2)
    reduced = await tree_reduce(add, [hedged(n), *([1] * 8)], arity=3)
    gaps = await fan_out(read(10), fails(n), hangs(n), need=1, enough=1)
    try:
        known.append(await fails(n + 1))
    except LookupError as error:
        known.append(error.args[0])
    try:
        known.append(await refused(n))
    except NotDone:
        known.append("refused")
    race = await first(read(20), hangs(n), stagger=(0, 10))
    sent = [await keyed(n), await again(n), await letters(n), len(await large(n))]
    sent.append(await plain(n))
    changed = patched("more") and await read(30)  # asked first by the whole
    data = [mapped.values(), reduced.value, list(gaps.ok), [str(o.status) for o in gaps.outcomes]]
    return [n, known, *data, race, sent, changed, told]


@step
async def workload() -> list[Any]:
    """All groups, three at a time."""
    assert patched("more")
    found = await fan_map(group, range(GROUPS), at_once=3)
    return found.values()
