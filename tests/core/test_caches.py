"""`Cache`: one body for equal calls, and only what may stand for another is kept."""

import asyncio
import gc
from dataclasses import dataclass

import pytest

from fanwise import Breaker, Cache, Limit, Retry, Runtime, deadline, fan_map, fan_out, run, step
from fanwise.analysis import Lookout
from fanwise.core import NotCanonical
from fanwise.core._dump import dump
from fanwise.stores import MemoryJournal
from tests.stores.journals import results_of

made = []


@pytest.fixture(autouse=True)
def forget():
    made.clear()


@step(cache=Cache(size=2, ttl=60))
async def double(number):
    made.append(number)
    await asyncio.sleep(1)
    if number < 0:
        raise ValueError(number)
    return [2 * number]


def facts(run_of):
    return [row.facts.get("reused") for row in run_of.record().calls if row.step == "double"]


async def test_the_second_of_two_equal_calls_is_answered_at_once():
    time = asyncio.get_running_loop().time
    async with Runtime() as runtime:
        first = await runtime.run(double(2))
        began = time()
        second = await runtime.run(double(2))
        assert (time() - began, second is first, made) == (0, True, [2])
        row = runtime.runs[-1].record().calls[0]
        assert (row.facts["reused"], row.attempts, row.status) == ("cached", 0, "ok")
        (state,) = runtime.statistics().caches
        assert (state.name, state.kept, state.hits, state.misses) == ("double", 1, 1, 1)


async def test_equal_calls_that_run_at_once_share_one_body():
    async with Runtime() as runtime:
        found = await runtime.run(fan_map(double, [3] * 10, at_once=10))
        assert (found.values(), made) == ([[6]] * 10, [3])
        assert sorted(map(str, facts(runtime.runs[-1]))) == ["None"] + ["joined"] * 9
        rows = [r for r in runtime.runs[-1].record().calls if r.facts.get("reused") == "joined"]
        assert {row.waits["cache"] for row in rows} == {1_000_000}
        assert runtime.statistics().caches[0].joined == 9


async def test_what_is_too_old_is_made_again():
    async with Runtime() as runtime:
        await runtime.run(double(1))
        await asyncio.sleep(59.9)
        await runtime.run(double(1))
        assert made == [1]
        await asyncio.sleep(0.1)  # sixty seconds since it was there
        await runtime.run(double(1))
        assert made == [1, 1]
        assert runtime.statistics().caches[0].expired == 1


async def test_the_longest_unused_is_forgotten():
    async with Runtime() as runtime:
        for number in (1, 2, 1, 3, 1, 2):
            await runtime.run(double(number))
        assert made == [1, 2, 3, 2]
        assert runtime.statistics().caches[0].evicted == 2


@pytest.mark.parametrize("policy", [Cache(size=0), Cache(ttl=0)])
async def test_with_zero_nothing_is_kept_and_running_calls_are_shared(policy):
    of = double.using(cache=policy)
    async with Runtime() as runtime:
        await runtime.run(fan_out(of(1), of(1)))
        await runtime.run(of(1))
        assert runtime.statistics().caches[0].kept == 0
    assert made == [1, 1]


async def test_a_failure_is_not_kept_and_the_next_one_tries():
    async with Runtime() as runtime:
        found = await runtime.run(fan_out(double(-1), double(-1), double(-1), need=0))
        assert [o.status for o in found] == ["failed"] * 3
        assert [o.ended - o.started for o in found] == [1, 2, 3]
        with pytest.raises(ValueError, match="-1"):
            await runtime.run(double(-1))
        assert runtime.statistics().caches[0].kept == 0
    assert made == [-1] * 4


async def test_a_cancelled_leader_hands_on_and_the_rest_is_answered():
    async with Runtime() as runtime:
        tasks = [asyncio.ensure_future(runtime.run(double(4))) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        assert await tasks[1] == await tasks[2] == [8]
        assert asyncio.get_running_loop().time() == 1.5
    assert made == [4, 4]


async def test_the_next_leader_may_be_cancelled_on_the_same_instant():
    loop = asyncio.get_running_loop()
    calls = []

    @step(cache=Cache())
    async def fails_once(number):
        made.append(number)
        await asyncio.sleep(1)
        if len(made) == 1:
            loop.call_soon(calls[1].task.cancel)  # after its turn has come, and before it knows
            raise ValueError(number)
        return number

    async with Runtime() as runtime:
        calls += [fails_once(4) for _ in range(3)]
        found = await runtime.run(fan_out(*calls, need=0))
        assert [o.status for o in found] == ["failed", "skipped", "ok"]
        assert not runtime.leading
        assert not next(iter(runtime.caches.values())).flights
    assert made == [4, 4]


async def test_nobody_is_remembered_as_leading_who_never_came_to_it():
    loop = asyncio.get_running_loop()
    calls = []

    @step(cache=Cache())
    async def fails_once(number):
        made.append(number)
        await asyncio.sleep(1)
        if len(made) == 1:
            loop.call_soon(calls[1].task.cancel)
            raise ValueError(number)
        return number

    async def late():
        await asyncio.sleep(1)
        return await runtime.run(fails_once(4))  # after the second was to lead, and before it knows

    async with Runtime() as runtime:
        calls += [fails_once(4) for _ in range(3)]
        last = asyncio.ensure_future(late())
        await asyncio.sleep(0)
        found = await runtime.run(fan_out(*calls, need=0))
        assert [o.status for o in found] == ["failed", "skipped", "ok"]
        assert await last == 4
        assert made == [4, 4]
        assert not runtime.leading


async def test_what_a_rehearsal_drew_answers_no_other_run():
    class Drawn:
        async def play(self, own):
            return "drawn"

    def body(call, attempt, draw):
        return Drawn()

    @step(cache=Cache())
    async def real(number):
        return number

    async with Runtime() as runtime:
        assert await runtime.run(real(1), body=body) == "drawn"
        assert await runtime.run(real(1)) == 1
        found = await runtime.run(fan_map(real, [1, 1], at_once=2), body=body)
        assert found.values() == ["drawn", "drawn"]
        reused = [row.facts.get("reused") for row in runtime.runs[-1].record().calls]
        assert reused.count("cached") == 1  # within one run
        assert (await runtime.run(real(1)), runtime.statistics().caches[0].hits) == (1, 1)


async def test_a_followers_deadline_is_its_own():
    @step
    async def hurried():
        with deadline(0.25):
            return await double(5)

    async with Runtime() as runtime:
        patient = asyncio.ensure_future(runtime.run(double(5)))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await runtime.run(hurried())
        assert asyncio.get_running_loop().time() == 0.25
        assert await patient == [10]
    assert made == [5]


@dataclass(frozen=True)
class Answered:
    text: str
    complete: bool


async def test_what_is_not_complete_is_neither_kept_nor_shared():
    @step(cache=Cache())
    async def ask(question):
        made.append(question)
        await asyncio.sleep(1)
        return Answered("so far", complete=len(made) > 1)

    async with Runtime() as runtime:
        found = await runtime.run(fan_out(ask("why"), ask("why"), ask("why")))
        assert [answer.complete for answer in found.values()] == [False, True, True]
        assert runtime.statistics().caches[0].refused == 1
    assert made == ["why", "why"]


async def test_valid_says_what_may_be_kept():
    of = double.using(cache=Cache(valid=lambda value: value != [2]))
    async with Runtime() as runtime:
        for number in (1, 1, 2, 2):
            await runtime.run(of(number))
    assert made == [1, 1, 2]


async def test_a_valid_that_breaks_fails_its_call_and_stops_nobody():
    broken = double.using(cache=Cache(valid=lambda value: value[3]))
    async with Runtime() as runtime:
        found = await runtime.run(fan_out(broken(1), broken(1), need=0))
        assert [type(o.error) for o in found] == [IndexError, IndexError]


async def test_the_key_is_step_version_and_arguments_never_the_place():
    @step
    async def inside(number):
        return await double(number)

    async with Runtime() as runtime:
        await runtime.run(inside(7))
        await runtime.run(double(number=7))
        await runtime.run(double(7.0))  # another value of another type
    assert made == [7, 7.0]


async def test_two_steps_of_one_name_never_share():
    def locally(factor):
        @step(cache=Cache())
        async def times(number):
            return factor * number

        return times

    async with Runtime() as runtime:
        assert await runtime.run(locally(2)(5)) == 10
        assert await runtime.run(locally(3)(5)) == 15


async def test_objects_share_where_key_says_what_counts():
    class Client:
        def __init__(self, name):
            self.ask = step(name=name, key=lambda text: text, cache=Cache())(self._ask)

        async def _ask(self, text):
            made.append(text)
            return text.upper()

    async with Runtime() as runtime:
        for name in ("a", "a", "b"):
            await runtime.run(Client(name).ask("x"))
    assert made == ["x", "x"]


async def test_an_argument_without_a_digest_is_named():
    async with Runtime() as runtime:
        with pytest.raises(NotCanonical, match=r"double\(number=\.\.\.\).*key="):
            await runtime.run(double(object()))
    assert made == []


async def test_it_is_asked_before_a_limit_is_taken():
    of = double.using(limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        await runtime.run(of(1))

        @step(limit="one")
        async def holder():
            return await of(1)  # which would be refused: an ancestor holds the limit

        assert await runtime.run(holder()) == [2]


async def test_a_cached_call_passes_an_open_breaker_and_takes_no_slot():
    of = double.using(breaker=Breaker(minimum=1), retry=Retry(attempts=2), limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        for _ in range(3):
            await runtime.run(of(1))
        assert runtime.statistics().limits[0].granted == 1


async def test_a_journal_is_asked_first_and_keeps_what_the_cache_gave():
    async with Runtime() as runtime:
        await runtime.run(double(1))
        runtime.journal = MemoryJournal()
        await runtime.run(double(1), run_id="a")
        assert len(results_of(runtime.journal, runtime.journal.runs()[0].id)) == 1
        runtime.caches.clear()
        await runtime.run(double(1), run_id="a")
        assert runtime.runs[-1].record().calls[0].facts["reused"] is True
    assert made == [1]


async def test_a_call_below_an_equal_one_runs_itself():
    depth = []

    @step(cache=Cache())
    async def down(number):
        depth.append(number)
        return 1 if len(depth) == 3 else 1 + await down(number)

    async with Runtime() as runtime:
        assert await runtime.run(down(0)) == 3


async def test_a_circle_through_a_shared_call_is_refused_and_never_waits_for_ever():
    box = {}

    @step(cache=Cache())
    async def leader(number):
        await asyncio.sleep(1)
        return await box["between"]

    @step
    async def between():
        return await leader(1)

    @step
    async def main():
        box["between"] = between()
        return await fan_out(leader(1), box["between"], need=0)

    async with Runtime() as runtime:
        found = await runtime.run(main())
    assert {o.status for o in found} == {"failed"}
    assert "neither would end" in str(found.outcomes[0].error)


async def test_a_drain_lets_the_leader_finish_and_starts_no_other():
    async with Runtime() as runtime:
        tasks = [asyncio.ensure_future(runtime.run(double(n))) for n in (1, 1, -1, -1)]
        await asyncio.sleep(0.5)
        runtime.drain()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[:2] == [[2], [2]]
        assert [type(each).__name__ for each in found[2:]] == ["ValueError", "CallSkipped"]
    assert sorted(made) == [-1, 1]


async def test_who_waits_for_an_equal_call_is_shown():
    async with Runtime() as runtime:
        run_of = runtime.start(fan_out(double(1), double(1)))
        await asyncio.sleep(0.5)
        assert "double: waits for an equal call, #1, 0.5 s" in dump(runtime)
        going = {each.waits: each for each in Lookout(run_of).look().going}
        assert going["cache"].detail == "double #1"
        assert (await run_of.wait()).values() == [[2], [2]]


async def test_plain_functions_and_plans():
    @step
    def triple(number):
        made.append(number)
        return 3 * number

    async with Runtime(plan={"triple": {"cache": Cache()}}) as runtime:
        assert [await runtime.run(triple(1)), await runtime.run(triple(1))] == [3, 3]
    assert made == [1]


async def test_runtimes_share_nothing():
    for _ in range(2):
        async with Runtime() as runtime:
            await runtime.run(double(1))
    assert made == [1, 1]


@step(cache=Cache())
async def letters(word):
    made.append(word)
    for letter in word:
        await asyncio.sleep(1)
        yield letter


async def test_a_cached_stream_gives_its_items_at_once():
    time = asyncio.get_running_loop().time
    async with Runtime():
        async with letters("abc") as stream:
            assert [letter async for letter in stream] == ["a", "b", "c"]
        began = time()
        async with letters("abc") as stream:
            assert [letter async for letter in stream] == ["a", "b", "c"]
        whole = await letters("abc")
        whole.append("of mine")
        assert await letters("abc") == ["a", "b", "c"]
        assert time() == began
    assert made == ["abc"]


async def test_a_stream_that_is_read_shares_nothing_while_it_runs_and_is_kept_when_whole():
    async with Runtime():
        async with letters("abc") as stream:
            assert await anext(stream) == "a"
            assert await letters("abc") == ["a", "b", "c"]  # would wait for this very reader
        async with letters("xy") as stream:
            await anext(stream)
        assert await letters("xy") == ["x", "y"]
    assert made == ["abc", "abc", "xy", "xy"]


async def test_no_reference_cycle_is_left():
    async with Runtime() as runtime:
        await runtime.run(double(1))
        gc.collect()
        gc.disable()
        try:
            await runtime.run(fan_map(double, [-2, -2, 3, 3, 1], at_once=5, need=0))
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_functions_that_are_made_anew_share_nothing_and_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr("fanwise.core._cache_state.MOST", 3)

    def made_anew(number):
        async def one():
            made.append(number)

        return step(one, name="one").using(cache=Cache())

    async with Runtime() as runtime:
        often = made_anew(0)
        for number in range(1, 9):
            await runtime.run(often())
            await runtime.run(made_anew(number)())
        assert made == list(range(9))
        assert len(runtime.caches) == 3


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match=r"Cache\(size=\) is at least 0, got -1"):
        Cache(size=-1)
    with pytest.raises(TypeError, match=r"Cache\(size=\) is a whole number, got None"):
        Cache(size=None)
    with pytest.raises(ValueError, match=r"Cache\(ttl=\) is at least 0, got -0\.5"):
        Cache(ttl=-0.5)
    with pytest.raises(TypeError, match=r"Cache\(valid=\) is a function of the value, got 3"):
        Cache(valid=3)

    async def late(value):
        return True

    with pytest.raises(TypeError, match="plain function"):
        Cache(valid=late)
    with pytest.raises(TypeError, match=r"cache is a Cache, such as cache=Cache\(.*got 60"):
        step(cache=60)(lambda: None)
    with pytest.raises(ValueError, match="a write takes no cache"):
        step(effect="write", cache=Cache())(lambda: None)


@pytest.mark.real_clock
def test_the_default_runtime_of_a_script_has_one_too():
    @step(cache=Cache())
    def square(number):
        made.append(number)
        return number * number

    @step
    async def both():
        return await square(3) + await square(3)

    assert run(both()) == 18
    assert made == [3]
