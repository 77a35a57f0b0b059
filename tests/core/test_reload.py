"""Other limits while calls wait and hold: by `runtime.reload` and by a file that changes."""

import asyncio
import logging
import os
from itertools import pairwise

import pytest

from fanwise import Limit, Retry, Runtime, current, fan_map, step
from fanwise.core import Need, _reload
from fanwise.core._reload import LimitsFile
from fanwise.errors import LimitTooSmall, LimitUnknown
from fanwise.record import LimitEvent
from fanwise.stores import MemoryBoard, SharedLimits
from fanwise.testing import no_orphans, run_virtual


def now():
    return asyncio.get_running_loop().time()


@step(limit="it")
async def holds(seconds):
    await asyncio.sleep(seconds)
    return now()


@step(limit="it", needs=Need(40, 20))
async def ask(tokens=60):
    current().usage(model="m", tokens_in=tokens, tokens_out=0)
    return now()


def under(limits, body, **more):
    async def main():
        async with no_orphans(), Runtime(limits=limits, seed=1, **more) as runtime:
            return await body(runtime)

    return run_virtual(main())


def seen(runtime):
    return runtime.statistics().limits[0]


@pytest.mark.parametrize("shared", [False, True])
def test_a_width_that_widens_lets_those_in_who_wait(shared):
    async def body(runtime):
        run = runtime.start(fan_map(holds, [10.0] * 6, at_once=6))
        await asyncio.sleep(4.0)
        assert (seen(runtime).in_flight, seen(runtime).waiting) == (2, 4)
        runtime.reload({"it": Limit(at_once=5)})
        await asyncio.sleep(1.0)
        assert (seen(runtime).in_flight, seen(runtime).waiting) == (5, 1)
        return list((await run.wait()).values())

    more = {"shared": SharedLimits(MemoryBoard(clock))} if shared else {}
    ended = under({"it": Limit(at_once=2)}, body, **more)
    assert sorted(round(each) for each in ended) == [10, 10, 14, 14, 14, 20]


def clock():
    return int(now() * 1_000_000)


@pytest.mark.parametrize("shared", [False, True])
def test_a_width_that_narrows_takes_slots_back_as_they_return(shared):
    async def body(runtime):
        run = runtime.start(fan_map(holds, [3.0, 6.0, 9.0, 1.0, 1.0], at_once=5))
        await asyncio.sleep(1.0)
        runtime.reload({"it": Limit(at_once=1)})
        assert seen(runtime).in_flight == 3
        most = []
        for _ in range(20):
            await asyncio.sleep(0.5)
            most.append(seen(runtime).in_flight)
        found = await run.wait()
        return most, list(found.values())

    more = {"shared": SharedLimits(MemoryBoard(clock))} if shared else {}
    in_flight, ended = under({"it": Limit(at_once=3)}, body, **more)
    assert all(later <= max(before, 1) for before, later in pairwise(in_flight))
    assert [round(each) for each in ended[:3]] == [3, 6, 9]
    assert min(ended[3:]) >= 10.0, "nobody is let in before the last but none has returned"


@pytest.mark.parametrize("limit", [Limit(at_once=2), Limit(at_once=2, requests_per_minute=6000)])
def test_no_bound_lets_everybody_in_and_is_told(limit):
    heard = []

    async def body(runtime):
        run = runtime.start(fan_map(holds, [5.0] * 6, at_once=6))
        await asyncio.sleep(1.0)
        runtime.reload({"it": Limit()})
        return list((await run.wait()).values())

    ended = under({"it": limit}, body, listeners=[heard.append])
    assert sorted(round(each) for each in ended) == [5, 5, 6, 6, 6, 6]
    widths = [each for each in heard if isinstance(each, LimitEvent) and each.what == "width"]
    assert [each.value for each in widths] == [float("inf")]


def test_a_rate_goes_on_from_what_is_spent():
    """Twice the rate, half of it, and the burst is never there again."""

    async def body(runtime):
        run = runtime.start(fan_map(ask, [60] * 12, at_once=12))
        await asyncio.sleep(59.0)
        runtime.reload({"it": Limit(tokens_per_minute=240)})
        await asyncio.sleep(60.0)
        runtime.reload({"it": Limit(tokens_per_minute=60, burst=60)})
        return sorted((await run.wait()).values())

    ended = under({"it": Limit(tokens_per_minute=120)}, body)
    for start in ended:
        within = [each for each in ended if start <= each <= start + 60.0]
        assert 60 * len(within) <= 240 + 240
    late = [each for each in ended if each > 119.0]
    assert all(b - a >= 60.0 - 1e-6 for a, b in pairwise(late))


def test_who_waits_is_judged_anew_and_refused_where_it_never_fits():
    async def body(runtime):
        first = runtime.start(ask())
        await first.wait()
        run = runtime.start(fan_map(ask, [60] * 6, at_once=6, need=0))
        await asyncio.sleep(1.0)
        assert seen(runtime).waiting > 0
        runtime.reload({"it": Limit(tokens_per_minute=30)})
        found = await run.wait()
        with pytest.raises(LimitTooSmall, match="tokens_per_minute=30"):
            await runtime.run(ask())
        return found

    found = under({"it": Limit(tokens_per_minute=120)}, body)
    errors = [each.error for each in found.outcomes if each.error is not None]
    assert errors
    assert all(isinstance(each, LimitTooSmall) and each.size == 30 for each in errors)


def test_rates_may_come_and_go():
    async def body(runtime):
        run = runtime.start(fan_map(ask, [60] * 4, at_once=4))
        await asyncio.sleep(0.5)
        runtime.reload({"it": Limit(input_tokens_per_minute=60)})
        await run.wait()
        runtime.reload({"it": Limit(at_once=3)})
        began = now()
        await runtime.run(fan_map(ask, [60] * 30, at_once=30))
        assert now() == began
        runtime.reload({"it": Limit(tokens_per_minute=60)})
        await runtime.run(fan_map(ask, [60] * 3, at_once=3))
        return now() - began

    assert under({"it": Limit(tokens_per_minute=60)}, body) >= 119.0


def test_a_width_gets_rates_when_nobody_holds_it():
    async def body(runtime):
        run = runtime.start(holds(2.0))
        await asyncio.sleep(1.0)
        with pytest.raises(ValueError, match="limit 'it' had a width only, and 1 calls hold it"):
            runtime.reload({"it": Limit(requests_per_minute=60)})
        assert runtime.definitions == {"it": Limit(at_once=1)}
        await run.wait()
        runtime.reload({"it": Limit(requests_per_minute=60, burst=1)})
        await runtime.run(fan_map(holds, [0.0] * 5, at_once=5))
        return now()

    assert under({"it": Limit(at_once=1)}, body) == pytest.approx(6.0)


def test_all_of_it_or_nothing():
    @step(limit="other")
    async def other():
        await asyncio.sleep(1.0)

    limits = {"it": Limit(at_once=1), "other": Limit(at_once=1)}

    async def body(runtime):
        runs = [runtime.start(holds(1.0)), runtime.start(other())]
        await asyncio.sleep(0.5)
        for wrong, error in [
            ({"it": Limit(at_once=7)}, LimitUnknown),
            ({"it": Limit(at_once=7), "other": 8}, TypeError),
            ({"it": Limit(at_once=7), "other": Limit(ramp=3.0)}, ValueError),
            ("limits.toml", TypeError),
        ]:
            with pytest.raises(error):
                runtime.reload(wrong)
            assert runtime.definitions is limits
            assert seen(runtime).at_once == 1
        for run in runs:
            await run.wait()
        runtime.reload({"*": Limit(at_once=3)})
        assert [each.at_once for each in runtime.statistics().limits] == [3, 3]

    under(limits, body)


# A file


GOOD = """
[limits.it]
at_once = 2
[limits."openai:*"]
requests_per_minute = 500
tokens_per_minute = 2e5
charge = "admission"
"""


def test_a_file_of_limits_is_read(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(GOOD)
    found = LimitsFile(path, beside={"it": Limit(at_once=9), "*": Limit()}).read()
    openai = Limit(requests_per_minute=500, tokens_per_minute=200_000, charge="admission")
    assert found == {"it": Limit(at_once=2), "openai:*": openai, "*": Limit()}
    assert list(found)[-1] == "*"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no table [limits]"),
        ("limits = 3", "there is no table [limits]"),
        ("[limits]\nit = 3", "[limits] it = 3 is no table: write [limits"),
        ("[limits.it]\nat_once = 0", "[limits.it]: Limit(at_once=) is at least 1"),
        ("[limits.it]\nrpm = 5", "[limits.it]: Limit(): got an unexpected keyword argument 'rpm'"),
        ("[limits.it]\nat_once =", "Invalid value (at "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text, said, tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"limits\.toml: ") as caught:
        LimitsFile(path).read()
    assert said in str(caught.value)


@pytest.mark.real_clock
async def test_a_runtime_does_not_start_on_a_file_that_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError):
        await Runtime(limits=str(tmp_path / "none.toml")).__aenter__()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[limits.it]\nat_once = 0")
    runtime = Runtime(limits=wrong)
    with pytest.raises(ValueError, match=r"\[limits.it\]: Limit\(at_once=\) is at least 1"):
        await runtime.__aenter__()
    wrong.write_text("[limits.it]\nat_once = 1")
    async with no_orphans(), runtime:
        await runtime.run(holds(0.0))


@pytest.mark.real_clock
@pytest.mark.blocking_ok
async def test_a_file_is_taken_when_it_changes_and_a_mistake_is_said_once(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(_reload, "EVERY", 0.01)
    caplog.set_level(logging.INFO, "fanwise")
    path = tmp_path / "limits.toml"
    path.write_text("[limits.it]\nat_once = 1")
    go_on = asyncio.Event()

    @step(limit="it")
    async def waits(number):
        await go_on.wait()

    async def until(true):
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.005)

    async with no_orphans(), Runtime(limits=path) as runtime:
        run = runtime.start(fan_map(waits, range(4), at_once=4))
        await until(lambda: runtime.statistics().limits and seen(runtime).in_flight == 1)
        replace(path, "[limits.it]\nat_once = 0")
        await until(lambda: "the limits stay as they were" in caplog.text)
        replace(path, "[limits.other]\nat_once = 3")
        await until(lambda: "limit 'it' is not defined" in caplog.text)
        path.unlink()
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert seen(runtime).at_once == 1
        assert len([each for each in caplog.messages if "stay as they were" in each]) == 2
        replace(path, "[limits.it]\nat_once = 3")
        await until(lambda: seen(runtime).in_flight == 3)
        go_on.set()
        await run.wait()
    assert [each for each in caplog.messages if "read again" in each]


def replace(path, text):
    """Write a file as an editor does: beside it, and renamed over it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def test_a_bucket_smaller_than_what_is_in_flight_lets_in_again_at_its_own_rate():
    @step(limit="it", needs=Need(100, 100))
    async def long(number):
        await asyncio.sleep(20.0)
        current().usage(model="m", tokens_in=100, tokens_out=100)

    async def body(runtime):
        run = runtime.start(fan_map(long, range(20), at_once=20))
        await asyncio.sleep(1.0)
        assert seen(runtime).in_flight > 5
        runtime.reload({"it": Limit(tokens_per_minute=60)})
        began = now()
        call = runtime.start(ask(), priority=5)
        await call.wait()
        run.cancel()
        return now() - began

    assert under({"it": Limit(tokens_per_minute=6_000)}, body) < 200.0


def test_a_width_has_no_rates_while_a_call_of_it_backs_off():
    @step(limit="it", retry=Retry(attempts=2, shortest=4.0, longest=4.0))
    async def again():
        if current().attempt == 1:
            raise ConnectionError
        return 1

    async def body(runtime):
        run = runtime.start(again())
        await asyncio.sleep(0.001)
        assert seen(runtime).in_flight == 0
        with pytest.raises(ValueError, match="had a width only"):
            runtime.reload({"it": Limit(requests_per_minute=60)})
        assert await run.wait() == 1
        runtime.reload({"it": Limit(requests_per_minute=60)})

    under({"it": Limit(at_once=1)}, body)
