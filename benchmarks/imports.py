"""What `import fanwise` costs a program that has imported asyncio, with its bytecode cached."""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 11
PROGRAM = """
import asyncio, time
began = time.process_time()
import fanwise
print((time.process_time() - began) * 1e3, began * 1e3)
"""


def imported(scale: Scale) -> Iterator[Figure]:
    """Measure in fresh processes; the first one, uncounted, writes the bytecode."""
    with TemporaryDirectory() as cache:
        environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache  # never that of the sources: it may be read-only
        _process(environment)
        found = [_process(environment) for _ in range(scale.of(PROCESSES))]
    asyncio_too = Spread.of([before for _, before in found]).median
    note = f"processor time; Python with asyncio needs {asyncio_too:.0f} ms"
    measured = Spread.of([own for own, _ in found])
    what, by = "import fanwise, over import asyncio", f"none: a bound; {len(found)} processes"
    yield Figure(what, measured, 20, by, "ms", note=note)


def _process(environment: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    own, before = map(float, done.stdout.split())
    return own, before
