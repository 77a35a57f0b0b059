"""Blame, fan-ins, waste, tax and the sentence: against the plain definition, and by hand."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Hedge, Limit, Retry, Runtime, current, fan_map, fan_out, first, step
from fanwise.analysis import _fan_ins as counting
from fanwise.analysis import (
    blame,
    critical_path,
    fan_ins,
    finish,
    report,
    slack,
    summary,
    tax,
    waste,
)
from fanwise.core import AttemptRow, Header, RunRecord
from fanwise.testing import run_virtual
from tests.analysis.rows import recorded, records, row

TICK = 1 / 64
MICRO = 15_625


@step
async def work(ticks):
    await asyncio.sleep(ticks * TICK)
    return ticks


async def recorded_run(call, **limits):
    async with Runtime(limits=limits, seed=1) as runtime:
        run = runtime.start(call)
        await asyncio.wait([asyncio.ensure_future(run.wait())])
        return run.record()


def ran(call, **limits):
    return run_virtual(recorded_run(call, **limits))


# Any record


@given(records())
def test_blame_sums_to_the_wall_time_exactly(record):
    found = blame(record)
    ended = {each.call: each for each in record.calls}
    start = ended[0].start if 0 in ended else min((e.start for e in record.calls), default=0)
    end = ended[0].end if 0 in ended else max((e.end for e in record.calls), default=0)
    assert found.wall == critical_path(record).microseconds == end - start
    assert sum(found.kinds.values()) == found.wall
    assert found.running + found.coordination + found.engine + sum(found.waits.values()) == (
        found.wall
    )
    assert list(found.kinds.values()) == sorted(found.kinds.values(), reverse=True)
    assert str(found).count(",") == max(0, len(found.kinds) - 1)


def test_a_kind_of_wait_that_nobody_knows_is_blamed_under_its_name():
    found = blame(recorded(row(0, 0, 9, waits={"moon": 4})))
    assert found.kinds == {"running": 5, "wait moon": 4}
    assert str(found) == "running 5 us, wait moon 4 us"


def test_a_blame_that_leaves_waits_out_is_refused(monkeypatch):
    monkeypatch.setattr("fanwise.analysis._spans._waits", lambda *_, **__: [])
    with pytest.raises((AssertionError, ValueError)):
        test_blame_sums_to_the_wall_time_exactly()


@given(records())
def test_every_figure_is_there_for_any_record(record):
    found = report(record)
    assert found.finish == finish(record)
    assert found.slack == slack(record)
    assert found.fan_ins == fan_ins(record)
    assert found.waste == waste(record)
    assert found.tax == tax(record)
    assert found.summary == summary(record)
    assert found.blame == blame(record)
    assert all(each >= 0 for each in found.slack.values())
    assert [len(found.slack)] == [len(record.calls)]
    assert found.finish.startswith("The run ")
    assert found.finish.endswith(".")
    assert found.finish.count("\n") == 0


@given(records())
def test_fan_ins_count_what_a_plain_count_gives(record):
    rows = {each.call: each for each in record.calls}
    for found in fan_ins(record):
        branches = [each for each in record.calls if each.fan_in == found.call]
        assert found.branches == len(branches) == sum(found.outcomes.values())
        own = [b for b in branches if b.status not in ("cancelled", "skipped")] or branches
        times = sorted(b.end - b.start for b in own)
        assert found.longest == times[-1] == rows[found.slowest].end - rows[found.slowest].start
        for given_, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
            assert value in times
            assert sum(time <= value for time in times) * 100 >= given_ * len(times)
            assert sum(time < value for time in times) * 100 < given_ * len(times)
        idle = sum(
            not any(b.start <= t < b.end for b in branches) for t in range(found.start, found.end)
        )
        assert found.orchestration == idle


@pytest.mark.parametrize("mutant", [lambda o, p: o[0], lambda o, p: o[p * (len(o) - 1) // 100]])
def test_another_percentile_is_refused(monkeypatch, mutant):
    monkeypatch.setattr(counting, "percentile", mutant)
    record = recorded(
        row(0, 0, 9, pattern="fan_out"), *(row(n, 0, n, fan_in=0) for n in range(1, 5))
    )
    (found,) = fan_ins(record)
    assert (found.p50, found.p99) != (2, 4)


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 100))
def test_a_percentile_is_the_nearest_rank(values, per_cent):
    ordered = sorted(values)
    wanted = next(
        v for v in ordered if sum(w <= v for w in ordered) * 100 >= per_cent * len(values)
    )
    assert counting.percentile(ordered, per_cent) == wanted


# By hand


def test_the_fan_in_of_four_branches():
    @step
    async def fails(ticks):
        await asyncio.sleep(ticks * TICK)
        raise LookupError

    call = fan_out(work(1), work(4), fails(6), work(20).named("slow"), need=1, within=8 * TICK)
    (found,) = fan_ins(ran(call))
    assert dict(found.outcomes) == {"ok": 2, "failed": 1, "cancelled": 1}
    assert (found.need, found.reason) == (1, "within")
    assert (found.closed, found.end, found.longest) == (8 * MICRO, 8 * MICRO, 6 * MICRO)
    assert found.slowest_name == "fails"
    assert found.wait == (7 + 4 + 2) * MICRO
    assert (found.orchestration, found.errors) == (0, 2 * MICRO)
    assert str(found) == (
        "fan_out: 2 ok, 1 failed, 1 cancelled; p50 0.06 s, p99 0.09 s, slowest fails 0.09 s; "
        "fan-in wait 0.20 s"
    )


def test_a_map_that_was_decided_says_when():
    (found,) = fan_ins(ran(fan_map(work, [1, 2, 9], at_once=3, enough=2)))
    assert (found.reason, found.closed, found.need) == ("enough", 2 * MICRO, None)
    assert found.wait == MICRO


def test_a_fan_in_without_branches_has_no_figures():
    assert fan_ins(ran(fan_out())) == ()


def test_the_tax_of_a_run():
    @step(role="merge")
    async def merge(parts):
        await work(2)

    @step
    async def main():
        found = await fan_out(work(3), work(1))
        await merge(found.values())

    found = tax(ran(main()))
    assert (found.merge, found.dedupe, found.errors, found.orchestration) == (2 * MICRO, 0, 0, 0)
    assert str(found).startswith("merge 0.03 s, dedupe 0 us")


def test_losers_have_a_price():
    @step
    async def asks(ticks):
        current().usage(tokens_in=10 * ticks, estimated=True)
        await asyncio.sleep(ticks * TICK)
        return ticks

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def flaky():
        await asyncio.sleep(TICK)
        if current().attempt == 1:
            raise ConnectionError

    @step(hedge=Hedge(after=TICK))
    async def slow_once():
        await asyncio.sleep(50 * TICK if current().attempt == 1 else TICK)

    @step
    async def main():
        await first(asks(1), asks(7), asks(2), accept=lambda value: value > 1)
        await flaky()
        await slow_once()

    found = waste(ran(main()))
    assert [(loss.name, loss.attempt, loss.why) for loss in found.losses] == [
        ("asks 2", None, "lost race"),
        ("slow_once", 1, "attempt overtaken"),
        ("asks 1", None, "not accepted"),
        ("flaky", 1, "attempt failed"),
    ]
    assert found.microseconds == 6 * MICRO
    assert found.usage == {"tokens_in": 80}
    assert found.cost is None
    assert all(loss.estimated for loss in found.losses if loss.usage)
    assert found.reasons["lost race"] == (1, 2 * MICRO)
    assert str(found).startswith("1 x lost race 0.03 s, 1 x attempt overtaken 0.03 s")


def test_money_is_added_exactly_and_waits_are_not_wasted():
    facts = {"cost": "0.1"}
    record = recorded(
        row(0, 0, 90, status="failed"),
        row(1, 0, 9, status="failed", facts=facts, waits={"limit": 4}),
        row(2, 0, 9, status="cancelled", facts={"cost": "0.2"}),
        row(3, 0, 9, facts=facts),
        row(4, 0, 0, status="skipped", attempts=0),
        row(5, 0, 9, status="failed", facts={"cost": "a lot"}),
    )
    found = waste(record)
    assert found.cost == Decimal("0.3")
    assert found.microseconds == 5 + 9 + 9
    assert len(found.losses) == 3
    assert waste(recorded(row(0, 0, 9))).losses == ()
    assert str(waste(recorded(row(0, 0, 9)))) == ""


# The sentence


def test_what_set_the_finish_time():
    @step(retry=Retry(attempts=2, shortest=16 * TICK, longest=16 * TICK))
    async def news():
        await asyncio.sleep(64 * TICK)
        if current().attempt == 1:
            raise ConnectionError

    @step
    async def main():
        await fan_out(news(), work(4))

    record = ran(main())
    waited = blame(record).waits["backoff"] / 1_000_000
    assert finish(record) == (
        f"The run took {2 + waited:.2f} s; 2.00 s of it was `news` (attempt 2 of 2), after "
        f"{waited:.2f} s in back-off; making `work` faster would change nothing "
        f"(slack {2 + waited - 4 * TICK:.2f} s)."
    )


def test_a_run_that_waited():
    narrow = work.using(limit="narrow")
    record = ran(fan_out(narrow(9), narrow(2)), narrow=Limit(at_once=1))
    assert finish(record) == (
        "The run took 0.17 s; 0.14 s of it `work 2` spent waiting for a limit."
    )


def test_a_chain_a_failure_a_timeout_and_a_run_that_goes_on():
    assert finish(ran(fan_map(work, [2, 2, 2], at_once=1))) == (
        "The run took 0.09 s; all of it was `work` (3 calls in a row)."
    )
    assert finish(ran(fan_out(work(1), work(50), need=2, within=4 * TICK))) == (
        "The run failed after 0.06 s; all of it was `work 2` (until the time of its fan-in was "
        "over)."
    )
    assert finish(recorded(row(1, 0, 70))) == (
        "The run is not over: 70 us so far; all of it was `s`."
    )
    assert finish(RunRecord(Header("r", 0, 0), ())) == "The run is not over: 0 us so far."
    stagger = first(work(9), work(1), stagger=(0, 5 * TICK))
    assert finish(ran(stagger)).startswith(
        "The run took 0.09 s; 0.08 s of it was coordination in `first`"
    )
    bound = recorded(row(0, 0, 50, edges=(1,)), row(1, 0, 40, step="i", waits={"pool": 30}))
    assert finish(bound) == "The run took 50 us; 30 us of it `i` spent waiting for a pool."


def test_an_attempt_of_a_step_with_calls_inside_is_not_counted_twice():
    lost = AttemptRow(1, 1, hedge=False, start=0, end=5, status="failed")
    record = recorded(
        row(0, 0, 9), row(1, 0, 9, attempts=2), row(2, 0, 4, parent=1), attempts=[lost]
    )
    assert waste(record).microseconds == 0
