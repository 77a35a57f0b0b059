"""The smaller fuzzer: real threads on the real clock."""

import asyncio
import random
import threading

import pytest

from fanwise.core import Limit, NotEnough, Runtime, step
from fanwise.core._attempts import Execution
from fanwise.core._shared import Shared
from fanwise.patterns import fan_out
from fanwise.testing import OrphansLeft
from tests.fuzz.threads import PATIENCE, Script
from tests.laws.proving import changed

SCRIPTS = 60


def run_script(seed):
    script = Script(seed)
    try:
        asyncio.run(script.run(random.Random(seed).randint(1, 15)))
    except BaseException as error:
        for body in script.bodies:
            body.gate.set()
        error.add_note(f"seed {seed}: {script!r}")
        raise


@pytest.mark.fuzz
@pytest.mark.parametrize("start", ["fixed", "drawn"])
def test_threads_keep_every_promise(start):
    first = 0 if start == "fixed" else random.SystemRandom().randrange(10**9)
    print(f"seeds from {first} on")
    for seed in range(first, first + SCRIPTS):
        run_script(seed)


def rejects(mutant):
    """The scripts must find a fault in this engine."""
    with mutant, pytest.raises((AssertionError, TimeoutError, OrphansLeft)):
        for seed in range(SCRIPTS):
            run_script(seed)


def test_threads_reject_slots_given_back_too_early(monkeypatch):
    give = Execution.give_slots

    def early(self, attempt):
        attempt.abandoned = None
        give(self, attempt)

    monkeypatch.setattr("tests.fuzz.threads.PATIENCE", 0.5)
    rejects(changed((Execution, "give_slots", early)))


def test_threads_reject_a_runtime_that_leaves_threads_behind():
    def hasty(self):
        self.pools.place(None).executor.shutdown(wait=False)

    rejects(changed((Shared, "close_shared", hasty)))


class Gate:
    """A function that waits in a thread until it is let go."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.opened = threading.Event()

    def wait(self):
        self.loop.call_soon_threadsafe(self.begun.set)
        assert self.opened.wait(PATIENCE)
        return "late"


@pytest.mark.real_clock
async def test_a_fan_out_leaves_a_thread_and_says_so():
    gate = Gate()

    @step
    def stuck():
        return gate.wait()

    @step
    async def fails():
        await gate.begun.wait()
        raise ValueError

    async with Runtime() as runtime:
        try:
            with pytest.raises(NotEnough) as caught:
                await runtime.run(fan_out(stuck(), fails()))
            assert [it.status for it in caught.value.found] == ["cancelled", "failed"]
            record = runtime.runs[0].record()
            (row,) = [row for row in record.calls if row.step.endswith("stuck")]
            assert row.facts["abandoned"] is True
        finally:
            gate.opened.set()


@pytest.mark.real_clock
async def test_a_slot_stays_taken_until_the_thread_ends():
    first, second = Gate(), Gate()
    gates = [first, second]

    @step(limit="one")
    def work(number):
        return gates[number].wait()

    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        try:
            left = asyncio.create_task(runtime.run(work(0)))
            await first.begun.wait()
            left.cancel()
            await asyncio.wait([left])
            following = asyncio.create_task(runtime.run(work(1)))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not second.begun.is_set()
            first.opened.set()
            second.opened.set()
            async with asyncio.timeout(PATIENCE):
                assert await following == "late"
        finally:
            first.opened.set()
            second.opened.set()
