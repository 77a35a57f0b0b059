"""What a `Lookout` sees of a live run, against what the program does and against its record."""

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Hedge, Limit, Retry, Runtime, bind, current, fan_map, fan_out, step
from fanwise.analysis import Lookout
from fanwise.analysis import _lookout as looking
from fanwise.testing import run_virtual


@step
async def nap(seconds):
    await asyncio.sleep(seconds)


def counts_of(look):
    return {each.name: each[1:] for each in look.steps}


def counts_in(record):
    """The counts that a finished run must show, from its record."""
    kinds = {"ok": 0, "reused": 0, "failed": 1, "timed_out": 1, "cancelled": 2, "skipped": 2}
    found = {}
    for row in record.calls:
        if row.pattern is None:
            found.setdefault(row.step, [0, 0, 0, 0, 0])[kinds[row.status]] += 1
    return {name: tuple(counts) for name, counts in found.items()}


async def test_it_shows_what_runs_and_what_has_ended():
    @step
    async def program():
        await fan_out(nap(1.0), nap(3.0), nap(9.0).named("the long one"))

    async with Runtime() as runtime:
        run = runtime.start(program())
        lookout = Lookout(run)
        await asyncio.sleep(4.0)
        look = lookout.look()
        assert (look.seconds, look.calls, look.live) == (4.0, 5, 3)
        assert counts_of(look) == {"nap": (2, 0, 0, 1, 0), "program": (0, 0, 0, 1, 0)}
        (going,) = look.going
        assert (going.name, going.age, going.waits) == ("the long one", 4.0, "")
        assert going.under == ()  # of the main call everything is a part
        assert [(gone.name, gone.seconds) for gone in look.slowest] == [
            ("nap #3", 3.0), ("nap #2", 1.0)
        ]  # fmt: skip
        await run.wait()
        look = lookout.look()
        assert (look.live, look.going) == (0, ())
        assert counts_of(look)["program"] == (1, 0, 0, 0, 0)
        assert look.slowest[0].name == "the long one"


async def test_it_names_what_a_call_waits_for():
    @step(limit="door")
    async def guarded():
        await asyncio.sleep(5)

    @step
    async def after(_):
        pass

    @step(retry=Retry(attempts=2, shortest=1e6, longest=1e6))
    async def flaky():
        raise ConnectionError("no route")

    @step
    async def inner():
        await fan_out(guarded(), guarded(), bind(after, nap(7)), flaky(), need=0)

    @step
    async def program():
        await inner()

    async with Runtime(limits={"door": Limit(at_once=1)}) as runtime:
        run = runtime.start(program())
        await asyncio.sleep(1)
        look = Lookout(run).look()
        shown = {each.name.split(" ")[0]: each for each in look.going if each.waits}
        assert {name: each.waits for name, each in shown.items()} == {
            "guarded": "limit", "after": "inputs", "flaky": "backoff"
        }  # fmt: skip
        assert shown["guarded"].detail == "door"
        assert shown["after"].detail == "1"
        assert 0 < float(shown["flaky"].detail) < 1e6
        assert (shown["flaky"].attempts, shown["flaky"].error) == (1, "ConnectionError: no route")
        assert shown["flaky"].under == ("inner #1",)
        # what runs or tries again stands before what was never let in
        waits = [each.waits for each in look.going]
        assert waits.index("backoff") < min(waits.index("limit"), waits.index("inputs"))
        assert counts_of(look)["guarded"] == (0, 0, 0, 1, 1)
        run.cancel()


async def test_a_stream_with_a_slow_reader_waits_for_it():
    @step
    async def letters():
        for letter in "abcdef":
            yield letter

    @step
    async def program():
        async with letters() as stream:
            async for _ in stream:
                await asyncio.sleep(1)

    async with Runtime() as runtime:
        run = runtime.start(program())
        await asyncio.sleep(2.5)
        (going,) = Lookout(run).look().going
        assert (going.name, going.waits) == ("letters #1", "reader")
        await run.wait()


@pytest.mark.real_clock
async def test_a_function_that_waits_for_a_thread_says_so():
    inside, leave = threading.Event(), threading.Event()

    @step
    def work(_):
        inside.set()
        leave.wait(10)

    async with Runtime() as runtime:
        run = runtime.start(fan_map(work, range(40), at_once=40))
        while not runtime.limit_waits.get("threads"):
            await asyncio.sleep(0)
        look = Lookout(run, most=40).look()
        leave.set()
        await run.wait()
    assert Counter(each.waits for each in look.going) == {"": 32, "pool": 8}


async def test_a_failure_is_shown_where_it_began_and_not_on_its_way_up():
    @step
    async def bad():
        raise ValueError("here")

    @step
    async def middle():
        await bad()

    @step
    async def other():
        try:
            await middle()
        except ValueError as error:
            raise KeyError("there") from error

    @step
    async def program():
        await fan_out(other(), middle(), need=0)

    async with Runtime() as runtime:
        run = runtime.start(program())
        await run.wait()
        look = Lookout(run).look()
    assert sorted(gone.error for gone in look.failed) == [
        "KeyError: 'there'", "ValueError: here", "ValueError: here"
    ]  # fmt: skip
    assert look.failures == 3
    assert counts_of(look)["middle"] == (0, 2, 0, 0, 0)


async def test_it_adds_up_usage_retries_and_hedges():
    @step(retry=Retry(attempts=3), hedge=Hedge(after=1.0))
    async def ask():
        current().usage(tokens_in=10, tokens_out=1, estimated=True)
        if current().attempt == 1:
            raise ConnectionError
        if current().attempt == 2:
            await asyncio.sleep(9)

    async with Runtime() as runtime:
        run = runtime.start(ask())
        await run.wait()
        look = Lookout(run).look()
        attempts = run.record().attempts
    assert look.usage == {"tokens_in": 30, "tokens_out": 3}
    assert look.estimated
    assert look.hedges == sum(row.hedge for row in attempts) == 1
    assert look.retries == sum(row.attempt > 1 and not row.hedge for row in attempts) == 1


async def test_the_slowest_are_those_that_ran_longest_waits_left_out():
    @step(limit="door")
    async def guarded(seconds):
        await asyncio.sleep(seconds)

    async with Runtime(limits={"door": Limit(at_once=1)}) as runtime:
        run = runtime.start(fan_map(guarded, [5.0, 1.0, 2.0], at_once=3))
        await run.wait()
        look = Lookout(run, most=2).look()
    assert [gone.seconds for gone in look.slowest] == [5.0, 2.0]


@pytest.mark.parametrize("pause", [0.01, 0.3, 100.0])
async def test_rows_of_many_chunks_are_read_once_each(pause):
    async with Runtime() as runtime:
        run = runtime.start(fan_map(nap, [0.001] * 5_000, at_once=10))
        lookout = Lookout(run)
        while not run.over:
            await asyncio.sleep(pause)
            look = lookout.look()
            done, *_, running, waiting = counts_of(look)["nap"]
            assert done + running + waiting <= 5_000
        assert counts_of(lookout.look())["nap"] == (5_000, 0, 0, 0, 0)


async def test_rows_that_only_a_file_holds_are_passed_over():
    async with Runtime() as runtime:
        run = runtime.start(fan_map(nap, [0.0] * 5_000, at_once=10))
        await run.wait()
        run.rows.drop(2)
        look = Lookout(run).look()
    assert counts_of(look)["nap"][0] == 5_000 - 2 * 1_024


# A program: seconds, or a failure, or programs in a row or at once.
programs = st.recursive(
    st.sampled_from([0.0, 0.5, 2.0, "fail", "late"]),
    lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)


def shown_while(program, looks):
    """Run a program, look now and then; give the last look and the record."""

    @step(timeout=1.0)
    async def leaf(what):
        if what == "fail":
            raise ValueError("told to")
        await asyncio.sleep(5.0 if what == "late" else what)

    @step
    async def part(what):
        if not isinstance(what, tuple):
            await leaf(what)
        elif what[0]:
            await fan_out(*[part(each) for each in what[1]], need=0)
        else:
            for each in what[1]:
                await part(each)

    async def main():
        async with Runtime() as runtime:
            run = runtime.start(fan_out(part(program), need=0))
            lookout = Lookout(run)
            for pause in looks:
                await asyncio.sleep(pause)
                lookout.look()
            await run.wait()
            return lookout.look(), run.record()

    return run_virtual(main())


def check_counts(program, looks):
    look, record = shown_while(program, looks)
    assert counts_of(look) == counts_in(record)
    assert (look.live, look.going, look.calls) == (0, (), len(record.calls))
    began = {row.call for row in record.calls if row.step == "leaf" and counts_in_failed(row)}
    assert {gone.call for gone in look.failed} == began
    assert look.failures == len(began)


def counts_in_failed(row):
    return row.status in ("failed", "timed_out")


looks = st.lists(st.sampled_from([0.0, 0.3, 1.0, 4.0]), max_size=4)


@given(programs, looks)
def test_whenever_it_looks_it_ends_with_what_the_record_says(program, looks):
    check_counts(program, looks)


PROGRAM = (True, [0.5, 0.0, (False, [0.5, "fail"]), "late"])


def test_the_law_rejects_one_that_reads_from_the_start_again(monkeypatch):
    check_counts(PROGRAM, [0.3, 1.0])
    since = looking.Lookout._read_on

    def again(self):
        self._place = (0, 0)
        since(self)

    monkeypatch.setattr(looking.Lookout, "_read_on", again)
    with pytest.raises(AssertionError):
        check_counts(PROGRAM, [0.3, 1.0])


def test_the_law_rejects_one_that_shows_a_failure_at_every_level(monkeypatch):
    monkeypatch.setattr(looking.Lookout, "_pass_on", lambda *_: False)
    with pytest.raises(AssertionError):
        check_counts(PROGRAM, [])


@pytest.mark.real_clock
async def test_a_thread_may_look_while_the_run_goes_on():
    """It looks without a pause until the run is over; what it saw last is what the record says."""
    seen, over = [], threading.Event()

    def look_on(lookout):
        while not over.is_set():
            seen.append(lookout.look())

    @step
    async def below(i):
        await fan_out(*[nap(0) for _ in range(i % 5)])

    async with Runtime() as runtime:
        run = runtime.start(fan_map(below, range(1_000), at_once=50))
        lookout = Lookout(run)
        thread = threading.Thread(target=look_on, args=(lookout,))
        thread.start()
        try:
            await run.wait()
        finally:
            over.set()
            thread.join()
        assert counts_of(lookout.look()) == counts_in(run.record())
    assert seen


def test_a_dict_that_changes_under_the_copy_is_copied_again():
    class Restless:
        tries = 0

        def keys(self):
            self.tries += 1
            if self.tries < 4:
                raise RuntimeError("dictionary changed size during iteration")
            return ["a"]

        def __getitem__(self, key):
            return 1

    restless = Restless()
    assert looking._copied(restless) == {"a": 1}
    assert restless.tries == 4
    assert looking._copied(None) == {}


async def test_its_text_names_the_run():
    async with Runtime() as runtime:
        run = runtime.start(nap(1), run_id="the one")
        assert "the one" in repr(Lookout(run))
        await run.wait()
