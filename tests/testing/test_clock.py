"""Time on the virtual clock: it jumps, exactly, and asyncio's own tools work on it."""

import asyncio
import math
import random
import time

import pytest

from fanwise.testing import HorizonPassed, VirtualLoop, run_virtual


async def now():
    return asyncio.get_running_loop().time()


def test_a_day_of_sleep_takes_no_time():
    async def main():
        await asyncio.sleep(86_400)
        return await now()

    began = time.monotonic()
    assert run_virtual(main()) == 86_400
    assert time.monotonic() - began < 5


def test_time_starts_where_it_is_told_to():
    assert run_virtual(now()) == 0.0
    assert run_virtual(now(), start=1000.0) == 1000.0


def test_code_costs_no_virtual_time():
    async def main():
        for _ in range(1000):
            await asyncio.sleep(0)
        return await now()

    assert run_virtual(main()) == 0.0


def test_no_drift_over_a_hundred_thousand_timers():
    async def main():
        for _ in range(100_000):
            await asyncio.sleep(3 / 1024)
        return await now()

    assert run_virtual(main(), start=512.0) == 512.0 + 300_000 / 1024


def test_each_timer_fires_at_its_own_instant():
    async def main():
        loop, fired = asyncio.get_running_loop(), []
        draw = random.Random(0)
        whens = sorted(draw.random() * 10 ** draw.randrange(5) for _ in range(1000))
        for when in reversed(whens):
            loop.call_at(when, lambda when=when: fired.append((when, loop.time())))
        await asyncio.sleep(2e5)
        assert fired == [(when, when) for when in whens]

    run_virtual(main())


def test_timers_of_the_past_fire_in_the_next_turn_and_time_never_goes_back():
    async def main():
        loop, fired = asyncio.get_running_loop(), []
        await asyncio.sleep(5)
        loop.call_at(1.0, lambda: fired.append(loop.time()))
        loop.call_later(-3.0, lambda: fired.append(loop.time()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return fired

    assert run_virtual(main()) == [5.0, 5.0]


def test_past_timers_are_not_starved_by_callbacks_that_are_always_ready():
    async def main():
        loop, fired = asyncio.get_running_loop(), []
        loop.call_later(0, fired.append, 1)
        for turn in range(10):
            if fired:
                return turn
            await asyncio.sleep(0)
        return None

    assert run_virtual(main()) is not None


def test_cancelled_timers_are_skipped_and_cost_no_time():
    async def main():
        loop = asyncio.get_running_loop()
        early = [loop.call_later(1 + i, pytest.fail, "cancelled") for i in range(10)]
        for timer in early:
            timer.cancel()
        await asyncio.sleep(50)
        return loop.time()

    assert run_virtual(main()) == 50


def test_a_timer_cancelled_on_its_own_instant_does_not_fire():
    async def main():
        loop = asyncio.get_running_loop()
        timers = []
        loop.call_at(1.0, lambda: [it.cancel() for it in timers])
        timers.append(loop.call_at(1.0, pytest.fail, "cancelled"))
        await asyncio.sleep(2)

    run_virtual(main())


def test_cancelled_timers_do_not_pile_up():
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(10_000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0.001)
        return len(loop._alarms)

    assert run_virtual(main()) < 1000


def test_pending_timers_are_those_that_will_fire():
    async def main():
        loop = asyncio.get_running_loop()
        late, early = loop.call_later(2, print), loop.call_later(1, print)
        loop.call_later(1.5, print).cancel()
        assert loop.pending_timers() == [early, late]
        early.cancel(), late.cancel()

    run_virtual(main())


@pytest.mark.parametrize("limit", [asyncio.timeout, asyncio.timeout_at])
def test_timeouts_fire_on_time(limit):
    async def main():
        with pytest.raises(TimeoutError):
            async with limit(0.25):
                await asyncio.sleep(1)
        return await now()

    assert run_virtual(main()) == 0.25


def test_wait_for_gather_and_queue_work():
    async def produce(queue):
        for item in range(3):
            await asyncio.sleep(1)
            await queue.put(item)

    async def main():
        queue = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(produce(queue))
            got = [await asyncio.wait_for(queue.get(), 2) for _ in range(3)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.5)
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        return got, await now()

    assert run_virtual(main()) == ([0, 1, 2], 5.5)


def test_a_failing_task_group_cancels_on_the_same_instant():
    async def fail():
        await asyncio.sleep(0.5)
        raise KeyError("x")

    async def main():
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(asyncio.sleep(100))
        return await now()

    assert run_virtual(main()) == 0.5


def test_what_main_raises_comes_out_and_what_is_left_is_cancelled():
    ended = []

    async def left():
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.create_task(left())
        await asyncio.sleep(0)
        raise KeyError(task.get_name())

    with pytest.raises(KeyError):
        run_virtual(main())
    assert ended == [True]


def test_a_task_that_repeats_for_ever_meets_the_horizon():
    async def beat():
        while True:
            await asyncio.sleep(1)

    async def main():
        asyncio.create_task(beat(), name="heart")
        await asyncio.get_running_loop().create_future()

    with pytest.raises(HorizonPassed, match="horizon=100") as caught:
        run_virtual(main(), horizon=100)
    assert "'heart'" in str(caught.value)


def test_sleeping_for_ever_meets_the_horizon_even_without_one_that_is_finite():
    with pytest.raises(HorizonPassed):
        run_virtual(asyncio.sleep(math.inf))


def test_without_a_horizon_time_goes_as_far_as_it_likes():
    async def main():
        await asyncio.sleep(2**40)
        await asyncio.sleep(1 / 1024)
        return await now()

    assert run_virtual(main(), horizon=None) == 2**40 + 1 / 1024


def test_a_timer_for_nan_is_refused():
    async def main():
        with pytest.raises(ValueError, match="nan"):
            asyncio.get_running_loop().call_at(math.nan, print)

    run_virtual(main())


def test_a_closed_loop_takes_no_timers():
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


def test_the_loop_says_that_it_is_virtual_and_keeps_its_seed():
    loop = VirtualLoop(seed=7)
    assert (VirtualLoop.virtual, loop.seed) == (True, 7)
    assert "t=0 timers=0" in repr(loop)
    loop.close()
    assert not hasattr(asyncio.SelectorEventLoop, "virtual")


def test_debug_mode_of_asyncio_works():
    async def main():
        assert asyncio.get_running_loop().get_debug()
        await asyncio.sleep(3)
        return await now()

    assert run_virtual(main(), debug=True) == 3
