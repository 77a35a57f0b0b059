"""Runs that go on: over every journal, what was kept is not done again, and the program sees the same."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from fanwise import (
    Retry,
    Runtime,
    bind,
    current,
    fan_map,
    fan_out,
    first,
    pipeline,
    stage,
    step,
    tree_reduce,
)
from fanwise.core._replay import Replay
from fanwise.durable import patched
from fanwise.errors import (
    CallDropped,
    NotEnough,
    NotStorable,
    ProgramChanged,
    RecordedFailure,
    RunBusy,
)
from fanwise.stores import MemoryJournal, SqliteJournal


class Stop(BaseException):
    """Ends a run as a crash does: nothing after it counts."""


ON_THE_LOOP = pytest.mark.blocking_ok  # on the virtual clock nothing happens beside the loop


@pytest.fixture(
    params=[
        "memory",
        pytest.param("sqlite", marks=ON_THE_LOOP),
        pytest.param("sqlite, synced", marks=ON_THE_LOOP),
    ]
)
def journals(request, tmp_path):
    """What opens one journal again and again, as processes after each other do."""
    memory = MemoryJournal()

    def opened():
        if request.param == "memory":
            return memory
        sync = "full" if "synced" in request.param else "normal"
        return SqliteJournal(str(tmp_path / "runs.db"), sync=sync)

    return opened


async def execute(journals, call, run_id="r", stop=None, **runtime):
    """Run `call` under the journal; `stop` seconds later all of it is cancelled, as by a crash."""
    async with Runtime(journal=journals(), **runtime) as where:
        task = asyncio.create_task(where.run(call, run_id=run_id))
        await asyncio.wait([task], timeout=stop)
        task.cancel()
        return await task


async def stopped(journals, call, at, **runtime):
    with pytest.raises(asyncio.CancelledError):
        await execute(journals, call, stop=at, **runtime)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def counted(ran):
    @step
    async def counted(n, after=0.0):
        ran.append(n)
        await asyncio.sleep(after)
        return n * 10

    return counted


# What is finished


async def test_finished_calls_are_answered_whatever_became_of_their_group(journals, counted, ran):
    @step
    async def program():
        return (await fan_out(counted(1), counted(2, 5.0), counted(3))).values()

    await stopped(journals, program(), 1.0)
    assert await execute(journals, program()) == [10, 20, 30]
    assert ran == [1, 2, 3, 2]


async def test_a_run_that_ended_is_answered_whole(journals, counted, ran):
    assert await execute(journals, counted(1)) == await execute(journals, counted(1)) == 10
    assert ran == [1]


async def test_runs_of_other_ids_know_nothing_of_each_other(journals, counted, ran):
    for name in ("a", "b"):
        assert await execute(journals, counted(1), run_id=name) == 10
    assert ran == [1, 1]


async def test_equal_calls_made_outside_any_run_are_two_calls(journals, ran):
    @step
    async def once(n):
        ran.append(current().idempotency_key)

    for _ in range(2):
        await execute(journals, fan_out(once(1), once(1)))
    assert len(ran) == len(set(ran)) == 2


async def test_patterns_made_outside_any_run_have_keys_of_their_run(journals, ran):
    @step
    async def key_of(n):
        ran.append(current().idempotency_key)

    for name in ("monday", "tuesday"):
        await execute(journals, fan_map(key_of, [1, 2], at_once=2), run_id=name)
    assert len(set(ran)) == 4


async def test_patterns_of_every_kind_go_on(journals, counted, ran):
    @step
    async def add(values):
        ran.append("add")
        return sum(values)

    @step
    async def letters(n):
        ran.append(f"letters {n}")
        for letter in "ab":
            yield letter

    @step
    async def program(last):
        found = [(await fan_map(counted, [1, 2], at_once=1)).values()]
        found.append((await tree_reduce(add, [counted(3), counted(4), 1, 1], arity=2)).value)
        found.append(await first(counted(5), counted(6, 9.0)))
        found.append(await bind(counted, counted(7)))
        found.append((await pipeline([8, 9], stage(counted), stage(counted))).values())
        found.append([item async for item in iterate(letters(1))])
        await asyncio.sleep(last)
        return found

    async def iterate(stream):
        async with stream as items:
            async for item in items:
                yield item

    await stopped(journals, program(60.0), 30.0)
    once = len(ran)
    with pytest.raises(ProgramChanged, match="with other arguments"):
        await execute(journals, program(0.0))
    value = await execute(journals, program(60.0))
    assert len(ran) == once
    assert value == [[10, 20], 72, 50, 700, [800, 900], ["a", "b"]]


async def test_equal_groups_of_a_tree_have_their_places(journals, ran):
    """The second group is done first: it is not taken for the first."""
    order = []

    @step
    async def late(n, after):
        await asyncio.sleep(after)
        return n

    @step
    async def merge(values):
        order.append(current().idempotency_key)
        return f"merge {len(order)}"

    @step
    async def program(delays):
        items = [late(1, delay) for delay in delays]
        return (await tree_reduce(merge, items, arity=2)).depth

    assert await execute(journals, program([2.0, 2.0, 1.0, 1.0]), run_id="a") == 2
    second_first = order[:2]
    order.clear()
    assert await execute(journals, program([1.0, 1.0, 2.0, 2.0]), run_id="a2") == 2
    assert len(set(second_first + order)) == 5  # the runs' own keys
    order.clear()
    keys = {}
    for name, delays in (("x", [2.0, 2.0, 1.0, 1.0]), ("y", [1.0, 1.0, 2.0, 2.0])):
        async with Runtime(journal=MemoryJournal()) as runtime:
            tree = tree_reduce(merge, [late(1, each) for each in delays], arity=2)
            await runtime.run(tree, run_id="same")
        keys[name] = order[:2]
        order.clear()
    assert keys["x"] == keys["y"][::-1]


# What a program sees again


async def test_time_and_randomness_are_the_same(journals, counted):
    @step
    async def program(wait):
        here = current()
        told = [here.time(), here.random().random(), str(here.uuid()), here.time()]
        await counted(1)
        await asyncio.sleep(wait)
        return told

    seen = []

    @step(key=lambda _: 0)
    async def outer(wait):
        here = current()
        seen.append([here.time(), here.random().random(), str(here.uuid())])
        await counted(1)
        await asyncio.sleep(wait)
        return await program(0.0)

    await stopped(journals, outer(60.0), 30.0)
    await execute(journals, outer(0.0))
    assert seen[0] == seen[1]


async def test_a_failure_that_a_fan_in_could_bear_is_seen_again(journals, counted, ran):
    broken = [True]

    @step
    async def fragile(n):
        ran.append("fragile")
        if broken[0]:
            raise LookupError(n)
        return n

    @step
    async def program():
        found = await fan_out(counted(1), fragile(2), need=1)
        await counted(3)
        await counted(4, 60.0 if broken[0] else 0.0)
        return found.missing, [str(each.error) for each in found.outcomes]

    await stopped(journals, program(), 30.0)
    broken[0] = False
    missing, errors = await execute(journals, program())
    assert list(missing) == ["fragile"]
    assert errors == ["None", "2"]
    assert ran == [1, "fragile", 3, 4, 4]


async def test_an_error_that_was_caught_is_raised_again(journals, counted, ran):
    broken = [True]

    class Refused(Exception):
        def __init__(self, code):
            super().__init__(code)
            self.code = code

    globals()["Refused"] = Refused
    Refused.__qualname__ = "Refused"

    @step
    async def fragile():
        ran.append("fragile")
        if broken[0]:
            raise Refused(402)

    @step
    async def waits():
        await asyncio.sleep(60.0 if broken[0] else 0.0)

    @step
    async def program():
        try:
            await fragile()
        except Refused as error:
            found = error.code
            await counted(1)
        await waits()
        return found

    await stopped(journals, program(), 30.0)
    broken[0] = False
    assert await execute(journals, program()) == 402
    assert ran == ["fragile", 1]


async def test_what_ended_the_run_runs_again(journals, counted, ran):
    broken = [True]

    @step
    async def fragile(n):
        ran.append("fragile")
        if broken[0]:
            raise OSError(n)
        return n

    @step
    async def part():
        before = await counted(1)
        return [before, await fragile(2), await counted(3)]

    @step
    async def program():
        return (await fan_out(part(), counted(4))).values()

    with pytest.raises(NotEnough):
        await execute(journals, program())
    with pytest.raises(NotEnough):
        await execute(journals, program())
    broken[0] = False
    assert await execute(journals, program()) == [[10, 2, 30], 40]
    assert sorted(ran[:2]) == [1, 4]
    assert ran[2:] == ["fragile", "fragile", "fragile", 3]


async def test_a_call_that_was_let_go_is_let_go_again(journals, counted, ran):
    @step
    async def slow(n):
        ran.append("slow")
        await asyncio.sleep(20.0)
        return n

    seconds = [60.0]

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        found = await fan_out(counted(1), slow(2), need=1, within=5.0)
        await counted(3)
        await last()
        return [str(each.status) for each in found.outcomes]

    await stopped(journals, program(), 30.0)
    seconds[0] = 0.0
    assert await execute(journals, program()) == ["ok", "timed_out"]
    assert ran == [1, "slow", 3]


async def test_one_that_is_let_go_no_more_is_said_and_does_not_hang(journals, counted):
    limit = [5.0]

    @step
    async def slow():
        await asyncio.sleep(20.0)

    @step
    async def last():
        await asyncio.sleep(60.0)

    @step
    async def program():
        await fan_out(counted(1), slow(), need=1, within=limit[0])
        await counted(3)
        await last()

    await stopped(journals, program(), 30.0)
    limit[0] = None
    with pytest.raises(ProgramChanged, match=r"slow was let go 5 s after .* after 15 s"):
        await execute(journals, program())


async def test_one_that_started_late_waits_as_long_as_its_fan_in_did(journals, counted, ran):
    """It starts at once when the run goes on, since those before it are answered."""
    seconds = [60.0]

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        found = await fan_map(late, [1, 2], at_once=1, need=1, within=200.0)
        await counted(3)
        await last()
        return [str(each.status) for each in found.outcomes]

    @step
    async def late(n):
        ran.append(n)
        await asyncio.sleep(190.0)

    await stopped(journals, program(), 230.0)
    seconds[0] = 0.0
    assert await execute(journals, program()) == ["ok", "timed_out"]
    assert ran == [1, 2, 3]


async def test_results_come_in_the_order_in_which_they_came(journals, ran):
    seconds = [60.0]

    @step
    async def late(n):
        await asyncio.sleep(n)
        return n

    @step
    async def follow(n):
        ran.append(n)

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        tasks = [asyncio.create_task(wait(late(n))) for n in (3.0, 1.0, 2.0)]
        order = []
        for task in asyncio.as_completed(tasks):
            order.append(await task)
            await follow(order[-1])
        await last()
        return order

    async def wait(call):
        return await call

    await stopped(journals, program(), 30.0)
    seconds[0] = 0.0
    assert await execute(journals, program()) == [1.0, 2.0, 3.0]
    assert ran == [1.0, 2.0, 3.0]


async def test_a_drained_run_goes_on_with_what_it_left_out(journals, counted, ran):
    @step
    async def program():
        return (await fan_map(counted, [1, 2, 3], at_once=1, need=0)).values()

    async with Runtime(journal=journals()) as runtime:
        run = runtime.start(program(), run_id="r")
        while not ran:
            await asyncio.sleep(0.0)
        runtime.drain()
        partial = await run.wait()
    assert len(partial) < 3
    assert await execute(journals, program()) == [10, 20, 30]
    assert sorted(ran) == [1, 2, 3]


# A program that changed


async def test_a_call_that_differs_is_named_before_it_acts(journals, ran):
    amount = [10]

    @step(effect="write")
    async def charge(n):
        ran.append(n)

    @step
    async def program():
        await charge(amount[0])
        await asyncio.sleep(60.0)

    await stopped(journals, program(), 30.0)
    amount[0] = 12
    with pytest.raises(ProgramChanged, match=r"call 1 of its step was one with other arguments"):
        await execute(journals, program())
    assert ran == [10]


async def test_unless_it_were_compared_it_would_act_twice(journals, ran, monkeypatch):
    """The mutant of the test above."""
    monkeypatch.setattr(Replay, "asked", lambda *_: None)
    amount = [10]

    @step(effect="write")
    async def charge(n):
        ran.append(n)

    @step
    async def program():
        await charge(amount[0])
        await asyncio.sleep(60.0 if amount[0] == 10 else 0.0)

    await stopped(journals, program(), 30.0)
    amount[0] = 12
    with pytest.raises(ProgramChanged, match="ends without its call 1"):  # too late
        await execute(journals, program())
    assert ran == [10, 12]


async def test_a_new_call_before_an_old_one_is_named(journals, counted, ran):
    new = [False]

    @step
    async def check():
        ran.append("check")

    @step
    async def program():
        await counted(1)
        if new[0]:
            await check()
        await counted(2)
        await asyncio.sleep(0.0 if new[0] else 60.0)

    await stopped(journals, program(), 30.0)
    new[0] = True
    with pytest.raises(
        ProgramChanged, match=r"call 2 .* was one of counted when run 'r'.*is check"
    ):
        await execute(journals, program())
    assert ran == [1, 2]


async def test_a_call_that_is_not_made_any_more_is_named(journals, counted):
    calls = [3]

    @step
    async def program():
        for n in range(calls[0]):
            await counted(n)
        await asyncio.sleep(60.0 if calls[0] == 3 else 0.0)

    await stopped(journals, program(), 30.0)
    calls[0] = 2
    with pytest.raises(ProgramChanged, match=r"program ends without its call 3, counted"):
        await execute(journals, program())


async def test_whoever_catches_it_does_not_go_on(journals, counted, ran):
    amount = [1]

    @step
    async def program():
        try:
            await counted(amount[0])
        except ProgramChanged:
            await counted(99)
        await asyncio.sleep(60.0)

    await stopped(journals, program(), 30.0)
    amount[0] = 2
    with pytest.raises(ProgramChanged):
        await execute(journals, program())
    assert ran == [1]


async def test_versions_are_pinned(journals, ran):
    version = [1]

    def made():
        @step(name="work", version=version[0])
        async def work(n):
            ran.append(version[0])
            await asyncio.sleep(20.0 * (n - 1))

        return work

    @step
    async def program():
        work = made()
        await work(1)
        await work(2)

    await stopped(journals, program(), 10.0)
    version[0] = 2
    with pytest.raises(ProgramChanged, match=r"work has version 2 and had 1 when run 'r' began"):
        await execute(journals, program())
    version[0] = 1
    await execute(journals, program())
    assert ran == [1, 1, 1]


async def test_an_old_run_goes_on_without_the_patch(journals, counted, ran):
    new = [False]

    @step
    async def check():
        ran.append("check")

    @step
    async def program():
        await counted(1)
        if new[0] and patched("check"):
            await check()
        await counted(2)
        await asyncio.sleep(0.0 if new[0] else 60.0)

    await stopped(journals, program(), 30.0)
    new[0] = True
    await execute(journals, program())
    assert ran == [1, 2]
    await execute(journals, program(), run_id="new")
    assert ran == [1, 2, 1, "check", 2]


async def test_patched_stays_as_it_was_told_first(journals, counted, ran):
    seconds = [60.0]

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        told = patched("check")
        await counted(1)
        await last()
        return told

    await stopped(journals, program(), 30.0)
    seconds[0] = 0.0
    assert await execute(journals, program()) is True


def test_patched_is_for_steps_and_takes_a_name():
    with pytest.raises(RuntimeError, match="inside of a step"):
        patched("x")
    with pytest.raises(TypeError, match=r"name is a str that is not empty.*got ''"):
        patched("")


async def test_without_a_journal_everything_is_patched():
    @step
    async def program():
        return patched("x")

    assert await program() is True


async def test_an_id_names_one_run(journals, counted, ran):
    await execute(journals, counted(1))
    with pytest.raises(ProgramChanged, match=r"run 'r' is one with other arguments, and this call"):
        await execute(journals, counted(2))
    with pytest.raises(ProgramChanged, match=r"run 'r' is one of counted"):
        await execute(journals, tree_reduce(counted, [1], arity=2))
    assert ran == [1]


# One run


async def test_two_who_run_one_id_at_a_time_wait_for_the_same(journals, counted, ran):
    async with Runtime(journal=journals()) as runtime:
        found = await asyncio.gather(
            runtime.run(counted(1, 5.0), run_id="r"), runtime.run(counted(1, 5.0), run_id="r")
        )
        assert found == [10, 10]
        run = runtime.start(counted(1, 5.0), run_id="r2")
        assert runtime.start(counted(1, 5.0), run_id="r2") is run
        assert await run.wait() == 10
    assert ran == [1, 1]


async def test_one_of_two_may_leave(journals, counted, ran):
    async with Runtime(journal=journals()) as runtime:
        one = asyncio.create_task(runtime.run(counted(1, 5.0), run_id="r"))
        other = asyncio.create_task(runtime.run(counted(1, 5.0), run_id="r"))
        await asyncio.sleep(1.0)
        one.cancel()
        assert await other == 10
        assert one.cancelled()
    assert ran == [1]


async def test_two_of_one_id_are_of_one_call(journals, counted):
    async with Runtime(journal=journals()) as runtime:
        run = runtime.start(counted(1, 5.0), run_id="r")
        with pytest.raises(ProgramChanged, match="an id names one run"):
            await runtime.run(counted(2), run_id="r")
        assert await run.wait() == 10


async def test_two_runtimes_do_not_have_one_run(journals, counted):
    async with Runtime(journal=journals()) as one, Runtime(journal=journals()) as other:
        run = one.start(counted(1, 5.0), run_id="r")
        await asyncio.sleep(1.0)
        with pytest.raises(RunBusy, match="run 'r' is run by"):
            await other.run(counted(1, 5.0), run_id="r")
        assert await run.wait() == 10
        assert await other.run(counted(1, 5.0), run_id="r") == 10


# What cannot be kept


async def test_what_is_no_data_is_refused_by_name(journals):
    @step
    async def makes():
        return object()

    with pytest.raises(NotStorable, match=r"makes gives a object.*return annotation"):
        await execute(journals, makes())


async def test_a_type_that_is_no_data_is_refused_before_anything_runs(journals, ran):
    @step
    async def makes() -> re.Match[str]:
        ran.append(1)
        return re.match("a", "a")

    @step
    async def program():
        return str(await makes())

    with pytest.raises(NotStorable, match=r"makes gives .*Match.*which is no data"):
        await execute(journals, program())
    assert ran == []


@dataclass(frozen=True)
class Point:
    x: int
    name: str = ""


async def test_a_large_value_comes_back(journals, ran):
    @step
    async def large() -> list[Point]:
        ran.append(1)
        return [Point(n, "x" * 100) for n in range(1000)]

    one = await execute(journals, large())
    assert one == await execute(journals, large())
    assert ran == [1]


async def test_an_error_that_cannot_be_made_again_is_told(journals, counted, ran):
    seconds = [60.0]

    class Odd(Exception):
        def __init__(self, where, what):
            super().__init__(where)
            self.what = what

    @step
    async def fragile():
        ran.append("fragile")
        raise Odd(object(), 1)

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        try:
            await fragile()
        except (Odd, RecordedFailure) as error:
            await counted(1)
            await last()
            return type(error).__name__

    await stopped(journals, program(), 30.0)
    seconds[0] = 0.0
    assert await execute(journals, program()) == "RecordedFailure"
    assert ran == ["fragile", 1]


async def test_a_retried_parent_goes_on_in_its_first_attempt(journals, counted, ran):
    seconds = [60.0]

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def parent():
        found = [await counted(1), str(current().uuid())]
        if current().attempt == 1 and not ran.count("second"):
            raise ConnectionError
        ran.append("second")
        await counted(2)
        await last()
        return found

    await stopped(journals, parent(), 30.0)
    seconds[0] = 0.0
    assert (await execute(journals, parent()))[0] == 10
    assert [each for each in ran if each != "second"] == [1, 2]


async def test_cancelled_calls_of_a_stopped_run_run_again(journals, counted):
    @step
    async def program():
        call = counted(1, 50.0)
        try:
            return await call
        except CallDropped:
            return "dropped"

    await stopped(journals, program(), 10.0)
    assert await execute(journals, program()) == 10
