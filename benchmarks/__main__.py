"""`python -m benchmarks [names...] [--quick]`: measured, bar, yardstick, PASS or MISS."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import (
    awaits,
    budgets,
    detectors,
    diamonds,
    digests,
    failovers,
    fairness,
    fan_outs,
    imports,
    journals,
    limits,
    live,
    maps,
    models,
    money,
    pipelines,
    prefix,
    processes,
    quota,
    redis_killed,
    redis_limits,
    redis_quota,
    shows,
    storm,
    streams,
    tools,
    twins,
    uneven,
    virtual,
    votes,
)  # fmt: skip
from benchmarks._figure import HEADS, Figure, line, machine, markdown
from benchmarks._measure import Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIGURES: dict[str, Callable[[Scale], Iterator[Figure]]] = {
    "fan_out": fan_outs.plain,
    "fan_out_timeout": fan_outs.timeout,
    "fan_out_record": fan_outs.record,
    "fan_out_held": fan_outs.held,
    "await": awaits.plain,
    "await_policies": awaits.armed,
    "diamond": diamonds.diamond,
    "uneven": uneven.uneven,
    "tools": tools.streamed,
    "fan_map": maps.speed,
    "fan_map_record": maps.size,
    "admission": limits.admission,
    "journal_row": journals.in_a_row,
    "journal_parallel": journals.parallel,
    "journal_resume": journals.resumed,
    "failover": failovers.outage,
    "failover_cost": failovers.indirection,
    "live": live.viewed,
    "model": models.asked,
    "model_cancel": models.cancelled,
    "pipeline": pipelines.speed,
    "pipeline_overlap": pipelines.overlap,
    "pipeline_memory": pipelines.memory,
    "stream": streams.read,
    "stream_list": streams.awaited,
    "prefix": prefix.shared,
    "processes": processes.tasks,
    "quota": quota.used_up,
    "fairness": fairness.shared,
    "storm": storm.survived,
    "budget": budgets.held,
    "redis": redis_limits.decided,
    "redis_leases": redis_limits.leased,
    "redis_quota": redis_quota.used_up,
    "redis_killed": redis_killed.killed,
    "twin": twins.served,
    "money": money.cost,
    "virtual": virtual.plain,
    "virtual_policies": virtual.armed,
    "vote": votes.rule,
    "show": shows.shown,
    "detectors": detectors.found,
    "digest_quota": digests.in_quota,
    "import": imports.imported,
    "help": imports.helped,
}
QUICK = Scale(rounds=1, share=0.002)


def main(arguments: list[str] | None = None) -> int:
    """Run what is named, or everything; give the exit code: 1 where a figure misses its bar."""
    options = _parse(arguments)
    scale = QUICK if options.quick else Scale(rounds=options.rounds)
    print(machine(), flush=True)
    print(line(HEADS), flush=True)
    began = time.monotonic()
    with TemporaryDirectory() as folder, chdir(folder):
        figures = list(_measured(options.names or list(FIGURES), scale))
    if options.markdown:
        print(markdown(figures))
    return _close(figures, time.monotonic() - began, judged=not options.quick)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that it runs")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--markdown", action="store_true", help="the table once more, as Markdown")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in FIGURES]
    if unknown:
        parser.error(f"no figure is named {unknown[0]!r}; there are: {', '.join(FIGURES)}")
    return options


def _measured(names: list[str], scale: Scale) -> Iterator[Figure]:
    for name in names:
        for figure in FIGURES[name](scale):
            print(line(figure.cells()), flush=True)
            yield figure


def _close(figures: list[Figure], seconds: float, *, judged: bool) -> int:
    missed = [figure.what for figure in figures if figure.verdict == "MISS"]
    print(f"{len(figures)} figures in {seconds:.0f} s; {machine()}")
    if not judged:
        print("a quick run: sizes too small for a verdict")
        return 0
    print(f"MISS: {'; '.join(missed)}" if missed else "all within their bars")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
