"""Policies one by one and together: retry, hedge, breaker, limit, timeout, deadline."""

import asyncio
import email.utils
import time

import pytest

from fanwise import (
    Breaker,
    Hedge,
    Limit,
    NotEnough,
    Retry,
    Runtime,
    current,
    deadline,
    fan_out,
    step,
)
from fanwise.errors import (
    BreakerOpen,
    DeadlinePassed,
    LimitHeld,
    LimitUnknown,
    NotDone,
    StepTimedOut,
)
from fanwise.testing import no_orphans, run_virtual


def now():
    return asyncio.get_running_loop().time()


class Flaky:
    """A step that fails with each of `errors` in turn, then gives a value."""

    def __init__(self, *errors, seconds=0.0, **policy):
        self.errors = list(errors)
        self.seconds = seconds
        self.tries = []
        self.step = step(name="flaky", **policy)(self.body)

    async def body(self):
        self.tries.append(now())
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return "value"


class HttpError(Exception):
    def __init__(self, status, **headers):
        super().__init__(f"HTTP {status}")
        self.response = Response(status, headers)


class Response:
    def __init__(self, status, headers):
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ConnectError(Exception):
    """As of a client library whose names are all that is known of it."""


class APIConnectionError(Exception):
    pass


PLAIN = Retry(attempts=2, shortest=0, longest=0)

# Retry: what is tried again


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionError(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (EOFError(), True),
        (APIConnectionError(), True),
        (ConnectError(), False),
        *((HttpError(status), True) for status in (408, 409, 429, 500, 502, 503, 504, 599)),
        *((HttpError(status), False) for status in (400, 401, 403, 404, 410, 413, 422)),
        (OSError("disk"), False),
        (ValueError(), False),
        (TypeError(), False),
        (KeyError(), False),
        (RuntimeError(), False),
        (NotDone(), True),
    ],
    ids=repr,
)
async def test_what_is_retried(error, again):
    flaky = Flaky(error, retry=PLAIN)
    if again:
        assert await flaky.step() == "value"
    else:
        with pytest.raises(type(error)):
            await flaky.step()
    assert len(flaky.tries) == (2 if again else 1)


async def test_what_the_step_lists_is_retried_too():
    flaky = Flaky(KeyError(), retry=Retry(attempts=2, on=(KeyError,), shortest=0, longest=0))
    assert await flaky.step() == "value"


async def test_a_predicate_may_list_it():
    retry = Retry(attempts=2, on=lambda error: "busy" in str(error), shortest=0, longest=0)
    assert await Flaky(RuntimeError("busy"), retry=retry).step() == "value"
    with pytest.raises(RuntimeError, match="broken"):
        await Flaky(RuntimeError("broken"), retry=retry).step()


@pytest.mark.parametrize("error", [LimitHeld("no"), LimitUnknown("no"), BreakerOpen("no", 1.0)])
async def test_a_refused_limit_and_an_open_breaker_are_never_retried(error):
    flaky = Flaky(error, retry=Retry(attempts=2, on=(Exception,), shortest=0, longest=0))
    with pytest.raises(type(error)):
        await flaky.step()
    assert len(flaky.tries) == 1


async def test_a_stray_cancel_is_not_retried():
    flaky = Flaky(asyncio.CancelledError(), retry=PLAIN)
    found = await fan_out(flaky.step(), need=0)
    assert found.outcomes[0].status == "failed"
    assert len(flaky.tries) == 1


async def test_attempts_count_the_first():
    flaky = Flaky(*[ConnectionError(str(n)) for n in range(9)],
                  retry=Retry(attempts=4, shortest=0, longest=0))  # fmt: skip
    with pytest.raises(ConnectionError, match="3"):
        await flaky.step()
    assert len(flaky.tries) == 4


async def test_without_a_retry_nothing_is_tried_again():
    flaky = Flaky(ConnectionError())
    with pytest.raises(ConnectionError):
        await flaky.step()
    assert len(flaky.tries) == 1


# Retry: when


async def test_the_wait_is_drawn_between_0_and_a_bound_that_doubles():
    waits = {1: [], 2: [], 3: []}
    for seed in range(200):
        flaky = Flaky(*[ConnectionError()] * 3, retry=Retry(attempts=4, shortest=1.0, longest=3.0))
        async with Runtime(seed=seed):
            await flaky.step()
        for number, (a, b) in enumerate(zip(flaky.tries, flaky.tries[1:], strict=False), 1):
            waits[number].append(b - a)
    for number, bound in {1: 1.0, 2: 2.0, 3: 3.0}.items():
        assert all(0 <= wait <= bound + 1e-9 for wait in waits[number])
        assert min(waits[number]) < 0.1 * bound  # full: from 0 on
        assert max(waits[number]) > 0.9 * bound
        assert abs(sum(waits[number]) / 200 - bound / 2) < 0.15 * bound


@pytest.mark.parametrize("value", ["7", "7.0", " 7 "])
async def test_retry_after_in_seconds_is_waited_for_at_least(value):
    flaky = Flaky(HttpError(429, Retry_After=value), retry=Retry(attempts=2, shortest=1.0))
    await flaky.step()
    assert 7.0 <= flaky.tries[1] <= 8.0


async def test_what_was_not_done_waits_as_the_sender_of_its_cause_asks():
    refused = NotDone("not taken")
    refused.__cause__ = HttpError(429, Retry_After="7")
    flaky = Flaky(refused, retry=Retry(attempts=2, shortest=1.0))
    await flaky.step()
    assert 7.0 <= flaky.tries[1] <= 8.0


async def test_retry_after_as_a_date_is_waited_for():
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    flaky = Flaky(HttpError(503, retry_after=date), retry=Retry(attempts=2, shortest=0, longest=0))
    await flaky.step()
    assert 97.0 < flaky.tries[1] < 101.0


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "nan", "99999-01-01"]
)
async def test_a_retry_after_that_says_nothing_is_no_wait(value):
    flaky = Flaky(HttpError(429, retry_after=value), retry=PLAIN)
    assert await flaky.step() == "value"
    assert flaky.tries == [0.0, 0.0]


async def test_an_infinite_retry_after_does_not_hang_for_ever():
    """A server's mistake: a wait that never ends is no retry."""
    flaky = Flaky(HttpError(429, retry_after="inf"), retry=PLAIN)
    with pytest.raises(HttpError):
        await flaky.step()


async def test_a_wait_beyond_the_deadline_is_not_begun():
    flaky = Flaky(HttpError(429, retry_after="60"), retry=PLAIN)
    with pytest.raises(HttpError), deadline(10.0):
        await flaky.step()
    assert now() == 0.0


async def test_retries_take_at_most_a_fifth_of_the_calls_of_a_run_but_ten_are_allowed():
    made = []

    @step(retry=Retry(attempts=9, shortest=0, longest=0))
    async def fails(n):
        made.append(n)
        raise ConnectionError

    async def storm(calls):
        made.clear()
        async with Runtime() as runtime:
            await runtime.run(fan_out(*(fails(n) for n in range(calls)), need=0))
        return len(made) - calls

    assert await storm(2) == 10
    assert await storm(20) == 10
    assert 195 <= await storm(1000) <= 201


async def test_slots_are_given_back_before_the_back_off():
    free = []

    async with Runtime(limits={"web": Limit(at_once=1)}) as runtime:
        flaky = Flaky(
            ConnectionError(), retry=Retry(attempts=2, shortest=9, longest=9), limit="web"
        )
        run = runtime.start(flaky.step())
        await asyncio.sleep(0)
        while len(flaky.tries) < 2:
            free.append(
                runtime.statistics().limits[0].in_flight if runtime.statistics().limits else 0
            )
            await asyncio.sleep(0.25)
        await run.wait()
    assert free[-1] == 0


async def test_the_record_has_a_row_for_each_attempt_and_the_waits():
    async with Runtime(seed=1) as runtime:
        await Flaky(ConnectionError("a"), seconds=1.0, retry=Retry(attempts=3)).step()
        record = runtime.runs[0].record()
    (row,) = record.calls
    assert (row.attempts, row.status) == (2, "ok")
    assert row.waits["backoff"] == row.end - row.start - 2_000_000
    assert [(each.attempt, each.status, each.error) for each in record.attempts] == [
        (1, "failed", "ConnectionError: a"),
        (2, "ok", None),
    ]


# Timeout


async def test_a_timeout_bounds_one_attempt():
    flaky = Flaky(seconds=9.0, timeout=1.0, retry=Retry(attempts=3, shortest=0, longest=0))
    with pytest.raises(StepTimedOut, match="flaky took longer than its timeout of 1 s"):
        await flaky.step()
    assert flaky.tries == [0.0, 1.0, 2.0]
    assert now() == 3.0


async def test_a_timeout_of_0_starts_nothing():
    flaky = Flaky(timeout=0)
    with pytest.raises(StepTimedOut, match="flaky was not started: its timeout is 0"):
        await flaky.step()
    assert flaky.tries == []


async def test_a_timeout_starts_with_the_admission():
    flaky = Flaky(seconds=1.0, timeout=1.5, limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}):
        found = await fan_out(flaky.step(), flaky.step(), flaky.step())
    assert found.complete
    assert now() == 3.0


async def test_a_branch_that_timed_out_says_so():
    found = await fan_out(Flaky(seconds=9.0, timeout=1.0).step(), need=0)
    assert found.outcomes[0].status == "timed_out"


async def test_the_timeout_of_an_inner_step_is_a_failure_of_the_outer_one():
    inner = Flaky(seconds=9.0, timeout=1.0)

    @step
    async def outer():
        await inner.step()

    found = await fan_out(outer(), need=0)
    assert found.outcomes[0].status == "failed"
    assert isinstance(found.outcomes[0].error, StepTimedOut)


async def test_a_timeout_error_of_the_body_is_kept_apart_from_the_steps_own():
    @step(timeout=5.0)
    async def body():
        raise TimeoutError("of the client")

    with pytest.raises(TimeoutError, match="of the client") as caught:
        await body()
    assert not isinstance(caught.value, StepTimedOut)


async def test_what_the_body_raises_when_it_is_interrupted_is_the_cause():
    @step(timeout=1.0)
    async def body():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise OSError("in its clean-up") from None

    with pytest.raises(StepTimedOut) as caught:
        await body()
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_late_value_is_kept_whatever_it_is():
    @step(timeout=1.0)
    async def body(value):
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return value

    for value in ("late", 0, ""):
        found = await fan_out(body(value), need=0)
        assert found.outcomes[0].late == value
        assert found.outcomes[0].status == "timed_out"


async def test_fanwise_debug_lifts_time_limits(monkeypatch):
    monkeypatch.setenv("FANWISE_DEBUG", "1")
    flaky = Flaky(seconds=9.0, timeout=1.0)
    async with Runtime():
        assert await flaky.step() == "value"
        with deadline(1.0):
            assert await flaky.step() == "value"
        assert (await fan_out(flaky.step(), within=1.0)).complete
    assert now() == 27.0


# Deadline


async def test_a_deadline_bounds_a_block():
    with pytest.raises(DeadlinePassed, match="the deadline of 2 s passed"), deadline(2.0):
        await asyncio.sleep(9)
    assert now() == 2.0


async def test_it_is_a_timeout_error():
    with pytest.raises(TimeoutError), deadline(0.5):
        await asyncio.sleep(1)


@pytest.mark.parametrize(("outer", "inner", "text"), [(1, 2, "1 s"), (2, 1, "1 s")])
async def test_nested_the_earlier_counts(outer, inner, text):
    with pytest.raises(DeadlinePassed, match=f"of {text}"), deadline(outer), deadline(inner):
        await asyncio.sleep(9)
    assert now() == 1.0


async def test_on_one_instant_the_outer_wins():
    inner_raised = False
    with pytest.raises(DeadlinePassed), deadline(2.0):
        await asyncio.sleep(1.0)
        try:
            with deadline(1.0):
                await asyncio.sleep(9)
        except DeadlinePassed:
            inner_raised = True
    assert not inner_raised
    assert now() == 2.0


async def test_an_inner_block_that_is_over_leaves_the_outer_one():
    with pytest.raises(DeadlinePassed, match="of 3 s"), deadline(3.0):
        with pytest.raises(DeadlinePassed, match="of 1 s"), deadline(1.0):
            await asyncio.sleep(9)
        assert now() == 1.0
        await asyncio.sleep(9)
    assert now() == 3.0


async def test_it_travels_down_to_calls_that_are_not_started_any_more():
    flaky = Flaky(seconds=0.5)
    with pytest.raises(DeadlinePassed), deadline(1.0):
        await flaky.step()
        await flaky.step()
        await flaky.step()
    assert flaky.tries == [0.0, 0.5]


async def test_a_deadline_of_0_starts_nothing():
    flaky = Flaky()
    with pytest.raises(DeadlinePassed), deadline(0):
        await flaky.step()
    assert flaky.tries == []


async def test_deadline_left_is_the_smaller_of_timeout_and_deadline():
    left = []

    @step(timeout=2.0)
    async def looks():
        left.append(current().deadline_left)

    await looks()
    with deadline(1.0):
        await looks()
    with deadline(9.0):
        await looks()
    assert left == [2.0, 1.0, 2.0]


async def test_a_cancellation_from_outside_on_the_instant_of_a_deadline_goes_on():
    async def bounded():
        with deadline(1.0):
            await asyncio.sleep(9)

    task = asyncio.create_task(bounded())
    asyncio.get_running_loop().call_at(1.0, task.cancel)
    await asyncio.wait([task])
    assert task.cancelled()


async def test_it_is_right_inside_asyncio_timeout_and_around_it():
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(1.0):
            with deadline(2.0):
                await Flaky(seconds=9.0).step()
    assert not isinstance(caught.value, DeadlinePassed)
    with pytest.raises(DeadlinePassed), deadline(1.0):
        async with asyncio.timeout(2.0):
            await Flaky(seconds=9.0).step()
    assert now() == 2.0


async def test_a_wait_for_a_limit_counts_against_the_deadline():
    flaky = Flaky(seconds=5.0, limit="one")
    async with no_orphans(), Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        holder = runtime.start(flaky.step())
        await asyncio.sleep(1)
        with pytest.raises(DeadlinePassed), deadline(1.0):
            await runtime.run(flaky.step())
        assert now() == 2.0
        await holder.wait()
    assert flaky.tries == [0.0]


@pytest.mark.parametrize("seconds", [-1, "1", None, True])
def test_a_wrong_deadline_is_refused(seconds):
    with pytest.raises((TypeError, ValueError), match=r"deadline\(seconds\) is"):
        deadline(seconds)


# Hedge


class Racing:
    """A step whose attempts take the given seconds; negative ones fail then."""

    def __init__(self, *seconds, error=ConnectionError, **policy):
        self.seconds = seconds
        self.error = error
        self.begun = []
        self.cancelled = []
        self.step = step(name="racing", **policy)(self.body)

    async def body(self):
        number = current().attempt
        self.begun.append((now(), number))
        seconds = self.seconds[number - 1]
        try:
            await asyncio.sleep(abs(seconds))
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        if seconds < 0:
            raise self.error(str(number))
        return number


async def test_no_hedge_is_sent_for_a_call_that_was_let_go():
    opened = []

    @step(hedge=Hedge(after=1.0))
    async def cleans_for_long():
        opened.append(now())
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await cleans_for_long()
    assert (opened, now()) == ([0.0], 2.5)


async def test_a_hedge_is_sent_after_its_time_and_wins():
    racing = Racing(9.0, 1.0, hedge=Hedge(after=2.0))
    async with no_orphans(), Runtime() as runtime:
        assert await racing.step() == 2
        (row,) = runtime.runs[0].record().calls
        assert row.attempts == 2
    assert racing.begun == [(0.0, 1), (2.0, 2)]
    assert racing.cancelled == [1]
    assert now() == 3.0


async def test_a_hedge_that_loses_is_cancelled():
    racing = Racing(3.0, 9.0, hedge=Hedge(after=2.0))
    async with no_orphans(), Runtime() as runtime:
        assert await racing.step() == 1
        (attempt,) = runtime.runs[0].record().attempts
        assert (attempt.attempt, attempt.hedge, attempt.status) == (2, True, "cancelled")
    assert racing.cancelled == [2]
    assert now() == 3.0


async def test_a_fast_first_attempt_sends_none():
    racing = Racing(1.0, hedge=Hedge(after=2.0))
    assert await racing.step() == 1
    assert len(racing.begun) == 1


async def test_more_hedges_follow_at_the_same_distance():
    racing = Racing(9.0, 9.0, 9.0, 0.5, hedge=Hedge(after=1.0, more=3))
    assert await racing.step() == 4
    assert racing.begun == [(0.0, 1), (1.0, 2), (2.0, 3), (3.0, 4)]
    assert sorted(racing.cancelled) == [1, 2, 3]


async def test_a_first_attempt_that_fails_waits_for_its_hedge():
    racing = Racing(-3.0, 9.0, hedge=Hedge(after=2.0))
    assert await racing.step() == 2
    assert now() == 11.0


async def test_a_hedge_that_fails_leaves_the_first_attempt_alone():
    racing = Racing(5.0, -1.0, hedge=Hedge(after=2.0))
    assert await racing.step() == 1
    assert now() == 5.0


async def test_when_both_fail_the_first_attempts_error_is_raised():
    racing = Racing(-3.0, -4.0, hedge=Hedge(after=2.0))
    with pytest.raises(ConnectionError, match="1"):
        await racing.step()
    assert now() == 6.0


async def test_an_error_that_will_not_pass_ends_the_hedges_at_once():
    racing = Racing(-3.0, 9.0, hedge=Hedge(after=2.0), error=ValueError)
    with pytest.raises(ValueError, match="1"):
        await racing.step()
    assert now() == 3.0
    assert racing.cancelled == [2]


async def test_a_retry_follows_when_the_attempt_and_its_hedge_have_failed():
    racing = Racing(-3.0, -2.0, 1.0, hedge=Hedge(after=2.0),
                    retry=Retry(attempts=3, shortest=0, longest=0))  # fmt: skip
    assert await racing.step() == 3
    assert racing.begun == [(0.0, 1), (2.0, 2), (4.0, 3)]


async def test_hedges_count_as_attempts_of_the_retry():
    racing = Racing(-3.0, -2.0, 1.0, hedge=Hedge(after=2.0),
                    retry=Retry(attempts=2, shortest=0, longest=0))  # fmt: skip
    with pytest.raises(ConnectionError):
        await racing.step()
    assert len(racing.begun) == 2


async def test_no_hedge_is_sent_when_the_attempts_are_used_up():
    racing = Racing(-1.0, 9.0, 1.0, hedge=Hedge(after=2.0),
                    retry=Retry(attempts=2, shortest=0, longest=0))  # fmt: skip
    assert await racing.step() == 2
    assert len(racing.begun) == 2


async def test_a_hedge_that_finds_no_slot_is_not_sent():
    racing = Racing(5.0, 1.0, hedge=Hedge(after=2.0), limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}):
        assert await racing.step() == 1
    assert len(racing.begun) == 1
    assert now() == 5.0


async def test_a_hedge_whose_slot_is_taken_on_its_very_instant_does_not_wait_for_one():
    """At 3 s the retry takes the second slot, between the hedge's timer and the hedge's first turn."""
    tries = []

    @step(limit="two", retry=PLAIN)
    async def retried():
        tries.append(now())
        if len(tries) == 1:
            raise HttpError(503, retry_after="3")
        await asyncio.sleep(1.0)

    racing = Racing(5.0, 0.5, hedge=Hedge(after=2.0), limit="two")
    async with Runtime(limits={"two": Limit(at_once=2)}) as runtime:
        other = runtime.start(retried())
        await asyncio.sleep(1.0)
        await runtime.run(racing.step())
        await other.wait()
    assert tries == [0.0, 3.0]
    assert racing.begun == [(1.0, 1)]


async def test_waiting_for_a_limit_sends_no_hedge():
    racing = Racing(5.0, 1.0, 1.0, hedge=Hedge(after=2.0), limit="two")
    blocking = Racing(4.0, limit="two")
    async with Runtime(limits={"two": Limit(at_once=1)}):
        await fan_out(blocking.step(), racing.step())
    assert racing.begun == [(4.0, 1)]


async def test_each_attempt_of_a_hedge_has_its_own_timeout():
    racing = Racing(9.0, 9.0, hedge=Hedge(after=1.0), timeout=2.0)
    with pytest.raises(StepTimedOut):
        await racing.step()
    assert now() == 3.0
    racing = Racing(9.0, 1.5, hedge=Hedge(after=1.0), timeout=2.0)
    assert await racing.step() == 2
    assert now() == 3.0 + 2.5


async def test_a_hedge_after_0_starts_beside_the_first():
    racing = Racing(9.0, 1.0, hedge=Hedge(after=0))
    assert await racing.step() == 2
    assert [when for when, _ in racing.begun] == [0.0, 0.0]


@pytest.mark.parametrize(("order", "seed"), [("fifo", 0), *(("shuffled", n) for n in range(6))])
def test_both_end_on_one_instant(order, seed):
    async def main():
        async with no_orphans(), Runtime() as runtime:
            racing = Racing(3.0, 1.0, hedge=Hedge(after=2.0))
            assert await racing.step() in (1, 2)
            (row,) = runtime.runs[0].record().calls
            assert row.status == "ok"

    run_virtual(main(), order=order, seed=seed)


# Breaker


class Failing:
    def __init__(self, **policy):
        self.good = False
        self.ran = 0
        self.seconds = 0.0
        self.error = ConnectionError
        self.step = step(name="failing", **policy)(self.body)

    async def body(self):
        self.ran += 1
        await asyncio.sleep(self.seconds)
        if not self.good:
            raise self.error
        return "fine"

    async def tried(self, times=1):
        for _ in range(times):
            await fan_out(self.step(), need=0)

    async def outcome(self):
        return (await fan_out(self.step(), need=0)).outcomes[0]


BREAKER = Breaker(share=0.5, window=30.0, minimum=4, pause=5.0)


def state(runtime):
    return runtime.statistics().breakers[0].state


async def test_it_stays_closed_below_its_minimum_and_opens_with_it():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(3)
        assert state(runtime) == "closed"
        await failing.tried()
        assert state(runtime) == "open"
        outcome = await failing.outcome()
        assert failing.ran == 4
    assert isinstance(outcome.error, BreakerOpen)
    assert outcome.error.retry_in == 5.0
    assert "failing failed too often" in str(outcome.error)


async def test_it_opens_at_its_share_not_below():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        failing.good = True
        await failing.tried(4)
        failing.good = False
        await failing.tried(3)
        assert state(runtime) == "closed"
        await failing.tried()
        assert state(runtime) == "open"


async def test_what_lies_before_the_window_is_forgotten():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(3)
        await asyncio.sleep(40)
        await failing.tried(3)
        assert state(runtime) == "closed"


async def test_failures_that_say_nothing_about_the_other_side_do_not_count():
    failing = Failing(breaker=BREAKER)
    failing.error = ValueError
    async with Runtime() as runtime:
        await failing.tried(9)
        assert state(runtime) == "closed"


async def test_after_its_pause_one_probe_passes_and_closes_it():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(4)
        await asyncio.sleep(5)
        assert state(runtime) == "half-open"
        failing.good = True
        failing.seconds = 1.0
        found = await fan_out(*(failing.step() for _ in range(5)), need=0)
        assert [outcome.status for outcome in found] == ["ok", *["failed"] * 4]
        assert isinstance(found.outcomes[1].error, BreakerOpen)
        assert failing.ran == 5
        assert state(runtime) == "closed"
        assert (await failing.outcome()).status == "ok"


async def test_a_probe_that_fails_opens_it_again_for_a_whole_pause():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(4)
        await asyncio.sleep(6)
        await failing.tried()
        assert state(runtime) == "open"
        assert (await failing.outcome()).error.retry_in == 5.0
        assert runtime.statistics().breakers[0].opened == 2
    assert failing.ran == 5


async def test_a_probe_that_is_cancelled_gives_its_right_back():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(4)
        await asyncio.sleep(6)
        failing.seconds = 100.0
        await fan_out(failing.step(), need=0, within=1.0)
        failing.seconds, failing.good = 0.0, True
        assert (await failing.outcome()).status == "ok"
        assert state(runtime) == "closed"


async def test_a_probe_that_waits_for_a_limit_and_is_cancelled_gives_its_right_back():
    failing = Failing(breaker=BREAKER, limit="one")
    other = Racing(50.0, limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        await failing.tried(4)
        await asyncio.sleep(6)
        holder = runtime.start(other.step())
        await asyncio.sleep(1)
        await fan_out(failing.step(), need=0, within=1.0)
        await holder.wait()
        failing.good = True
        assert (await failing.outcome()).status == "ok"


async def test_timeouts_count_as_failures():
    failing = Failing(breaker=BREAKER, timeout=1.0)
    failing.seconds = 9.0
    async with Runtime() as runtime:
        await failing.tried(4)
        assert state(runtime) == "open"


async def test_an_open_breaker_takes_no_slot_and_no_retry():
    failing = Failing(breaker=BREAKER, limit="one", retry=Retry(attempts=3, shortest=0, longest=0))
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        await failing.tried(2)
        ran = failing.ran
        granted = runtime.statistics().limits[0].granted
        await failing.tried(3)
        assert failing.ran == ran == 4
        assert runtime.statistics().limits[0].granted == granted


@pytest.mark.parametrize("limit", [Limit(at_once=2), Limit(at_once=2, requests_per_minute=6000)])
async def test_those_who_wait_for_a_limit_while_it_opens_are_refused(limit):
    failing = Failing(breaker=BREAKER, limit="one")
    failing.seconds = 1.0
    async with Runtime(limits={"one": limit}) as runtime:
        found = await fan_out(*[failing.step() for _ in range(20)], need=0)
        refused = [each for each in found.outcomes if isinstance(each.error, BreakerOpen)]
        assert (failing.ran, len(refused)) == (4, 16)
        assert all(each.attempts == 0 for each in refused)
        one = runtime.statistics().limits[0]
        assert (one.in_flight, one.waiting) == (0, 0)
        await asyncio.sleep(6)
        failing.good = True
        found = await fan_out(*[failing.step() for _ in range(3)], need=0)
        assert len(found.ok) == 1  # the probe


async def test_one_who_waits_while_it_opens_and_half_opens_is_the_probe():
    failing = Failing(breaker=BREAKER, limit="one")
    other = Racing(50.0, limit="one")
    async with Runtime(limits={"one": Limit(at_once=1)}) as runtime:
        holder = runtime.start(other.step())
        await asyncio.sleep(1)
        waiting = runtime.start(failing.step())
        await asyncio.sleep(1)
        for _ in range(4):
            runtime.breakers["failing"].ended(runtime.time(), failed=True, probe=False)
        assert state(runtime) == "open"
        failing.good = True
        await holder.wait()
        assert await waiting.wait() == "fine"
        assert state(runtime) == "closed"


async def test_what_it_lists_counts_as_failed_too():
    failing = Failing(breaker=Breaker(minimum=2, on=(KeyError,)))
    failing.error = ValueError
    async with Runtime() as runtime:
        await failing.tried(3)
        failing.error = KeyError
        await failing.tried(2)
        assert state(runtime) == "closed"
        await failing.tried()
        assert state(runtime) == "open"


async def test_failures_one_after_the_other_open_it_however_slow_they_are():
    failing = Failing(breaker=Breaker(in_a_row=3))
    async with Runtime() as runtime:
        for good in (False, False, True, False, False):
            failing.good = good
            await failing.tried()
            await asyncio.sleep(100)
        assert state(runtime) == "closed"
        failing.good = False
        await failing.tried()
        assert state(runtime) == "open"
        await asyncio.sleep(6)
        await failing.tried()  # the probe
        await asyncio.sleep(6)
        failing.good = True
        await failing.tried()
        failing.good = False
        await failing.tried(2)
        assert state(runtime) == "closed"


@pytest.mark.parametrize("on", [KeyError, 5, (KeyError, 1), [KeyError]])
def test_it_lists_exceptions_or_a_function(on):
    with pytest.raises(TypeError, match=r"Breaker\(on=\) is a tuple of exception types"):
        Breaker(on=on)


async def test_it_belongs_to_the_runtime():
    failing = Failing(breaker=BREAKER)
    async with Runtime() as runtime:
        await failing.tried(4)
        assert state(runtime) == "open"
    async with Runtime() as runtime:
        await failing.tried(1)
        assert state(runtime) == "closed"
    assert failing.ran == 5


# What cannot be meant


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: Retry(attempts=0), ValueError, r"Retry\(attempts=\) is at least 1, got 0"),
        (lambda: Retry(attempts="3"), TypeError, r"Retry\(attempts=\) is a whole number, got '3'"),
        (lambda: Retry(attempts=2.5), TypeError, r"Retry\(attempts=\)"),
        (lambda: Retry(shortest=-1), ValueError, r"Retry\(shortest=\) is at least 0, got -1"),
        (lambda: Retry(shortest=2, longest=1), ValueError, r"Retry\(longest=\) is at least 2, got 1"),
        (lambda: Retry(on=ConnectionError), TypeError, r"Retry\(on=\)"),
        (lambda: Hedge(after=-1), ValueError, r"Hedge\(after=\) is at least 0, got -1"),
        (lambda: Hedge(after=1, more=0), ValueError, r"Hedge\(more=\) is at least 1, got 0"),
        (lambda: Breaker(share=0), ValueError, r"Breaker\(share=\) .* got 0"),
        (lambda: Breaker(share=1.5), ValueError, r"Breaker\(share=\) .* got 1.5"),
        (lambda: Breaker(window=0), ValueError, r"Breaker\(window=\) is above 0, got 0"),
        (lambda: Breaker(minimum=0), ValueError, r"Breaker\(minimum=\) is at least 1, got 0"),
        (lambda: Limit(at_once=0), ValueError, r"Limit\(at_once=\)|at_once is at least 1, got 0"),
        (lambda: step(timeout=-1)(print), ValueError, "timeout is at least 0, got -1"),
        (lambda: step(timeout="1")(print), TypeError, "timeout is a number, got '1'"),
        (lambda: step(retry=3)(print), TypeError, r"retry is a Retry, such as .* got 3"),
        (lambda: step(hedge=0.5)(print), TypeError, r"hedge=Hedge\(after=0.2\), got 0.5"),
        (lambda: step(limit=3)(print), TypeError, 'limit is a str, such as limit="search", got 3'),
        (lambda: step(effect="writes")(print), ValueError, "effect is .* got 'writes'"),
        (lambda: step(keyed=True)(print), ValueError, 'add effect="write"'),
        (lambda: step(effect="write", hedge=Hedge(after=1))(print), ValueError, "drop hedge="),
        (lambda: step(retries=3)(print), TypeError, "no policy is named 'retries'; there are: timeout"),
        (lambda: step(key="id")(print), TypeError, "key"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_meant_is_refused_by_name(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


async def test_a_gap_of_an_open_breaker_is_named_in_the_fan_in():
    failing = Failing(breaker=Breaker(minimum=1, share=1.0))
    async with Runtime():
        await failing.tried()
        with pytest.raises(NotEnough, match="BreakerOpen: failing failed too often"):
            await fan_out(failing.step())
