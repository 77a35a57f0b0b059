"""What starting costs: `import fanwise` beside asyncio, and `fanwise --help` beside click."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 11
IN_A_ROUND = 3
# A name is asked for: `import fanwise` alone leaves the engine for later.
PROGRAM = """
import asyncio, time
began = time.process_time()
from fanwise import step
print((time.process_time() - began) * 1e3, began * 1e3)
"""
CLICK = [sys.executable, "-c", "import click"]
HELP = [sys.executable, "-c", "from fanwise.cli import main; main()", "--help"]


def imported(scale: Scale) -> Iterator[Figure]:
    """Measure in fresh processes; the first one, uncounted, writes the bytecode."""
    with _cached_bytecode() as environment:
        _process(environment)
        found = [_process(environment) for _ in range(scale.of(PROCESSES))]
    asyncio_too = Spread.of([before for _, before in found]).median
    note = f"processor time; Python with asyncio needs {asyncio_too:.0f} ms"
    measured = Spread.of([own for own, _ in found])
    what, by = "import fanwise, over import asyncio", f"none: a bound; {len(found)} processes"
    yield Figure(what, measured, 20, by, "ms", note=note)


def helped(scale: Scale) -> Iterator[Figure]:
    """Measure whole processes, that of the interpreter included on both sides."""
    with _cached_bytecode() as environment:
        _spent(CLICK, environment)
        assert "digest" in _spent(HELP, environment)[1]
        rounds = Rounds(
            [
                (_spent(CLICK, environment)[0], _spent(HELP, environment)[0])
                for _ in range(scale.rounds)
            ]
        )
    yardstick, ours = (each / 1e3 for each in rounds.each(IN_A_ROUND))
    note = f"{ours:.0f} over {yardstick:.0f} ms of processor, a process"
    yield Figure("fanwise --help", rounds.ratio(), 2.0, 'python -c "import click"', note=note)


@contextmanager
def _cached_bytecode() -> Iterator[dict[str, str]]:
    """Give an environment whose bytecode lies apart: the sources' own folder may be read-only."""
    with TemporaryDirectory() as cache:
        environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
        yield environment | {"PYTHONPYCACHEPREFIX": cache}


def _process(environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    own, before = map(float, done.stdout.split())
    return own, before


def _spent(command: list[str], environment: dict[str, str]) -> tuple[Span, str]:
    """Give the processor time of a round's processes, and what the last one printed."""
    before = getrusage(RUSAGE_CHILDREN)
    printed = ""
    with Span() as span:
        for _ in range(IN_A_ROUND):
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            )
            printed = done.stdout
    after = getrusage(RUSAGE_CHILDREN)
    span.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return span, printed
