"""Limits seen from outside: their statistics, and what listeners are told of them."""

import asyncio

import pytest

from fanwise import Limit, Retry, Runtime, current, fan_map, fan_out, step
from fanwise.core import Need
from fanwise.record import LimitEvent
from fanwise.testing import run_virtual


class TooManyRequests(Exception):
    """What a client raises at a 429."""

    status_code = 429

    def __init__(self, seconds=None):
        self.headers = {} if seconds is None else {"retry-after": str(seconds)}


@step(limit="it", needs=Need(40, 20))
async def ask(seconds=0.0):
    await asyncio.sleep(seconds)
    current().usage(model="m", tokens_in=40, tokens_out=20)


def heard(limit, body):
    """Run `body(runtime)` where "it" is under `limit`; give its value and the limit's events."""
    events = []

    async def main():
        runtime = Runtime(limits={"it": limit}, seed=1, listeners=[events.append])
        async with runtime:
            return await body(runtime)

    value = run_virtual(main())
    return value, [event for event in events if isinstance(event, LimitEvent)]


@pytest.mark.parametrize("limit", [Limit(at_once=1), Limit(at_once=1, requests_per_minute=600)])
def test_a_wait_is_told_when_it_begins_and_when_it_ends(limit):
    async def body(runtime):
        await runtime.run(fan_out(ask(2.0), ask(1.0)), run_id="r")
        return runtime.runs[0].record()

    record, (began, ended) = heard(limit, body)
    late = max(record.calls, key=lambda row: row.waits.get("limit", 0))
    assert (began.what, began.name, began.value, began.run) == ("waits", "it", 0.0, "r")
    assert (ended.what, ended.name, ended.run) == ("admitted", "it", "r")
    assert began.call == ended.call == late.call
    assert ended.value == late.waits["limit"] / 1e6 == pytest.approx(2.0)
    assert ended.time - began.time == pytest.approx(2.0)
    assert began.time == pytest.approx(record.header.anchor / 1e9, abs=1.0)


def test_a_wait_that_is_given_up_is_told():
    async def body(runtime):
        holds = runtime.start(ask(5.0))
        await asyncio.sleep(0)
        waits = runtime.start(ask())
        await asyncio.sleep(1.5)
        waits.cancel()
        await holds.wait()

    _, events = heard(Limit(at_once=1), body)
    assert [(event.what, event.value) for event in events] == [("waits", 0.0), ("left", 1.5)]


def test_a_refusal_and_the_pause_after_it_are_told_once_and_counted():
    @step(limit="it", retry=Retry(attempts=2))
    async def refused_once():
        if current().attempt == 1:
            await asyncio.sleep(1.0)
            raise TooManyRequests(7)

    async def body(runtime):
        running = runtime.start(fan_out(refused_once(), refused_once()))
        await asyncio.sleep(3.0)
        seen = runtime.statistics().limits[0]
        await running.wait()
        return seen, runtime.statistics().limits[0]

    (during, after), events = heard(Limit(requests_per_minute=600), body)
    assert (during.refused, during.pauses, during.paused) == (2, 1, pytest.approx(5.0))
    assert (after.refused, after.pauses, after.paused) == (2, 1, 0.0)
    told = [(event.what, event.value) for event in events if event.what in ("refused", "paused")]
    assert told == [("refused", 7.0), ("paused", 7.0), ("refused", 7.0)]
    admitted = [event for event in events if event.what == "admitted"]
    assert all(event.value > 0 for event in admitted)


def test_how_much_of_each_rate_was_used_is_told():
    async def body(runtime):
        await runtime.run(fan_map(ask, [0.0] * 10, at_once=10))
        return runtime.statistics().limits[0], asyncio.get_running_loop().time()

    (seen, now), _ = heard(Limit(tokens_per_minute=120, requests_per_minute=600), body)
    assert now > 200  # 600 tokens, of which 120 were there at the start
    assert seen.used["tokens_per_minute"] == pytest.approx(600 / (2 * now))
    assert seen.used["requests_per_minute"] == pytest.approx(10 / (10 * now))
    assert seen.quota.used == 600


def test_before_the_first_call_nothing_is_used():
    async def body(runtime):
        runtime.width("it")
        return runtime.statistics().limits[0]

    seen, events = heard(Limit(tokens_per_minute=120), body)
    assert (seen.used, events) == ({"tokens_per_minute": 0.0}, [])


def test_nobody_is_told_where_nobody_listens(monkeypatch):
    told = []
    monkeypatch.setattr(Runtime, "tell_listeners", lambda *given: told.append(given))

    async def main():
        async with Runtime(limits={"it": Limit(at_once=1)}) as runtime:
            await runtime.run(fan_out(ask(1.0), ask(1.0)))

    run_virtual(main())
    assert told == []


def test_a_width_that_falls_and_rises_is_told():
    @step(limit="it", retry=Retry(attempts=2, shortest=0, longest=0))
    async def overloaded_once(number):
        await asyncio.sleep(1.0)
        if number < 8 and current().attempt == 1:
            error = RuntimeError("overloaded")
            error.status_code = 503
            raise error

    async def body(runtime):
        await runtime.run(fan_map(overloaded_once, range(200), at_once=8))
        return runtime.statistics().limits[0]

    seen, events = heard(Limit(at_once=8, requests_per_minute=60_000), body)
    widths = [event.value for event in events if event.what == "width"]
    assert widths[0] < 8, "of eight that were in flight"
    assert widths == list(range(int(widths[0]), 9)), "one fall for one burst of failures, and back"
    assert (seen.falls, seen.width, seen.refused) == (1, None, 0)


def test_a_name_without_rates_tells_of_its_pause_too():
    @step(limit="it", retry=Retry(attempts=2))
    async def refused_once():
        if current().attempt == 1:
            await asyncio.sleep(1.0)
            raise TooManyRequests(4)

    async def body(runtime):
        await runtime.run(fan_out(refused_once(), refused_once()))
        return runtime.statistics().limits[0]

    seen, events = heard(Limit(at_once=4), body)
    told = [
        (event.what, event.value) for event in events if event.what not in ("waits", "admitted")
    ]
    assert told[:3] == [("refused", 4.0), ("paused", 4.0), ("refused", 4.0)]
    assert {what for what, _ in told[3:]} == {"width"}
    assert (seen.refused, seen.pauses) == (2, 1)
