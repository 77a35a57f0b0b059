"""A quota used up by four processes without a 429: over Redis, before a twin of its own process.

Arrivals always wait, so that each token that is not used is lost. Everything is real: four Python
processes, a `redis-server`, sockets to a twin that has buckets of its own, and time; buckets of
a few seconds keep that short.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from benchmarks._quota_worker import name_of
from benchmarks.quota import CASES, MOST, Judged, Served, judged
from tests.stores.servers import redis_server

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator

    from benchmarks._measure import Scale

ROOT = Path(__file__).parent.parent
WORKERS = 4
BURST = 5.0  # seconds; where it is only tried, a tenth of it
TPM = 60_000.0
RPM = 30_000.0
REFILLS = 6  # the ramp, three more and what is over
TOKENS = 80  # of a call, about


def used_up(scale: Scale) -> Iterator[Figure]:
    """Count the 429s, and measure how much of the quota is used from the end of the ramp."""
    if shutil.which("redis-server") is None:
        return
    burst = max(BURST * scale.share, BURST / 10)
    size = WORKERS if scale.share >= 1 else 2
    asked = round(TPM / 60 * burst * REFILLS / TOKENS)
    with redis_server() as server:
        found = asyncio.run(_round(server.url, size, asked, burst))
    late = sum(one.late for one in found)
    total = sum(one.refused for one in found)
    used = sorted(one.used for one in found)
    refills = min(one.refills for one in found)
    each = ", ".join(
        f"{name_of(case)}: {one.refused}" for case, one in zip(CASES, found, strict=True)
    )
    yield Figure(
        f"429s, {size} processes over Redis", Spread.of([late]), 0, "the twin's own bucket",
        unit="count", note=f"after 2 % of {asked * len(CASES)} calls; {total} in all ({each})",
    )  # fmt: skip
    yield Figure(
        f"quota used by {size} processes", Spread(used[0], used[0], used[-1]), 0.97,
        "all that the twin refills", unit="number", at_least=True,
        note=f"the worst of {len(CASES)} cases, over {refills:.1f} refills",
    )  # fmt: skip


async def _round(redis: str, size: int, asked: int, burst: float) -> list[Judged]:
    """Let the workers ask all questions, and judge each case by the twin's ledger."""
    names = ",".join(name_of(case) for case in CASES)
    limit = (str(TPM), str(RPM), str(burst))
    twin = await _started("_quota_twin", names, *limit)
    workers: list[Process] = []
    try:
        address = await _line(twin)
        share = -(-asked // size)
        for first in range(0, asked, share):
            part = (str(first), str(min(asked, first + share)))
            workers.append(await _started("_quota_worker", redis, address, *part, *limit))
        for worker in workers:
            assert await _line(worker) == "ready"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
        assert [await worker.wait() for worker in workers] == [0] * len(workers)
        ledger, _ = await twin.communicate(b"")  # which closes its input
    finally:
        for process in (twin, *workers):
            if process.returncode is None:
                process.kill()
                await process.wait()
    served = defaultdict(list)
    for line in ledger.splitlines():
        name, time, status, read, written = json.loads(line)
        tokens = read + (MOST if name.startswith("admission") else written)
        served[name].append(Served(time, status, tokens))
    return [judged(served[name_of(case)], TPM / 60, burst) for case in CASES]


async def _started(module: str, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def _line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
