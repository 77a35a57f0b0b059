"""`python -m tests.fuzz`: random programs until Ctrl-C; failures with the line that repeats them."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from tests.fuzz.programs import text_of
from tests.fuzz.runs import SIZES, Failure, repeat, run_seed, shrunk
from tests.fuzz.world import cheap_collections, silence


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed (drawn and printed without)")
    parser.add_argument("--runs", type=int, help="how many programs (no end without)")
    parser.add_argument("--minutes", type=float, help="for how long")
    parser.add_argument("--size", type=int, help=f"nodes a program (by the seed: {SIZES})")
    parser.add_argument("--shrink", action="store_true", help="make the first failure small")
    parser.add_argument("--failures", type=int, default=10, help="stop after so many (10)")
    parser.add_argument("--ignore", help="problems that match this are known")
    return parser.parse_args()


def tell(failure: Failure, *, small: bool) -> None:
    print(f"\nFAILED seed={failure.seed} order={failure.order} size={failure.size}")
    for problem in failure.problems[:8]:
        print(f"  {problem[:1500]}")
    print(f"  again: {repeat(failure)}")
    if small:
        program, problems = shrunk(failure)
        print(text_of(program))
        for problem in problems:
            print(f"  {problem[:1500]}")
    sys.stdout.flush()


def main() -> int:
    given = arguments()
    silence()
    seed = random.randrange(10**9) if given.seed is None else given.seed
    print(f"seeds from {seed} on")
    began = time.monotonic()
    until = None if given.minutes is None else began + given.minutes * 60
    done = 0
    failed: list[Failure] = []
    kinds: Counter[str] = Counter()
    try:
        while (given.runs is None or done < given.runs) and len(failed) < given.failures:
            if until is not None and time.monotonic() > until:
                break
            for failure in run_seed(seed + done, given.size, given.ignore):
                kinds[failure.kind] += 1
                tell(failure, small=given.shrink and kinds[failure.kind] == 1)
                failed.append(failure)
            done += 1
    except KeyboardInterrupt:
        print("\nstopped")
    spent = time.monotonic() - began
    print(f"{done} programs, {len(failed)} failures, {done / max(spent, 0.001):.0f} a second")
    for kind, number in kinds.most_common():
        print(f"  {number} x {kind}")
    return 1 if failed else 0


if __name__ == "__main__":
    with cheap_collections():
        sys.exit(main())
