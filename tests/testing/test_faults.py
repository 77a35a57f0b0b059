"""Fault scripts: what was written happens, where and when it was written, and nowhere else."""

import asyncio
import re

import pytest

from fanwise import Hedge, Limit, NotEnough, Retry, Runtime, fan_map, fan_out, run, step
from fanwise.core import Run
from fanwise.errors import StepTimedOut, StrayCancel
from fanwise.testing import Deadlock, faults, run_virtual
from fanwise.testing.faults import FaultsUnused, Script
from fanwise.testing.faults import _script as script_module
from fanwise.testing.faults import _values as values_module
from tests.laws.proving import changed

ran = []


@step
async def news(query="q"):
    ran.append(("news", query))
    return f"news on {query}"


@step
async def db(query="q"):
    ran.append(("db", query))
    return f"db on {query}"


def now():
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


async def outcome(call):
    began = now()
    try:
        return now() - began, await call, now() - began
    except Exception as error:
        return now() - began, error


# The kinds


async def test_fails_in_place_of_the_function_after_its_time():
    with Script(news=faults.fails(KeyError("gone"), after=0.125)):
        took, error = await outcome(news())
    assert (took, type(error), error.args) == (0.125, KeyError, ("gone",))
    assert ran == []


async def test_an_error_may_be_made_each_time():
    with Script(news=faults.fails(lambda: OSError(len(ran))), db=faults.fails(LookupError)):
        found = await fan_out(news(), news(), db(), need=0)
    errors = [each.error for each in found]
    assert [type(error) for error in errors] == [OSError, OSError, LookupError]
    assert errors[0] is not errors[1]


async def test_one_error_raised_many_times_keeps_no_frames():
    gone = ConnectionError("gone")
    with Script(news=faults.fails(gone)):
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await news()
    frames, trace = 0, gone.__traceback__
    while trace is not None:
        frames, trace = frames + 1, trace.tb_next
    assert frames < 10


async def test_hangs_until_it_is_cancelled():
    with Script(news=faults.hangs()), pytest.raises(StepTimedOut):
        await news.using(timeout=3600.0)()
    assert now() == 3600.0
    assert ran == []


def test_hangs_for_ever_where_nothing_ends_it():
    async def main():
        with Script(news=faults.hangs()):
            await news()

    with pytest.raises(Deadlock):
        run_virtual(main())


async def test_slow_runs_the_function_later():
    with Script(news=faults.slow(2.0)):
        assert await news("x") == "news on x"
    assert (now(), ran) == (2.0, [("news", "x")])


async def test_gives_another_value():
    with Script(news=faults.gives(None, after=1.0)):
        assert await news() is None
    assert (now(), ran) == (1.0, [])


async def test_loses_reply_after_the_work_was_done():
    with Script(news=faults.loses_reply(after=0.5)):
        took, error = await outcome(news())
    assert (took, type(error), ran) == (0.5, ConnectionResetError, [("news", "q")])


async def test_a_write_whose_reply_was_lost_is_ambiguous_and_not_sent_again():
    @step(effect="write", retry=Retry(attempts=3))
    async def charge():
        ran.append("charged")

    with Script(charge=faults.loses_reply()):
        found = await fan_out(charge(), need=0)
    assert found.outcomes[0].ambiguous
    assert ran == ["charged"]


async def test_refuses_as_a_server_does_and_retry_waits_as_long_as_it_asks():
    patient = news.using(retry=Retry(attempts=2, shortest=0.0, longest=0.0))
    with Script(news=faults.refuses(retry_after=8.0).only(attempt=1)) as script:
        assert await patient() == "news on q"
    assert now() == 8.0
    assert str(script) == "0 s: news (call 1) refuses with 429 (Retry-After 8 s)"


async def test_a_status_that_does_not_pass_is_not_retried():
    patient = news.using(retry=Retry(attempts=2))
    with Script(news=faults.refuses(status=403)):
        _, error = await outcome(patient())
    assert (error.status_code, error.retry_after) == (403, None)


async def test_deaf_to_cancellation_is_awaited_and_its_value_is_late():
    with Script(news=faults.deaf(5.0)):
        found = await fan_out(news.using(timeout=0.5)(), need=0, within=0.75)
    assert now() == 5.0
    assert (found.outcomes[0].status, ran) == ("timed_out", [("news", "q")])


async def test_a_stray_cancellation_can_be_written():
    with Script(news=faults.fails(asyncio.CancelledError)), pytest.raises(StrayCancel):
        await news()


# Where it acts


async def test_it_acts_inside_slot_retry_and_timeout():
    policy = news.using(limit="one", timeout=1.0, retry=Retry(attempts=3, shortest=0, longest=0))
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        with Script(news=[faults.hangs(), faults.fails()]) as script:
            found = await fan_out(policy("a"), policy("b"))
        assert runtime.statistics().limits[0].granted == 4
    assert found.values() == ["news on a", "news on b"]
    assert [(it.time, it.call, it.attempt) for it in script.happened] == [(0.0, 1, 1), (1.0, 2, 1)]


async def test_a_hedge_saves_an_attempt_that_hangs():
    async with Runtime():
        with Script(news=faults.hangs().only(attempt=1)):
            assert await news.using(hedge=Hedge(after=0.25))() == "news on q"
    assert now() == 0.25


async def test_every_run_that_is_opened_in_the_block_meets_it():
    async with Runtime() as runtime:
        with Script(news=faults.gives(1)):
            assert await news() == 1
            assert await runtime.run(news()) == 1
            assert await runtime.start(news()).wait() == 1
            assert await asyncio.create_task(outcome(news())) == (0.0, 1, 0.0)
        assert await news() == "news on q"


async def test_as_the_body_of_one_run():
    script = Script(news=faults.gives(1))
    async with Runtime() as runtime:
        assert await runtime.run(news(), body=script) == 1
        assert await runtime.run(news()) == "news on q"
    script.check()


def test_in_a_script_on_the_real_clock():
    with Script(news=faults.gives(1, after=0.001)):
        assert run(news()) == 1


@pytest.mark.real_clock
async def test_a_plain_function_keeps_its_thread():
    import threading

    @step
    def where():
        return threading.current_thread().name

    async with Runtime() as runtime:
        with Script(where=faults.slow(0.001)):
            assert (await runtime.run(where())).startswith("fanwise")


async def test_plain_awaitables_are_branches_too_and_none_is_left_unawaited():
    async def plain():
        ran.append("plain")

    with Script(plain=[faults.fails(), faults.slow(1.0)]):
        found = await fan_out(plain(), plain(), need=1)
    assert [each.status for each in found] == ["failed", "ok"]
    assert ran == ["plain"]


async def test_patterns_of_names_come_after_exact_ones():
    rules = {"n*": faults.gives("n"), "*": faults.gives("any"), "news": faults.gives("news")}
    with Script(rules, allow_unused=True):
        assert await fan_out(news(), db()) is not None
        assert [await news(), await db()] == ["news", "any"]


async def test_scripts_nest_and_the_inner_one_decides_for_what_it_names():
    with Script(news=faults.gives("outer"), db=faults.gives("outer")):
        await news()
        with Script(news=[None]):
            assert [await news(), await db()] == ["news on q", "outer"]


# On which attempts


def numbers(script):
    return [(it.call, it.attempt) for it in script.happened]


async def test_a_list_is_used_up_attempt_by_attempt():
    with Script(news=[None, faults.gives(2), None, faults.gives(4)]) as script:
        values = [await news() for _ in range(5)]
    assert values == ["news on q", 2, "news on q", 4, "news on q"]
    assert numbers(script) == [(2, 1), (4, 1)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"call": 3}, [(3, 1), (3, 2)]),
        ({"call": range(2, 4)}, [(2, 1), (2, 2), (3, 1), (3, 2)]),
        ({"attempt": 2}, []),
        ({"attempt": 1}, [(1, 1), (2, 1), (3, 1), (4, 1)]),
        ({"call": {1, 4}, "attempt": 1}, [(1, 1), (4, 1)]),
        ({"most": 3}, [(1, 1), (1, 2), (2, 1)]),
        ({"when": lambda query: query == "q2"}, [(2, 1), (2, 2)]),
        ({"between": (20.0, 41.0)}, [(2, 1), (2, 2), (3, 1)]),
    ],
)
async def test_only_some_attempts(condition, expected):
    retrying = news.using(retry=Retry(attempts=2, shortest=0, longest=0))
    fault = faults.refuses(retry_after=1.0).only(**condition)
    with Script(news=fault, allow_unused=True) as script:
        async with Runtime():
            for number in range(1, 5):
                await asyncio.sleep(20 * (number - 1) - now())
                await outcome(retrying(f"q{number}"))
    assert numbers(script) == expected


async def test_the_first_of_a_choice_that_fits_acts():
    fault = faults.gives("one").only(call=1) | faults.gives("two").only(call=2) | faults.gives("x")
    with Script(news=fault):
        assert [await news() for _ in range(3)] == ["one", "two", "x"]


async def test_a_share_is_met_and_drawn_from_the_scripts_seed():
    async def met(seed):
        with Script(news=faults.fails().only(share=0.25), seed=seed) as script:
            await fan_map(news, range(2_000), at_once=50, need=0)
        return [it.call for it in script.happened]

    one, again, other = await met(1), await met(1), await met(2)
    assert one == again != other
    assert 430 <= len(one) <= 570  # 500, give or take 3.6 standard deviations


async def test_a_share_is_drawn_anew_where_each_call_is_a_run_of_its_own():
    with Script(news=faults.gives("fault").only(share=0.5)):
        values = [await news() for _ in range(200)]
    assert 60 <= values.count("fault") <= 140


# What was never used


async def test_a_misspelt_name_is_an_error_at_the_end():
    with pytest.raises(FaultsUnused) as raised, Script(nwes=faults.fails()):
        await fan_out(news(), db())
    assert raised.value.unused == (
        "no call of 'nwes' was made; steps seen: news, db; did you mean 'news'?",
    )


async def test_faults_whose_time_never_came_are_named():
    script = Script(
        news=[faults.slow(1.0), None, faults.fails(after=0.5)],
        db=faults.hangs().only(call=7) | faults.slow(2.0),
        share=faults.fails(),
    )
    with pytest.raises(FaultsUnused) as raised, script:
        await fan_out(news(), db())
    assert list(raised.value.unused) == [
        "'news' fails with ConnectionError after 0.5 s: 1 attempt of it began",
        "'db' hangs (only call 7): 1 attempt of it began",
        "no call of 'share' was made; steps seen: news, db",
    ]
    assert script.steps == {"news": 1, "db": 1}


async def test_chance_is_not_blamed():
    with Script(news=faults.fails().only(share=0.0)):
        await news()


async def test_a_test_that_fails_of_itself_keeps_its_error():
    with pytest.raises(NotEnough) as raised, Script(news=faults.fails(), dbx=faults.fails()):
        await fan_out(news(), db())
    assert raised.value.__notes__ == [
        (
            "faults that were never used: no call of 'dbx' was made; steps seen: news, db; "
            "did you mean 'db'?"
        )
    ]


async def test_unused_faults_may_be_allowed():
    with Script(nwes=faults.fails(), allow_unused=True) as script:
        await news()
    assert len(script.unused()) == 1


# Wrong use


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        (lambda: faults.fails("gone"), TypeError, "error is an exception or makes one.*'gone'"),
        (lambda: faults.fails(int), TypeError, "error is an exception"),
        (lambda: faults.fails(after=-1), ValueError, "after is at least 0, got -1"),
        (lambda: faults.slow("1"), TypeError, "seconds is a number, got '1'"),
        (lambda: faults.refuses(status=200), ValueError, "status is at least 400"),
        (lambda: faults.hangs().only(call=0), ValueError, "call is a number from 1.*got 0"),
        (lambda: faults.hangs().only(attempt=[]), ValueError, "attempt is a number from 1"),
        (lambda: faults.hangs().only(share=20), ValueError, "share is a part.*got 20"),
        (lambda: faults.hangs().only(most=0), ValueError, "most is at least 1"),
        (lambda: faults.hangs().only(between=(2, 1)), ValueError, "between is a span"),
        (lambda: faults.hangs().only(when=outcome), TypeError, "when is a plain function"),
        (lambda: faults.hangs().only(when=3), TypeError, "when is a function"),
        (lambda: Script(news=faults.hangs), TypeError, "the fault of 'news' is a Fault"),
        (lambda: Script(news=[]), TypeError, "a list with one for each attempt"),
        (lambda: Script({"news": "hangs"}), TypeError, "got 'hangs'"),
        (lambda: faults.hangs() | 3, TypeError, "unsupported operand"),
    ],
)
def test_wrong_use_is_refused_at_once(wrong, kind, said):
    with pytest.raises(kind) as raised:
        wrong()
    assert re.search(said, str(raised.value))


def test_a_script_is_entered_once_at_a_time():
    script = Script()
    with script, pytest.raises(RuntimeError, match="entered already"), script:
        pass


def test_texts():
    fault = faults.fails(KeyError("x"), after=0.5).only(call=3, share=0.25, between=(1, 2))
    assert str(fault) == (
        "fails with KeyError: 'x' after 0.5 s (only call 3, between 1 to 2 s, share 0.25)"
    )
    assert str(faults.hangs() | faults.slow(1)) == "hangs | is slow by 1 s"
    assert repr(Script(a=faults.hangs(), allow_unused=True)) == "<Script of a, 0 happened>"


# What the tests above would not let through


def no_run_has_a_body():
    init = Run.__init__

    def without(self, runtime, main, **given):
        init(self, runtime, main, **{**given, "body": None})

    return changed((Run, "__init__", without))


def the_function_runs_all_the_same():
    async def play(self, own):
        await own()
        return await self.fault.act(own)

    return changed((script_module._Played, "play", play))


def never_counts_calls():
    return changed((script_module._Counts, "count", lambda self, call: 1))


def counts_attempts_as_calls():
    def count(self, call):
        self.attempts += 1
        return self.attempts

    return changed((script_module._Counts, "count", count))


def ignores_most_and_share():
    return changed((script_module._Faults, "_drawn", lambda self, fault, place: True))


def everything_fits():
    return changed((values_module.Fault, "fits", lambda self, asked: True))


def blames_nobody():
    return changed((script_module._Faults, "unused", lambda self, steps: []))


def third_call():
    return test_only_some_attempts({"call": 3}, [(3, 1), (3, 2)])


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (never_counts_calls, test_a_list_is_used_up_attempt_by_attempt),
        (no_run_has_a_body, test_every_run_that_is_opened_in_the_block_meets_it),
        (the_function_runs_all_the_same, test_fails_in_place_of_the_function_after_its_time),
        (the_function_runs_all_the_same, test_gives_another_value),
        (everything_fits, test_a_hedge_saves_an_attempt_that_hangs),
        (everything_fits, third_call),
        (counts_attempts_as_calls, third_call),
        (ignores_most_and_share, test_a_share_is_met_and_drawn_from_the_scripts_seed),
        (blames_nobody, test_a_misspelt_name_is_an_error_at_the_end),
        (blames_nobody, test_faults_whose_time_never_came_are_named),
    ],
)
def test_mutants_are_rejected(mutant, test):
    with mutant(), pytest.raises((AssertionError, Deadlock, pytest.fail.Exception, StepTimedOut)):
        run_virtual(test())
