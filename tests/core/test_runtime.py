"""The runtime: limits by name, plans, drain, runs in the background, listeners, the body hook."""

import asyncio

import pytest

from fanwise import (
    Breaker,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    Timeout,
    current,
    fan_map,
    fan_out,
    first,
    run,
    step,
    tree_reduce,
)
from fanwise.core import BODY, AttemptRow, CallRow, OwnLimit, add_wait, waiting_call
from fanwise.errors import CallSkipped, LimitUnknown
from fanwise.testing import no_orphans


def now():
    return asyncio.get_running_loop().time()


@step
async def gives(value, after=0.0):
    await asyncio.sleep(after)
    return value


def statuses(found):
    return [outcome.status for outcome in found]


# Limits


@step(limit="search")
async def search(seconds=1.0):
    await asyncio.sleep(seconds)
    return now()


async def test_a_limit_is_held_by_so_many_in_the_order_of_arrival():
    async with Runtime(limits={"search": Limit(at_once=2)}):
        found = await fan_out(*(search() for _ in range(5)))
    assert found.values() == [1.0, 1.0, 2.0, 2.0, 3.0]


async def test_two_steps_share_the_limit_of_one_name():
    @step(limit="search")
    async def other():
        await asyncio.sleep(1)
        return now()

    async with Runtime(limits={"search": Limit(at_once=1)}):
        assert (await fan_out(search(), other())).values() == [1.0, 2.0]


async def test_a_pattern_defines_each_name_that_it_matches():
    @step(limit="anthropic/haiku")
    async def haiku():
        await asyncio.sleep(1)
        return now()

    @step(limit="anthropic/sonnet")
    async def sonnet():
        await asyncio.sleep(1)
        return now()

    async with Runtime(limits={"anthropic/*": Limit(at_once=1)}) as runtime:
        found = await fan_out(haiku(), haiku(), sonnet())
        assert found.values() == [1.0, 2.0, 1.0]
        names = [limit.name for limit in runtime.statistics().limits]
        assert names == ["anthropic/haiku", "anthropic/sonnet"]


async def test_a_name_that_is_given_wins_over_a_pattern():
    async with Runtime(limits={"*": Limit(at_once=1), "search": Limit(at_once=2)}):
        assert (await fan_out(search(), search())).values() == [1.0, 1.0]


async def test_a_limit_of_none_lets_all_pass():
    async with Runtime(limits={"search": Limit()}):
        assert (await fan_out(*(search() for _ in range(50)))).values() == [1.0] * 50


async def test_a_name_without_a_definition_is_refused_with_the_line_to_write():
    async with Runtime(limits={"other": Limit(at_once=1)}):
        with pytest.raises(LimitUnknown, match=r"limit 'search' is not defined: "
                           r"Runtime\(limits=\{'search': Limit\(at_once=8\)\}\) .*: 'other'"):  # fmt: skip
            await search()


async def test_a_limit_may_bring_its_definition_and_the_runtime_goes_first():
    @step(limit=OwnLimit("server/one", Limit(at_once=2)))
    async def asks(n):
        await asyncio.sleep(1.0)

    async def seconds(runtime):
        began = asyncio.get_running_loop().time()
        await runtime.run(fan_out(*(asks(n) for n in range(4))))
        return asyncio.get_running_loop().time() - began

    for limits, took in (({}, 2.0), ({"server/*": Limit(at_once=1)}, 4.0)):
        async with Runtime(limits=limits) as runtime:
            assert await seconds(runtime) == took
    began = asyncio.get_running_loop().time()
    await fan_out(*(asks.using(timeout=9.0)(n) for n in range(4)))  # the loop's own runtime
    assert asyncio.get_running_loop().time() - began == 2.0


async def test_the_default_runtime_lets_unknown_names_pass():
    assert (await fan_out(search(), search())).complete


@pytest.mark.parametrize("limits", [{"search": 3}, ["search"], {"search": None}])
async def test_limits_that_cannot_be_meant_are_refused_by_name(limits):
    with pytest.raises(TypeError, match="limits"):
        Runtime(limits=limits)


async def test_statistics_count():
    async with Runtime(limits={"search": Limit(at_once=1)}) as runtime:
        background = runtime.start(fan_out(search(), search(), search()))
        await asyncio.sleep(1.5)
        (limit,) = runtime.statistics().limits
        assert (limit.in_flight, limit.waiting, limit.granted, limit.at_once) == (1, 1, 2, 1)
        assert runtime.statistics().running == 3
        assert runtime.statistics().runs == 1
        await background.wait()
        (limit,) = runtime.statistics().limits
        assert (limit.in_flight, limit.waiting, limit.granted) == (0, 0, 3)
        assert runtime.statistics().running == 0


# Runs


async def test_a_run_has_the_id_that_it_is_given():
    seen = []

    @step
    async def looks():
        seen.append(current().run_id)

    async with Runtime() as runtime:
        await runtime.run(looks(), run_id="mine")
        await runtime.run(looks())
        await runtime.run(looks())
    assert seen[0] == "mine"
    assert len(set(seen)) == 3


async def test_started_runs_go_on_in_the_background():
    async with Runtime() as runtime:
        one, two = runtime.start(gives(1, 2.0)), runtime.start(gives(2, 1.0))
        assert await two.wait() == 2
        assert (one.over, two.over) == (False, True)
        assert await one.wait() == 1
        assert await one.wait() == 1
        assert now() == 2.0


async def test_a_started_run_may_be_cancelled():
    async with no_orphans(), Runtime() as runtime:
        background = runtime.start(gives(1, 100.0))
        await asyncio.sleep(1)
        background.cancel()
        with pytest.raises(asyncio.CancelledError):
            await background.wait()
        assert [row.status for row in background.record().calls] == ["cancelled"]


async def test_who_waits_for_a_run_and_is_cancelled_does_not_cancel_it():
    """Several may wait; `cancel()` is how a run is ended."""
    async with Runtime() as runtime:
        background = runtime.start(gives("value", 2.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await background.wait()
        assert await background.wait() == "value"


async def test_a_run_that_was_not_started_cannot_be_waited_for():
    async with Runtime() as runtime:
        await gives(1)
        with pytest.raises(RuntimeError, match=r"not started with runtime\.start"):
            await runtime.runs[0].wait()


async def test_leaving_the_block_cancels_what_still_runs():
    ended = []

    @step
    async def cleans_up():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    async with no_orphans():
        async with Runtime() as runtime:
            runtime.start(cleans_up())
            await asyncio.sleep(1)
        assert ended == [1.5]


async def test_a_runtime_that_is_not_open_says_what_to_write():
    call = gives(1)
    with pytest.raises(RuntimeError, match=r"`async with Runtime\(\) as runtime:` around it"):
        await Runtime().run(call)
    await call


@pytest.mark.parametrize("what", [gives, "text", None])
async def test_what_is_no_call_cannot_be_run(what):
    async with Runtime() as runtime:
        with pytest.raises(TypeError, match=r"a run is of a call, such as runtime\.run\(answer\("):
            await runtime.run(what)


async def test_calls_inside_the_block_are_its_own():
    async with Runtime() as outer:
        async with Runtime() as inner:
            await gives(1)
        await gives(2)
    assert (len(inner.runs), len(outer.runs)) == (1, 1)


async def test_a_failing_run_is_in_the_record():
    @step
    async def fails():
        raise OSError("gone")

    async with Runtime() as runtime:
        with pytest.raises(OSError, match="gone"):
            await runtime.run(fails(), run_id="r")
        (row,) = runtime.runs[0].record().calls
        assert (row.status, row.error) == ("failed", "OSError: gone")
        assert runtime.runs[0].over


@pytest.mark.real_clock
@pytest.mark.parametrize("runtime", [None, Runtime(seed=1)], ids=["default", "given"])
def test_run_is_for_scripts(runtime):
    assert run(gives(1), runtime=runtime) == 1


def test_run_raises_what_the_call_raises():
    @step
    async def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fails())


def test_run_of_what_is_no_call_is_refused():
    with pytest.raises(TypeError, match="a run is of a call"):
        run(3)


# Drain


async def test_drain_lets_what_runs_finish_and_skips_the_rest():
    async with no_orphans(), Runtime() as runtime:
        background = runtime.start(fan_out(*(gives(n, 1.0) for n in range(4)), at_once=2, need=0))
        await asyncio.sleep(0.5)
        runtime.drain()
        found = await background.wait()
        assert statuses(found) == ["ok", "ok", "skipped", "skipped"]
        assert isinstance(found.outcomes[2].error, CallSkipped)
        assert "the runtime drains" in str(found.outcomes[2].error)
        assert now() == 1.0


async def test_drain_below_need_is_not_enough_with_what_is_there():
    async with Runtime() as runtime:
        background = runtime.start(fan_out(*(gives(n, 1.0) for n in range(4)), at_once=2))
        await asyncio.sleep(0.5)
        runtime.drain()
        with pytest.raises(NotEnough) as caught:
            await background.wait()
        assert caught.value.found.values() == [0, 1]


async def test_a_fan_map_reads_no_more_after_a_drain():
    read = []

    def items():
        for n in range(100):
            read.append(n)
            yield n

    @step
    async def work(n):
        await asyncio.sleep(1)
        return n

    async with Runtime() as runtime:
        background = runtime.start(fan_map(work, items(), at_once=2, need=0))
        await asyncio.sleep(0.5)
        runtime.drain()
        found = await background.wait()
    assert found.values() == [0, 1]
    assert len(read) <= 3


async def test_who_waits_for_a_limit_is_skipped_by_a_drain():
    async with Runtime(limits={"search": Limit(at_once=1)}) as runtime:
        background = runtime.start(fan_out(search(), search(), need=0))
        await asyncio.sleep(0.5)
        runtime.drain()
        assert statuses(await background.wait()) == ["ok", "skipped"]
        assert runtime.statistics().limits[0].in_flight == 0


async def test_a_call_asked_for_after_a_drain_is_skipped():
    async with Runtime() as runtime:
        runtime.drain()
        with pytest.raises(CallSkipped, match="gives was not started: the runtime drains"):
            await gives(1)


async def test_a_tree_reduce_that_is_drained_says_what_is_missing():
    @step
    async def merge(values):
        await asyncio.sleep(1)
        return sum(values)

    async with Runtime() as runtime:
        background = runtime.start(tree_reduce(merge, [1, 2, 3, 4], arity=2))
        await asyncio.sleep(0.5)
        runtime.drain()
        with pytest.raises((NotEnough, CallSkipped)):
            await background.wait()


# Listeners


async def test_listeners_see_every_row_as_it_is_made():
    seen = []

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def flaky():
        if current().attempt == 1:
            raise ConnectionError
        return 1

    async with Runtime(listeners=[seen.append]) as runtime:
        await runtime.run(fan_out(gives(1), flaky()))
        record = runtime.runs[0].record()
    assert [row for row in seen if isinstance(row, CallRow)] == list(record.calls)
    assert [row for row in seen if isinstance(row, AttemptRow)] == list(record.attempts)
    assert len(record.attempts) == 2


async def test_a_listener_that_fails_is_dropped_and_nothing_else_is_lost(caplog):
    seen = []

    def breaks(row):
        raise OSError("listener")

    async with Runtime(listeners=[breaks, seen.append]) as runtime:
        assert (await fan_out(gives(1), gives(2))).values() == [1, 2]
        assert runtime.listeners == [seen.append]
    assert len(seen) == 3
    assert len([text for text in caplog.messages if "failed and is dropped" in text]) == 1


# Plans


@step
async def program():
    found = await fan_out(gives(1, 1.0), gives(2, 1.0), slow())
    return found.values()


@step(timeout=9.0)
async def slow():
    await asyncio.sleep(1)
    return 3


async def test_a_plan_puts_a_fan_out_in_a_row_and_the_program_is_untouched():
    async with Runtime():
        assert await program() == [1, 2, 3]
        assert now() == 1.0
    async with Runtime(plan={"program/fan_out": {"at_once": 1}}):
        assert await program() == [1, 2, 3]
        assert now() == 1.0 + 3.0


async def test_a_plan_changes_a_timeout():
    async with Runtime(plan={"slow": {"timeout": 0.5}}):
        with pytest.raises(NotEnough, match=r"slow took longer than its timeout of 0\.5 s"):
            await program()


async def test_a_plan_is_asked_once_a_name():
    asked = []

    class Plan:
        def get(self, name):
            asked.append(name)
            return {"at_once": 2} if name == "program/fan_out" else None

    async with Runtime(plan=Plan()):
        for _ in range(3):
            await program()
    assert sorted(asked) == sorted(set(asked))
    assert {"program", "program/fan_out", "gives", "slow"} <= set(asked)


async def test_a_pattern_that_repeats_is_planned_under_its_unnumbered_name():
    @step
    async def twice():
        await fan_out(gives(1, 1.0), gives(2, 1.0))
        await fan_out(gives(1, 1.0), gives(2, 1.0))

    async with Runtime(plan={"twice/fan_out": {"at_once": 1}}):
        await twice()
    assert now() == 4.0


async def test_or_under_the_name_that_it_was_given():
    async with Runtime(plan={"pair": {"at_once": 1}}):
        await fan_out(gives(1, 1.0), gives(2, 1.0)).named("pair")
    assert now() == 2.0


@pytest.mark.parametrize(
    ("make", "change", "seconds"),
    [
        (lambda: fan_out(gives(1, 1.0), gives(2, 2.0)), {"enough": 1, "need": 1}, 1.0),
        (lambda: fan_out(gives(1, 1.0), gives(2, 2.0), need=0), {"within": 0.5}, 0.5),
        (lambda: fan_map(gives_after, [1.0, 1.0], at_once=2), {"at_once": 1}, 2.0),
        (lambda: first(gives(1, 2.0), gives(2, 1.0)), {"stagger": (0, 5)}, 2.0),
        (lambda: tree_reduce(adds, [1, 2, 3, 4], arity=4), {"arity": 2}, 2.0),
    ],
    ids=["enough", "within", "at_once", "stagger", "arity"],
)
async def test_each_part_of_a_schedule_can_be_planned(make, change, seconds):
    async with Runtime(plan={"planned": change}):
        await make().named("planned")
    assert now() == seconds


@step
async def gives_after(seconds):
    await asyncio.sleep(seconds)


@step
async def adds(values):
    await asyncio.sleep(1)
    return sum(values)


async def test_a_planned_need_above_the_branches_is_refused_with_its_value():
    async with Runtime(plan={"planned": {"need": 3}}):
        with pytest.raises(ValueError, match="need=3 is above the number of branches, 2"):
            await fan_out(gives(1), gives(2)).named("planned")


async def test_a_plan_with_an_unknown_part_is_refused_by_name():
    async with Runtime(plan={"planned": {"width": 3}}):
        with pytest.raises(ValueError, match=r"plan\['planned'\] has 'width'; a pattern has"):
            await fan_out(gives(1)).named("planned")
    async with Runtime(plan={"gives": {"timeouts": 3}}):
        with pytest.raises(TypeError, match="no policy is named 'timeouts'"):
            await gives(1)


async def test_a_wrong_plan_of_a_later_branch_does_not_hang_the_fan_out():
    """The second branch starts in the last act of the first."""
    async with no_orphans(), Runtime(plan={"slow": {"timeout": -1}}):
        with pytest.raises((NotEnough, ValueError)) as caught:
            await fan_out(gives(1, 1.0), slow(), at_once=1)
    error = caught.value.__cause__ or caught.value
    assert "timeout is at least 0, got -1" in str(error)


async def test_a_wrong_plan_of_a_bound_step_does_not_hang():
    from fanwise import bind

    @step
    async def last(_):
        pass

    async with no_orphans(), Runtime(plan={"slow": {"timeout": -1}}):
        with pytest.raises((NotEnough, ValueError)):
            await bind(last, bind(last, slow()))


async def test_an_empty_plan_changes_nothing():
    async with Runtime(plan={}):
        assert await program() == [1, 2, 3]


async def test_a_plan_may_add_a_limit_a_retry_and_a_breaker():
    tries = []

    @step
    async def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError
        return "value"

    change = {"retry": Retry(attempts=3, shortest=0, longest=0), "limit": "x", "breaker": Breaker()}
    async with Runtime(plan={"flaky": change}, limits={"x": Limit(at_once=1)}) as runtime:
        assert await flaky() == "value"
        assert runtime.statistics().limits[0].granted == 3
        assert runtime.statistics().breakers[0].attempts == 3


async def test_a_runtime_may_be_left_in_another_context_than_it_was_entered_in():
    runtime = Runtime()

    async def enter():  # as a cell of a notebook, or a fixture
        await runtime.__aenter__()

    await asyncio.create_task(enter())
    assert await runtime.run(gives(1)) == 1
    await runtime.__aexit__(None, None, None)
    assert not runtime.entered
    async with runtime:
        assert await gives(2) == 2


# The body hook: a rehearsal


class Sleeps:
    def __init__(self, seconds, error, value):
        self.seconds = seconds
        self.error = error
        self.value = value

    async def play(self, own):
        await asyncio.sleep(self.seconds)
        if self.error:
            raise ConnectionError("drawn")
        return self.value


def drawn(call, attempt, draw):
    """Draw every leaf: a latency on the loop's clock, a failure now and then."""
    if call.name == "leaf":
        return Sleeps(draw.uniform(0.1, 3.0), draw.random() < 0.3, draw.random())
    return None


class Rehearsed:
    def __init__(self):
        self.ran = []

        @step(retry=Retry(attempts=3), timeout=2.5, limit="x")
        async def leaf(n):
            self.ran.append(n)

        @step
        async def program():
            mapped = await fan_map(leaf, range(20), at_once=5, need=0)
            both = await fan_out(leaf(20), leaf(21), need=0)
            return [*mapped.values(), *both.values()]

        self.program = program

    async def record(self, seed):
        async with Runtime(limits={"x": Limit(at_once=4)}) as runtime:
            value = await runtime.run(self.program(), seed=seed, body=drawn)
            record = runtime.runs[0].record()
        return value, record.calls, record.attempts


async def test_a_run_whose_leaves_are_all_drawn_is_twice_the_same_for_the_same_seed():
    rehearsed = Rehearsed()
    one, two, other = [await rehearsed.record(seed) for seed in (1, 1, 2)]
    assert one == two
    assert one != other
    assert rehearsed.ran == []
    assert len(one[1]) == 25
    assert {row.status for row in one[1]} >= {"ok"}


async def test_steps_without_end_are_not_kept(monkeypatch):
    monkeypatch.setattr("fanwise.core._shared.MOST_STEPS", 10)

    @step
    async def parts(number):
        for each in range(number):
            await asyncio.sleep(1.0)
            yield each

    async with Runtime(plan={}) as runtime:
        slow = gives.using(timeout=500.0)(7, 300.0)
        held = asyncio.ensure_future(runtime.run(slow))
        for number in range(35):
            assert await runtime.run(gives.using(timeout=1 + number)(number)) == number
            some = parts.using(timeout=Timeout(50, first=2 + number, idle=3 + number))
            assert await runtime.run(some(2)) == [0, 1]
        assert len(runtime.outfits) <= 10
        assert len(runtime._timeouts) <= 12
        assert len(runtime._paces) <= 22
        assert len(runtime._policies) <= 10
        assert await held == 7


async def test_the_hook_is_asked_inside_slot_timeout_and_retry():
    asked = []

    class Hangs:
        async def play(self, own):
            await asyncio.sleep(100)

    @step(retry=Retry(attempts=2, shortest=0, longest=0), timeout=1.0, limit="x")
    async def leaf():
        raise AssertionError("the real body")

    async with Runtime(limits={"x": Limit(at_once=1)}) as runtime:

        def body(call, attempt, draw):
            asked.append((now(), call.name, attempt, runtime.statistics().limits[0].in_flight))
            return Hangs()

        with pytest.raises(TimeoutError):
            await runtime.run(leaf(), body=body)
    assert asked == [(0.0, "leaf", 1, 1), (1.0, "leaf", 2, 1)]


async def test_a_hook_that_gives_none_lets_the_real_body_run():
    async with Runtime() as runtime:
        assert await runtime.run(gives(1), body=lambda call, attempt, draw: None) == 1


async def test_a_hook_that_raises_is_the_calls_failure():
    def body(call, attempt, draw):
        raise ZeroDivisionError

    async with Runtime() as runtime:
        with pytest.raises(ZeroDivisionError):
            await runtime.run(gives(1), body=body)


async def test_what_is_played_may_run_the_steps_own_function():
    class Late:
        async def play(self, own):
            await asyncio.sleep(2.0)
            return [await own(), now()]

    async with Runtime() as runtime:
        assert await runtime.run(gives(1), body=lambda call, attempt, draw: Late()) == [1, 2.0]


@pytest.mark.real_clock
async def test_what_is_played_may_run_a_plain_function_in_its_thread():
    import threading

    class Goes:
        async def play(self, own):
            return await own()

    @step
    def where():
        return threading.current_thread().name

    async with Runtime() as runtime:
        name = await runtime.run(where(), body=lambda call, attempt, draw: Goes())
    assert name.startswith("fanwise")


async def test_a_hook_of_the_context_serves_every_run_that_is_opened_there():
    class Stands:
        async def play(self, own):
            return "stand-in"

    token = BODY.set(lambda call, attempt, draw: Stands())
    try:
        assert await gives(1) == "stand-in"
        async with Runtime() as runtime:
            assert await runtime.run(gives(1)) == "stand-in"
            assert await runtime.run(gives(1), body=lambda call, attempt, draw: None) == 1
    finally:
        BODY.reset(token)
    assert await gives(1) == 1


async def test_one_wait_of_a_call_hides_no_other():
    @step(limit="one")
    async def waits():
        await asyncio.sleep(1.0)
        add_wait(waiting_call(), "prefix", 0.5)
        add_wait(waiting_call(), "prefix", 0.25)

    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        await runtime.run(fan_out(waits(), waits()))
        rows = [row for row in runtime.runs[0].record().calls if row.step == "waits"]
    assert [row.waits for row in rows] == [
        {"prefix": 750_000},
        {"limit": 1_000_000, "prefix": 750_000},
    ]


async def test_steps_made_anew_for_each_use_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr("fanwise.core._shared.MOST_STEPS", 10)

    async def count(until):
        for number in range(until):
            yield number

    async with Runtime() as runtime:
        running = runtime.start(gives("kept", after=1.0))
        for number in range(50):
            plain = step(gives.function, name=f"step {number}")
            assert await runtime.run(plain(number)) == number
            assert await runtime.run(step(count, name=f"stream {number}")(3)) == [0, 1, 2]
            assert len(runtime.outfits) <= 10
            assert len(runtime._policies) <= 10
        assert await running.wait() == "kept"
