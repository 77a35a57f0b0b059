"""A call: it runs once, whoever asks; who leaves, who waits in a circle, what is left in memory."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import traceback
import warnings
from collections import Counter

import pytest

from fanwise import (
    Breaker,
    Cache,
    Hedge,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    batch,
    bind,
    current,
    deadline,
    fan_map,
    fan_out,
    first,
    pipeline,
    stage,
    step,
    tree_reduce,
)
from fanwise.core import current_runtime
from fanwise.errors import CallDropped, CircularWait, LimitHeld
from fanwise.testing import no_orphans, run_virtual


def now():
    return asyncio.get_running_loop().time()


@step
async def gives(value, after=0.0):
    await asyncio.sleep(after)
    return value


@step
async def fails(after=0.0):
    await asyncio.sleep(after)
    raise OSError("gone")


@step
async def hangs():
    await asyncio.sleep(100_000)


def depth(error):
    return len(traceback.extract_tb(error.__traceback__))


# Once


async def test_making_a_call_runs_nothing():
    ran = []

    @step
    async def runs():
        ran.append(1)

    call = runs()
    await asyncio.sleep(1)
    assert (ran, call.status) == ([], "new")
    await call
    assert (ran, call.status) == ([1], "ok")


async def test_it_runs_once_and_gives_the_same_value_again():
    ran = []

    @step
    async def runs():
        ran.append(1)
        await asyncio.sleep(1)
        return object()

    call = runs()
    values = [await call, await call, *(await fan_out(call)).values()]
    assert len(set(map(id, values))) == 1
    assert ran == [1]


async def test_two_who_ask_while_it_runs_share_it():
    ran = []

    @step
    async def runs():
        ran.append(1)
        await asyncio.sleep(1)
        return "value"

    call = runs()

    async def wait():
        return await call

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == ["value"] * 3
    assert ran == [1]


async def test_it_raises_the_same_exception_again_and_its_traceback_does_not_grow():
    call = fails()
    depths = []
    errors = set()
    for _ in range(50):
        try:
            await call
        except OSError as error:
            depths.append(depth(error))
            errors.add(id(error))
    assert len(errors) == 1
    assert len(set(depths)) == 1


async def test_the_traceback_has_the_users_frames_and_few_of_ours():
    @step
    async def inner():
        raise ZeroDivisionError

    @step(retry=Retry(attempts=2), timeout=5.0, limit="x")
    async def outer():
        await inner()

    async with Runtime(limits={"x": Limit(at_once=1)}):
        with pytest.raises(ZeroDivisionError) as caught:
            await outer()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "inner" in names
    assert "outer" in names
    ours = [
        f for f in traceback.extract_tb(caught.value.__traceback__) if "fanwise/core" in f.filename
    ]
    assert len(ours) <= 2  # one `__await__` where each of the users' frames awaits


async def test_a_branchs_own_exception_is_the_cause():
    with pytest.raises(NotEnough) as caught:
        await fan_out(fails())
    text = "".join(traceback.format_exception(caught.value))
    assert 'raise OSError("gone")' in text
    assert "The above exception was the direct cause" in text


async def test_in_another_run_it_is_a_reused_row():
    call = gives("value", 1.0)

    @step
    async def second():
        return await call

    async with Runtime() as runtime:
        await runtime.run(call, run_id="first")
        await runtime.run(second(), run_id="second")
        rows = runtime.runs[1].record().calls
    assert sorted((row.step, row.status) for row in rows) == [("gives", "reused"), ("second", "ok")]
    (reused,) = [row for row in rows if row.status == "reused"]
    assert reused.facts == {"from": "first"}
    assert (reused.start, reused.end, reused.attempts) == (reused.end, reused.start, 0)
    assert reused.parent is not None


async def test_in_a_fan_out_of_another_run_it_is_a_reused_row_too():
    call = gives("value", 1.0)

    @step
    async def second():
        return (await fan_out(call)).values()

    async with Runtime() as runtime:
        await runtime.run(call, run_id="first")
        await runtime.run(second(), run_id="second")
        rows = [(row.step, row.status) for row in runtime.runs[1].record().calls]
    assert ("gives", "reused") in rows


async def test_its_arguments_are_let_go_when_it_has_ended():
    class Big:
        pass

    import weakref

    big = Big()
    gone = weakref.ref(big)
    call = gives(big)
    del big
    await call
    assert gone() is call.result
    other = bind(gives, 1)
    await other
    assert call.args == ()
    assert call.kwargs == {}


# Leaving


async def test_who_is_cancelled_leaves_and_the_others_go_on():
    call = gives("value", 2.0)

    async def wait():
        return await call

    leaves, stays = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(1)
    leaves.cancel()
    assert await stays == "value"
    assert leaves.cancelled()


async def test_the_last_to_leave_cancels_it_and_awaits_its_end():
    ended = []

    @step
    async def cleans_up():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    call = cleans_up()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await call
    assert ended == [1.5]
    assert call.status == "cancelled"


async def test_asked_for_after_it_was_dropped_it_raises_call_dropped():
    call = hangs()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await call
    for _ in range(2):
        with pytest.raises(
            CallDropped, match="hangs was cancelled, so it has no value; a call runs once"
        ):
            await call


async def test_asked_for_while_it_is_being_dropped_it_raises_call_dropped():
    @step
    async def lingers():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.75)

    call = lingers()
    await fan_out_dropped(call)
    assert call.status == "cancelled"


async def fan_out_dropped(call):
    async def asks_late():
        await asyncio.sleep(1.25)
        with pytest.raises(CallDropped, match="was cancelled when its last watcher left"):
            await call
        assert now() == 1.25

    late = asyncio.create_task(asks_late())
    await fan_out(call, need=0, within=1.0)
    await late


async def test_a_call_that_ends_while_its_children_live_cancels_them_and_says_so(caplog):
    ended = []

    @step
    async def child():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    @step
    async def parent():
        async def wait():
            await child()

        tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(1)
        return "value"

    tasks = []
    assert await parent() == "value"
    assert ended == [1.5]
    assert caplog.messages == ["parent ended while child still ran: cancelled"]
    await asyncio.wait(tasks)
    assert isinstance(tasks[0].exception(), CallDropped)


async def test_a_call_handed_out_of_its_maker_goes_on_for_those_who_want_it():
    made = {}

    @step
    async def maker():
        made["call"] = gives("value", 5.0)
        made["task"] = asyncio.create_task(wait(made["call"]))
        await asyncio.sleep(1)

    async def wait(call):
        return await call

    @step
    async def parent():
        await maker()

    await parent()
    await asyncio.wait([made["task"]])
    assert isinstance(made["task"].exception(), CallDropped)


PROGRAM = """
import asyncio, sys
from fanwise import fan_out, step

@step
async def leaves():
    {leaves}

@step
async def slow():
    await asyncio.sleep(100)

async def wait(call):
    return await call

async def main():
    {main}

asyncio.run(main())
"""


def exit_code_of(main, leaves="pass"):
    """Run it in a process of its own: what goes through would end the tests."""
    text = PROGRAM.format(main=main, leaves=leaves)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], timeout=10, check=False, capture_output=True
    )
    return ended.returncode, ended.stderr.decode()


def test_system_exit_goes_through():
    assert exit_code_of("await leaves()", "sys.exit(3)")[0] == 3


def test_keyboard_interrupt_goes_through():
    code, text = exit_code_of("await leaves()", "raise KeyboardInterrupt")
    assert code != 0
    assert text.rstrip().endswith("KeyboardInterrupt")


def test_system_exit_goes_through_a_fan_out():
    assert exit_code_of("await fan_out(leaves(), slow(), need=0)", "sys.exit(3)")[0] == 3
    assert exit_code_of("await fan_out(slow(), leaves(), need=0)", "sys.exit(3)")[0] == 3


def test_main_may_return_while_a_call_is_starting():
    """`asyncio.run` then cancels every task, one that never had its first turn too."""
    main = "global task; task = asyncio.create_task(wait(slow())); await asyncio.sleep(0)"
    assert exit_code_of(main) == (0, "")
    main = "global task; task = asyncio.create_task(wait(fan_out(slow()))); await asyncio.sleep(0)"
    assert exit_code_of(main) == (0, "")


# Circles


async def test_a_call_that_awaits_its_own_ancestor_is_refused():
    calls = {}

    @step
    async def child():
        await asyncio.sleep(1)
        await calls["parent"]

    @step
    async def parent():
        await child()

    calls["parent"] = parent()
    with pytest.raises(
        CircularWait, match="child awaits parent, which waits for child: neither would end"
    ):
        await calls["parent"]
    assert now() == 1.0
    calls.clear()


async def test_a_call_that_awaits_itself_is_refused():
    calls = {}

    @step
    async def narcissus():
        await calls["self"]

    calls["self"] = narcissus()
    with pytest.raises(CircularWait, match="narcissus awaits narcissus"):
        await calls["self"]
    calls.clear()


async def test_two_running_calls_that_await_each_other_are_refused_when_the_second_awaits():
    calls = {}

    @step
    async def left():
        await asyncio.sleep(1)
        return await calls["right"]

    @step
    async def right():
        await asyncio.sleep(2)
        return await calls["left"]

    calls["left"], calls["right"] = left(), right()
    found = await fan_out(*calls.values(), need=0)
    assert now() == 2.0
    assert isinstance(found["right"].error, CircularWait)
    assert (
        str(found["right"].error) == "right awaits left, which waits for right: neither would end"
    )
    calls.clear()


async def test_a_circle_through_a_fan_in_is_refused():
    calls = {}

    @step
    async def child():
        await asyncio.sleep(1)
        return await fan_out(gives(1), calls["parent"])

    @step
    async def parent():
        return await fan_out(child())

    calls["parent"] = parent()
    with pytest.raises(NotEnough) as caught:
        await calls["parent"]
    error = caught.value
    while isinstance(error, NotEnough):
        error = error.__cause__
    assert isinstance(error, CircularWait)
    calls.clear()


async def test_a_circle_through_a_limit_is_refused():
    """The holder of the only slot awaits a call that waits for that slot."""
    calls = {}

    @step(limit="one")
    async def waits():
        return 1

    @step(limit="one")
    async def holds():
        await asyncio.sleep(1)
        return await calls["waits"]

    async with Runtime(limits={"one": Limit(at_once=1)}):
        calls["waits"] = waits()
        found = await fan_out(holds(), calls["waits"], need=0)
    assert isinstance(found["holds"].error, LimitHeld)
    assert "waits for the limit 'one' that holds holds" in str(found["holds"].error)
    assert found["waits"].status == "ok"
    calls.clear()


# Never awaited


def here():
    return sys._getframe(1).f_lineno


async def test_a_call_never_awaited_warns_with_the_line_that_made_it():
    call, line = gives(1), here()
    with pytest.warns(RuntimeWarning, match="call of 'gives' was made and never awaited") as caught:
        del call
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


async def test_a_method_never_awaited_warns_with_the_line_of_its_user():
    class Client:
        @step
        async def ask(self):
            pass

    call, line = Client().ask(), here()
    with pytest.warns(
        RuntimeWarning, match=r"call of 'Client.ask' was made and never awaited"
    ) as caught:
        del call
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


@pytest.mark.parametrize("pattern", ["fan_out", "fan_map", "first", "tree_reduce", "bind"])
async def test_a_pattern_never_awaited_warns_with_the_line_of_its_user(pattern):
    make = {
        "fan_out": fan_out,
        "fan_map": lambda: fan_map(gives, [], at_once=1),
        "first": lambda: first(done),
        "tree_reduce": lambda: tree_reduce(gives, [1], arity=2),
        "bind": lambda: bind(gives, 1),
    }[pattern]
    done = gives(1)
    await done
    with pytest.warns(RuntimeWarning, match="was made and never awaited") as caught:
        make()
    assert caught[0].filename == __file__


async def test_its_run_counts_it():
    @step
    async def forgets():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gives(1)
            gives(2)

    async with Runtime() as runtime:
        run = runtime.start(forgets())
        await run.wait()
        assert run.unawaited == 2


async def test_a_call_that_was_started_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await fan_out(gives(1), hangs(), need=1, enough=1)


# Names


async def test_a_name_is_for_people_and_plans():
    call = gives(1).named("search")
    assert (call.name, call.plan_name) == ("search", "search")
    assert repr(call) == "<Call search new>"
    await call
    assert repr(call) == "<Call search ok>"


@pytest.mark.parametrize("name", ["", None, 3])
async def test_a_name_that_is_none_is_refused(name):
    call = gives(1)
    with pytest.raises(TypeError, match=r'such as \.named\("search"\), got'):
        call.named(name)
    await call


# Nothing is left in memory


class Failures:
    """Each kind of failure, as a coroutine function of nothing."""

    async def step_awaited(self):
        with contextlib.suppress(OSError):
            await fails()

    async def nested_steps(self):
        @step
        async def outer():
            await fails()

        with contextlib.suppress(OSError):
            await outer()

    async def fan_out_fails(self):
        with contextlib.suppress(NotEnough):
            await fan_out(fails(), gives(1), hangs())

    async def gaps_kept(self):
        found = await fan_out(fails(), gives(1), need=0)
        str(found)

    async def times_out(self):
        @step(timeout=1.0)
        async def slow():
            await asyncio.sleep(9)

        with contextlib.suppress(TimeoutError):
            await slow()

    async def fan_in_times_out(self):
        await fan_out(hangs(), need=0, within=1.0)

    async def deadline_passes(self):
        try:
            with deadline(1.0):
                await hangs()
        except TimeoutError:
            pass

    async def hedge_wins(self):
        @step(hedge=Hedge(after=1.0))
        async def slow():
            await asyncio.sleep(9 if now() == began else 0.5)

        began = now()
        await slow()

    async def hedge_fails(self):
        @step(hedge=Hedge(after=1.0))
        async def slow():
            await asyncio.sleep(2)
            raise ConnectionError

        with contextlib.suppress(ConnectionError):
            await slow()

    async def retries(self):
        @step(retry=Retry(attempts=2, shortest=0.1, longest=0.1))
        async def flaky():
            await fan_out(gives(1), fails(), need=1)
            raise ConnectionError

        with contextlib.suppress(ConnectionError):
            await flaky()

    async def bound(self):
        with contextlib.suppress(OSError):
            await bind(gives, bind(gives, fails(), 0.0), 0.0)

    async def bound_in_fan_out(self):
        shared = fails(0.5)
        await fan_out(bind(gives, shared), bind(gives, shared), shared, need=0)

    async def race(self):
        with contextlib.suppress(NotEnough):
            await first(fails(), fails())
        await first(gives(1), hangs())

    async def tree(self):
        async def merge(_):
            raise OSError

        with contextlib.suppress(NotEnough):
            await tree_reduce(merge, [gives(1), fails()], arity=2)

    async def tree_succeeds(self):
        async def merge(values):
            return len(values)

        await tree_reduce(merge, [gives(1), 2, 3], arity=2)

    async def hedge_is_not_needed(self):
        @step(hedge=Hedge(after=1.0))
        async def fast():
            pass

        await fast()

    async def every_policy(self):
        @step(retry=Retry(), timeout=5.0, hedge=Hedge(after=1.0), breaker=Breaker(), limit="one")
        async def fast():
            pass

        await fast()

    async def fan_map_fails(self):
        async def work(n):
            raise OSError(str(n))

        with contextlib.suppress(NotEnough):
            await fan_map(work, range(3), at_once=2)

    async def pipeline_fails(self):
        async def work(n):
            raise OSError(str(n))

        await pipeline(range(3), stage(gives), batch(2, linger=1.0), stage(work))

    async def pipeline_breaks(self):
        with contextlib.suppress(NotEnough):
            await pipeline(range(3), batch(2), stage(lambda ns: ns[1:]), stage(gives))

    async def pieces_fail(self):
        async def parts(n):
            for number in range(n):
                yield number
            raise OSError(str(n))

        await pipeline(range(3), stage(parts), stage(gives, buffer=0), within=9.0)

    async def pipeline_of_streams_is_left(self):
        async def parts(n):
            while True:
                yield n

        async def slow(n):
            await asyncio.sleep(0.3)

        async with pipeline(range(3), stage(gives), stage(parts), stage(slow)).stream() as found:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    async for _ in found:
                        pass

    async def stream_breaks(self):
        async with fan_map(gives, [1, 2, 3], at_once=2).stream() as outcomes:
            async for _ in outcomes:
                break

    async def limited(self):
        @step(limit="one")
        async def inner():
            pass

        @step(limit="one")
        async def outer():
            await inner()

        with contextlib.suppress(LimitHeld):
            await outer()

    async def usage_of_a_loser(self):
        @step(hedge=Hedge(after=1.0))
        async def slow():
            current().usage(model="m", tokens_in=5)
            await asyncio.sleep(9 if now() == began else 0.5)

        began = now()
        await slow()

    async def usage_of_what_is_let_go(self):
        @step(name="asks", retry=Retry(attempts=2, shortest=0, longest=0))
        async def asks(seconds):
            await asyncio.sleep(seconds)
            current().usage(model="m", tokens_in=5, tokens_out=3)

        await fan_out(asks(0.1), asks(9), need=0, within=0.5)

    async def response_read(self):
        @step(timeout=1.0)
        async def asks(seconds):
            await asyncio.sleep(seconds)
            return ChatCompletion()

        await fan_out(asks(0.1), asks(9), need=0)

    async def streamed_response_breaks(self):
        @step
        async def pieces():
            yield ChatCompletionChunk()
            raise OSError("gone")

        with contextlib.suppress(OSError):
            async with pieces() as stream:
                async for _ in stream:
                    pass

    async def hedged_stream_breaks(self):
        @step(hedge=Hedge(after=0.5))
        async def hedged():
            await asyncio.sleep(2 if current().attempt == 1 else 1)
            yield 1
            raise OSError("gone")

        with contextlib.suppress(OSError):
            await hedged()

    async def equal_calls_fail(self):
        await fan_out(*[shared(True) for _ in range(3)], need=0)

    async def equal_calls_are_let_go(self):
        await fan_out(*[shared(False) for _ in range(3)], need=0, within=0.5)

    async def leader_is_let_go(self):
        @step
        async def hurried():
            with deadline(0.5):
                await shared(False)

        await fan_out(hurried(), shared(False), need=0)

    async def step_fails_of_a_timeout_of_its_own(self):
        @step
        async def hurried():
            async with asyncio.timeout(0.5):
                await fan_out(gives(1, 9.0), gives(2))

        await fan_out(hurried(), need=0)

    async def step_fails_as_it_reads_a_stream(self):
        @step
        async def hurried():
            with deadline(1.5):
                async with pieces(9) as stream:
                    async for _ in stream:
                        pass

        @step
        async def breaks():
            async with pieces(9) as stream:
                async for _ in stream:
                    raise OSError("gone")

        await fan_out(hurried(), breaks(), need=0)

    async def step_fails_as_it_reads_outcomes(self):
        @step
        async def hurried():
            async with asyncio.timeout(1.5):
                async with fan_map(gives, [1, 2], at_once=1).stream() as found:
                    async for _ in found:
                        await asyncio.sleep(9)

        @step
        async def breaks():
            async with pipeline([1, 2], stage(gives)).stream() as found:
                async for _ in found:
                    raise OSError("gone")

        await fan_out(hurried(), breaks(), need=0)


@step
async def pieces(number):
    for each in range(number):
        await asyncio.sleep(1)
        yield each


@step(cache=Cache(size=0))
async def shared(bad):
    await asyncio.sleep(1)
    if bad:
        raise OSError("gone")
    return [1]


class ChatCompletion:
    """What the client of openai gives, by its names."""

    __module__ = "openai.types.chat"
    model = "m"
    usage = {"prompt_tokens": 3, "completion_tokens": 4}  # noqa: RUF012 - never changed
    choices = ()


class ChatCompletionChunk(ChatCompletion):
    """A piece of one."""

    __module__ = "openai.types.chat"
    id = "1"


KINDS = [name for name in vars(Failures) if not name.startswith("_")]


def unreachable_after(failure, times):
    """Give what the collector finds after so many failures, by type, most first."""
    found = Counter()

    async def main():
        async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
            await runtime.run(repeated())

    @step
    async def repeated():
        for _ in range(3):  # what is made once
            await failure()
        gc.collect()
        gc.disable()
        try:
            for _ in range(times):
                await failure()
                await asyncio.sleep(0)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found.update(type(each).__qualname__ for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    run_virtual(main())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_failures_leave_no_reference_cycle(kind):
    """None of these functions keeps a call in a local: a traceback would hold it, as everywhere."""
    assert unreachable_after(getattr(Failures(), kind), 1000) == {}


def test_runs_that_are_forgotten_leave_no_reference_cycle(monkeypatch):
    monkeypatch.setattr("fanwise.core._runtime.KEPT_RUNS", 5)

    async def a_run():
        with pytest.raises(OSError, match="gone"):
            await current_runtime().run(fails())

    assert unreachable_after(a_run, 100) == {}


async def test_ended_calls_are_not_kept_by_their_runtime():
    import weakref

    async with Runtime():
        call = gives(1)
        gone = weakref.ref(call)
        await call
        del call
        assert gone() is None


async def test_a_failed_call_is_freed_with_its_last_reference():
    import weakref

    call = fails()
    gone = weakref.ref(call)
    with contextlib.suppress(OSError):
        await call
    del call
    await asyncio.sleep(0)
    assert gone() is None


async def test_no_orphans_after_a_hundred_mixed_failures():
    failures = Failures()
    async with no_orphans(), Runtime(limits={"one": Limit(at_once=1)}):
        for kind in KINDS:
            await getattr(failures, kind)()
