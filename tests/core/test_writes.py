"""Writes: never twice in silence, and what is not known is said."""

import asyncio

import pytest

from fanwise import (
    Breaker,
    Hedge,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    bind,
    current,
    fan_map,
    fan_out,
    step,
)
from fanwise.errors import BreakerOpen, NotDone, StepTimedOut, WriteRefused

AGAIN = Retry(attempts=3, shortest=0, longest=0, on=(Exception,))


class Target:
    """What writes act on."""

    def __init__(self, *errors, seconds=0.0):
        self.errors = list(errors)
        self.seconds = seconds
        self.sent = []

    def write(self, **policy):
        return step(name="write", effect="write", **policy)(self.body)

    async def body(self, what="it"):
        self.sent.append(what)
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def outcome_and_row(call, **options):
    async with Runtime(**options) as runtime:
        found = await fan_out(call, need=0, within=50.0)
        (row,) = [row for row in runtime.runs[0].record().calls if row.step == "write"]
        return found.outcomes[0], row


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), OSError(), ValueError()])
async def test_a_write_is_not_tried_again(error):
    target = Target(error)
    with pytest.raises(type(error)):
        await target.write(retry=AGAIN)()
    assert len(target.sent) == 1


async def test_after_not_done_it_is():
    target = Target(NotDone(), NotDone())
    assert await target.write(retry=AGAIN)() == "done"
    assert len(target.sent) == 3


async def test_a_keyed_write_is():
    target = Target(ConnectionError(), TimeoutError())
    assert await target.write(retry=AGAIN, keyed=True)() == "done"
    assert len(target.sent) == 3


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError()])
async def test_a_lost_connection_leaves_it_ambiguous_and_says_so(error):
    outcome, row = await outcome_and_row(Target(error).write()())
    assert outcome.ambiguous
    assert row.facts["ambiguous"] is True
    assert "write is a write: it may or may not have happened" in outcome.error.__notes__


async def test_a_timeout_leaves_it_ambiguous():
    outcome, row = await outcome_and_row(Target(seconds=9.0).write(timeout=1.0)())
    assert isinstance(outcome.error, StepTimedOut)
    assert outcome.ambiguous
    assert row.facts["ambiguous"] is True


async def test_a_cancellation_leaves_it_ambiguous():
    outcome, row = await outcome_and_row(Target(seconds=99.0).write()())
    assert outcome.status == "timed_out"
    assert row.status == "cancelled"
    assert row.facts["ambiguous"] is True
    assert outcome.ambiguous


@pytest.mark.parametrize("error", [ValueError(), NotDone(), KeyError()])
async def test_an_answer_leaves_nothing_open(error):
    outcome, row = await outcome_and_row(Target(error).write()())
    assert not outcome.ambiguous
    assert "ambiguous" not in row.facts


async def test_a_keyed_write_is_never_ambiguous():
    outcome, row = await outcome_and_row(Target(ConnectionError()).write(keyed=True)())
    assert not outcome.ambiguous
    assert "ambiguous" not in row.facts


async def test_a_write_that_succeeded_in_the_end_is_not_ambiguous():
    outcome, row = await outcome_and_row(Target(NotDone()).write(retry=AGAIN)())
    assert outcome.status == "ok"
    assert not outcome.ambiguous
    assert "ambiguous" not in row.facts


async def test_a_write_that_never_began_is_not_ambiguous():
    target = Target(seconds=60.0)
    write = target.write(limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}):
        found = await fan_out(write(1), write(2), need=0, within=1.0)
    assert [outcome.ambiguous for outcome in found] == [True, False]
    assert [outcome.status for outcome in found] == ["timed_out", "skipped"]
    assert target.sent == [1]


async def test_an_open_breaker_leaves_nothing_open():
    target = Target(ConnectionError())
    write = target.write(breaker=Breaker(minimum=1, share=1.0))
    async with Runtime():
        found = await fan_out(write(), write(), need=0, at_once=1)
    assert [outcome.ambiguous for outcome in found] == [True, False]
    assert isinstance(found.outcomes[1].error, BreakerOpen)


async def test_a_read_is_never_ambiguous():
    @step(timeout=1.0)
    async def read():
        await asyncio.sleep(9)

    found = await fan_out(read(), need=0)
    assert not found.outcomes[0].ambiguous


async def test_two_identical_writes_are_two():
    target = Target()
    write = target.write()
    await fan_out(write("x"), write("x"))
    await write("x")
    assert target.sent == ["x"] * 3


async def test_two_identical_writes_below_a_retried_step_are_two():
    target = Target()
    write = target.write()

    @step(retry=AGAIN)
    async def parent():
        await fan_out(write("x"), write("x"))
        if current().attempt == 1:
            raise ConnectionError

    await parent()
    assert target.sent == ["x", "x"]


async def test_below_a_hedged_step_an_equal_write_is_joined():
    target = Target(seconds=3.0)
    write = target.write()

    @step(hedge=Hedge(after=1.0, more=2))
    async def parent():
        return await write("x")

    assert await parent() == "done"
    assert target.sent == ["x"]


async def test_below_a_retried_step_a_write_that_may_have_happened_is_refused_by_name():
    target = Target(ConnectionError())
    write = target.write()

    @step(retry=AGAIN)
    async def parent():
        await write("x")

    with pytest.raises((ConnectionError, WriteRefused)) as caught:
        await parent()
    assert target.sent == ["x"]
    assert "write" in str(caught.value) or caught.value.__notes__


@pytest.mark.parametrize(
    "policy", [{"retry": AGAIN}, {"hedge": Hedge(after=1.0)}], ids=["retry", "hedge"]
)
async def test_below_such_a_step_a_write_without_a_digest_is_refused_by_name(policy):
    target = Target()
    write = target.write()

    @step(**policy)
    async def parent():
        await write(object())

    with pytest.raises(WriteRefused, match=r"write is a write under a step .* @step\(key=\.\.\.\)"):
        await parent()
    assert target.sent == []


async def test_a_key_is_the_cure():
    target = Target()
    write = target.write(key=lambda what: "one")

    @step(retry=AGAIN)
    async def parent():
        await write(object())
        if current().attempt == 1:
            raise ConnectionError

    await parent()
    assert len(target.sent) == 1


async def test_writes_in_patterns_below_a_retried_step_are_sent_once():
    target = Target()
    write = target.write()

    @step
    async def between(what):
        return await write(what)

    @step(retry=AGAIN)
    async def parent():
        await fan_map(write, ["a", "b"], at_once=1)
        await bind(write, between("c"))
        if current().attempt < 3:
            raise ConnectionError

    await parent()
    assert target.sent == ["a", "b", "c", "done"]


async def test_a_fan_in_names_what_may_have_happened():
    target = Target(ConnectionError("lost"))
    with pytest.raises(NotEnough) as caught:
        await fan_out(target.write()())
    (outcome,) = caught.value.found
    assert outcome.ambiguous
