"""Steps in worker processes: real ones, ordered by named pipes."""

import asyncio
import functools
import math
import os
import signal
import sys
import threading

import pytest

from fanwise import Hedge, Retry, Runtime, current, deadline, fan_map, fan_out, step
from fanwise.core._dump import dump
from fanwise.errors import PoolUnknown, RemoteError, WorkerDied, WorkerNotStarted
from fanwise.pools import ProcessPool
from fanwise.testing import OrphansLeft, no_orphans, run_virtual
from tests.pools import work

pytestmark = pytest.mark.real_clock


def is_alive(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # a zombie has nobody left to reap it but init
        fields = stat.read().rsplit(")", 1)[1].split()
    return fields[0] != "Z" or int(fields[17]) > 1  # the last thread is still on its way out


async def until(condition):
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.001)


def row_of(runtime, name):
    (row,) = [r for run in runtime.runs for r in run.record().calls if r.step == name]
    return row


# Where and how it runs


async def test_it_runs_in_another_process_which_stays():
    async with Runtime() as runtime:
        first, second = await work.where(), await work.where()
        assert first == second
        assert first[0] != os.getpid()
        assert first[1] == "fanwise-process-1"
        assert await work.add(1) == 1
        assert row_of(runtime, "add").facts["pool"] == "process"


async def test_never_more_workers_than_the_pool_has():
    async with Runtime(pools={"process": 2}) as runtime:
        found = await fan_map(lambda _: work.where(), range(20), at_once=20)
        pids = {pid for pid, _ in found.values()}
        assert 1 <= len(pids) <= 2
        assert runtime.statistics().pools[-1].at_once == 2


async def test_closing_the_runtime_ends_the_workers():
    async with no_orphans():
        async with Runtime(pools={"process": 2}):
            pid, _ = await work.where()
            assert is_alive(pid)
        assert not is_alive(pid)


async def test_a_pool_that_was_given_stays_open():
    pool = ProcessPool(1)
    async with Runtime(pools={"process": pool}):
        pid, _ = await work.where()
    async with Runtime(pools={"process": pool}):
        assert (await work.where())[0] == pid
    await asyncio.to_thread(pool.shutdown)
    assert not is_alive(pid)


async def test_methods_partials_and_functions_that_are_not_yours():
    async with Runtime(pools={"process": 1}):
        assert await work.Machine(3).times(4) == 12
        assert await step(math.factorial, pool="process")(5) == 120
        assert await step(functools.partial(work.add.function, 1), pool="process", name="p")(2) == 3
        assert await work.apply_step(work.add.function, 2, 3) == 5  # the function under a step
        assert await work.add.using(timeout=30.0)(1, b=2) == 3


async def test_a_step_may_move_to_processes_later():
    async def body():
        return 1

    plain = step(work.where.function)
    async with Runtime(pools={"process": 1}):
        assert (await plain())[0] == os.getpid()
        assert (await plain.using(pool="process")())[0] != os.getpid()
    async with Runtime(pools={"process": 1}, plan={"where": {"pool": "process"}}):
        assert (await plain())[0] != os.getpid()
    async with Runtime(plan={"body": {"pool": "process"}}):
        with pytest.raises(TypeError, match="body is async and runs on the loop"):
            await step(body, name="body")()


async def test_the_environment_and_the_folder_are_those_of_the_program(monkeypatch, tmp_path):
    monkeypatch.setenv("FANWISE_SEEN", "yes")
    monkeypatch.chdir(tmp_path)
    async with Runtime(pools={"process": 1}):
        assert await work.surroundings("FANWISE_SEEN") == (str(tmp_path), "yes")


# What is refused


def test_an_async_step_is_refused_when_it_is_made():
    async def body(): ...

    with pytest.raises(TypeError, match=r"body is async .* drop pool='process'"):
        step(pool="process")(body)
    with pytest.raises(TypeError, match="is async"):
        step(body).using(pool="process")
    for wrong in (3, ["process"]):
        with pytest.raises(TypeError, match='pool is a str, such as pool="process"'):
            step(pool=wrong)(math.factorial)


async def test_what_has_no_name_is_refused():
    def inner():
        return 1

    async with Runtime(pools={"process": 1}):
        for function in (inner, lambda: 1):
            with pytest.raises(TypeError, match=r"by name, and .* has no .*: define it with def"):
                await step(function, pool="process")()
        stolen = type(inner)(inner.__code__, {}, "add")
        stolen.__module__, stolen.__qualname__ = work.__name__, "add"
        with pytest.raises(TypeError, match=r"add of tests\.pools\.work is another one"):
            await step(stolen, pool="process")()


async def test_arguments_and_results_that_cannot_travel_are_named():
    async with Runtime(pools={"process": 1}) as runtime:
        with pytest.raises(TypeError, match=r"argument 'b' of add cannot be sent to a worker"):
            await work.add(1, b=threading.Lock())
        with pytest.raises(TypeError, match=r"the result of gives_a_lock cannot be sent from"):
            await work.gives_a_lock()
        assert await work.add(1) == 1
        assert row_of(runtime, "gives_a_lock").status == "failed"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (3, "pools maps names to executors or sizes"),
        ({3: 3}, "got 3 for 3"),
        ({"a": "process"}, "got 'process' for 'a'"),
        ({"a": True}, "got True for 'a'"),
    ],
)
def test_wrong_pools_are_refused(wrong, said):
    with pytest.raises(TypeError, match=said):
        Runtime(pools=wrong)


def test_a_pool_of_none_is_refused():
    with pytest.raises(ValueError, match=r"pools\['process'\] is at least 1, got 0"):
        Runtime(pools={"process": 0})
    with pytest.raises(ValueError, match=r"ProcessPool\(at_once\) is at least 1"):
        ProcessPool(0)


async def test_an_unknown_pool_is_an_error_by_name():
    async with Runtime(pools={"ocr": 1}):
        with pytest.raises(PoolUnknown, match=r"'elsewhere' is not there: .*'ocr', 'thread'"):
            await work.elsewhere(1)
    with pytest.raises(PoolUnknown):
        await work.elsewhere(1)  # the loop's default runtime cannot know it either


# On the virtual clock


def test_on_the_virtual_clock_it_runs_inline():
    async def main():
        async with Runtime(pools={"elsewhere": 1}):
            assert (await work.where())[0] == os.getpid()
            assert await work.elsewhere(1, 2) == 3
        async with Runtime():
            with pytest.raises(PoolUnknown):
                await work.elsewhere(1)

    run_virtual(main())


# Failures


async def test_an_exception_comes_home_with_its_traceback():
    async with Runtime(pools={"process": 1}):
        with pytest.raises(LookupError, match="not here") as caught:
            await work.fail("not here")
        text = str(caught.value.__cause__)
        assert "in fail\n    raise LookupError(text)" in text
        assert "fanwise/pools" not in text
        assert "fanwise/core" not in text


@pytest.mark.parametrize(("kind", "name"), [("odd", "Odd: odd 1 2"), ("held", "Held: held")])
async def test_an_exception_that_cannot_travel_is_told(kind, name):
    async with Runtime(pools={"process": 1}):
        with pytest.raises(RemoteError, match=name) as caught:
            await work.fail_oddly(kind)
        assert "in fail_oddly" in str(caught.value.__cause__)
        assert await work.add(1) == 1


async def test_a_stop_iteration_does_not_hang():
    async with Runtime(pools={"process": 1}):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await work.fail_oddly("stop")


@pytest.mark.parametrize(
    ("how", "said", "code"),
    [
        ("exit", "ended with exit code 3", 3),
        ("SIGSEGV", "was ended by SIGSEGV", -11),
        ("SIGKILL", "was ended by SIGKILL", -9),
    ],
)
async def test_a_crash_is_an_error_of_that_call_alone(pipe, how, said, code):
    begun, go = pipe(), pipe()
    async with Runtime(pools={"process": 2}) as runtime:
        other = runtime.start(work.gate(begun.path, go.path))
        pid = await begun.heard()
        with pytest.raises(WorkerDied, match=f"the worker that ran die {said}") as caught:
            await work.die(how)
        assert caught.value.exit_code == code
        go.let()
        assert await other.wait() == int(pid)
        assert await work.add(1) == 1
        assert row_of(runtime, "die").status == "failed"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs a descriptor of a process")
async def test_a_crash_is_seen_while_a_child_holds_the_socket():
    async with Runtime(pools={"process": 1}):
        with pytest.raises(WorkerDied, match="exit code 5"):
            await work.die_leaving_a_child()


async def test_a_worker_that_was_killed_while_idle_is_no_call_s_problem():
    async with Runtime(pools={"process": 1}):
        pid, _ = await work.where()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not is_alive(pid))
        assert (await work.where())[0] != pid


async def test_a_crash_is_retried_for_reads(tmp_path):
    async with Runtime(pools={"process": 1}):
        assert await work.die_once(str(tmp_path / "tries")) == 2


async def test_of_a_write_it_is_ambiguous_and_not_retried(tmp_path):
    path = tmp_path / "tries"
    write = step(
        work.die_once.function,
        pool="process",
        effect="write",
        retry=Retry(shortest=0),
        name="write",
    )
    async with Runtime(pools={"process": 1}) as runtime:
        with pytest.raises(WorkerDied) as caught:
            await write(str(path))
        assert "may or may not have happened" in caught.value.__notes__[0]
        assert row_of(runtime, "write").facts["ambiguous"] is True
        assert path.read_text() == "x"
        path.unlink()
        keyed = step(
            work.die_once.function, pool="process", effect="write", keyed=True, name="keyed",
            retry=Retry(shortest=0, longest=0),
        )  # fmt: skip
        assert await keyed(str(path)) == 2


# Overruns and cancellation


async def overruns(pipe):
    """A call that overruns is timed out when its worker is dead, and its slot is free then."""
    begun = pipe()
    async with Runtime(pools={"process": 1}) as runtime:
        await work.add(1)
        hears = asyncio.create_task(begun.heard())
        with pytest.raises(TimeoutError, match="hang took longer than its timeout"):
            await work.hang.using(timeout=1.0)(begun.path)
        pid = await hears
        assert not is_alive(pid)
        assert runtime.statistics().pools[-1].in_flight == 0
        assert runtime.statistics().abandoned == 0
        row = row_of(runtime, "hang")
        assert (row.status, "abandoned" in row.facts) == ("timed_out", False)
        assert (await work.where())[0] != int(pid)


async def test_an_overrun_is_killed_and_replaced(pipe):
    async with no_orphans():
        await overruns(pipe)


async def test_that_rejects_an_engine_that_does_not_wait_for_the_end(pipe, monkeypatch):
    async def at_once(job, loop):
        pass

    def later(self):
        loop.call_later(0.5, kill, self)

    loop = asyncio.get_running_loop()
    kill = work_process().kill
    monkeypatch.setattr("fanwise.core._bodies._end_of", at_once)
    monkeypatch.setattr("fanwise.pools._process.WorkerProcess.kill", later)
    with pytest.raises(AssertionError):
        await overruns(pipe)


def work_process():
    from fanwise.pools._process import WorkerProcess

    return WorkerProcess


async def test_a_cancelled_call_takes_along_what_its_function_started(pipe):
    begun = pipe()
    async with no_orphans(), Runtime(pools={"process": 1}) as runtime:
        run = runtime.start(work.hang_with_child(begun.path))
        pid, child = (await begun.heard()).split()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.wait()
        assert not is_alive(pid)
        await until(lambda: not is_alive(child))
        assert row_of(runtime, "hang_with_child").status == "cancelled"
        assert await work.add(2) == 2


async def test_cancelled_twice_it_is_still_awaited(pipe):
    begun = pipe()
    async with Runtime(pools={"process": 1}):
        task = asyncio.ensure_future(_awaits(work.hang(begun.path)))
        pid = await begun.heard()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not is_alive(pid))


async def _awaits(call):
    return await call


async def test_losers_of_a_fan_out_are_killed(pipe):
    one, other = pipe(), pipe()

    async def both_run():
        return [await one.heard(), await other.heard()]

    async with no_orphans(), Runtime(pools={"process": 2}):
        found = await fan_out(
            work.hang(one.path), work.hang(other.path), step(both_run)(), need=1, enough=1
        )
        assert [outcome.status for outcome in found] == ["cancelled", "cancelled", "ok"]
        assert [is_alive(pid) for pid in found.values()[0]] == [False, False]


async def test_a_hedge_that_wins_kills_the_first(pipe, tmp_path):
    begun = pipe()
    async with Runtime(pools={"process": 2}) as runtime:
        await fan_out(*[work.add(n) for n in range(4)])
        hedged = step(hang_first, pool="process", hedge=Hedge(after=0.2))
        call = runtime.start(hedged(str(tmp_path / "mark"), begun.path))
        pid = await begun.heard()
        assert await call.wait() == "second"
        assert not is_alive(pid)


def hang_first(mark, begun):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "second"
    work.tell(begun, os.getpid())
    threading.Event().wait()
    return "first"


# Waiting


async def test_waits_for_a_worker_are_the_record_s_and_the_dump_s(pipe):
    begun, go = pipe(), pipe()
    async with Runtime(pools={"process": 1}) as runtime:
        holds = runtime.start(work.gate(begun.path, go.path))
        await begun.heard()
        waits = runtime.start(work.add(1))
        await until(lambda: runtime.statistics().pools[-1].waiting == 1)
        text = dump(runtime)
        assert "add: waits for the pool 'process'" in text
        assert "gate: running in the pool 'process'" in text
        go.let()
        await holds.wait()
        assert await waits.wait() == 1
        assert row_of(runtime, "add").waits["pool"] > 0


async def test_the_first_in_line_is_the_first_served(pipe, tmp_path):
    begun, go = pipe(), pipe()
    order = tmp_path / "order"
    async with Runtime(pools={"process": 1}) as runtime:
        holds = runtime.start(work.gate(begun.path, go.path))
        await begun.heard()
        writes = step(append, pool="process")
        waiting = []
        for n in range(5):
            waiting.append(runtime.start(writes(str(order), n)))
            await until(lambda n=n: runtime.statistics().pools[-1].waiting == n + 1)
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1].wait()
        go.let()
        await holds.wait()
        for n in (0, 2, 3, 4):
            await waiting[n].wait()
    assert order.read_text() == "0234"


def append(path, n):
    with open(path, "a") as order:
        order.write(str(n))


async def test_the_wait_counts_against_the_deadline(pipe):
    begun, go = pipe(), pipe()
    async with Runtime(pools={"process": 1}) as runtime:
        holds = runtime.start(work.gate(begun.path, go.path))
        await begun.heard()
        with pytest.raises(TimeoutError), deadline(0.05):
            await work.add(1)
        assert row_of(runtime, "add").status == "skipped"
        go.let()
        await holds.wait()


async def test_start_and_imports_of_a_worker_are_a_wait_and_not_the_attempt_s(
    pipe, tmp_path, monkeypatch
):
    """Else a module that takes long to import would be killed again and again."""
    begun, go = pipe(), pipe()
    (tmp_path / "slow_module.py").write_text(
        f"import os\n"
        f"from tests.pools import work\n"
        f"def first(): pass\n"
        f"def answer(): return 42\n"
        f"if os.getpid() != {os.getpid()}:\n"
        f"    work.tell({begun.path!r})\n"
        f"    work.until_let({go.path!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import slow_module

    async with Runtime(pools={"process": 1}) as runtime:
        call = step(slow_module.answer, pool="process", timeout=10.0)()
        run = runtime.start(call)
        await begun.heard()
        assert call.attempts == 0
        assert "waits for the pool" in dump(runtime)
        go.let()
        assert await run.wait() == 42
        assert row_of(runtime, "answer").waits["pool"] > 0


async def test_cancelled_while_a_worker_starts():
    async with no_orphans(), Runtime(pools={"process": 1}) as runtime:
        run = runtime.start(work.add(1))
        await until(lambda: runtime.pool_waits.get("process"))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.wait()
        assert row_of(runtime, "add").status == "skipped"
        assert await work.add(2) == 2


async def test_drain_lets_go_of_who_waits(pipe):
    begun, go = pipe(), pipe()
    async with Runtime(pools={"process": 1}) as runtime:
        holds = runtime.start(work.gate(begun.path, go.path))
        await begun.heard()
        waits = runtime.start(fan_out(work.add(1), need=0))
        await until(lambda: runtime.statistics().pools[-1].waiting == 1)
        runtime.drain()
        assert (await waits.wait()).outcomes[0].status == "skipped"
        go.let()
        await holds.wait()


# Big things


async def travels():
    """Whatever its size, a value is pickled and unpickled here beside the loop."""
    work.Marked.seen.clear()
    async with Runtime(pools={"process": 1}):
        back = await work.echo(work.Marked(1 << 20))
    assert len(back.content) == 1 << 20
    here = [(what, thread) for what, pid, thread in work.Marked.seen if pid == os.getpid()]
    assert here == [("pickled", "fanwise-process-1"), ("unpickled", "fanwise-process-1")]


async def test_arguments_and_results_are_pickled_beside_the_loop():
    await travels()


async def test_that_rejects_pickling_in_the_loop(monkeypatch):
    from fanwise.pools import _process

    run = _process.WorkerProcess.run

    def eager(self, function, args, kwargs, facts):
        _process.dumps(args)
        return run(self, function, args, kwargs, facts)

    monkeypatch.setattr(_process.WorkerProcess, "run", eager)
    with pytest.raises(AssertionError):
        await travels()


async def returns():
    """What is big, or a class of somebody's, is unpickled beside the loop that asked for it."""
    work.Marked.seen.clear()
    async with Runtime(pools={"process": 1}):
        assert len((await work.marked(7)).content) == 7
        assert len((await work.marked(1 << 20)).content) == 1 << 20
    assert [thread for _, _, thread in work.Marked.seen] == ["fanwise-process-1"] * 2


async def test_answers_to_small_questions_too():
    await returns()


async def test_that_rejects_a_loop_that_reads_whatever_comes(monkeypatch):
    from fanwise.pools._channel import Channel

    careful = Channel.receive_now

    def eager(self):
        found = careful(self)
        return self.receive() if found is None and self.has_whole() else found

    monkeypatch.setattr(Channel, "receive_now", eager)
    with pytest.raises(AssertionError):
        await returns()


async def test_what_is_small_and_plain_goes_from_the_loop_itself(monkeypatch):
    from fanwise.pools import _process

    settled = []
    settle = _process._settle

    def noted(job, function, answer):
        settled.append(threading.current_thread().name)
        settle(job, function, answer)

    monkeypatch.setattr(_process, "_settle", noted)
    async with Runtime(pools={"process": 1}):
        assert await work.add(1) == 1
        assert await work.add(1, b=2) == 3
        assert await work.echo([1.5, "a", {"b": (None, True)}]) == [1.5, "a", {"b": (None, True)}]
        assert (await work.asks())["attempt"] == 1
        assert settled == ["MainThread"] * 4


async def test_sizes_around_what_is_small():
    async with Runtime(pools={"process": 1}):
        for size in [0, 1000, 1024, 1025, 4000, 4096, 4097, 65_536, 70_000, 5_000_000]:
            assert await work.zeros(size) == bytes(size)
            assert await work.size(bytes(size)) == size
            assert await work.echo([bytes(size)] * 5) == [bytes(size)] * 5


async def test_a_pool_that_is_closed_under_a_call_tells_the_loop(pipe, monkeypatch):
    for module in ("_process", "_processes"):
        monkeypatch.setattr(f"fanwise.pools.{module}.GRACE", 0.05)
    begun = pipe()
    pool = ProcessPool(1)
    async with Runtime(pools={"process": pool}):
        hangs = asyncio.ensure_future(fan_out(work.hang(begun.path), need=0))
        pid = await begun.heard()
        await asyncio.to_thread(pool.close)
        assert not is_alive(pid)
        assert isinstance((await hangs).outcomes[0].error, WorkerDied)


def test_a_pool_ends_the_calls_of_a_loop_that_is_gone(pipe, monkeypatch):
    for module in ("_process", "_processes"):
        monkeypatch.setattr(f"fanwise.pools.{module}.GRACE", 0.05)
    begun = pipe()
    pool = ProcessPool(1)
    pool.submit(work.add.function, 1).result()
    worker = pool.lend(work.hang.function).result()

    async def ask():
        job = worker.run(work.hang.function, (begun.path,), {}, None)
        return job, await begun.heard()

    job, pid = asyncio.run(ask())
    pool.close()
    assert not is_alive(pid)
    assert isinstance(job.exception(), WorkerDied)


async def test_a_hundred_megabytes_go_and_come():
    async with Runtime(pools={"process": 1}):
        assert await work.size(bytes(100_000_000)) == 100_000_000
        assert len(await step(bytes, pool="process")(100_000_000)) == 100_000_000


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="turns of this kind are Linux's")
async def test_a_worker_never_interrupts_the_loop():
    before = os.sched_getscheduler(0)
    async with Runtime(pools={"process": 1}):
        expected = os.SCHED_BATCH if before == os.SCHED_OTHER else before
        assert await work.turns() == expected
    assert os.sched_getscheduler(0) == before


# What a body may ask


async def test_what_is_declared_of_the_call():
    async with Runtime(seed=7, pools={"process": 1}) as runtime:
        said = await runtime.run(work.asks(), run_id="the run")
        (row,) = runtime.runs[-1].record().calls
    assert (said["run"], said["attempt"]) == ("the run", 1)
    assert 0 < said["left"] <= 30
    assert said["text"] == "<current asks away from its loop, attempt 1>"
    assert row.usage == {"tokens_in": 8, "tokens_out": 2}
    assert row.facts["model"] == "small"
    async with Runtime(seed=7) as runtime:
        same = await runtime.run(work.asks.using(pool=None)())
    assert (same["random"], same["uuid"]) == (said["random"], said["uuid"])
    assert same["time"] >= said["time"]


async def test_a_key_comes_along_where_the_step_is_keyed():
    async with Runtime(pools={"process": 1}):
        with pytest.raises(RuntimeError, match="a step with keyed=True brings it"):
            await work.key()
        call = work.keyed_key()
        assert await call == call.key.hex()
        assert len(call.key.hex()) == 32


def test_outside_any_step_there_is_none():
    with pytest.raises(RuntimeError, match="no call runs here"):
        current()


# Left over


async def test_the_orphan_check_sees_a_worker_that_still_works(pipe):
    begun, go = pipe(), pipe()
    pool = ProcessPool(1)
    with pytest.raises(OrphansLeft, match="thread 'fanwise-process-1'"):
        async with no_orphans():
            future = pool.submit(work.gate.function, begun.path, go.path)
            await begun.heard()
    go.let()
    async with no_orphans():
        await asyncio.wrap_future(future)  # an idle one holds nothing
    await asyncio.to_thread(pool.shutdown)


async def test_a_worker_that_cannot_start_fails_those_in_line(monkeypatch):
    monkeypatch.setattr("fanwise.pools._link.BOOT", "raise SystemExit(9)")
    async with no_orphans(), Runtime(pools={"process": 1}) as runtime:
        retried = work.add.using(retry=Retry(attempts=3, on=(Exception,), shortest=0, longest=0))
        with pytest.raises(WorkerNotStarted, match="ended with exit code 9 before it could take"):
            await retried(1)
        assert row_of(runtime, "add").attempts == 3
        found = await fan_out(*[work.where() for _ in range(3)], need=0)
        assert [type(outcome.error) for outcome in found] == [WorkerNotStarted] * 3


def test_pools_cost_nothing_until_they_are_used():
    import subprocess

    code = "import fanwise, sys; print('multiprocessing' in sys.modules, 'fanwise.pools' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
