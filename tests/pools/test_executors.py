"""Pools as executors: ours as anybody's, anybody's as ours; threads of a size and a name."""

import asyncio
import concurrent.futures
import gc
import math
import os
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from fanwise import Runtime, fan_out, step
from fanwise.errors import WorkerDied, WorkerNotStarted
from fanwise.pools import ProcessPool, process_pool
from fanwise.testing import no_orphans
from tests.pools import work
from tests.pools.test_processes import is_alive, row_of, until

pytestmark = pytest.mark.real_clock


# ProcessPool for everybody


def test_it_is_an_executor():
    with no_orphans(), ProcessPool(2) as pool:
        assert isinstance(pool, Executor)
        assert pool.submit(math.factorial, 5).result() == 120
        assert list(pool.map(math.sqrt, [1, 4, 9])) == [1, 2, 3]
        assert pool.submit(work.add.function, 1, b=2).result() == 3
        with pytest.raises(LookupError, match="gone"):
            pool.submit(work.fail.function, "gone").result()
        dead = pool.submit(work.die.function, "exit")
        assert pool.submit(math.factorial, 5).result() == 120
        assert isinstance(dead.exception(), WorkerDied)
    with pytest.raises(RuntimeError, match="is closed: it takes nothing more"):
        pool.submit(math.factorial, 5)


async def test_the_loop_may_use_it():
    pool = ProcessPool(1)
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(pool, math.factorial, 5) == 120
    await asyncio.to_thread(pool.shutdown)


async def test_what_waits_can_be_cancelled_and_what_runs_cannot(pipe):
    begun, go = pipe(), pipe()
    pool = ProcessPool(1)
    runs = pool.submit(work.gate.function, begun.path, go.path)
    pid = int(await begun.heard())
    waits, last = pool.submit(math.factorial, 4), pool.submit(math.factorial, 5)
    assert not runs.cancel()
    assert waits.cancel()
    assert repr(pool) == "<ProcessPool process 1/1, 2 waiting>"
    go.let()
    assert await asyncio.wrap_future(last) == 120
    assert await asyncio.wrap_future(runs) == pid
    await asyncio.to_thread(pool.shutdown)


async def test_shutdown_waits_for_what_was_submitted(pipe):
    begun, go = pipe(), pipe()
    pool = ProcessPool(1)
    runs = pool.submit(work.gate.function, begun.path, go.path)
    pid = int(await begun.heard())
    waits = pool.submit(math.factorial, 4)
    pool.shutdown(wait=False)
    go.let()
    assert await asyncio.wrap_future(waits) == 24
    assert runs.result() == pid
    await asyncio.to_thread(pool.shutdown)
    assert not is_alive(pid)


async def test_shutdown_may_cancel_what_waits(pipe):
    begun, go = pipe(), pipe()
    pool = ProcessPool(1)
    runs = pool.submit(work.gate.function, begun.path, go.path)
    await begun.heard()
    waits = pool.submit(math.factorial, 4)
    pool.shutdown(wait=False, cancel_futures=True)
    go.let()
    await asyncio.to_thread(pool.shutdown)
    assert waits.cancelled() or isinstance(waits.exception(), concurrent.futures.CancelledError)
    assert runs.done()


async def test_closing_kills_what_does_not_end(pipe, monkeypatch):
    monkeypatch.setattr("fanwise.pools._processes.GRACE", 0.05)
    begun = pipe()
    pool = ProcessPool(1)
    runs = pool.submit(work.hang.function, begun.path)
    pid = await begun.heard()
    await asyncio.to_thread(pool.close)
    assert not is_alive(pid)
    assert isinstance(runs.exception(), WorkerDied)


def test_a_forgotten_pool_ends_its_workers():
    pool = ProcessPool(1)
    pid = pool.submit(os.getppid).result() and pool.submit(work.where.function).result()[0]
    (worker,) = pool._workers
    del pool
    gc.collect()
    assert worker.join(10)
    assert not is_alive(pid)


def test_where_none_ever_starts_all_who_wait_are_told(monkeypatch):
    monkeypatch.setattr("fanwise.pools._link.BOOT", "raise SystemExit(9)")
    with ProcessPool(1) as pool:
        futures = [pool.submit(math.factorial, n) for n in range(50)]
        errors = [future.exception() for future in futures]
        assert {type(error) for error in errors} == {WorkerNotStarted}
        assert pool._made < 10


def test_addresses():
    assert process_pool("process:3:ocr").at_once == 3
    assert process_pool("process").at_once == len(os.sched_getaffinity(0))


# Executors of others

# As under asyncio's own run_in_executor, what an executor does in `submit` is its own matter.
SUBMITS = pytest.mark.blocking_ok


class Inline(Executor):
    """An executor without a size that shares this process's memory, as some engines have."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.fixture(params=["processes", "threads", "inline", "ours"])
def other(request):
    made = {
        "processes": lambda: ProcessPoolExecutor(1, get_context("spawn")),
        "threads": lambda: ThreadPoolExecutor(1, thread_name_prefix="mine"),
        "inline": Inline,
        "ours": lambda: ProcessPool(1),
    }[request.param]()
    yield made
    made.shutdown()


@SUBMITS
async def test_any_executor_runs_steps(other):
    async with Runtime(pools={"elsewhere": other}, seed=7) as runtime:
        assert await work.elsewhere(1, b=2) == 3
        assert row_of(runtime, "elsewhere").facts["pool"] == "elsewhere"
        said = await runtime.run(work.asks_elsewhere(), run_id="the run")
        assert (said["run"], said["attempt"]) == ("the run", 1)
        (row,) = runtime.runs[-1].record().calls
        assert row.usage == {"tokens_in": 8, "tokens_out": 2}
        with pytest.raises(LookupError, match="gone"):
            await step(work.fail.function, pool="elsewhere")("gone")
        with pytest.raises(RuntimeError, match="StopIteration"):
            await step(work.fail_oddly.function, pool="elsewhere")("stop")
    assert other.submit(math.factorial, 5).result() == 120  # whoever made it closes it


@SUBMITS
async def test_a_process_of_others_that_cannot_be_stopped_is_abandoned(pipe):
    begun, go = pipe(), pipe()
    other = ProcessPoolExecutor(1, get_context("spawn"))
    gate = step(work.gate.function, pool="elsewhere", timeout=0.2, name="gate")
    async with Runtime(pools={"elsewhere": other}) as runtime:
        await work.elsewhere(1)
        found = await fan_out(gate(begun.path, go.path), need=0)
        assert found.outcomes[0].status == "timed_out"
        assert row_of(runtime, "gate").facts["abandoned"] is True
        assert runtime.statistics().abandoned == 1
        assert runtime.statistics().pools[-1].in_flight == 1
        await begun.heard()
        go.let()
        await until(lambda: runtime.statistics().pools[-1].in_flight == 0)
    await asyncio.to_thread(other.shutdown)


@SUBMITS
async def test_closing_the_runtime_waits_for_it(pipe):
    begun, go = pipe(), pipe()
    other = ProcessPoolExecutor(1, get_context("spawn"))
    gate = step(work.gate.function, pool="elsewhere", timeout=0.2, name="gate")
    async with Runtime(pools={"elsewhere": other}) as runtime:
        await work.elsewhere(1)
        with pytest.raises(TimeoutError):
            await gate(begun.path, go.path)
        (future,) = runtime.abandoned
        await begun.heard()
        asyncio.get_running_loop().call_soon(go.let)
    assert future.done()
    await asyncio.to_thread(other.shutdown)


async def test_an_executor_in_the_place_of_processes():
    """Its functions may be what pickle cannot find: then it is the executor's to refuse."""
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as other:
        async with Runtime(pools={"process": other}):
            name = await step(lambda: threading.current_thread().name, pool="process", name="l")()
            assert name.startswith("mine")


# Threads


async def test_threads_have_a_size_and_the_name_of_their_step():
    go = threading.Event()

    def waits():
        assert go.wait(10)
        return threading.current_thread().name

    async with Runtime(pools={"thread": 2}) as runtime:
        runs = [runtime.start(step(waits, name="gate")()) for _ in range(3)]
        await until(lambda: runtime.threads.waiting)
        assert (runtime.threads.at_once, runtime.threads.used) == (2, 2)
        busy = {thread.name for thread in threading.enumerate()}
        assert {"fanwise-0 gate", "fanwise-1 gate"} <= busy
        go.set()
        names = [await run.wait() for run in runs]
        assert set(names) == {"fanwise-0 gate", "fanwise-1 gate"}
        idle = {thread.name for thread in threading.enumerate()}
        assert {"fanwise-0", "fanwise-1"} <= idle
    assert not {"fanwise-0", "fanwise-1"} & {thread.name for thread in threading.enumerate()}


async def test_a_thread_is_a_place_like_others():
    async with Runtime() as runtime:
        explicit = step(work.where.function, pool="thread", name="explicit")
        assert (await explicit())[0] == os.getpid()
        assert "pool" not in row_of(runtime, "explicit").facts


async def test_plain_functions_run_in_the_threads_that_are_given():
    @step
    def where():
        return threading.current_thread().name

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        async with Runtime(pools={"thread": pool}) as runtime:
            assert (await runtime.run(where())).startswith("mine")
