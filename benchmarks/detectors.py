"""Detectors over a record: misses on runs that have a failure mode, false alarms on those without.

Each of the four kinds has twenty scripted runs that have it and twenty that look alike and have it
not: five programs of each sort, four seeds a program, of other sizes, times and draws. Each
detector looks at the runs of its own kind; what another kind's detector says of them is no error,
since one failure may come with the next. Nothing is tuned here: the numbers are those of the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import _scripted as scripted
from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise.analysis import (
    cascading_failures,
    head_of_line_blocking,
    rate_limit_cascades,
    synchronised_retries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks._measure import Scale
    from benchmarks._scripted import Runs
    from fanwise.analysis import Finding
    from fanwise.core import RunRecord

PROGRAMS = 5
SEEDS = 4
MOST = 1.0  # of twenty
KINDS: dict[str, tuple[Callable[[RunRecord], tuple[Finding, ...]], Runs, Runs]] = {
    "synchronised retries": (synchronised_retries, scripted.TOGETHER, scripted.SPREAD),
    "cascading failures": (cascading_failures, scripted.FALLING, scripted.STANDING),
    "rate-limit cascades": (rate_limit_cascades, scripted.REFUSED, scripted.HEEDED),
    "head-of-line blocking": (head_of_line_blocking, scripted.BEHIND, scripted.IN_TURN),
}


def found(scale: Scale) -> Iterator[Figure]:
    """Count misses and false alarms of each detector."""
    seeds, programs = scale.of(SEEDS), scale.of(PROGRAMS)
    for name, (detector, having, lacking) in KINDS.items():
        missed = [each for each, said in tried(detector, having[:programs], seeds) if not said]
        alarms = [each for each, said in tried(detector, lacking[:programs], seeds) if said]
        yield _figure(f"{name}: misses", missed, seeds * programs)
        yield _figure(f"{name}: false alarms", alarms, seeds * programs)


def tried(
    detector: Callable[[RunRecord], tuple[Finding, ...]], programs: Runs, seeds: int
) -> Iterator[tuple[str, bool]]:
    """Give each run's name, and whether the detector found something."""
    for program in programs:
        for seed in range(seeds):
            record = scripted.made(program, seed)
            yield f"{program.__name__} {seed}", bool(detector(record))


def _figure(what: str, wrong: list[str], runs: int) -> Figure:
    spread = Spread.of([float(len(wrong))])
    by = f"{runs} scripted runs"
    return Figure(what, spread, MOST, by, "count", note=", ".join(wrong))
