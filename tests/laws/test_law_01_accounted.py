"""Law 1: every started call has one row, every branch one outcome; nothing outlives its pattern.

Cancellation is sent once, awaited, and never swallowed.
"""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st

from fanwise.core import Call, FanIn, NotEnough, current, step
from fanwise.core._engine import drop, finish
from fanwise.core._watchers import Ending
from fanwise.patterns import fan_map, fan_out
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    rejects,
    replaced,
    ticks,
    virtually,
)

BRANCH = st.tuples(ticks(), st.sampled_from(["ok", "ok", "fails"]), ticks(0, 2))
PROGRAM = {
    "branches": st.lists(BRANCH, max_size=6),
    "enough": st.none() | st.integers(1, 3),
    "within": st.none() | ticks(1, 8),
    "at_once": st.none() | st.integers(1, 3),
    "cancel_at": st.none() | ticks(0, 8),
    "mapped": st.booleans(),
    "order": ORDERS,
}


@dataclass
class Seen:
    """What the bodies saw."""

    begun: list[int] = field(default_factory=list)
    inside: int = 0
    cancels: dict[int, int] = field(default_factory=dict)
    ended_late: list[int] = field(default_factory=list)
    closed_at: float | None = None


def job_of(seen, branches):
    @step
    async def job(index):
        delay, end, cleaning = branches[index]
        seen.begun.append(current()._call.id)
        seen.inside += 1
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            seen.cancels[index] = 1
            await clean(index, cleaning)
            raise
        finally:
            seen.inside -= 1
        if seen.closed_at is not None and now() > seen.closed_at:
            seen.ended_late.append(index)
        if end == "fails":
            raise ValueError(index)
        return index

    async def clean(index, seconds):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            seen.cancels[index] += 1

    return job


def accounted(branches, enough, within, at_once, cancel_at, mapped, order):
    seen = Seen()
    job = job_of(seen, branches)
    count = len(branches)
    schedule = {"need": 0, "enough": enough if enough is not None and enough <= count else None}

    @step
    async def main():
        if mapped:
            numbers = iter(range(count))
            call = fan_map(job, numbers, at_once=at_once or 2, within=within, **schedule)
        else:
            calls = [job(index) for index in range(count)]
            call = fan_out(*calls, at_once=at_once, within=within, **schedule)
        try:
            found = await call
        finally:
            assert seen.inside == 0, "bodies outlive the pattern that started them"
        return found

    async def program(runtime):
        task = asyncio.create_task(runtime.run(main()))
        sent = []
        loop = asyncio.get_running_loop()
        if cancel_at is not None:
            loop.call_at(cancel_at, lambda: sent.append(close(seen, task.cancel())))
        await asyncio.wait([task])
        if any(sent):
            assert task.cancelled(), "a cancellation was swallowed"
        else:
            check_outcomes(task.result(), count, mapped)
        await asyncio.sleep(10)
        (run,) = runtime.runs
        check_record(run, seen)
        return run

    virtually(program, order=order)


def close(seen, sent):
    """From now on nothing ends well any more."""
    if sent:
        seen.closed_at = now()
    return sent


def check_outcomes(found, count, mapped):
    assert isinstance(found, FanIn)
    indices = [it.index for it in found.outcomes]
    assert indices == list(range(len(indices) if mapped else count))
    assert all(it.status == "ok" or it.error is not None for it in found)


def check_record(run, seen):
    record = run.record()
    assert sorted(row.call for row in record.calls) == list(range(run.next_id + 1))
    assert set(seen.begun) <= {row.call for row in record.calls}
    assert all(times == 1 for times in seen.cancels.values()), "cancelled more than once"
    assert not seen.ended_late, "went on after the cancellation"
    assert not run.root.live
    assert run.over


def test_law_1_holds():
    holds(accounted, **PROGRAM, examples=120)


def rejected(mutant):
    rejects(accounted, **PROGRAM, mutant=mutant)


def test_law_1_rejects_a_lost_row():
    def losing(call, status):
        finish(call, status)
        if call.id % 3 == 1:
            rows = call.run.rows.open
            rows[:] = [row for row in rows if row[0] != call.id]

    rejected(replaced(finish, losing))


def test_law_1_rejects_a_row_written_twice():
    def repeating(call, status):
        finish(call, status)
        rows = call.run.rows.open
        rows += [row for row in rows if row[0] == call.id and row[9] == "cancelled"]

    rejected(replaced(finish, repeating))


def test_law_1_rejects_leaving_without_cancelling():
    def lenient(call):
        call.dropped = True

    rejected(replaced(drop, lenient))


def test_law_1_rejects_cancelling_without_awaiting():
    async def wait(self):
        return None

    rejected(changed((Ending, "wait", wait)))


def test_law_1_rejects_cancelling_twice():
    def impatient(call):
        drop(call)
        if call.task is not None:
            asyncio.get_running_loop().call_soon(call.task.cancel)
            asyncio.get_running_loop().call_later(0.1, call.task.cancel)

    rejected(replaced(drop, impatient))


def test_law_1_rejects_a_swallowed_cancellation():
    plain = Call.__await__

    def deaf(self):
        try:
            return (yield from plain(self))
        except asyncio.CancelledError:
            return None

    rejected(changed((Call, "__await__", deaf)))


def test_law_1_rejects_a_branch_without_outcome():
    plain = FanIn.outcomes.fget

    def forgetful(self):
        return [it for it in plain(self) if it.status != "skipped"]

    rejected(changed((FanIn, "outcomes", property(forgetful))))


def test_a_failing_fan_in_accounts_for_its_branches_too():
    async def program(runtime):
        seen = Seen()
        job = job_of(seen, [(0.25, "ok", 0), (0.5, "fails", 0), (9.0, "ok", 0.5)])

        @step
        async def main():
            await fan_out(job(0), job(1), job(2))

        with pytest.raises(NotEnough) as caught:
            await runtime.run(main())
        assert [it.status for it in caught.value.found] == ["ok", "failed", "cancelled"]
        assert now() == 1.0  # the third one cleans up for half a second
        check_record(runtime.runs[0], seen)

    virtually(program)
