"""What `fanwise show` costs on the record of a large run: seconds, and memory at its peak.

The record is that of a real run of 100,000 calls, nested: a `fan_map` over groups, each of which
fans out and then works through a chain. Each round is a process of its own, started afresh. It has
one thread and waits for nothing, so that its processor time is what a user waits where nobody else
takes the core; the wall time is printed beside it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from benchmarks._record import RecordIncomplete
from fanwise import Runtime, fan_map, fan_out, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._measure import Scale

GROUPS = 3571
EACH = 28  # calls of a group: itself, its fan-out of 20, its chain of 5
REST = 12  # the run's own call, its fan_map, ten calls in a row
PATH = "shown.jsonl"
SECONDS = 3.0
MEGABYTES = 300.0
# What the system says of a child's peak (`ru_maxrss`) counts that of its parent before the exec.
PROGRAM = """
import atexit, pathlib
def peak():
    text = pathlib.Path("/proc/self/status").read_text("ascii")
    pathlib.Path("peak").write_text(text.split("VmHWM:")[1].split()[0])
atexit.register(peak)
from fanwise.cli import main
main()
"""


@step
async def leaf(n: int) -> int:
    await asyncio.sleep(0.001 * (n % 7))
    return n


@step
async def chain() -> None:
    for n in range(5):
        await leaf(n)


@step
async def group(_: int) -> None:
    await fan_out(*(leaf(n) for n in range(20)))
    await chain()


@step
async def job(groups: int) -> None:
    await fan_map(group, range(groups), at_once=64)
    for _ in range(10):
        await leaf(0)


def shown(scale: Scale) -> Iterator[Figure]:
    """Measure processes that print the waterfall of the run into a file."""
    groups = scale.of(GROUPS)
    calls = EACH * groups + REST
    asyncio.run(_record(groups))
    _shown(calls)  # once uncounted, which writes the bytecode
    rounds = [_shown(calls) for _ in range(scale.rounds)]
    seconds, megabytes, processor = zip(*rounds, strict=True)
    what = f"show, {calls:,} calls"
    by = f"none: a bound; {scale.rounds} processes"
    note = f"processor time; {Spread.of(list(seconds)).median:.2f} s of wall"
    yield Figure(what, Spread.of(list(processor)), SECONDS, by, "s", note=note)
    yield Figure(f"{what}, memory", Spread.of(list(megabytes)), MEGABYTES, by, "MB")


async def _record(groups: int) -> None:
    async with Runtime(record=PATH) as runtime:
        await runtime.run(job(groups))


def _shown(calls: int) -> tuple[float, float, float]:
    """Run `fanwise show`; give its wall seconds, its peak of memory in MB, its processor time."""
    with TemporaryFile() as page:
        began = perf_counter()
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, "show", PATH], stdout=page)
        _, status, used = os.wait4(process.pid, 0)
        seconds = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        page.seek(0)
        first = page.readline().decode("utf-8")
    if process.returncode or not first.rstrip().endswith(f"ok, {calls:,} calls"):
        raise RecordIncomplete(f"{calls:,} calls ran; shown with {process.returncode}: {first!r}")
    peak = int(Path("peak").read_text("ascii")) / 1024
    return seconds, peak, used.ru_utime + used.ru_stime
