"""`fan_map`: a step over data, lazily, in bounded memory, and its stream."""

import asyncio

import pytest

from fanwise import NotEnough, Runtime, fan_map, fan_out, step
from fanwise.core import made_by
from fanwise.errors import CallSkipped, TimedOut
from fanwise.testing import no_orphans, run_virtual
from tests.patterns.steps import all_rows, gives, lingers, nothing_held, now


class Meter:
    """A step that counts how many of it run at the same time."""

    def __init__(self):
        self.running = self.most = self.begun = 0

    async def work(self, seconds):
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1
        return seconds


@step
async def halve(n):
    await asyncio.sleep(1)
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


async def numbers(n, every=0.0):
    for i in range(n):
        await asyncio.sleep(every)
        yield i


# Values and names


async def test_outcomes_stand_in_input_order_with_item_and_place():
    found = await fan_map(gives_after_its_value, [3.0, 1.0, 2.0], at_once=3)
    assert found.values() == [3.0, 1.0, 2.0]
    assert [outcome.item for outcome in found] == [3.0, 1.0, 2.0]
    assert [outcome.name for outcome in found] == [f"gives_after_its_value {n}" for n in (1, 2, 3)]
    assert [outcome.index for outcome in found] == [0, 1, 2]
    assert found["gives_after_its_value 2"].value == 1.0
    assert now() == 3.0


@step
async def gives_after_its_value(seconds):
    await asyncio.sleep(seconds)
    return seconds


async def test_an_empty_input_is_complete():
    for items in ([], iter([]), numbers(0)):
        found = await fan_map(halve, items, at_once=2)
        assert found.complete
        assert found.values() == []


async def test_gaps_are_named_with_their_items():
    found = await fan_map(halve, [2, 3, 4], at_once=3, need=1)
    assert found.missing == ["halve 2"]
    assert found["halve 2"].item == 3
    assert str(found) == ("2 of 3 branches are there\n  halve 2: failed: ValueError: 3 is odd")


async def test_undecorated_functions_are_taken():
    meter = Meter()
    assert (await fan_map(meter.work, [1.0, 1.0], at_once=1)).values() == [1.0, 1.0]
    assert (await fan_map(str.upper, ["a", "b"], at_once=1)).ok == {
        "str.upper 1": "A", "str.upper 2": "B",
    }  # fmt: skip


async def test_a_method_step_is_taken():
    class Client:
        @step
        async def ask(self, n):
            return n * 2

    assert (await fan_map(Client().ask, [1, 2], at_once=2)).values() == [2, 4]


# Bounds


@pytest.mark.parametrize("width", [1, 2, 7, 100])
async def test_never_more_than_at_once_and_never_fewer_while_there_is_work(width):
    meter = Meter()
    await fan_map(meter.work, [1.0] * 20, at_once=width)
    assert meter.most == min(width, 20)
    assert now() == -(-20 // width)


async def test_the_next_item_starts_at_each_end():
    found = await fan_map(gives_after_its_value, [3.0, 1.0, 1.0, 1.0], at_once=2)
    assert [outcome.started for outcome in found] == [0.0, 0.0, 1.0, 2.0]


async def test_the_input_is_read_lazily():
    read = []

    def items():
        for n in range(1_000_000):
            read.append(n)
            yield 1.0

    found = await fan_map(gives_after_its_value, items(), at_once=3, enough=5, need=5)
    assert len(found.values()) >= 5
    assert len(read) <= 9
    assert now() == 2.0


async def test_an_async_input_is_read_lazily_and_closed():
    read = []
    closed = []

    async def items():
        try:
            for n in range(1_000_000):
                read.append(n)
                yield 1.0
        finally:
            closed.append(now())

    async with no_orphans():
        await fan_map(gives_after_its_value, items(), at_once=3, enough=5, need=5)
    assert len(read) <= 9
    assert closed == [2.0]


async def test_a_source_that_takes_time_is_asked_when_there_is_a_place_and_overlaps_with_the_work():
    found = await fan_map(gives_after_its_value, slow_source(), at_once=2)
    assert [outcome.started for outcome in found] == [1.0, 2.0, 4.0]
    assert now() == 6.0


async def slow_source():
    for _ in range(3):
        await asyncio.sleep(1)
        yield 2.0


async def test_a_plan_or_an_inner_fan_map_does_not_share_its_width():
    meter = Meter()
    work = step(meter.work)

    @step
    async def outer(_):
        await fan_map(work, [1.0] * 4, at_once=2)

    await fan_map(outer, range(3), at_once=3)
    assert meter.most == 6


# Quorums, with the length known and unknown


async def test_out_of_reach_ends_it_at_once_where_the_length_is_known():
    with pytest.raises(NotEnough, match="fan_map: 0 of 4 items succeeded, needed were 4") as caught:
        await fan_map(halve, [1, 2, 4, 6], at_once=1)
    assert now() == 1.0
    assert [outcome.index for outcome in caught.value.found] == [0]
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_share_of_an_unknown_length_is_decided_when_the_input_ends():
    found = await fan_map(halve, iter([2, 1, 4, 6, 8]), at_once=1, need="80%")
    assert len(found.values()) == 4
    with pytest.raises(NotEnough, match="3 of 5 items succeeded, needed were 4") as caught:
        await fan_map(halve, iter([2, 1, 4, 3, 8]), at_once=1, need="80%")
    assert len(caught.value.found) == 5


async def test_a_need_above_an_unknown_number_is_not_enough_when_the_input_ends():
    with pytest.raises(NotEnough, match="2 of 2 items succeeded, needed were 3") as caught:
        await fan_map(halve, iter([2, 4]), at_once=2, need=3)
    assert caught.value.found.complete


async def test_a_need_above_a_known_number_is_refused_at_once():
    with pytest.raises(ValueError, match="need=3 is above the number of branches, 2"):
        fan_map(halve, [2, 4], at_once=1, need=3)


async def test_within_gives_what_ended_and_leaves_unread_items_out():
    found = await fan_map(halve, range(0, 200, 2), at_once=2, need=1, within=2.5)
    assert now() == 2.5
    assert found.values() == [0, 1, 2, 3]
    assert [outcome.status for outcome in found] == ["ok"] * 4 + ["timed_out"] * 2
    assert isinstance(found.outcomes[4].error, TimedOut)


@pytest.mark.parametrize("seed", range(20))
def test_enough_there_on_the_instant_of_within_is_enough(seed):
    """Whichever comes first: the two items, or the end of the time."""

    async def both():
        items = numbers(2)
        try:
            return await fan_map(quarter, items, at_once=2, enough=2, within=0.25)
        except NotEnough as error:
            return error

    found = run_virtual(both(), seed=seed, order="shuffled")
    if isinstance(found, NotEnough):
        assert len(found.found.values()) < 2
    else:
        assert found.values() == [0, 1]


@step
async def quarter(n):
    await asyncio.sleep(0.25)
    return n


async def test_a_within_of_0_reads_nothing():
    read = []

    def items():
        read.append(1)
        yield 1

    found = await fan_map(halve, items(), at_once=1, need=0, within=0)
    assert len(found) == 0
    assert read == []


async def test_enough_cancels_the_rest():
    found = await fan_map(gives_after_its_value, [1.0, 5.0, 9.0], at_once=3, need=1, enough=1)
    assert [outcome.status for outcome in found] == ["ok", "cancelled", "cancelled"]
    assert now() == 1.0


# Sources that break


async def test_a_source_that_raises_ends_the_input_and_what_runs_is_finished():
    broken = OSError("disk")

    def items():
        yield 2.0
        yield 1.0
        raise broken

    with pytest.raises(
        NotEnough, match=r"the input broke after 2 items: OSError\('disk'\)"
    ) as caught:
        await fan_map(gives_after_its_value, items(), at_once=5)
    assert caught.value.__cause__ is broken
    assert caught.value.found.values() == [2.0, 1.0]
    assert now() == 2.0


async def test_an_async_source_that_raises_does_the_same():
    async def items():
        yield 2.0
        await asyncio.sleep(1)
        raise OSError("socket")

    async with no_orphans():
        with pytest.raises(NotEnough, match="the input broke after 1 items"):
            await fan_map(gives_after_its_value, items(), at_once=5)
    assert now() == 2.0


@pytest.mark.parametrize("error", [asyncio.CancelledError(), StopAsyncIteration(), ValueError()])
async def test_a_source_that_raises_anything_does_not_hang(error):
    def items():
        yield 1.0
        raise error

    with pytest.raises(NotEnough):
        await fan_map(gives_after_its_value, items(), at_once=2)


async def test_an_async_source_that_raises_a_stray_cancel_does_not_hang():
    async def items():
        yield 1.0
        raise asyncio.CancelledError

    with pytest.raises(NotEnough):
        await fan_map(gives_after_its_value, items(), at_once=2)


async def test_a_source_that_raises_when_it_is_closed_is_not_left_behind():
    async def items():
        try:
            for _ in range(10):
                yield 1.0
        finally:
            raise OSError("in its close")

    async with no_orphans(), Runtime() as runtime:
        found = await fan_map(gives_after_its_value, items(), at_once=1, enough=1, need=1)
        assert found.values() == [1.0]
        nothing_held(runtime)


async def test_an_iterable_whose_iter_raises_fails_the_fan_map():
    class Broken:
        def __iter__(self):
            raise OSError("no")

    with pytest.raises((NotEnough, OSError)):
        await fan_map(halve, Broken(), at_once=1)


async def test_an_item_that_the_step_cannot_take_is_its_own_failure():
    @step
    async def two(a, b):
        return a + b

    found = await fan_map(two, [1], at_once=1, need=0)
    assert found.outcomes[0].status == "failed"
    assert isinstance(found.outcomes[0].error, TypeError)


# Streams


async def test_a_stream_yields_outcomes_as_they_end():
    seen = []
    async with fan_map(gives_after_its_value, [3.0, 1.0, 2.0], at_once=3).stream() as outcomes:
        async for outcome in outcomes:
            seen.append((now(), outcome.index, outcome.value))
    assert seen == [(1.0, 1, 1.0), (2.0, 2, 2.0), (3.0, 0, 3.0)]


async def test_a_break_leaves_nothing():
    async with no_orphans(), Runtime() as runtime:
        async with fan_map(gives_after_its_value, [1.0] * 100, at_once=5).stream() as outcomes:
            async for _ in outcomes:
                break
        assert now() == 1.0
        nothing_held(runtime)


async def test_a_break_awaits_what_swallows_its_cancellation():
    async with no_orphans(), Runtime() as runtime:
        async with fan_map(lingers_unless_first, [0, 1], at_once=2).stream() as outcomes:
            async for _ in outcomes:
                break
        assert now() == 1.5
        nothing_held(runtime)


@step
async def lingers_unless_first(n):
    await (lingers(n, 100.0, 0.5) if n else gives(n, 1.0))


async def test_a_failing_loop_body_leaves_nothing():
    async with no_orphans():
        with pytest.raises(ZeroDivisionError):
            async with fan_map(gives_after_its_value, [1.0] * 9, at_once=3).stream() as outcomes:
                async for _ in outcomes:
                    raise ZeroDivisionError


async def test_a_stream_with_gaps_below_need_raises_at_its_end():
    seen = []
    with pytest.raises(NotEnough, match="needed were 2"):
        async with fan_map(halve, [2, 1], at_once=1, need=2).stream() as outcomes:
            async for outcome in outcomes:
                seen.append(outcome.status)
    assert seen == ["ok", "failed"]


async def test_a_slow_reader_holds_the_work_back():
    meter = Meter()
    async with fan_map(meter.work, [1.0] * 1000, at_once=2).stream() as outcomes:
        await asyncio.sleep(50)
        assert meter.begun <= 4
        taken = 0
        async for _ in outcomes:
            taken += 1
            if taken == 3:
                break
    assert meter.begun <= 8


async def test_plain_iteration_is_refused_with_the_line_to_write():
    call = fan_map(halve, [2], at_once=1)
    with pytest.raises(TypeError, match=r"async with fan_map\(\.\.\.\)\.stream\(\) as outcomes:"):
        async for _ in call:
            pass
    await call


async def test_a_stream_of_a_call_that_runs_already_is_refused():
    call = fan_map(halve, [2], at_once=1)
    await call
    with pytest.raises(RuntimeError, match="fan_map is ok: a stream starts a call that is new"):
        async with call.stream():
            pass


async def test_a_stream_in_a_step_ends_with_the_step():
    @step
    async def forgets():
        stream = fan_map(gives_after_its_value, [100.0], at_once=1).stream()
        await stream.__aenter__()
        await asyncio.sleep(1)

    async with no_orphans(), Runtime() as runtime:
        await forgets()
        assert all_rows(runtime)["gives_after_its_value"] == ["cancelled"]


async def test_a_cancelled_stream_leaves_nothing():
    async def reads():
        async with fan_map(gives_after_its_value, [100.0] * 9, at_once=3).stream() as outcomes:
            async for _ in outcomes:
                pass

    async with no_orphans():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await reads()


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"at_once": 0}, ValueError, "at_once is at least 1, got 0"),
        ({"at_once": None}, TypeError, "at_once is a whole number, got None"),
        ({"at_once": 1, "need": "x"}, ValueError, "need is a count"),
        ({"at_once": 1, "within": -1}, ValueError, "within is at least 0, got -1"),
        ({}, TypeError, "at_once"),
    ],
    ids=str,
)
async def test_a_wrong_argument_is_refused(arguments, kind, text):
    with pytest.raises(kind, match=text):
        fan_map(halve, [2], **arguments)


async def test_items_that_cannot_be_gone_through_are_refused():
    with pytest.raises(TypeError, match="items is an iterable or async iterable, got 3"):
        fan_map(halve, 3, at_once=1)


async def test_calls_given_for_items_reach_the_step_as_they_are():
    """They are data: `fan_out` runs calls."""

    @step
    async def runs(call):
        return await call

    assert (await fan_map(runs, [gives(1), gives(2)], at_once=1)).values() == [1, 2]


async def test_ten_thousand_items_in_memory_of_a_few():
    meter = Meter()

    def items():
        for _ in range(10_000):
            yield 0.0

    found = await fan_map(meter.work, items(), at_once=10)
    assert len(found) == 10_000
    assert meter.most == 10


async def test_cancelled_while_it_runs_what_was_read_is_let_go():
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(
            fan_map(gives_after_its_value, [1.0, 9.0, 9.0], at_once=2), need=0, within=2.0
        )
        assert found.outcomes[0].status == "timed_out"
        assert sorted(all_rows(runtime)["gives_after_its_value"]) == [
            "cancelled",
            "cancelled",
            "ok",
        ]


async def test_an_item_that_waits_for_a_limit_is_skipped_not_cancelled():
    from fanwise import Limit

    @step(limit="one")
    async def work(_):
        await asyncio.sleep(10)

    async with Runtime(limits={"one": Limit(at_once=1)}):
        found = await fan_map(work, [1, 2], at_once=2, need=0, within=1.0)
    assert [outcome.status for outcome in found] == ["timed_out", "skipped"]
    assert isinstance(found.outcomes[1].error, CallSkipped)


def test_a_plain_function_around_a_call_has_that_call_run():
    @step
    async def square(n):
        return n * n

    async def main():
        return await fan_map(lambda n: square(n + 1), [1, 2, 3], at_once=2)

    found = run_virtual(main())
    assert list(found.values()) == [4, 9, 16]


def test_a_method_with_a_step_behind_it_is_that_step():
    class Squares:
        def __init__(self):
            self.step = step(name="squares")(self._square)

        async def _square(self, n):
            return n * n

        @made_by("step")
        def of(self, n):
            raise AssertionError("the step behind it is asked")

    async def main():
        async with Runtime() as runtime:
            run = runtime.start(fan_map(Squares().of, [1, 2], at_once=2))
            return (await run.wait()).values(), [row.step for row in run.record().calls]

    values, steps = run_virtual(main())
    assert list(values) == [1, 4]
    assert steps.count("squares") == 2
