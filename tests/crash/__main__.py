"""Kill the workload at its journal writes, with SIGKILL, and again while it recovers.

`make crash` goes through all points; `--sample 40` through so many, drawn with a seed that is printed.
A point is a write and a moment: told (not yet handed to the thread), open (in its transaction), kept
(committed, and nobody knows). Each point is a run that is killed, a recovery that is killed, and
recoveries until the end, which are processes forked from this one; after each the file of effects and
the journal are compared.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fanwise.core._entries import Kind
from tests.crash.killing import MOMENTS, Point, campaign, undisturbed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sample", type=int, help="points drawn (default: all)")
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    options.add_argument(
        "--least", type=int, default=200, help="writes that the workload must have"
    )
    given = options.parse_args()
    draw = random.Random(given.seed)
    print(f"seed {given.seed}", flush=True)
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fanwise-crash-", dir=base) as folder:
        writes, value = undisturbed(Path(folder, "whole"))
        if writes < given.least:
            print(f"the workload has {writes} writes, and must have {given.least}")
            return 1
        points = [Point(n, moment) for n in range(1, writes + 1) for moment in MOMENTS]
        if given.sample is not None:
            points = draw.sample(points, given.sample)
        began, kinds, sums = time.monotonic(), Counter(), Counter()
        for number, point in enumerate(points):
            place = Path(folder, str(number))
            campaign(place, point, draw, writes, value, kinds, sums)
            if number % 100 == 99:
                print(f"{number + 1} of {len(points)} points", flush=True)
    print(f"{len(points)} points of {writes} writes x {len(MOMENTS)} moments, all survived")
    print(f"{time.monotonic() - began:.0f} s; " + ", ".join(f"{n} {w}" for w, n in sums.items()))
    missing = set(Kind) - set(kinds)
    if missing:
        print(f"kinds that were never written: {sorted(kind.name for kind in missing)}")
    print("written: " + ", ".join(f"{kind.name} {kinds[kind]}" for kind in Kind))
    return 1 if missing and given.sample is None else 0


if __name__ == "__main__":
    sys.exit(main())
