"""Limits that follow their provider: pauses, widths that fall and rise, headers, ramps."""

import asyncio
import logging
from types import MappingProxyType

import pytest

from fanwise import Hedge, Limit, Retry, Runtime, current, fan_out, step
from fanwise.core import Need, _needs
from fanwise.core._transient import retry_after
from fanwise.errors import NotDone
from fanwise.testing import run_virtual


class Status(ConnectionError):
    def __init__(self, status, **headers):
        super().__init__(f"HTTP {status}")
        self.status_code = status
        self.headers = MappingProxyType({k.replace("_", "-"): v for k, v in headers.items()})


def now():
    return asyncio.get_running_loop().time()


def under(limit, body, **more):
    """Run `body(runtime)` on the virtual clock, where "it" is under `limit`."""

    async def main():
        async with Runtime(limits={"it": limit}, seed=1, **more) as runtime:
            return await body(runtime)

    return run_virtual(main())


@pytest.fixture(autouse=True)
def sure_from_the_start(monkeypatch):
    """What these steps say of themselves is true."""
    monkeypatch.setattr(_needs, "SURE", 0)


def state(runtime):
    return runtime.statistics().limits[0]


def room(runtime, rate="tokens_per_minute"):
    return state(runtime).quota.room[rate]


async def failed(awaitable):
    with pytest.raises(OSError, match=r"HTTP|^$"):
        await awaitable


# What says that the width is too large


@step(limit="it", timeout=10.0)
async def job(error=None, seconds=1.0):
    await asyncio.sleep(seconds)
    if error is not None:
        raise error


async def together(*errors, seconds=1.0):
    await fan_out(*[job(error, seconds) for error in errors], need=0)


WIDE = Limit(at_once=100, requests_per_minute=1e6)


@pytest.mark.parametrize(
    ("error", "width"),
    [(Status(429), 7.0), (Status(503), 7.0), (Status(529), 7.0), (Status(500), None),
     (Status(400), None), (Status(504), None), (ValueError(), None), (ConnectionError(), None)],
    ids=repr,
)  # fmt: skip
def test_an_overload_takes_the_width_to_seven_tenths_of_what_is_in_flight(error, width):
    async def body(runtime):
        @step
        async def main():
            slow = [asyncio.ensure_future(job(None, 5.0)) for _ in range(9)]
            await asyncio.wait([asyncio.ensure_future(job(error))])
            assert state(runtime).width == (width and pytest.approx(width))
            await asyncio.wait(slow)

        await runtime.run(main())

    under(WIDE, body)


def test_one_attempt_alone_is_not_too_wide_and_a_width_that_nobody_fills_is_forgotten():
    async def body(runtime):
        @step
        async def main():
            await together(Status(503))
            assert state(runtime).width is None
            await together(*[Status(503)] * 10)
            await asyncio.sleep(59)
            await together(*[None] * 2)
            assert state(runtime).width == pytest.approx(7.0)
            await asyncio.sleep(2)
            await together(*[None] * 2)
            assert state(runtime).width is None

        await runtime.run(main())

    under(WIDE, body)


def test_one_attempt_in_a_hundred_that_runs_out_of_time_is_no_overload_and_one_in_five_is():
    def width(late, well):
        async def body(runtime):
            @step
            async def main():
                for _ in range(20):
                    await together(*[TimeoutError()] * late, *[None] * well)

            await runtime.run(main())
            return state(runtime).width, state(runtime).falls

        return under(WIDE, body)

    assert width(1, 99) == (None, 0)
    assert width(20, 80)[0] is not None


def test_a_timeout_of_the_step_counts_as_one_and_a_cancel_as_none():
    async def body(runtime):
        @step
        async def main():
            tasks = [asyncio.ensure_future(job(None, 100.0)) for _ in range(10)]
            await asyncio.sleep(5)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert state(runtime).falls == 0
            await together(*[None] * 10, seconds=100.0)
            assert state(runtime).falls == 1

        await runtime.run(main())

    under(WIDE, body)


def test_a_plain_width_does_not_fall_unless_it_is_told_to():
    def falls(**more):
        async def body(runtime):
            @step
            async def main():
                await together(*[Status(503)] * 4)

            await runtime.run(main())
            return state(runtime).falls

        return under(Limit(at_once=8, **more), body)

    assert falls() == 0
    assert falls(adaptive=True) == 1
    assert falls(adaptive=False, requests_per_minute=1000) == 0


# Pauses


def test_a_503_pauses_the_name_only_where_it_says_how_long():
    def paused(error):
        async def body(runtime):
            await failed(runtime.run(job(error)))
            return state(runtime).paused

        return under(WIDE, body)

    assert paused(Status(503)) == 0
    assert paused(Status(503, retry_after="7")) == 7.0
    assert paused(Status(429)) == 1.0
    assert paused(Status(429, retry_after="inf")) == 60.0


@pytest.mark.parametrize("limit", [WIDE, Limit(at_once=4)], ids=repr)
def test_a_write_that_was_refused_pauses_the_name_too(limit):
    @step(limit="it", effect="write")
    async def send():
        raise NotDone("refused") from Status(429, retry_after="7")

    async def body(runtime):
        with pytest.raises(NotDone):
            await runtime.run(send())
        assert state(runtime).paused == 7.0

    under(limit, body)


def test_retry_after_is_read_in_all_its_forms():
    assert retry_after(Status(429, retry_after="2")) == 2.0
    assert retry_after(Status(429, retry_after="3", retry_after_ms="2500")) == 2.5
    assert retry_after(Status(429, retry_after="3", retry_after_ms="soon")) == 3.0
    assert retry_after(Status(429, retry_after="never")) == 0.0
    assert retry_after(Status(429, retry_after="Wed, 01 Jan 2200 00:00:00 GMT")) > 0
    assert retry_after(Status(429, retry_after="Wed, 01 Jan 2020 00:00:00 GMT")) == 0.0
    assert retry_after(Status(429, retry_after_ms="-5")) == 0.0


@pytest.mark.parametrize("limit", [WIDE, Limit(at_once=4), Limit()], ids=repr)
def test_in_a_pause_what_is_in_flight_goes_on_and_no_hedge_is_sent(limit):
    ended, begun = [], []

    @step(limit="it", hedge=Hedge(after=2.0))
    async def slow():
        begun.append(now())
        await asyncio.sleep(5)
        ended.append(now())

    async def body(runtime):
        @step
        async def main():
            task = asyncio.ensure_future(slow())
            await asyncio.sleep(0)
            await failed(job(Status(429, retry_after="10")))
            await task

        await runtime.run(main())
        assert (begun, ended) == ([0.0], [5.0])
        assert runtime.statistics().hedges[0].held_back == 1

    under(limit, body)


def test_a_longer_pause_stays_and_a_retry_waits_in_line():
    begun = []

    @step(limit="it", retry=Retry(attempts=2, shortest=0, longest=0))
    async def ask(index):
        begun.append((now(), index))
        await asyncio.sleep(1)
        if now() == 1:
            raise Status(429, retry_after=str(20 - 10 * index))

    async def body(runtime):
        @step
        async def main():
            await fan_out(ask(0), ask(1))

        await runtime.run(main())
        assert begun[2] == (21.0, 1)  # it was back first
        assert begun[3][1] == 0

    under(Limit(requests_per_minute=600), body)


def test_drain_and_close_leave_nothing_of_a_pause():
    async def body(runtime):
        run = runtime.start(job(Status(429, retry_after="100")))
        await asyncio.wait([run.task])
        waiting = runtime.start(job())
        await asyncio.sleep(1)
        runtime.drain()
        with pytest.raises(Exception, match="drains"):
            await waiting.wait()

    for limit in (Limit(at_once=4), WIDE):
        under(limit, body)


# Headers


@step(limit="it", needs=Need(10, 10))
async def told(headers, used=(10, 10)):
    current().rate_limits(headers)
    current().usage(tokens_in=used[0], tokens_out=used[1])


@pytest.mark.parametrize(
    "headers",
    [{"x-ratelimit-remaining-tokens": "30"}, {"X-RateLimit-Remaining-Tokens": "30"},
     {"anthropic-ratelimit-tokens-remaining": "30"}],
    ids=str,
)  # fmt: skip
def test_what_a_response_says_is_left_corrects_the_limit(headers):
    async def body(runtime):
        await runtime.run(told(headers))
        assert room(runtime) == pytest.approx(20 / 120)  # the answer's own is yet to be counted
        assert state(runtime).quota.corrections == 1

    under(Limit(tokens_per_minute=120), body)


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-ratelimit-remaining-tokens": "soon"}, {"x-ratelimit-remaining-tokens": "500"},
     {"x-ratelimit-limit-tokens": "3"}, {"content-type": "x"},
     {"x-ratelimit-remaining-requests": "0"}, {"x-ratelimit-remaining-tokens": "inf"}],
    ids=str,
)  # fmt: skip
def test_headers_that_say_nothing_or_more_change_nothing(headers):
    async def body(runtime):
        await runtime.run(told(headers))
        assert room(runtime) == pytest.approx(100 / 120)
        assert not state(runtime).quota.corrections

    under(Limit(tokens_per_minute=120), body)


def test_each_rate_hears_its_own_headers():
    async def body(runtime):
        await runtime.run(
            told(
                {
                    "anthropic-ratelimit-requests-remaining": "6",
                    "anthropic-ratelimit-input-tokens-remaining": "60",
                    "anthropic-ratelimit-output-tokens-remaining": "30",
                }
            )
        )
        assert state(runtime).quota.room == pytest.approx(
            {
                "requests_per_minute": 0.1,
                "input_tokens_per_minute": 0.5,
                "output_tokens_per_minute": 20 / 120,
            }
        )

    limit = Limit(requests_per_minute=60, input_tokens_per_minute=120,
                  output_tokens_per_minute=120)  # fmt: skip
    under(limit, body)


def test_headers_are_heard_from_a_step_below_and_nowhere_without_a_limit():
    low = {"x-ratelimit-remaining-tokens": "30"}

    @step
    async def fetch():
        current().rate_limits(low)

    @step(limit="it", needs=Need(10, 10))
    async def ask():
        await fetch()
        current().usage(tokens_in=10, tokens_out=10)

    async def body(runtime):
        await runtime.run(fetch())
        await runtime.run(ask())
        assert room(runtime) == pytest.approx(20 / 120)

    under(Limit(tokens_per_minute=120), body)

    async def wide(runtime):
        await runtime.run(ask())

    under(Limit(at_once=3), wide)


def test_headers_that_are_none_are_refused():
    async def body(runtime):
        with pytest.raises(TypeError, match=r"headers of a response, got 'x'"):
            await runtime.run(told("x"))

    under(Limit(tokens_per_minute=120), body)


@pytest.mark.real_clock
async def test_headers_are_heard_from_a_thread():
    @step(limit="it", needs=Need(10, 10))
    def ask():
        current().rate_limits({"x-ratelimit-remaining-tokens": "30"})
        current().usage(tokens_in=10, tokens_out=10)

    async with Runtime(limits={"it": Limit(tokens_per_minute=120)}) as runtime:
        await runtime.run(ask())
        assert state(runtime).quota.corrections == 1
        assert room(runtime) < 0.25


# Ramps


def test_a_ramp_opens_the_buckets_too():
    begun = []

    @step(limit="it")
    async def ask():
        begun.append(now())

    async def body(runtime):
        @step
        async def main():
            await fan_out(*[ask() for _ in range(61)])

        await runtime.run(main())
        assert begun[0] == 0
        assert begun[30] == pytest.approx(10.0)
        assert begun[59] == pytest.approx(20 * 59 / 60)

    under(Limit(requests_per_minute=60, ramp=20.0), body)


def test_what_comes_back_in_a_ramp_lets_the_next_one_in_sooner():
    begun = []

    @step(limit="it", needs=Need(60))
    async def ask():
        begun.append(now())
        await asyncio.sleep(1)
        current().usage(tokens_in=6)

    async def body(runtime):
        await runtime.run(ask())
        assert await runtime.run(ask()) is None
        assert begun == [0.0, pytest.approx(1.0)]

    under(Limit(tokens_per_minute=120, ramp=10.0), body)


def test_a_ramp_says_what_is_wrong():
    for given, error, words in [
        ({"ramp": -1}, ValueError, "ramp=) is at least 0"),
        ({"ramp": "1"}, TypeError, "ramp=) is a number"),
        ({"ramp": float("inf")}, ValueError, "seconds that ends"),
        ({"adaptive": 1}, TypeError, "True, False or None, got 1"),
    ]:
        with pytest.raises(error) as caught:
            Limit(at_once=1, **given)
        assert words in str(caught.value)


# What a step says of itself


def test_the_needs_of_a_step_can_be_changed():
    @step(limit="it", needs=Need(60))
    async def ask():
        current().usage(tokens_in=1)

    def reserved(changed):
        async def body(runtime):
            await runtime.run(changed())
            return state(runtime).quota.reserved

        return under(Limit(tokens_per_minute=120), body)

    assert reserved(ask.using(needs=Need(20))) == 20
    assert reserved(ask.using(needs=lambda: Need(30))) == 30
    assert reserved(ask.using(needs=None)) == 120  # nothing is known: a whole bucket
    with pytest.raises(TypeError, match="needs is a Need"):
        ask.using(needs=3)


@pytest.mark.real_clock
async def test_a_plain_function_says_what_it_needs():
    @step(limit="it", needs=lambda text, *, most=5: Need(len(text), most, most))
    def ask(text, *, most=5):
        current().usage(tokens_in=len(text), tokens_out=1)
        return text

    async with Runtime(limits={"it": Limit(tokens_per_minute=120)}) as runtime:
        assert await runtime.run(ask("tea", most=7)) == "tea"
        assert state(runtime).quota.reserved == 10
        assert state(runtime).quota.used == 4


@pytest.mark.parametrize(("most", "warns"), [(100, True), (39, False)])
def test_a_charge_at_admission_that_is_far_above_use_is_named_once(most, warns, caplog):
    @step(limit="it", needs=Need(10, 10, most))
    async def ask():
        current().usage(tokens_in=10, tokens_out=10)

    async def body(runtime):
        for _ in range(20):
            await runtime.run(ask())

    with caplog.at_level(logging.WARNING, "fanwise"):
        under(Limit(tokens_per_minute=10_000, charge="admission"), body)
        under(Limit(tokens_per_minute=10_000), body)
    found = [record.message for record in caplog.records]
    assert len(found) == warns
    if warns:
        assert "max_tokens=100" in found[0]
        assert "10 or less" in found[0]
        assert "max_tokens=20 would do" in found[0]
