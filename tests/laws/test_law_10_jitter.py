"""Law 10: retries jitter fully, on top of `Retry-After`.

The wait before attempt n + 1 is uniform in 0 to min(longest, max(shortest * 2**(n - 1), asked)).
"""

import asyncio
import itertools
import random

from hypothesis import strategies as st

from fanwise.core import Retry, step
from fanwise.core import _attempts as attempts_module
from fanwise.core._run import Run
from fanwise.patterns import fan_out
from tests.laws.proving import changed, holds, now, outcome_of, rejects, virtually

PROGRAM = {
    "shortest": st.sampled_from([0.25, 1.0, 4.0]),
    "longest": st.sampled_from([4.0, 64.0]),
    "asked": st.sampled_from([0.0, 2.0, 16.0]),
    "seed": st.integers(0, 1000),
}
TOGETHER = 10  # retries that are always allowed: one a call
RUNS = 12


class Busy(ConnectionError):
    """A server that asks to wait."""

    def __init__(self, seconds):
        super().__init__("busy")
        self.retry_after = seconds


def waits(retry, asked, seed, calls):
    """Give the waits of calls that fail until no attempt is left, by the number of the wait."""
    ends = {}

    @step(retry=retry)
    async def fails(index):
        ends.setdefault(index, []).append(now())
        raise Busy(asked)

    @step
    async def main():
        await outcome_of(fan_out(*[fails(index) for index in range(calls)], need=0))

    virtually(lambda runtime: runtime.run(main()), seed=seed)
    return [[b - a for a, b in itertools.pairwise(times)] for times in ends.values()]


def full(shortest, longest, asked, seed):
    retry = Retry(attempts=5, shortest=shortest, longest=longest)
    for found in waits(retry, asked, seed, 2):
        assert len(found) == 4
        for number, seconds in enumerate(found):
            most = min(longest, max(shortest * 2**number, asked))
            assert asked <= seconds <= asked + most
    # Spread over the whole of it: each tenth of ten dozen draws is met.
    retry = Retry(attempts=2, shortest=shortest, longest=max(longest, shortest))
    most = min(retry.longest, max(shortest, asked))
    shares = [
        (found[0] - asked) / most
        for run in range(RUNS)
        for found in waits(retry, asked, seed * RUNS + run, TOGETHER)
    ]
    assert len(shares) == RUNS * TOGETHER
    assert {int(share * 10) for share in shares} == set(range(10))
    assert len(set(shares)) == len(shares), "two calls wait for the same time"


def test_law_10_holds():
    holds(full, **PROGRAM, examples=15)


def rejected(*changes):
    rejects(full, **PROGRAM, mutant=changed(*changes), examples=3)


def test_law_10_rejects_a_fixed_delay():
    class Fixed(random.Random):
        def uniform(self, a, b):
            return b

    rejected((Run, "random", lambda self, here, purpose: Fixed()))


def test_law_10_rejects_half_a_jitter():
    plain = Run.random

    class Half(random.Random):
        def uniform(self, a, b):
            return b / 2 + super().uniform(a, b) / 2

    def half(self, here, purpose):
        return Half(plain(self, here, purpose).random())

    rejected((Run, "random", half))


def test_law_10_rejects_one_draw_for_all():
    def same(self, here, purpose):
        return random.Random(self.seed)

    rejected((Run, "random", same))


def test_law_10_rejects_deafness_to_retry_after():
    rejected((attempts_module, "retry_after", lambda error: 0.0))


def test_law_10_rejects_a_jitter_that_is_small_beside_what_was_asked():
    def small(retry, attempts, asked):
        return min(retry.longest, retry.shortest * 2 ** (attempts - 1))

    rejected((attempts_module, "jitter", small))


def test_a_run_of_the_same_seed_waits_the_same():
    retry = Retry(attempts=4)
    assert waits(retry, 0.0, 7, 3) == waits(retry, 0.0, 7, 3)
    assert waits(retry, 0.0, 7, 3) != waits(retry, 0.0, 8, 3)
    assert asyncio.iscoroutinefunction(outcome_of)
