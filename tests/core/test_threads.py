"""Plain functions run in threads: on the real clock, ordered by events and never by sleeping."""

import asyncio
import contextvars
import threading

import pytest

from fanwise import Limit, Retry, Runtime, current, deadline, fan_map, fan_out, step
from fanwise.errors import LimitHeld
from fanwise.testing import no_orphans

pytestmark = pytest.mark.real_clock


class Gate:
    """A plain function that waits in its thread until it is let go."""

    def __init__(self):
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def body(self, value="value"):
        self.begun.set()
        assert self.go.wait(10)
        self.ended.set()
        return value

    async def has_begun(self):
        await asyncio.to_thread(self.begun.wait, 10)
        assert self.begun.is_set()


async def until(condition):
    """Give the loop turns until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_plain_def_runs_in_a_thread_of_the_runtime():
    @step
    def where():
        return threading.current_thread().name

    async with Runtime():
        assert (await where()).startswith("fanwise")


async def test_it_leaves_the_loop_free():
    gate = Gate()
    async with Runtime() as runtime:
        run = runtime.start(step(gate.body)())
        await gate.has_begun()
        await asyncio.sleep(0)
        gate.go.set()
        assert await run.wait() == "value"


async def test_context_variables_are_copied():
    name = contextvars.ContextVar("name", default="nobody")
    name.set("caller")

    @step
    def reads():
        seen = name.get()
        name.set("thread")
        return seen, current().attempt

    async with Runtime():
        assert await reads() == ("caller", 1)
    assert name.get() == "caller"


async def test_errors_come_back_with_their_frames():
    @step
    def breaks():
        raise ZeroDivisionError("in a thread")

    async with Runtime():
        with pytest.raises(ZeroDivisionError, match="in a thread") as caught:
            await breaks()
    assert "breaks" in [frame.name for frame in caught.traceback]


async def test_a_stop_iteration_from_a_thread_does_not_hang():
    @step
    def stops():
        return next(iter(()))

    async with Runtime():
        with pytest.raises((StopIteration, RuntimeError)):
            async with asyncio.timeout(5):
                await stops()


async def test_retries_run_in_threads_too():
    tries = []

    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    def flaky():
        tries.append(threading.current_thread())
        if len(tries) < 3:
            raise ConnectionError
        return len(tries)

    async with Runtime():
        assert await flaky() == 3


async def test_what_cannot_be_stopped_is_timed_out_for_its_branch_and_abandoned_in_the_record():
    gate = Gate()
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(step(gate.body, name="stuck", timeout=0.02)(), need=0)
        assert found.outcomes[0].status == "timed_out"
        (row,) = [row for row in runtime.runs[0].record().calls if row.step == "stuck"]
        assert row.status == "timed_out"
        assert row.facts["abandoned"] is True
        assert not gate.ended.is_set()
        gate.go.set()


async def test_under_a_within_too():
    gate = Gate()
    async with no_orphans(), Runtime() as runtime:
        call = step(gate.body, name="stuck")()
        fan_in = runtime.start(fan_out(call, need=0, within=0.5))
        await gate.has_begun()
        found = await fan_in.wait()
        assert found.outcomes[0].status == "timed_out"
        (row,) = [row for row in runtime.runs[0].record().calls if row.step == "stuck"]
        assert (row.status, row.facts["abandoned"]) == ("cancelled", True)
        gate.go.set()


async def test_its_slot_stays_taken_until_it_really_ends():
    gate = Gate()
    stuck = step(gate.body, limit="one", timeout=0.02)

    def in_flight(runtime):
        return runtime.statistics().limits[0].in_flight

    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        with pytest.raises(TimeoutError):
            await stuck()
        assert in_flight(runtime) == 1
        waits = runtime.start(step(lambda: "next", name="next", limit="one")())
        await until(lambda: runtime.statistics().limits[0].waiting == 1)
        gate.go.set()
        assert await waits.wait() == "next"
        assert in_flight(runtime) == 0


async def test_closing_the_runtime_waits_for_it():
    gate = Gate()
    async with Runtime():
        with pytest.raises(TimeoutError):
            await step(gate.body, timeout=0.02)()
        threading.Timer(0.05, gate.go.set).start()
    assert gate.ended.is_set()


async def test_its_result_is_dropped_and_its_error_too():
    gate = Gate()

    def breaks():
        gate.body()
        raise ZeroDivisionError

    async with Runtime() as runtime:
        found = await fan_out(step(breaks, timeout=0.02)(), need=0)
        gate.go.set()
        await until(lambda: not runtime.abandoned)
    assert found.outcomes[0].status == "timed_out"
    assert found.outcomes[0].late is None


async def test_a_function_that_has_not_begun_never_begins():
    """All threads are taken: a timeout or cancel takes it out of the line."""
    gate = Gate()
    ran = []
    async with Runtime() as runtime:
        holders = [runtime.start(step(gate.body)(n)) for n in range(32)]
        await until(lambda: runtime.threads.used == 32)
        found = await fan_out(step(lambda: ran.append(1), name="waits")(), need=0, within=0.05)
        assert found.outcomes[0].status == "skipped"
        gate.go.set()
        for holder in holders:
            await holder.wait()
    assert ran == []


async def test_the_wait_for_a_thread_does_not_count_against_the_timeout():
    gate = Gate()
    quick = step(lambda: "quick", name="quick", timeout=0.2)
    async with Runtime() as runtime:
        holders = [runtime.start(step(gate.body)(n)) for n in range(32)]
        await until(lambda: runtime.threads.used == 32)
        waits = runtime.start(quick())
        await asyncio.sleep(0.3)  # longer than its timeout
        gate.go.set()
        assert await waits.wait() == "quick"
        for holder in holders:
            await holder.wait()
        (row,) = [row for run in runtime.runs for row in run.record().calls if row.step == "quick"]
        assert row.waits["pool"] >= 200_000


async def test_it_counts_against_the_deadline():
    gate = Gate()
    async with Runtime() as runtime:
        holders = [runtime.start(step(gate.body)(n)) for n in range(32)]
        await until(lambda: runtime.threads.used == 32)
        with pytest.raises(TimeoutError), deadline(0.05):
            await step(lambda: None, name="waits")()
        gate.go.set()
        for holder in holders:
            await holder.wait()


async def test_threads_that_are_given_up_are_not_the_next_ones_problem():
    """33 plain steps, of which 32 hang beyond their timeouts: the last still gets a thread."""
    gate = Gate()
    async with Runtime() as runtime:
        found = await fan_out(
            *(step(gate.body, name="stuck", timeout=0.05)(n) for n in range(32)), need=0
        )
        assert {outcome.status for outcome in found} == {"timed_out"}
        last = runtime.start(step(lambda: "last", name="last")())
        await until(lambda: runtime.threads.waiting)
        gate.go.set()
        assert await last.wait() == "last"
        await until(lambda: runtime.threads.used == 0)


async def test_a_thousand_plain_items_pass_through_the_threads():
    @step
    def square(n):
        return n * n

    async with no_orphans(), Runtime() as runtime:
        found = await fan_map(square, range(1000), at_once=100)
        assert found.values() == [n * n for n in range(1000)]
        assert runtime.threads.used == 0


async def test_cancelled_from_outside_while_threads_run():
    gate = Gate()
    async with no_orphans(), Runtime() as runtime:
        run = runtime.start(fan_out(step(gate.body)(1), step(gate.body)(2)))
        await gate.has_begun()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.wait()
        assert not gate.ended.is_set()
        gate.go.set()
        await until(lambda: runtime.threads.used == 0)


async def test_a_plain_def_that_calls_a_step_gets_a_call_to_hand_back():
    """A thread has no loop to await on: the call may be made there and awaited outside."""

    @step
    async def inner(n):
        return n + 1

    @step
    def outer(n):
        return inner(n)

    async with Runtime():
        assert await (await outer(1)) == 2


async def test_a_holder_in_a_thread_is_found_for_limit_held():
    @step(limit="one")
    async def inner():
        return 1

    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        loop = asyncio.get_running_loop()

        @step(limit="one")
        def outer():
            async def wait():
                return await inner()

            return asyncio.run_coroutine_threadsafe(wait(), loop).result(5)

        with pytest.raises((LimitHeld, TimeoutError)) as caught:
            await outer()
        assert isinstance(caught.value, LimitHeld)
        assert runtime.statistics().limits[0].in_flight == 0
