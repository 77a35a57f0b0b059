"""Stream steps: an async generator as a call, read by one reader or awaited as a list."""

import asyncio
import functools
import gc
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from fanwise import (
    Breaker,
    Hedge,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    Timeout,
    bind,
    current,
    deadline,
    fan_map,
    fan_out,
    first,
    step,
)
from fanwise.core import StreamStep
from fanwise.core._dump import dump
from fanwise.errors import (
    BreakerOpen,
    CallDropped,
    CallSkipped,
    CircularWait,
    DeadlinePassed,
    LimitHeld,
    StepTimedOut,
    StrayCancel,
    StreamTaken,
)
from fanwise.record import CallRow, Record, read_records
from fanwise.stores import MemoryJournal
from fanwise.testing import Deadlock, no_orphans, run_virtual
from tests.stores.journals import results_of


def now():
    return asyncio.get_running_loop().time()


class Script:
    """A stream that plays a script: seconds to wait, items to give, errors to raise, in turn."""

    def __init__(self, *attempts, **policy):
        self.attempts = list(attempts)
        self.opened = self.closed = 0
        self.step = step(name="script", **policy)(self.body)

    async def body(self):
        script = self.attempts[min(self.opened, len(self.attempts) - 1)]
        self.opened += 1
        try:
            for each in script:
                if isinstance(each, float):
                    await asyncio.sleep(each)
                elif isinstance(each, Exception):
                    raise each
                else:
                    yield each
        finally:
            await asyncio.sleep(0)
            self.closed += 1


@step
async def count(most: int, seconds: float = 1.0) -> AsyncIterator[int]:
    for number in range(most):
        await asyncio.sleep(seconds)
        yield number


async def read(call, seconds=0.0, most=None):
    """Read a stream with a pause after each item; give what was read."""
    found = []
    async with call as stream:
        del call  # else this frame keeps the call, whose error's traceback keeps the frame
        async for item in stream:
            found.append(item)
            if len(found) == most:
                break
            await asyncio.sleep(seconds)
    return found


def row_of(runtime, name="script"):
    (found,) = [row for row in runtime.runs[-1].record().calls if row.step == name]
    return found


# Reading and awaiting


async def test_a_stream_is_read_item_by_item_as_they_come():
    times = []
    async with count(3) as stream:
        async for number in stream:
            times.append((number, now()))
    assert times == [(0, 1.0), (1, 2.0), (2, 3.0)]


async def test_a_stream_awaited_is_a_list_and_awaited_again_the_same_list():
    call = count(3)
    found = await call
    assert found == [0, 1, 2]
    assert await call is found


async def test_a_stream_runs_nothing_before_it_is_entered():
    script = Script(["a"])
    call = script.step()
    await asyncio.sleep(1)
    assert script.opened == 0
    assert await call == ["a"]


async def test_an_empty_stream_is_an_empty_list_and_an_empty_loop():
    assert await count(0) == []
    async with Runtime() as runtime:
        assert await read(count(0)) == []
        assert dict(row_of(runtime, "count").facts) == {"items": 0}


async def test_a_second_loop_in_the_block_goes_on_where_the_first_stopped():
    async with count(4) as stream:
        async for number in stream:
            if number == 1:
                break
        assert [number async for number in stream] == [2, 3]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_patterns_take_streams_for_their_lists():
    found = await fan_out(a=count(2), b=count(1))
    assert dict(found.ok) == {"a": [0, 1], "b": [0]}
    assert (await fan_map(count, [2, 0], at_once=1)).values() == [[0, 1], []]
    assert await first(count(3), count(1)) == [0]
    assert await bind(total, count(3)) == 3
    assert await bind(count, total([2])) == [0, 1]


@step
async def total(numbers):
    return sum(numbers)


async def test_an_undecorated_generator_is_a_stream_to_a_pattern():
    async def letters(text):
        for letter in text:
            yield letter

    assert (await fan_map(letters, ["ab"], at_once=1)).values() == [["a", "b"]]


async def test_a_stream_bound_to_a_call_is_read_when_that_is_there():
    assert await read(bind(count, total([2]))) == [0, 1]


async def test_a_bound_stream_whose_input_fails_raises_that_error():
    with pytest.raises(TypeError, match="unsupported operand"):
        await read(bind(count, total(["a"])))


async def test_methods_partials_objects_and_plain_functions_make_streams():
    class Speaker:
        @step(timeout=5.0)
        async def words(self, text: str) -> AsyncIterator[str]:
            for word in text.split():
                yield word

        async def __call__(self, text):
            yield text

    def plain(text: str) -> AsyncIterator[str]:
        return Speaker().words.function(text)

    speaker = Speaker()
    assert await read(speaker.words("a b")) == ["a", "b"]
    assert await speaker.words.using(timeout=1.0)("c d") == ["c", "d"]
    assert repr(speaker.words).startswith("<step ")
    assert [word async for word in speaker.words.function("e")] == ["e"]
    assert await step(speaker)("f") == ["f"]
    assert await step(functools.partial(Speaker().words.function, "g h"))() == ["g", "h"]
    assert await read(step(plain)("i j")) == ["i", "j"]
    assert isinstance(step(plain), StreamStep)


async def test_a_stream_keeps_its_function_and_its_name():
    assert count.name == "count"
    assert [n async for n in count.function(2, 0.0)] == [0, 1]
    named = count(1).named("numbers")
    async with Runtime() as runtime:
        assert await read(named) == [0]
        assert row_of(runtime, "count").facts["name"] == "numbers"


async def test_a_call_in_the_generator_stands_below_the_stream():
    @step
    async def page(number):
        return number

    @step
    async def pages():
        for number in range(2):
            yield await page(number)

    async with Runtime() as runtime:
        assert await read(pages()) == [0, 1]
        rows = {row.call: row for row in runtime.runs[-1].record().calls}
    assert sorted((row.step, row.parent) for row in rows.values()) == [
        ("page", 0), ("page", 0), ("pages", None),
    ]  # fmt: skip


# Wrong use


async def test_a_plain_loop_is_refused_with_the_right_code():
    with pytest.raises(TypeError, match=r"async with count\(\.\.\.\) as stream:"):
        async for _ in count(1):
            pass


async def test_a_second_reader_is_refused_by_name():
    call = count(2)
    async with call as stream:
        with pytest.raises(StreamTaken, match="count has a reader already"):
            async with call:
                pass
        with pytest.raises(StreamTaken, match="the items of count went to its reader"):
            await call
        with pytest.raises(NotEnough, match="count: skipped: StreamTaken: the items of count"):
            await fan_out(call)
        assert [number async for number in stream] == [0, 1]
    with pytest.raises(StreamTaken, match="count has a reader already"):
        async with call:
            pass
    with pytest.raises(StreamTaken, match="the items of count"):
        await call


async def test_a_reader_beside_an_await_is_refused():
    call = count(2)
    waiting = asyncio.ensure_future(call)
    await asyncio.sleep(0.5)
    with pytest.raises(StreamTaken, match="count is running already, as a list"):
        async with call:
            pass
    assert await waiting == [0, 1]
    with pytest.raises(StreamTaken, match="count is ok already, as a list"):
        async with call:
            pass


async def test_two_tasks_at_one_stream_are_refused():
    async with count(2) as stream:
        other = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(StreamTaken, match="count is being read by another task"):
            await anext(stream)
        assert await other == 0


def test_a_timeout_for_items_on_a_step_of_one_value_is_refused():
    told = r"plain gives one value, and first= and idle= of Timeout\(.*\) are for streams"

    async def plain():
        return 1

    with pytest.raises(ValueError, match=told):
        step(timeout=Timeout(first=1.0))(plain)
    with pytest.raises(ValueError, match="are for streams"):
        step(plain).using(timeout=Timeout(9.0, idle=1.0))
    assert step(timeout=Timeout(9.0))(plain).policy.seconds == 9.0


async def test_a_plan_with_a_timeout_for_items_of_a_step_of_one_value_fails_that_call():
    async with Runtime(plan={"total": {"timeout": Timeout(first=1.0)}}) as runtime:
        with pytest.raises(ValueError, match="are for streams"):
            await runtime.run(total([1]))
    async with Runtime(plan={"count": {"timeout": Timeout(first=0.5)}}) as runtime:
        with pytest.raises(StepTimedOut, match=r"first item within 0\.5 s"):
            await runtime.run(count(1))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"attempt": "1"}, r"Timeout\(attempt=\) is a number, got '1'"),
        ({"first": -1.0}, r"Timeout\(first=\) is at least 0, got -1.0"),
        ({"idle": True}, r"Timeout\(idle=\) is a number, got True"),
        ({}, r"Timeout\(\) bounds nothing"),
        ({"attempt": 1.0, "first": 2.0}, r"Timeout\(first=\) is at most its attempt of 1.0 s"),
    ],
)
def test_a_wrong_timeout_is_refused(given, told):
    with pytest.raises((TypeError, ValueError), match=told):
        Timeout(**given)


async def test_an_annotated_function_that_gives_something_else_is_named():
    def plain() -> AsyncIterator[int]:
        return [1]

    with pytest.raises(TypeError, match=r"plain is a stream, so .* async iterator: \[1\]"):
        await step(plain)()


async def test_a_function_that_does_not_say_that_it_gives_a_generator_is_told_how():
    with pytest.raises(TypeError, match="only the return annotation"):
        await step(lambda: count.function(1))()


# Time


POLICY = {"timeout": Timeout(10.0, first=2.0, idle=1.0)}


async def test_the_first_item_has_its_own_bound():
    script = Script([3.0, "a"], **POLICY)
    with pytest.raises(StepTimedOut, match=r"script gave no first item within 2 s \(first=\)"):
        await read(script.step())
    assert (now(), script.closed) == (2.0, 1)


async def test_each_next_item_has_its_own_bound():
    script = Script([1.5, "a", 0.5, "b", 1.5, "c"], **POLICY)
    found = []
    with pytest.raises(StepTimedOut, match=r"no item within 1 s after item 2 \(idle=\)"):
        async with script.step() as stream:
            async for item in stream:
                found.append(item)
    assert (found, now(), script.closed) == (["a", "b"], 3.0, 1)


async def test_the_attempt_has_its_bound_too():
    script = Script(["a", 0.75] * 20, **POLICY)
    with pytest.raises(StepTimedOut, match="script took longer than its timeout of 10 s"):
        await script.step()
    assert now() == 10.0


async def test_the_readers_time_is_not_the_generators():
    script = Script([1.0, "a", 0.5, "b", 0.5, "c"], **POLICY)
    assert await read(script.step(), seconds=2.5) == ["a", "b", "c"]


async def test_the_readers_time_counts_against_the_attempt_and_what_was_made_is_handed_over():
    script = Script(["a", "b", "c", "d"], timeout=3.0)
    found = []
    with pytest.raises(StepTimedOut, match="its timeout of 3 s"):
        async with script.step() as stream:
            async for item in stream:
                found.append(item)
                await asyncio.sleep(2.0)
    assert found == ["a", "b", "c"]


async def test_a_bound_of_zero_starts_nothing():
    for timeout in (0, Timeout(first=0)):
        script = Script(["a"], timeout=timeout)
        with pytest.raises(StepTimedOut, match="script was not started"):
            await script.step()
        assert script.opened == 0


async def test_an_idle_bound_of_zero_allows_what_is_there_at_once():
    script = Script([1.0, "a", "b"], timeout=Timeout(idle=0))
    assert await script.step() == ["a", "b"]
    slow = Script([1.0, "a", 0.5, "b"], timeout=Timeout(idle=0))
    with pytest.raises(StepTimedOut, match="within 0 s after item 1"):
        await slow.step()


async def test_all_bounds_on_one_instant_are_one_cancel_and_the_attempts():
    seen = []

    @step(timeout=Timeout(2.0, first=2.0))
    async def stuck():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            seen.append(now())
            raise
        yield 1

    with pytest.raises(StepTimedOut, match="longer than its timeout of 2 s"):
        await stuck()
    assert seen == [2.0]
    assert asyncio.current_task().cancelling() == 0


async def test_a_deadline_ends_a_stream():
    script = Script(["a", 1.0] * 9)
    found = []
    with pytest.raises(DeadlinePassed), deadline(2.5):
        async with script.step() as stream:
            async for item in stream:
                found.append(item)
    assert (found, now(), script.closed) == (["a"] * 3, 2.5, 1)


async def test_a_deadline_that_has_passed_starts_no_stream():
    script = Script(["a"])
    with pytest.raises(DeadlinePassed), deadline(0):
        await read(script.step())
    assert script.opened == 0


async def test_the_generators_own_timeout_around_its_yields_is_its_own():
    closed = []

    @step
    async def polls():
        try:
            async with asyncio.timeout(2.5):
                while True:
                    yield now()
                    await asyncio.sleep(1)
        except TimeoutError:
            yield "too late"
        finally:
            closed.append(now())

    assert await polls() == [0.0, 1.0, 2.0, "too late"]
    assert await read(polls(), seconds=2.0) == [2.5, 3.5, "too late"]  # while the reader had it
    assert closed == [2.5, 6.5]


# Back-pressure


async def test_the_generator_is_one_item_ahead_of_its_reader():
    made = []

    @step
    async def eager():
        for number in range(5):
            made.append(number)
            yield number

    async with eager() as stream:
        await asyncio.sleep(1)
        assert made == [0]
        assert await anext(stream) == 0
        await asyncio.sleep(1)
        assert made == [0, 1]
    assert made == [0, 1]


async def test_generator_and_reader_work_at_the_same_time():
    assert await read(count(4), seconds=1.0) == [0, 1, 2, 3]
    assert now() == 5.0


async def test_the_wait_for_the_reader_is_in_the_record():
    script = Script(["a", "b"])
    async with Runtime() as runtime:
        await read(script.step(), seconds=1.0)
        assert row_of(runtime).waits["buffer"] == 1_000_000


# Retry, hedge, breaker, limit


LOST = ConnectionError("lost")


async def test_a_stream_is_retried_until_its_first_item():
    script = Script([LOST], [1.0, "a", "b"], retry=Retry(attempts=3))
    async with Runtime() as runtime:
        assert await read(script.step()) == ["a", "b"]
        row = row_of(runtime)
    assert (row.attempts, row.facts["first_item"], row.facts["items"]) == (2, 1_000_000, 2)


async def test_nothing_is_retried_after_the_first_item():
    script = Script(["a", LOST], retry=Retry(attempts=3))
    found = []
    with pytest.raises(ConnectionError, match="lost"):
        async with script.step() as stream:
            async for item in stream:
                found.append(item)
    assert (found, script.opened, script.closed) == (["a"], 1, 1)


async def test_a_list_is_retried_anew_and_drops_what_it_had():
    script = Script(["a", LOST], ["b", "c"], retry=Retry(attempts=3))
    assert await script.step() == ["b", "c"]
    assert script.opened == script.closed == 2


async def test_too_slow_with_the_first_item_is_retried():
    script = Script([9.0, "a"], ["b"], retry=Retry(attempts=2), timeout=Timeout(first=1.0))
    assert await read(script.step()) == ["b"]


async def test_a_hedge_looks_at_the_first_item_and_the_loser_is_closed():
    script = Script([5.0, "slow"], [1.0, "a", 1.0, "b"], hedge=Hedge(after=2.0))
    times = []
    async with Runtime() as runtime:
        async with script.step() as stream:
            async for item in stream:
                times.append((item, now()))
        row = row_of(runtime)
        (lost,) = [a for a in runtime.runs[-1].record().attempts if not a.hedge]
    assert times == [("a", 3.0), ("b", 4.0)]
    assert (script.opened, script.closed) == (2, 2)
    assert (row.attempts, row.status, row.facts["first_item"]) == (2, "ok", 1_000_000)
    assert (lost.status, lost.end) == ("cancelled", 3_000_000)


async def test_no_hedge_is_sent_after_the_first_item():
    script = Script(["a", 5.0, "b"], hedge=Hedge(after=1.0, more=3))
    assert await read(script.step()) == ["a", "b"]
    assert script.opened == 1


async def test_the_first_attempt_may_win_against_its_hedges():
    script = Script([3.0, "a", 9.0, "b"], [5.0, "h"], [5.0, "h"], hedge=Hedge(after=1.0, more=2))
    assert await read(script.step()) == ["a", "b"]
    assert (script.opened, script.closed, now()) == (3, 3, 12.0)


async def test_two_hedges_of_which_one_wins():
    script = Script([9.0, "a"], [9.0, "b"], [1.0, "c", "d"], hedge=Hedge(after=1.0, more=2))
    assert await script.step() == ["c", "d"]
    assert (script.opened, script.closed, now()) == (3, 3, 3.0)


async def test_a_hedge_that_won_and_fails_is_the_streams_failure():
    script = Script([9.0], [1.0, "a", LOST], hedge=Hedge(after=1.0), retry=Retry(attempts=5))
    found = []
    with pytest.raises(ConnectionError, match="lost"):
        async with script.step() as stream:
            async for item in stream:
                found.append(item)
    assert (found, script.opened, script.closed) == (["a"], 2, 2)


async def test_a_list_whose_hedge_won_and_failed_is_tried_anew():
    script = Script([9.0], [1.0, "a", LOST], ["b"], hedge=Hedge(after=1.0), retry=Retry(attempts=5))
    assert await script.step() == ["b"]
    assert script.closed == script.opened == 3


async def test_a_first_attempt_that_fails_leaves_the_stream_to_its_hedge():
    script = Script([2.0, LOST], [2.0, "a", 1.0, "b"], hedge=Hedge(after=1.0))
    assert await read(script.step()) == ["a", "b"]
    assert now() == 4.0


async def test_a_hedge_that_gives_nothing_ends_the_stream():
    script = Script([5.0, "a"], [1.0], hedge=Hedge(after=1.0))
    assert await read(script.step()) == []
    assert (script.closed, now()) == (2, 2.0)


async def test_leaving_a_stream_that_a_hedge_won_closes_the_hedge():
    script = Script([9.0, "a"], [1.0, "b", 9.0, "c"], hedge=Hedge(after=1.0))
    assert await read(script.step(), most=1) == ["b"]
    assert (script.opened, script.closed, now()) == (2, 2, 2.0)


async def test_both_have_their_first_item_on_one_instant():
    for order in ("fifo", "shuffled"):
        script = Script([2.0, "a", "b"], [1.0, "c", "d"], hedge=Hedge(after=1.0))
        found = await asyncio.to_thread(run_virtual, read(script.step()), order=order, seed=3)
        assert found in (["a", "b"], ["c", "d"])
        assert script.closed == 2


async def test_a_timed_out_hedge_winner_says_which_bound():
    policy = {"hedge": Hedge(after=1.0), "timeout": Timeout(9.0, idle=1.0)}
    script = Script([8.0, "a"], [1.0, "b", 5.0, "c"], **policy)
    with pytest.raises(StepTimedOut, match="within 1 s after item 1"):
        await read(script.step())
    assert (script.closed, now()) == (2, 3.0)


async def test_a_limit_is_held_for_the_whole_life_of_a_stream():
    script = Script(["a", 1.0, "b"], limit="models")
    async with Runtime(limits={"models": Limit(at_once=1)}):
        first_one = asyncio.ensure_future(read(script.step(), seconds=2.0))
        await asyncio.sleep(0.5)
        times = []
        async with script.step() as stream:
            async for _ in stream:
                times.append(now())
        await first_one
    assert times == [2.0, 3.0]


async def test_a_reader_that_asks_for_the_limit_of_its_stream_is_refused():
    @step(limit="models")
    async def ask(prompt):
        return prompt

    @step(limit="models")
    async def tokens():
        yield "a"
        yield "b"

    @step
    async def answer(inner):
        async with tokens() as stream:
            return await inner(await anext(stream))

    @step(limit="models")
    async def ask_all(token):
        yield token

    async def reads_too(token):
        return await read(ask_all(token))

    async with Runtime(limits={"models": Limit(at_once=8)}):
        told = "ask asks for the limit 'models', which the stream tokens holds until it is read"
        with pytest.raises(LimitHeld, match=told):
            await answer(ask)
        with pytest.raises(LimitHeld, match="the stream tokens holds"):
            await answer(step(reads_too))
        assert await ask("free again") == "free again"


async def test_readers_of_one_body_in_tasks_of_their_own_share_a_limit():
    script = Script(["a", 1.0, "b"], limit="models")

    @step
    async def reads_two():
        return await asyncio.gather(read(script.step(), 1.0), read(script.step(), 1.0))

    for at_once, ended in ((1, 6.0), (2, 3.0)):
        began = now()
        async with Runtime(limits={"models": Limit(at_once=at_once)}) as runtime:
            assert await runtime.run(reads_two()) == [["a", "b"], ["a", "b"]]
        assert now() - began <= ended


async def test_a_reader_outside_any_step_is_refused_too():
    script = Script(["a", "b"], limit="models")
    async with Runtime(limits={"models": Limit(at_once=1)}), script.step() as stream:
        await anext(stream)
        with pytest.raises(NotEnough, match="which the stream script holds") as raised:
            await fan_out(script.step(), need=1)
    assert isinstance(raised.value.__cause__, LimitHeld)


async def test_a_reader_that_waits_for_who_waits_for_the_limit_of_its_stream_is_refused():
    @step(limit="models")
    async def ask(prompt):
        return prompt

    @step(limit="models")
    async def tokens():
        yield "a"
        yield "b"
        yield "c"

    @step
    async def answer():
        async with tokens() as stream:
            async for _ in stream:
                await asyncio.sleep(1)
                await waiting

    async with Runtime(limits={"models": Limit(at_once=1)}) as runtime:
        waiting = ask("x")
        run = runtime.start(answer())
        await asyncio.sleep(0.5)
        other = runtime.start(waiting)
        with pytest.raises(LimitHeld, match="neither would end"):
            await run.wait()
        assert await other.wait() == "x"


async def test_a_stream_that_waits_for_its_reader_is_refused():
    @step
    async def tokens():
        yield await reading

    @step
    async def answer():
        return await read(tokens())

    reading = answer()
    with pytest.raises(CircularWait):
        await reading


async def test_a_breaker_is_told_of_the_end_and_not_of_a_reader_that_left():
    policy = {"breaker": Breaker(minimum=2, share=1.0)}
    script = Script(["a", LOST], **policy)
    async with Runtime() as runtime:

        @step
        async def main():
            for _ in range(3):
                assert await read(script.step(), most=1) == ["a"]
            assert runtime.statistics().breakers[0].state == "closed"
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await read(script.step())
            with pytest.raises(BreakerOpen):
                await read(script.step())

        await runtime.run(main())


# Cancel and close


async def test_leaving_cancels_the_call_and_closes_the_generator_at_its_await():
    script = Script(["a", 9.0, "b"])
    async with Runtime() as runtime:
        assert await read(script.step(), most=1) == ["a"]
        row = row_of(runtime)
    assert (script.closed, row.status, row.facts["items"], row.error) == (1, "cancelled", 1, None)


async def test_a_stream_that_is_left_before_it_began_is_skipped():
    script = Script(["a", 5.0], limit="one")

    @step
    async def slow():
        await asyncio.sleep(9)
        return 1

    rows = []
    async with Runtime(limits={"one": Limit(at_once=1)}, listeners=[rows.append]) as runtime:
        other = asyncio.ensure_future(read(script.step()))
        await asyncio.sleep(1)
        for call in (script.step(), bind(count, slow())):  # waits for its slot, for its input
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), call as stream:
                    await anext(stream)
            ended = [row for row in rows if isinstance(row, CallRow)]
            assert [row.status for row in ended if row.step == call.step.name] == ["skipped"]
        assert await other == ["a"]
        assert runtime.reading == {}


async def test_a_drain_lets_a_stream_go_on_and_starts_none():
    script = Script([1.0, "a", 1.0, "b"])

    @step
    async def main(runtime):
        async with script.step() as stream:
            found = [await anext(stream)]
            runtime.drain()
            with pytest.raises(CallSkipped, match="the runtime drains"):
                await read(script.step())
            return found + [item async for item in stream]

    async with Runtime() as runtime:
        assert await runtime.run(main(runtime)) == ["a", "b"]


async def test_leaving_closes_a_generator_that_stands_at_its_yield():
    seen = []

    @step
    async def eager():
        try:
            while True:
                yield 1
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            seen.append("cancelled")
            raise

    async with eager() as stream:
        await anext(stream)
        await asyncio.sleep(1)
    assert (seen, now()) == (["cancelled"], 2.0)


async def test_a_long_cleanup_is_not_cut_by_the_bounds_of_items():
    ended = []

    @step(timeout=Timeout(first=9.0, idle=1.0))
    async def cleans():
        try:
            yield 1
            await asyncio.sleep(0.5)
            yield 2
        finally:
            await asyncio.sleep(5)
            ended.append(now())

    for pause in (0.25, 3.0):  # at its await, at its yield
        began = now()
        async with cleans() as stream:
            await anext(stream)
            await asyncio.sleep(pause)
        assert ended.pop() == began + pause + 5


async def test_a_group_of_tasks_around_a_yield_ends_cleanly():
    ended = []

    async def beside():
        try:
            await asyncio.sleep(99)
        finally:
            ended.append(now())

    @step
    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(beside())
            yield 1
            yield 2

    async with grouped() as stream:
        assert await anext(stream) == 1
        await asyncio.sleep(1)
    assert ended == [1.0]


async def test_an_error_of_the_block_goes_out_and_closes_the_stream():
    script = Script(["a", 9.0])
    with pytest.raises(KeyError):
        async with script.step() as stream:
            async for item in stream:
                raise KeyError(item)
    assert script.closed == 1


async def test_a_timeout_around_the_reader_takes_nothing():
    async with count(2) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(stream)
        assert [number async for number in stream] == [0, 1]


async def test_a_timeout_around_the_block_cancels_the_stream():
    script = Script(["a", 1.0] * 9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await read(script.step())
    assert (script.closed, now()) == (1, 2.5)


async def test_a_timeout_of_the_reader_on_the_instant_of_an_item_loses_nothing():
    async def main():
        found = []
        async with count(3) as stream:
            while len(found) < 3:
                try:
                    async with asyncio.timeout(1.0):
                        found.append(await anext(stream))
                except TimeoutError:
                    pass
        return found

    for seed in range(6):
        order = "shuffled" if seed else "fifo"
        found = await asyncio.to_thread(run_virtual, main(), order=order, seed=seed)
        assert found == [0, 1, 2]


async def test_a_cancelled_reader_closes_the_generator():
    script = Script(["a", 9.0])
    task = asyncio.ensure_future(read(script.step()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.closed == 1


async def test_a_stream_made_in_one_task_is_read_in_another():
    call = count(2)

    @step
    async def other():
        return await read(call)

    assert await fan_out(other()) is not None
    async with count(3) as stream:
        assert await anext(stream) == 0
        assert await asyncio.ensure_future(anext(stream)) == 1


async def test_the_block_that_is_never_left_ends_with_its_step():
    script = Script(["a", 9.0])

    @step
    async def careless():
        stream = await script.step().__aenter__()
        return await anext(stream)

    async with no_orphans():
        assert await careless() == "a"
    assert script.closed == 1


async def test_a_generator_that_swallows_its_cancellation_is_closed():
    seen = []

    @step(timeout=Timeout(first=1.0))
    async def stubborn():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            seen.append("swallowed")
        try:
            yield "late"
        finally:
            seen.append("closed")

    with pytest.raises(StepTimedOut, match="no first item within 1 s"):
        await stubborn()
    assert seen == ["swallowed", "closed"]


async def test_a_generator_that_swallows_its_cancellation_and_returns_is_timed_out():
    @step(timeout=Timeout(idle=1.0))
    async def stubborn():
        yield 1
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return

    with pytest.raises(StepTimedOut, match="after item 1"):
        await stubborn()
    async with Runtime() as runtime:
        assert await read(stubborn(), most=1) == [1]
        assert row_of(runtime, stubborn.name).status == "cancelled"


async def test_a_generator_that_fails_while_it_is_closed_raises_out_of_the_block():
    @step
    async def tokens():
        try:
            yield 1
            yield 2
        finally:
            raise KeyError("in finally")

    async with Runtime() as runtime:
        with pytest.raises(KeyError, match="in finally"):
            await read(tokens(), most=1)
        assert "KeyError" in row_of(runtime, tokens.name).error
        with pytest.raises(ZeroDivisionError):  # the block's own error says more
            async with tokens() as stream:
                async for _ in stream:
                    1 / 0  # noqa: B018


async def test_what_a_generator_yields_in_its_cleanup_is_dropped():
    seen = []

    @step
    async def tokens():
        try:
            yield 1
            yield 2
        finally:
            try:
                yield 3
            finally:
                seen.append("closed")

    assert await read(tokens(), most=1) == [1]
    assert seen == ["closed"]


async def test_a_generator_that_yields_again_and_again_is_named_and_ended():
    seen = []

    @step
    async def tokens():
        for number in range(4):
            try:
                yield number
            except BaseException:
                seen.append(number)

    with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit") as raised:
        async with tokens() as stream:
            assert await anext(stream) == 0
            await asyncio.sleep(1)
    assert "tokens yields while it is being closed" in raised.value.__notes__[0]
    assert seen == [1, 2]


async def test_a_cancelled_error_that_nobody_sent_is_a_failure():
    @step
    async def tokens():
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(StrayCancel):
        await read(tokens())
    with pytest.raises(StrayCancel):
        await tokens()


async def test_a_failure_shows_the_lines_of_the_generator_and_the_reader():
    @step
    async def tokens():
        yield 1
        raise KeyError("broken")

    try:
        await read(tokens())
    except KeyError as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "tokens"
    assert "read" in names
    assert "take" not in names


async def test_a_failure_is_raised_again_in_the_next_loop():
    script = Script(["a", KeyError("b")])
    async with script.step() as stream:
        for _ in range(2):
            with pytest.raises(KeyError):
                async for _ in stream:
                    pass


async def test_a_failure_that_nobody_looked_at_is_not_raised_by_leaving():
    script = Script(["a", KeyError("unseen")])
    async with script.step() as stream:
        await anext(stream)
        await asyncio.sleep(1)


async def test_what_is_left_gives_no_item_any_more():
    async with count(3) as stream:
        assert await anext(stream) == 0
    with pytest.raises(CallDropped, match="the block of this stream was left"):
        await anext(stream)


async def test_another_task_that_waits_for_an_item_is_told_when_the_block_is_left():
    async with count(3) as stream:
        other = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.5)
    with pytest.raises(CallDropped, match="the block of this stream was left"):
        await other


# The record, the journal, the rehearsal


async def test_the_record_has_the_time_to_the_first_item_and_their_number():
    script = Script([1.5, "a", 1.0, "b"])
    async with Runtime() as runtime:
        await script.step()
        assert dict(row_of(runtime).facts) == {"first_item": 1_500_000, "items": 2}


async def test_the_time_to_the_first_item_counts_from_admission():
    script = Script([1.5, "a"], limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        await fan_out(script.step(), script.step())
        rows = [row for row in runtime.runs[-1].record().calls if row.step == "script"]
    assert [row.facts["first_item"] for row in rows] == [1_500_000, 1_500_000]
    assert rows[1].waits["limit"] == 1_500_000


async def test_usage_and_the_attempt_are_known_in_a_generator():
    @step(retry=Retry(attempts=2))
    async def tokens():
        if current().attempt == 1:
            raise ConnectionError
        yield current().attempt
        current().usage(tokens_out=3)

    async with Runtime() as runtime:
        assert await read(tokens()) == [2]
        assert row_of(runtime, tokens.name).usage == {"tokens_out": 3}


async def test_a_journal_keeps_the_items_and_gives_them_again_as_items():
    script = Script([1.0, "a", "b"])
    journal = MemoryJournal()
    tries = []

    @step
    async def main():
        found = await read(script.step(), seconds=1.0)
        tries.append(found)
        if len(tries) == 1:
            raise KeyError("crash")
        return found, await script.step()

    for _ in range(2):
        async with Runtime() as runtime:
            runtime.journal = journal
            with suppress(KeyError):
                assert await runtime.run(main(), run_id="one") == (["a", "b"], ["a", "b"])
            row = row_of_first(runtime)
    assert tries == [["a", "b"]] * 2
    assert script.opened == 2  # the second is the awaited one, which the first run never reached
    assert (row.facts["reused"], row.facts["items"], row.attempts) == (True, 2, 0)


async def test_a_journal_has_nothing_of_a_stream_that_was_left():
    script = Script(["a", "b"])
    journal = MemoryJournal()
    async with Runtime() as runtime:
        runtime.journal = journal
        assert await read(script.step(), most=1) == ["a"]
    assert [each for run in journal.runs() for each in results_of(journal, run.id)] == []


async def test_a_retried_reader_reads_anew():
    script = Script(["a", "b"])
    tries = []

    @step(retry=Retry(attempts=2))
    async def answer():
        found = await read(script.step())
        tries.append(found)
        if len(tries) == 1:
            raise ConnectionError
        return found

    assert await answer() == ["a", "b"]
    assert (script.opened, tries) == (2, [["a", "b"]] * 2)


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_stream_that_writes_is_not_read_anew_unless_its_target_honours_keys(keyed):
    script = Script(["a", "b"], effect="write", keyed=keyed)

    @step(retry=Retry(attempts=2))
    async def pays():
        found = await read(script.step())
        if current().attempt == 1:
            raise ConnectionError
        return found

    if keyed:
        assert await pays() == ["a", "b"]
    else:
        with pytest.raises(StreamTaken, match="script has a reader already"):
            await pays()
    assert script.opened == 1 + keyed


async def test_a_stream_that_writes_and_was_left_may_have_happened():
    script = Script(["a", 9.0], effect="write")
    async with Runtime() as runtime:
        await read(script.step(), most=1)
        assert row_of(runtime).facts["ambiguous"] is True


async def test_a_retried_step_that_awaited_a_list_finds_it():
    script = Script(["a", "b"])
    tries = []

    @step(retry=Retry(attempts=2))
    async def answer():
        found = await script.step()
        tries.append(found)
        if len(tries) == 1:
            raise ConnectionError
        return found

    assert await answer() == ["a", "b"]
    assert script.opened == 1


async def test_a_hedged_reader_reads_its_own():
    script = Script([1.0, "a", 5.0, "b"], [1.0, "a", "b"])

    @step(hedge=Hedge(after=2.0))
    async def answer():
        return await read(script.step())

    assert await answer() == ["a", "b"]
    assert (now(), script.closed) == (3.0, 2)


class Draws:
    """A rehearsal that plays the same for every stream."""

    def __init__(self, items, seconds=2.0):
        self.items = items
        self.seconds = seconds

    def __call__(self, call, attempt, draw):
        return self if call.step.streams else None

    async def play(self, own):
        await asyncio.sleep(self.seconds)
        return self.items


async def test_a_rehearsal_plays_a_list_as_items():
    script = Script(["real"], timeout=Timeout(first=3.0))

    @step
    async def main():
        return await read(script.step()), await script.step()

    async with Runtime() as runtime:
        assert await runtime.run(main(), body=Draws(["x", "y"])) == (["x", "y"], ["x", "y"])
        assert row_of_first(runtime).facts["first_item"] == 2_000_000
        with pytest.raises(TypeError, match="is a list of its items, got 'xy'"):
            await runtime.run(main(), body=Draws("xy"))
        with pytest.raises(StepTimedOut, match="no first item within 3 s"):
            await runtime.run(main(), body=Draws(["x"], seconds=4.0))
    assert script.opened == 0


def row_of_first(runtime):
    return next(row for row in runtime.runs[-1].record().calls if row.step == "script")


def test_a_record_with_contents_has_no_result_of_what_was_read(tmp_path):
    path = tmp_path / "record.jsonl"

    async def main():
        async with Runtime(record=Record(path, contents="full")):
            assert await read(count(1, 0)) == [0]
            assert await count(1, 0) == [0]

    asyncio.run(main())
    records = read_records(path.read_text().splitlines(keepends=True))
    one, two = [row.facts for found in records for row in found.calls]
    assert (one["args"], "result" in one) == ('{"most": 1, "seconds": 0}', False)
    assert two["result"] == "[0]"


async def test_the_dump_says_that_a_stream_waits_for_its_reader():
    async with Runtime() as runtime, count(3) as stream:
        await anext(stream)
        await asyncio.sleep(3)
        assert "count: waits for its reader, 4.0 s" in dump(runtime)
    assert runtime.reading == {}


# Nothing left


POLICIES = {"timeout": Timeout(9.0, first=5.0, idle=3.0), "retry": Retry(attempts=2)}


async def read_whole():
    assert await read(Script([1.0, "a", "b"], **POLICIES).step()) == ["a", "b"]


async def read_partly():
    assert await read(Script([1.0, "a", "b"], **POLICIES).step(), most=1) == ["a"]


async def read_a_hedge():
    script = Script([9.0, "a"], [1.0, "b"], hedge=Hedge(after=0.5), **POLICIES)
    assert await read(script.step()) == ["b"]


async def read_a_failure():
    with suppress(ConnectionError):
        await read(Script(["a", ConnectionError("b")], **POLICIES).step())


async def read_too_slow():
    with suppress(StepTimedOut):
        await read(Script(["a", 4.0, "b"], **POLICIES).step())


async def fail_in_a_fan_out():
    slow = Script(["a", 4.0, "b"], **POLICIES)
    await fan_out(Script(["a", ConnectionError("b")], **POLICIES).step(), slow.step(), need=0)


@pytest.mark.parametrize(
    "use",
    [read_whole, read_partly, read_a_hedge, read_a_failure, read_too_slow, fail_in_a_fan_out],
)
async def test_streams_leave_no_cycles(use):
    one = step(use)
    async with Runtime() as runtime:
        await runtime.run(one())
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await runtime.run(one())
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_a_failed_branch_is_a_gap_like_any_other():
    script = Script(["a", LOST])
    with pytest.raises(NotEnough) as raised:
        await fan_out(script.step(), count(1), need=2, enough=2)
    assert raised.value.found["script"].error is LOST


def test_a_stream_that_waits_for_a_reader_who_never_reads_is_a_deadlock_not_a_hang():
    async def main():
        async with count(2):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(main())
