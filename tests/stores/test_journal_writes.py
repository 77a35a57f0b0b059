"""Writes under a journal: never twice unseen; what nobody knows is asked."""

import asyncio

import pytest

from fanwise import Limit, Retry, Runtime, current, fan_out, step
from fanwise.core._entries import Kind
from fanwise.errors import JournalError, LimitHeld, NotDone, ProgramChanged, Unresolved
from fanwise.stores import MemoryJournal


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def sent():
    return []


async def execute(journal, call, stop=None):
    async with Runtime(journal=journal) as runtime:
        task = asyncio.create_task(runtime.run(call, run_id="r"))
        await asyncio.wait([task], timeout=stop)
        task.cancel()
        return await task


async def killed(journal, call, at=5.0):
    """Stop a run as SIGKILL does: what it tells in its last moments is not kept."""
    kept = journal.kept_before = None
    async with Runtime(journal=journal) as runtime:
        task = asyncio.create_task(runtime.run(call, run_id="r"))
        await asyncio.wait([task], timeout=at)
        kept = [dict(each) for each in journal._kept]
        task.cancel()
        await asyncio.wait([task])
    journal._kept = kept


def kinds(journal):
    return {entry.step: Kind(entry.kind).name for entry in journal.entries("r")}


async def test_the_intent_is_kept_before_the_act_and_the_result_after(journal, sent):
    @step(effect="write")
    async def send():
        sent.append(kinds(journal))
        return 1

    await execute(journal, send())
    assert sent == [{"send": "INTENT"}]
    assert kinds(journal) == {"send": "WRITTEN"}


async def test_every_attempt_and_execution_has_the_same_key(journal, sent):
    @step(effect="write", keyed=True, retry=Retry(attempts=3, shortest=0, longest=0))
    async def send():
        sent.append(current().idempotency_key)
        if len(sent) == 1:
            raise ConnectionError
        await asyncio.sleep(20.0 if len(sent) == 2 else 0.0)
        return 1

    await killed(journal, send())
    assert await execute(journal, send()) == 1
    assert len(sent) == 3
    assert len(set(sent)) == 1


@pytest.fixture
def slow_send(sent):
    @step(effect="write")
    async def send(n):
        sent.append(n)
        await asyncio.sleep(20.0)
        return f"sent {n}"

    return send


async def test_a_write_that_was_begun_stops_the_run_and_asks(journal, sent, slow_send):
    await killed(journal, slow_send(1))
    with pytest.raises(Unresolved, match=r"send is a write, and run 'r' had begun it") as caught:
        await execute(journal, slow_send(1))
    assert f"fanwise runs resolve r {caught.value.key}" in str(caught.value)
    assert journal.runs()[0].status == "unresolved"
    assert sent == [1]


async def test_somebody_says_that_it_happened(journal, sent, slow_send):
    await killed(journal, slow_send(1))
    with pytest.raises(Unresolved) as caught:
        await execute(journal, slow_send(1))
    journal.resolve("r", caught.value.key, done=True, result="by hand")
    assert await execute(journal, slow_send(1)) == "by hand"
    assert sent == [1]


async def test_somebody_says_that_it_did_not(journal, sent, slow_send):
    await killed(journal, slow_send(1))
    with pytest.raises(Unresolved) as caught:
        await execute(journal, slow_send(1))
    journal.resolve("r", caught.value.key, done=False)
    assert await execute(journal, slow_send(1)) == "sent 1"
    assert sent == [1, 1]


async def test_only_what_is_open_can_be_resolved(journal, slow_send):
    @step(effect="write")
    async def send():
        return 1

    await execute(journal, send())
    key = journal.calls("r")[0].key
    with pytest.raises(JournalError, match=r"send .* is written: there is nothing to resolve"):
        journal.resolve("r", key, done=True)
    with pytest.raises(JournalError, match="no call with the key 00"):
        journal.resolve("r", "00", done=True)
    with pytest.raises(JournalError, match="the journal has no run 'x'"):
        journal.resolve("x", key, done=True)


async def test_a_fan_in_that_could_do_without_does_not_hide_it(journal, sent, slow_send):
    @step
    async def after():
        sent.append("after")

    @step
    async def program():
        await fan_out(slow_send(1), need=0)
        await after()

    await killed(journal, program())
    with pytest.raises(Unresolved):
        await execute(journal, program())
    assert sent == [1]


@pytest.mark.parametrize("happened", [True, False])
async def test_verify_asks_the_world(journal, sent, happened):
    asked = []

    async def was_sent(n):
        asked.append(current().idempotency_key)
        if not happened:
            raise NotDone
        return f"found {n}"

    @step(effect="write", verify=was_sent)
    async def send(n):
        sent.append(current().idempotency_key)
        await asyncio.sleep(20.0)
        return f"sent {n}"

    await killed(journal, send(1))
    assert await execute(journal, send(1)) == ("found 1" if happened else "sent 1")
    assert len(sent) == (1 if happened else 2)
    assert asked == sent[:1]
    assert kinds(journal) == {"send": "WRITTEN"}


async def test_what_verify_was_told_is_never_recalled(journal, sent):
    """It asks with a step: first it has not happened, then it has."""
    asked = []

    @step
    async def look(n):
        asked.append(n)
        return n in sent

    @step
    async def nested(n):
        return (await fan_out(look(n))).values()[0]

    async def was_sent(n):
        if not await nested(n):
            raise NotDone
        return f"found {n}"

    @step(effect="write", verify=was_sent)
    async def send(n):
        await look(n)
        if len(asked) > 1:
            sent.append(n)
        await asyncio.sleep(20.0)
        return f"sent {n}"

    await killed(journal, send(1))  # it did not come to the act
    await killed(journal, send(1))  # it was asked for, had not happened, and was done
    assert sent == [1]
    assert await execute(journal, send(1)) == "found 1"
    assert sent == [1]


async def test_verify_asks_and_does_not_act(journal, sent):
    @step(effect="write")
    async def other():
        sent.append("other")

    @step(effect="write", verify=lambda: other())  # noqa: PLW0108 - a call, not a step
    async def send():
        await asyncio.sleep(20.0)

    await killed(journal, send())
    with pytest.raises(Unresolved) as caught:
        await execute(journal, send())
    assert "other is a write below verify=" in str(caught.value.__cause__)
    assert sent == []


async def test_a_world_that_does_not_answer_leaves_it_open(journal, sent):
    def was_sent():
        raise ConnectionError("no answer")

    @step(effect="write", verify=was_sent)
    async def send():
        sent.append(1)
        await asyncio.sleep(20.0)

    await killed(journal, send())
    with pytest.raises(Unresolved, match="verify= failed") as caught:
        await execute(journal, send())
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert sent == [1]


async def test_a_keyed_write_is_not_sent_again_for_something_else(journal, sent):
    """Its target would take the second for the first."""

    @step(effect="write", keyed=True, key=lambda order, amount: order)
    async def charge(order, amount):
        sent.append(amount)
        await asyncio.sleep(20.0)

    amount = [10]

    @step
    async def program():
        await charge("a", amount[0])

    await killed(journal, program())
    amount[0] = 12
    with pytest.raises(ProgramChanged, match="other arguments under the same key="):
        await execute(journal, program())
    assert sent == [10]


async def test_a_write_that_was_not_done_is_sent_again(journal, sent):
    @step(effect="write")
    async def send():
        sent.append(1)
        if len(sent) == 1:
            raise NotDone
        return "sent"

    with pytest.raises(NotDone):
        await execute(journal, send())
    assert await execute(journal, send()) == "sent"


async def test_a_write_that_failed_otherwise_is_a_question(journal, sent):
    @step(effect="write")
    async def send():
        sent.append(1)
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        await execute(journal, send())
    with pytest.raises(Unresolved, match="saw it fail: odd"):
        await execute(journal, send())
    assert sent == [1]


async def test_a_write_whose_failure_was_caught_fails_again_the_same(journal, sent):
    seconds = [60.0]

    @step(effect="write")
    async def send():
        sent.append(1)
        raise ValueError("odd")

    @step
    async def instead():
        sent.append("instead")

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        try:
            await send()
        except ValueError:
            await instead()
        await last()

    await killed(journal, program())
    seconds[0] = 0.0
    await execute(journal, program())
    assert sent == [1, "instead"]


async def test_a_write_that_was_let_go_after_it_began_is_a_question(journal, sent, slow_send):
    with pytest.raises(asyncio.CancelledError):
        await execute(journal, slow_send(1), stop=5.0)
    with pytest.raises(Unresolved):
        await execute(journal, slow_send(1))
    assert sent == [1]


async def test_calls_below_a_write_do_not_hide_that_it_began(journal, sent):
    """Nor does the time that it was told: only its end replaces its intent."""

    @step
    async def look(n):
        return n

    @step(effect="write")
    async def send(n):
        current().time()
        await look(n)
        sent.append(n)
        await asyncio.sleep(20.0)

    await killed(journal, send(1))
    with pytest.raises(Unresolved):
        await execute(journal, send(1))
    assert sent == [1]


async def test_a_write_that_was_refused_before_it_began_is_no_question(journal, sent):

    @step(effect="write", limit="narrow")
    async def send():
        sent.append(1)

    @step
    async def program():
        await send()

    @step(limit="narrow")
    async def holds():
        await program()

    async with Runtime(journal=journal, limits={"narrow": Limit(at_once=1)}) as runtime:
        with pytest.raises(LimitHeld):
            await runtime.run(holds(), run_id="r")
        with pytest.raises(LimitHeld):
            await runtime.run(holds(), run_id="r")
    assert sent == []


async def test_two_identical_writes_are_two_writes(journal, sent):
    seconds = [60.0]

    @step(effect="write")
    async def send():
        sent.append(current().idempotency_key)

    @step(key=lambda: 0)
    async def last():
        await asyncio.sleep(seconds[0])

    @step
    async def program():
        await send()
        await send()
        await last()

    await killed(journal, program())
    seconds[0] = 0.0
    await execute(journal, program())
    assert len(sent) == len(set(sent)) == 2


async def test_a_write_that_waits_for_its_limit_has_not_begun(journal, sent):
    """No intent is kept before it is admitted: a crash then asks nobody."""

    @step(limit="one")
    async def holds():
        await asyncio.sleep(20.0)

    @step(effect="write", limit="one")
    async def send():
        sent.append(1)

    @step
    async def program():
        return len(await fan_out(holds(), send()))

    async with Runtime(journal=journal, limits={"one": Limit(at_once=1)}) as runtime:
        task = asyncio.create_task(runtime.run(program(), run_id="r"))
        await asyncio.wait([task], timeout=5.0)
        assert "send" not in kinds(journal)
        task.cancel()
        await asyncio.wait([task])


def test_verify_is_for_writes_and_a_function():
    with pytest.raises(ValueError, match=r'verify= .*: add effect="write"'):
        step(verify=lambda: None)(lambda: None)
    with pytest.raises(TypeError, match=r"verify is a function .*got 3"):
        step(effect="write", verify=3)(lambda: None)
