"""Law 6: time comes from the loop's clock, so that any program runs under a virtual clock.

A program started at another instant does the same, and its record holds virtual times only.
"""

import asyncio
import time

from hypothesis import strategies as st

from fanwise.core import Hedge, Retry, StepTimedOut, deadline, step
from fanwise.core._shared import Shared
from fanwise.patterns import fan_out
from tests.laws.proving import changed, holds, outcome_of, rejects, ticks, virtually

PROGRAM = {
    "delays": st.lists(ticks(), min_size=1, max_size=5),
    "timeout": st.none() | ticks(1, 8),
    "within": st.none() | ticks(1, 8),
    "block": ticks(4, 12),
}


def record_from(start, delays, timeout, within, block):
    """Run a program at an instant; give its rows."""

    @step(timeout=timeout, retry=Retry(attempts=2), hedge=Hedge(after=0.5))
    async def job(index):
        await asyncio.sleep(delays[index])

    @step
    async def main():
        with deadline(block):
            jobs = [job(index) for index in range(len(delays))]
            await outcome_of(fan_out(*jobs, need=0, within=within))

    async def program(runtime):
        await outcome_of(runtime.run(main()))
        record = runtime.runs[0].record()
        took = max(row.end for row in record.calls)
        assert took == round((asyncio.get_running_loop().time() - start) * 1e6)
        return [(it.step, it.start, it.end, it.status, it.waits) for it in record.calls]

    return virtually(program, start=start)


def same_at_any_time(delays, timeout, within, block):
    first = record_from(0.0, delays, timeout, within, block)
    again = record_from(512.0, delays, timeout, within, block)
    assert first == again


def test_law_6_holds():
    holds(same_at_any_time, **PROGRAM)


def test_law_6_rejects_an_engine_on_real_time():
    use_loop = Shared.use_loop

    def real_time(self, loop):
        use_loop(self, loop)
        self.time = time.monotonic

    rejects(same_at_any_time, **PROGRAM, mutant=changed((Shared, "use_loop", real_time)))


def test_an_hour_costs_nothing():
    @step(timeout=3600)
    async def slow():
        await asyncio.sleep(7200)

    async def program(runtime):
        error = await outcome_of(runtime.run(slow()))
        assert isinstance(error, StepTimedOut)
        assert asyncio.get_running_loop().time() == 3600

    virtually(program)
