"""`pipeline`: stages that overlap over bounded buffers, their shapes, sources and ends."""

import asyncio

import pytest

from fanwise import (
    Limit,
    NotEnough,
    Outcome,
    Retry,
    Runtime,
    batch,
    current,
    deadline,
    fan_out,
    pipeline,
    stage,
    step,
)
from fanwise.errors import (
    CallDropped,
    CallSkipped,
    DeadlinePassed,
    LimitHeld,
    StrayCancel,
    TimedOut,
    WrongLength,
)
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, lingers, nothing_held, now


def nap(name, seconds):
    """A step of that name that takes so long, or as long as a table says, and gives what it got."""

    async def work(value):
        await asyncio.sleep(seconds if isinstance(seconds, (int, float)) else seconds[value])
        return value

    return step(name=name)(work)


load, parse, embed = nap("load", 1), nap("parse", 2), nap("embed", 1)


@step
async def halve(n):
    await asyncio.sleep(1)
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


@step
async def pages(document):
    """Give so many pages, one a second."""
    for number in range(document):
        await asyncio.sleep(1)
        yield f"{document}.{number}"


async def numbers(n, every=0.0):
    for i in range(n):
        await asyncio.sleep(every)
        yield i


# Values


async def test_outcomes_stand_in_source_order_with_item_and_place():
    work = nap("work", [3, 1, 2])
    found = await pipeline([0, 1, 2], stage(work, at_once=3), stage(str))
    assert found.values() == ["0", "1", "2"]
    assert [(it.name, it.index, it.item) for it in found] == [
        ("item 1", 0, 0), ("item 2", 1, 1), ("item 3", 2, 2),
    ]  # fmt: skip
    assert [it.started for it in found] == [0, 0, 0]
    assert [it.ended for it in found] == [3, 1, 2]
    assert [it.attempts for it in found] == [2, 2, 2]
    assert found["item 2"].value == "1"


async def test_stages_overlap_and_the_slowest_sets_the_pace():
    await pipeline(range(5), stage(load), stage(parse), stage(embed))
    assert now() == 1 + 5 * 2 + 1


async def test_an_empty_source_is_complete():
    for source in ([], iter([]), numbers(0)):
        found = await pipeline(source, stage(load), batch(3), stage(embed))
        assert found.complete
        assert found.values() == []


async def test_undecorated_functions_and_methods_are_stages():
    class Client:
        @step
        async def ask(self, n):
            return n * 2

    found = await pipeline([1, 2], stage(Client().ask), stage(str), stage(lambda text: text + "!"))
    assert found.values() == ["2!", "4!"]


async def test_a_pipeline_in_a_stage_and_a_plan_by_hand():
    @step
    async def inner(n):
        return (await pipeline(range(n), stage(load, at_once=9))).values()

    assert (await pipeline([2, 3], stage(inner, at_once=2))).values() == [[0, 1], [0, 1, 2]]


# Bounds


async def test_the_source_is_read_no_further_than_there_is_room():
    read = []

    def source():
        for n in range(100):
            read.append((now(), n))
            yield n

    async with pipeline(
        source(), stage(load, at_once=2, buffer=3), stage(parse, buffer=1)
    ).stream() as outcomes:
        async for _ in outcomes:
            break
    assert len([n for when, n in read if when == 0]) == 2 + 3
    assert max(n for _, n in read) + 1 <= (2 + 3) + (1 + 1) + 1


async def test_a_full_stage_holds_up_the_ones_before_it():
    found = await pipeline(range(4), stage(load, buffer=0), stage(nap("slow", 10), buffer=0))
    assert [it.started for it in found] == [0, 1, 11, 21]  # a place is free when its value has gone
    assert now() == 41


async def test_what_waits_costs_no_task():
    async with pipeline(range(1_000), stage(nap("slow", 10), buffer=500)).stream() as outcomes:
        async for _ in outcomes:
            break
        assert len(asyncio.all_tasks()) <= 4


# Batches


async def test_a_batch_takes_lists_and_gives_each_item_its_own_value():
    sizes = []

    @step
    async def embeds(texts):
        sizes.append(len(texts))
        await asyncio.sleep(1)
        return [text * 2 for text in texts]

    found = await pipeline("abcdefg", batch(3), stage(embeds))
    assert sizes == [3, 3, 1]
    assert found.values() == ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
    assert now() == 3


async def test_a_batch_lingers_for_more_and_no_longer():
    seen = []

    @step
    async def embeds(texts):
        seen.append((now(), list(texts)))
        return texts

    await pipeline(numbers(5, every=1.0), batch(10, linger=1.5), stage(embeds))
    assert seen == [(2.5, [0, 1]), (4.5, [2, 3]), (5.0, [4])]


async def test_a_batch_grows_while_its_stage_has_no_place():
    seen = []

    @step
    async def embeds(texts):
        seen.append(len(texts))
        await asyncio.sleep(3.2)
        return texts

    await pipeline(numbers(9, every=1.0), batch(10, linger=0), stage(embeds))
    assert seen == [1, 3, 3, 2]


async def test_a_failed_batch_fails_each_of_its_items_and_no_other():
    @step
    async def embeds(ns):
        if 2 in ns:
            raise OSError("full")
        return ns

    found = await pipeline(range(5), batch(2), stage(embeds))
    assert found.missing == ["item 3", "item 4"]
    assert isinstance(found["item 3"].error, OSError)
    assert found.values() == [0, 1, 4]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (lambda ns: ns[:1], "gave 1 values for a batch of 2: it gives one for each"),
        (lambda _: None, "gave a NoneType for a batch of 2: it gives a list"),
        (lambda _: "ab", "gave a str for a batch of 2"),
        (set, "gave a set for a batch of 2"),
    ],
)
async def test_another_length_ends_the_pipeline_with_what_was_finished(given, text):
    @step
    async def embeds(ns):
        await asyncio.sleep(1)
        return given(ns) if 4 in ns else tuple(ns)

    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(NotEnough, match="a batch broke after") as caught:
            await pipeline(range(100), batch(2), stage(embeds))
        assert isinstance(caught.value.__cause__, WrongLength)
        assert text in str(caught.value.__cause__)
        found = caught.value.found
        assert found.values() == [0, 1, 2, 3]
        assert found["item 5"].error is caught.value.__cause__
        assert found["item 7"].status == "skipped"
        assert now() == 3
        nothing_held(runtime)


# Streams as steps


async def test_one_to_many_gives_the_list_of_what_came_of_an_item():
    found = await pipeline([2, 0, 1], stage(pages), stage(parse, at_once=2))
    assert found.values() == [["2.0", "2.1"], [], ["1.0"]]


async def test_pieces_go_on_as_they_come():
    started = []

    @step
    async def index(page):
        started.append((now(), page))
        return page

    await pipeline([3], stage(pages), stage(index))
    assert started == [(1, "3.0"), (2, "3.1"), (3, "3.2")]


async def test_a_stream_is_held_up_by_what_comes_after_it():
    made = []

    @step
    async def eager(_):
        for number in range(6):
            made.append((now(), number))
            yield number

    await pipeline([0], stage(eager), stage(nap("slow", 10), buffer=1))
    assert made == [(0, 0), (0, 1), (0, 2), (10, 3), (20, 4), (30, 5)]


async def test_nested_streams_are_flat_and_in_order():
    @step
    async def lines(page):
        for letter in "ab":
            await asyncio.sleep(3 if page.endswith("0") else 1)
            yield page + letter

    found = await pipeline([2, 1], stage(pages), stage(lines, at_once=3), stage(str, at_once=4))
    assert found.values() == [["2.0a", "2.0b", "2.1a", "2.1b"], ["1.0a", "1.0b"]]


async def test_a_failed_piece_ends_its_item_and_stops_what_runs_for_it():
    closed = []

    @step
    async def endless(document):
        try:
            for number in range(1_000_000):
                await asyncio.sleep(1)
                yield document, number
        finally:
            closed.append((now(), document))

    @step
    async def check(page):
        if page == ("bad", 2):
            raise ValueError(page)
        await asyncio.sleep(0.5)
        return page

    async with no_orphans(), Runtime() as runtime:
        async with pipeline(["bad", "good"], stage(endless, at_once=2), stage(check)).stream() as s:
            async for outcome in s:
                assert (outcome.index, outcome.status, now()) == (0, "failed", 3)
                break
        assert closed == [(3, "bad"), (3, "good")]
        nothing_held(runtime)


async def test_a_stream_after_a_batch_gives_its_list():
    @step
    async def embeds(texts):
        for text in texts:
            await asyncio.sleep(1)
            yield text.upper()

    assert (await pipeline("abc", batch(2), stage(embeds))).values() == ["A", "B", "C"]


async def test_a_stream_method_is_one_to_many():
    class Reader:
        @step
        async def parts(self, n):
            for number in range(n):
                yield number

    assert (await pipeline([2, 1], stage(Reader().parts))).values() == [[0, 1], [0]]


async def test_a_stream_with_timeouts_of_its_own_loses_no_piece():
    @step
    async def hasty(_):
        for number in range(3):
            try:
                async with asyncio.timeout(0.5):
                    yield number
            except TimeoutError:
                yield f"late {number}"

    async with no_orphans():
        found = await pipeline([0], stage(hasty), stage(nap("slow", 10), buffer=0))
    assert found.values() == [[0, 1, "late 1", 2, "late 2"]]


async def test_a_stage_that_needs_what_a_stream_before_it_holds_is_refused():
    @step(limit="one")
    async def parts(_):
        yield 1

    @step(limit="one")
    async def work(n):
        return n

    limits = {"one": Limit(at_once=1)}
    async with no_orphans(), Runtime(limits=limits):
        with pytest.raises(LimitHeld, match=r"the stage work asks for .* the stream parts before"):
            await pipeline([0], stage(parts), stage(work))
        assert (await pipeline([0, 1], stage(work), stage(parts))).values() == [[1], [1]]


# Failures


async def test_a_failure_ends_its_item_and_nothing_else():
    found = await pipeline(range(4), stage(load), stage(halve), stage(embed))
    assert [it.status for it in found] == ["ok", "failed", "ok", "failed"]
    assert str(found) == (
        "2 of 4 branches are there\n"
        "  item 2: failed: ValueError: 1 is odd\n"
        "  item 4: failed: ValueError: 3 is odd"
    )
    assert [it.attempts for it in found] == [3, 2, 3, 2]


async def test_need_says_how_many_must_succeed():
    with pytest.raises(NotEnough, match="needed were 3") as caught:
        await pipeline(range(4), stage(halve), need="75%")
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.found.values() == [0, 1]
    with pytest.raises(NotEnough):
        await pipeline(iter([1, 2, 4]), stage(halve), need="all")
    assert now() == 4 + 1, "out of reach at the first failure"


async def test_within_gives_what_ended_and_names_what_did_not():
    async with no_orphans():
        found = await pipeline(range(9), stage(load), stage(parse), within=5.5)
    assert now() == 5.5
    assert [it.status for it in found] == ["ok"] * 2 + ["timed_out"] * 3 + ["skipped"]
    assert isinstance(found.outcomes[2].error, TimedOut)
    assert not found.complete


async def test_a_policy_acts_on_each_call_and_its_usage_is_the_items():
    tries = []

    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def flaky(n):
        tries.append(n)
        current().usage(tokens_in=n + 1)
        if tries.count(n) < 2:
            raise ConnectionError
        return n

    found = await pipeline(range(2), stage(flaky), stage(flaky))
    assert tries == [0, 0, 0, 1, 1, 1]
    assert [it.attempts for it in found] == [3, 3]
    assert [dict(it.usage) for it in found] == [{"tokens_in": 3}, {"tokens_in": 6}]


async def test_a_step_that_cannot_be_called_with_an_item_fails_that_item():
    @step(key=lambda n: 1 // n)
    async def keyed(n):
        return n

    @step(retry=Retry(attempts=1))
    async def main():
        return await pipeline([1, 0, 2], stage(keyed), batch(2), stage(list))

    found = await main()
    assert [it.status for it in found] == ["ok", "failed", "ok"]
    assert isinstance(found.outcomes[1].error, ZeroDivisionError)


async def test_a_retried_parent_takes_over_what_was_finished():
    runs = []

    @step
    async def work(n):
        runs.append(n)
        return n * 10

    @step
    async def parts(n):
        runs.append(f"parts {n}")
        yield n
        yield n + 1

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def main():
        found = await pipeline(range(2), stage(work), stage(parts), stage(work))
        if current().attempt == 1:
            raise ConnectionError
        return found.values()

    assert await main() == [[0, 10], [100, 110]]
    assert runs.count("parts 0") == 2, "a stream that was read is not kept"
    assert sorted(n for n in runs if isinstance(n, int)) == [0, 0, 1, 1, 10, 11]


# Sources


async def test_a_source_that_raises_ends_the_input_and_what_is_on_its_way_is_finished():
    broken = OSError("disk")

    def source():
        yield 0
        yield 1
        raise broken

    with pytest.raises(NotEnough, match="the input broke after 2 items") as caught:
        await pipeline(source(), stage(load), stage(parse))
    assert caught.value.__cause__ is broken
    assert caught.value.found.values() == [0, 1]
    assert now() == 5


@pytest.mark.parametrize("kind", [OSError, asyncio.CancelledError])
async def test_an_async_source_that_raises_does_too_also_a_stray_cancellation(kind):
    async def source():
        yield 0
        await asyncio.sleep(1)
        raise kind

    async with no_orphans():
        with pytest.raises(NotEnough, match="the input broke after 1 items") as caught:
            await pipeline(source(), stage(load), batch(7), stage(embed))
    assert isinstance(caught.value.__cause__, kind)
    assert caught.value.found.values() == [0]


async def test_a_step_that_raises_a_cancellation_of_its_own_fails():
    @step
    async def stray(_):
        raise asyncio.CancelledError

    found = await pipeline([1], stage(load), stage(stray))
    assert isinstance(found.outcomes[0].error, StrayCancel)


async def test_a_slow_source_overlaps_with_the_work():
    await pipeline(numbers(4, every=2.0), stage(load), stage(load))
    assert now() == 4 * 2 + 2


async def test_an_endless_source_is_streamed_and_closed():
    closed = []

    async def endless():
        n = 0
        try:
            while True:
                yield n
                n += 1
        finally:
            await asyncio.sleep(1)
            closed.append(now())

    async with no_orphans():
        taken = []
        async with pipeline(endless(), stage(load), stage(load, at_once=2)).stream() as outcomes:
            async for outcome in outcomes:
                taken.append(outcome.value)
                if len(taken) == 5:
                    break
    assert taken == [0, 1, 2, 3, 4]
    assert closed == [now()]


async def test_an_endless_plain_source_is_streamed_in_bounded_memory():
    read = []

    def endless():
        n = 0
        while True:
            read.append(n)
            yield n
            n += 1

    async with pipeline(endless(), stage(str, at_once=2), stage(len)).stream() as outcomes:
        async for outcome in outcomes:
            if outcome.index == 50:
                break
            await asyncio.sleep(1)
    assert len(read) <= 51 + 2 + 2 + 1 + 1 + 1


@pytest.mark.parametrize("parts", [(stage(load),), (stage(load), batch(4), stage(embed))])
async def test_a_source_that_never_gives_is_left_when_cancelled(parts):
    closed = []

    async def silent():
        try:
            yield 1
            await asyncio.sleep(100_000)
        finally:
            closed.append(now())

    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await pipeline(silent(), *parts)
        assert closed == [5.0]
        nothing_held(runtime)
        with pytest.raises(DeadlinePassed), deadline(5):
            await pipeline(silent(), *parts)
        assert closed == [5.0, 10.0]


async def test_a_drain_reaches_a_source_that_waits():
    async def silent():
        yield 0
        yield 1
        await asyncio.sleep(100_000)
        yield 2

    async with no_orphans(), Runtime() as runtime:
        asyncio.get_running_loop().call_at(1.5, runtime.drain)
        found = await runtime.run(
            pipeline(silent(), stage(load), stage(parse), batch(2), stage(embed))
        )
        assert now() == 3
        assert [it.status for it in found] == ["cancelled", "cancelled"]
        assert isinstance(found.outcomes[0].error, CallSkipped)
        assert not found.complete


async def test_a_drain_closes_with_what_never_started_skipped():
    async with Runtime() as runtime:
        asyncio.get_running_loop().call_at(0.5, runtime.drain)
        found = await runtime.run(pipeline(range(100), stage(load, buffer=3)))
    assert [it.status for it in found] == ["ok", "skipped", "skipped", "skipped"]
    assert all(isinstance(it.error, CallSkipped) for it in found.outcomes[1:])


# Cancellation


async def test_cancelled_it_cancels_and_awaits_everything():
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(
            pipeline(range(9), stage(load), stage(lingers, at_once=2)), need=0, within=3.0
        )
        assert found.outcomes[0].status == "timed_out"
        assert now() == 5, "a step that refuses to stop is still awaited"
        assert set(all_rows(runtime)["lingers"]) == {"cancelled"}
        nothing_held(runtime)


async def test_a_late_value_is_kept():
    found = await pipeline([1], stage(lingers), within=1.0)
    (outcome,) = found
    assert (outcome.status, outcome.late) == ("timed_out", 1)


async def test_what_waits_in_a_buffer_is_named_when_it_closes():
    with pytest.raises(NotEnough) as caught:
        await pipeline(range(9), stage(load), stage(nap("slow", 50), buffer=2), need=1, within=9)
    statuses = [it.status for it in caught.value.found]
    assert statuses == ["timed_out"] * 4 + ["skipped"]
    assert "was still on its way" in str(caught.value.found.outcomes[1].error)


async def test_a_dropped_pipeline_says_so():
    call = pipeline(range(9), stage(load))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await call
    with pytest.raises(CallDropped):
        await call


# Limits, plans, records


async def test_a_limit_and_a_stage_hold_together():
    @step(limit="one")
    async def work(n):
        await asyncio.sleep(1)
        return n

    async with Runtime(limits={"one": Limit(at_once=1)}):
        await pipeline(range(3), stage(work, at_once=3), stage(work, at_once=3))
    assert now() == 6


async def test_a_plan_sets_a_stage_by_the_name_of_its_step():
    plan = {
        "main/pipeline/load": {"at_once": 4, "buffer": 0},
        "main/pipeline/embeds": {"batch": 4, "linger": 0.5},
    }
    sizes = []

    @step
    async def embeds(ns):
        sizes.append(len(ns))
        return ns

    @step
    async def main():
        return await pipeline(range(8), stage(load), batch(2), stage(embeds))

    async with Runtime(plan=plan) as runtime:
        assert (await runtime.run(main())).values() == list(range(8))
    assert now() == 2
    assert sizes == [4, 4]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"main/pipeline/load": {"batch": 4}}, "this stage has: \\['at_once', 'buffer'\\]"),
        ({"main/pipeline/load": {"at_once": 0}}, "at_once is at least 1, got 0"),
        ({"main/pipeline/load": {"width": 0}}, "has 'width'"),
        ({"main/pipeline": {"need": "x"}}, "need is a count"),
    ],
)
async def test_a_wrong_plan_fails_the_pipeline_alone(plan, text):
    @step
    async def main():
        await pipeline(range(8), stage(load))

    async with Runtime(plan=plan) as runtime:
        with pytest.raises(ValueError, match=text):
            await runtime.run(main())


async def test_the_record_has_the_edges_and_what_waited_in_a_buffer():
    async with Runtime() as runtime:
        await runtime.run(pipeline(range(3), stage(load), stage(nap("slow", 3), buffer=2)))
        record = runtime.runs[0].record()
    rows = {row.call: row for row in record.calls}
    slow = [row for row in record.calls if row.step == "slow"]
    assert [rows[row.edges[0]].step for row in slow] == ["load"] * 3
    assert [rows[row.edges[0]].end for row in slow] == [row.start for row in slow]
    assert [row.waits.get("buffer", 0) for row in slow] == [0, 2_000_000, 4_000_000]
    assert [row.fan_in for row in slow] == [0, 0, 0]
    assert rows[0].pattern == "pipeline"
    assert rows[0].facts == {"items": 3, "gaps": 0, "closed": "all"}


async def test_the_record_of_a_batch_has_the_edges_of_all_its_items():
    async with Runtime() as runtime:
        await runtime.run(pipeline(range(4), stage(load, at_once=4), batch(3), stage(embed)))
        record = runtime.runs[0].record()
    batches = [row for row in record.calls if row.step == "embed"]
    assert [row.facts["items"] for row in batches] == [3, 1]
    loads = [row.call for row in record.calls if row.step == "load"]
    assert [edge for row in batches for edge in row.edges] == loads


# Streams of outcomes


async def test_outcomes_are_streamed_as_items_end():
    work = nap("work", [3, 1, 2])
    seen = []
    async with pipeline(range(3), stage(load, at_once=3), stage(work, at_once=3)).stream() as found:
        async for outcome in found:
            assert isinstance(outcome, Outcome)
            seen.append((now(), outcome.value))
    assert seen == [(2, 1), (3, 2), (4, 0)]


async def test_a_stream_ends_with_what_broke_it():
    seen = []
    with pytest.raises(NotEnough, match="a batch broke"):
        async with pipeline(range(4), batch(2), stage(lambda ns: ns[2:])).stream() as outcomes:
            async for outcome in outcomes:
                seen.append((outcome.index, outcome.status))
    assert seen == [(0, "failed"), (1, "failed"), (2, "skipped"), (3, "skipped")]


async def test_plain_iteration_is_refused():
    with pytest.raises(TypeError, match=r"async with pipeline\(...\).stream\(\) as outcomes"):
        async for _ in pipeline([1], stage(load)):
            pass


# Wrong arguments


@pytest.mark.parametrize(
    ("parts", "kind", "text"),
    [
        ((), TypeError, "a pipeline has at least one stage, such as pipeline"),
        ((batch(2),), ValueError, "Batch.* is the last part, and no stage takes its lists"),
        ((batch(2), batch(3), stage(load)), ValueError, "two batches in a row"),
        ((load,), TypeError, r"a pipeline is made of stages and batches, got .*: stage\(load\)"),
        ((len,), TypeError, r"stage\(len\)"),
        ((3,), TypeError, "got 3, such as pipeline"),
    ],
    ids=str,
)
def test_wrong_parts_are_refused(parts, kind, text):
    with pytest.raises(kind, match=text):
        pipeline([1], *parts)


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        (lambda: pipeline(3, stage(load)), TypeError, "source is an iterable or async iterable"),
        (lambda: pipeline([1], stage(load), need=2), ValueError, "need=2 is above the number"),
        (lambda: pipeline([1], stage(load), within=-1), ValueError, "within is at least 0, got -1"),
        (lambda: stage(3), TypeError, "a stage is made of a step or a function.*got 3"),
        (lambda: stage(load, at_once=0), ValueError, "at_once is at least 1, got 0"),
        (lambda: stage(load, at_once=None), TypeError, "at_once is a whole number, got None"),
        (lambda: stage(load, buffer=-1), ValueError, "buffer is at least 0, got -1"),
        (lambda: batch(0), ValueError, "size is at least 1, got 0"),
        (lambda: batch(True), TypeError, "size is a whole number, got True"),
        (lambda: batch(2, linger=-1), ValueError, "linger is at least 0, got -1"),
    ],
)
def test_a_wrong_argument_is_refused(wrong, kind, text):
    with pytest.raises(kind, match=text):
        wrong()


def test_a_call_in_the_place_of_a_step_is_refused():
    call = load(1)
    with pytest.raises(TypeError, match=r"a stage takes the step, not a call of it: stage\(load\)"):
        stage(call)
