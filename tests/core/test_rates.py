"""Limits with rates, as a step meets them: reserved, waited for, settled, refused."""

import asyncio
import logging
import threading
from types import SimpleNamespace

import pytest

from fanwise import Hedge, Limit, Retry, Runtime, current, deadline, fan_out, step
from fanwise.core import Need, _needs
from fanwise.errors import LimitHeld, LimitTooSlow, LimitTooSmall
from fanwise.testing import run_virtual


def now():
    return asyncio.get_running_loop().time()


def under(limit, body, **more):
    """Run `body(runtime)` on the virtual clock, where "it" is under `limit`."""

    async def main():
        async with Runtime(limits={"it": limit}, seed=1, **more) as runtime:
            return await body(runtime)

    return run_virtual(main())


@pytest.fixture(autouse=True)
def sure_from_the_start(request, monkeypatch):
    """Most steps here say the truth of themselves; `doubtful` marks where nobody knows."""
    if "doubtful" not in request.fixturenames:
        monkeypatch.setattr(_needs, "SURE", 0)


@pytest.fixture
def doubtful():
    """Let the runtime take what steps say of themselves for a guess, as it is."""


def room(runtime, rate="tokens_per_minute"):
    return runtime.statistics().limits[0].quota.room[rate]


@step(limit="it", needs=Need(40, 20))
async def ask(used=(40, 20), seconds=0.0):
    began = now()
    await asyncio.sleep(seconds)
    if used is not None:
        current().usage(model="m", tokens_in=used[0], tokens_out=used[1])
    return began


TOKENS = Limit(tokens_per_minute=120)


def test_a_limit_says_what_is_wrong():
    for given, error, words in [
        ({"tokens_per_minute": 0}, ValueError, "tokens_per_minute=) is above 0"),
        ({"tokens_per_minute": "9"}, TypeError, "tokens_per_minute=) is a number"),
        ({"requests_per_minute": float("inf")}, ValueError, "None is no bound"),
        ({"requests_per_minute": 1, "burst": 30}, ValueError, "at least 60 s here"),
        ({"burst": 0}, ValueError, "burst=) is above 0"),
        ({"charge": "never"}, ValueError, '"use" or "admission"'),
        ({"at_once": 0}, ValueError, "at_once=) is at least 1"),
    ]:
        with pytest.raises(error) as caught:
            Limit(**given)
        assert words in str(caught.value)


def test_needs_say_what_is_wrong():
    with pytest.raises(TypeError, match=r"Need\(1500, 300\)"):
        step(needs=300)(ask.function)
    with pytest.raises(ValueError, match=r"Need\(tokens_out=\) is at least 0"):
        step(needs=Need(1, -1))(ask.function)
    wrong = step(limit="it", needs=lambda *_: (1, 2), name="wrong")(ask.function)

    async def body(runtime):
        with pytest.raises(TypeError, match="needs= of wrong is a Need"):
            await runtime.run(wrong())

    under(TOKENS, body)


def test_runs_say_what_is_wrong():
    async def body(runtime):
        for given, words in [({"weight": 0}, "weight is above 0"), ({"priority": 1.5}, "priority is a whole"), ({"tenant": 7}, "tenant is a str")]:  # fmt: skip
            call = ask()
            with pytest.raises((TypeError, ValueError), match=words):
                await runtime.run(call, **given)
            await runtime.run(call)

    under(Limit(tokens_per_minute=6000), body)


def test_what_is_reserved_is_settled_by_what_was_used():
    async def body(runtime):
        run = runtime.start(ask((10, 5), seconds=3.0))
        await asyncio.sleep(1)
        assert room(runtime) == 0.5  # what is in flight keeps its place
        await run.wait()
        assert room(runtime) == 105 / 120
        await runtime.run(ask((70, 80)))  # more than was reserved
        assert room(runtime) < 0
        quota = runtime.statistics().limits[0].quota
        assert (quota.admitted, quota.used, quota.refunded, quota.in_flight) == (2, 165, 45, 0)

    under(TOKENS, body)


def test_what_a_step_used_is_reserved_next_time_at_its_ninetieth_percentile():
    async def body(runtime):
        for tokens in range(1, 101):
            await runtime.run(ask((tokens, 2 * tokens)))
        before = runtime.statistics().limits[0].quota.reserved
        run = runtime.start(ask(seconds=1.0))
        await asyncio.sleep(0.5)
        assert runtime.statistics().limits[0].quota.reserved - before == 90 + 180
        await run.wait()

    under(Limit(tokens_per_minute=10**6), body)


def test_the_most_that_a_step_says_bounds_what_is_reserved():
    bounded = step(limit="it", needs=lambda most: Need(10, 20, most), name="bounded")

    @bounded
    async def job(most):
        current().usage(model="m", tokens_in=10, tokens_out=50)

    async def body(runtime):
        await runtime.run(job(100))
        before = runtime.statistics().limits[0].quota.reserved
        await runtime.run(job(30))
        assert runtime.statistics().limits[0].quota.reserved - before == 40

    under(Limit(tokens_per_minute=6000), body)


def test_a_provider_that_charges_at_admission_takes_the_most_and_gives_nothing_back():
    @step(limit="it", needs=Need(10, 20, 100))
    async def job():
        current().usage(model="m", tokens_in=10, tokens_out=1)

    async def body(runtime):
        await runtime.run(job())
        assert room(runtime) == 10 / 120

    under(Limit(tokens_per_minute=120, charge="admission"), body)


@pytest.mark.usefixtures("doubtful")
def test_what_is_said_beforehand_counts_for_more_until_ten_are_settled():
    async def body(runtime):
        reserved = []
        for _ in range(12):
            await runtime.run(ask((40, 10)))
            reserved.append(runtime.statistics().limits[0].quota.reserved - sum(reserved))
        assert reserved[0] == 2.5 * (40 + 20)
        assert reserved == sorted(reserved, reverse=True)
        assert reserved[-2:] == [50, 50]

    under(Limit(tokens_per_minute=10**6), body)


def test_the_first_attempt_of_a_step_that_says_nothing_goes_alone():
    @step(limit="it")
    async def unknown():
        began = now()
        await asyncio.sleep(1)
        current().usage(model="m", tokens_in=10, tokens_out=0)
        return began

    async def body(runtime):
        found = await runtime.run(all_of([unknown() for _ in range(4)]))
        assert found == [0.0, 1.0, 1.0, 1.0]

    under(TOKENS, body)


@step
async def all_of(calls):
    return list((await fan_out(*calls)).values())


def test_a_step_that_never_tells_is_named_once(caplog):
    @step(limit="it")
    async def silent():
        return now()

    async def body(runtime):
        assert await runtime.run(all_of([silent() for _ in range(3)])) == [0.0, 60.0, 120.0]

    with caplog.at_level(logging.WARNING):
        under(TOKENS, body)
    assert [record.message.partition(" is")[0] for record in caplog.records] == [silent.name]
    assert "needs=Need(1500, 300)" in caplog.text


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (SimpleNamespace(status_code=429), 1.0),
        (SimpleNamespace(status_code=400), 1.0),
        (SimpleNamespace(status_code=500), 0.5),
        (ConnectionRefusedError(), 0.5),
        (ValueError("after the answer"), 0.5),
    ],
    ids=repr,
)
def test_an_attempt_that_was_refused_used_no_tokens_and_any_other_may_have(error, left):
    class Refused(Exception):
        def __init__(self, response):
            super().__init__("no")
            self.response = response
            self.status_code = response.status_code

    @step(limit="it", needs=Need(40, 20))
    async def fails():
        raise error if isinstance(error, Exception) else Refused(error)

    async def body(runtime):
        with pytest.raises((Refused, OSError, ValueError)):
            await runtime.run(fails())
        if isinstance(error, ConnectionRefusedError):
            assert room(runtime) == 1.0  # it was never sent
        else:
            assert room(runtime) == left
        assert not runtime.statistics().limits[0].in_flight

    under(TOKENS, body)


def test_what_is_let_go_counts_as_what_was_reserved_or_more():
    async def body(runtime):
        await runtime.run(ask((40, 20), seconds=1.0))
        await asyncio.sleep(60)
        run = runtime.start(ask((40, 20), seconds=1.0))
        await asyncio.sleep(0.5)
        run.cancel()
        await asyncio.wait([run.task])
        assert room(runtime) == 0.5

    under(TOKENS, body)


def test_every_attempt_reserves_anew():
    tries = []

    @step(limit="it", needs=Need(30, 0), retry=Retry(attempts=3, shortest=0, longest=0))
    async def flaky():
        tries.append(now())
        raise TimeoutError

    async def body(runtime):
        with pytest.raises(TimeoutError):
            await runtime.run(flaky())
        assert tries == [0.0, 0.0, 0.0]
        assert room(runtime) == 0.25

    under(TOKENS, body)


def test_a_hedge_is_sent_only_where_its_tokens_are_there():
    def sent(need):
        @step(limit="it", needs=Need(need, 0), hedge=Hedge(after=1.0))
        async def slow():
            await asyncio.sleep(5)
            current().usage(model="m", tokens_in=need)

        async def body(runtime):
            await runtime.run(slow())
            found = runtime.statistics()
            assert found.limits[0].in_flight == 0
            return found.hedges[0].sent, found.hedges[0].held_back

        return under(TOKENS, body)

    assert sent(40) == (1, 0)
    assert sent(80) == (0, 1)


def test_a_request_that_is_larger_than_the_bucket_is_refused_at_once_with_both_numbers():
    @step(limit="it", needs=Need)
    async def large(tokens):
        raise AssertionError

    async def body(runtime):
        with pytest.raises(LimitTooSmall) as caught:
            await runtime.run(large(121))
        assert now() == 0
        assert (caught.value.needed, caught.value.size) == (121, 120)
        for words in ("large", "121 tokens", "'it'", "120", "tokens_per_minute=120", "burst=60"):
            assert words in str(caught.value)

    under(TOKENS, body)


def test_a_first_guess_that_is_larger_than_the_bucket_takes_all_of_it():
    @step(limit="it", needs=Need(20, 4000, 4000))
    async def job():
        current().usage(model="m", tokens_in=20, tokens_out=10)

    async def body(runtime):
        await runtime.run(job())
        assert room(runtime) == 90 / 120

    under(TOKENS, body)


def test_whoever_cannot_be_served_before_the_deadline_hears_it_at_once():
    async def body(runtime):
        await runtime.run(ask((100, 20)))
        with deadline(20), pytest.raises(LimitTooSlow) as caught:
            await runtime.run(ask())
        assert now() == 0
        assert (caught.value.wait, caught.value.left) == (60.0, 20.0)
        with deadline(60.5):
            assert await runtime.run(ask()) == 60.0

    under(TOKENS, body)


def test_one_atomic_decision_holds_no_slot_while_it_waits_for_tokens():
    @step(limit="it", needs=lambda tokens, seconds: Need(tokens))
    async def job(tokens, seconds):
        began = now()
        await asyncio.sleep(seconds)
        current().usage(model="m", tokens_in=tokens)
        return began

    @step
    async def main():
        first = asyncio.ensure_future(job(100, 1))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(job(100, 1))  # waits for tokens
        await asyncio.sleep(2)
        assert current_limit().in_flight == 0
        return [await first, await second]

    def current_limit():
        return runtimes[0].statistics().limits[0]

    runtimes = []

    async def body(runtime):
        runtimes.append(runtime)
        assert await runtime.run(main()) == [0.0, 41.0]

    under(Limit(at_once=1, tokens_per_minute=120), body)


def test_a_rate_may_be_asked_below_itself_and_a_width_may_not():
    @step(limit="it")
    async def inner():
        return 1

    @step(limit="it")
    async def outer():
        return await inner()

    async def body(runtime):
        return await runtime.run(outer())

    assert under(Limit(requests_per_minute=60), body) == 1
    with pytest.raises(LimitHeld):
        under(Limit(requests_per_minute=60, at_once=2), body)


def test_a_drain_refuses_who_waits():
    async def body(runtime):
        run = runtime.start(all_of([ask() for _ in range(3)]))
        await asyncio.sleep(1)
        assert runtime.statistics().limits[0].waiting == 1
        runtime.drain()
        with pytest.raises(Exception, match="drains"):
            await run.wait()
        assert runtime.statistics().limits[0].waiting == 0

    under(TOKENS, body)


def test_the_record_says_how_long_a_call_waited():
    async def body(runtime):
        run = runtime.start(all_of([ask() for _ in range(3)]))
        await run.wait()
        waits = [dict(row.waits or {}) for row in run.record().calls if row.step == ask.name]
        assert sorted(each.get("limit", 0) for each in waits) == [0, 0, 30_000_000]

    under(TOKENS, body)


def test_a_stream_is_settled_when_it_ends():
    @step(limit="it", needs=Need(60))
    async def numbers():
        yield 1
        await asyncio.sleep(1)
        current().usage(model="m", tokens_in=30)
        yield 2

    async def body(runtime):
        async with numbers() as stream:
            found = [(number, room(runtime)) async for number in stream]
        assert found[0] == (1, 0.5)
        assert room(runtime) == 0.75

    under(TOKENS, body)


@pytest.mark.real_clock
async def test_the_slot_of_a_thread_that_goes_on_is_given_back_when_it_ends():
    go_on = threading.Event()

    @step(limit="it", timeout=0.01)
    def blocked():
        go_on.wait(10)

    async with Runtime(limits={"it": Limit(at_once=1, requests_per_minute=600)}) as runtime:
        with pytest.raises(TimeoutError):
            await runtime.run(blocked())
        assert runtime.statistics().limits[0].in_flight == 1
        go_on.set()
        while runtime.statistics().limits[0].in_flight:
            await asyncio.sleep(0)
        assert runtime.statistics().limits[0].quota.in_flight == 0
