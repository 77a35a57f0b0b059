"""Law 9 for lines: who waits for a rate is served in order, by weight, and nobody starves.

Nothing that was reserved is lost with a cancel or a drain, nobody polls, and whoever cannot be
served before its deadline is told so at once.
"""

import asyncio
from collections import Counter
from types import MappingProxyType

import pytest
from hypothesis import strategies as st

from fanwise.core import Amount, Hedge, Limit, Need, Retry, _needs, current, deadline, step
from fanwise.core import _queues as queues
from fanwise.core._buckets import Buckets
from fanwise.core._queues import Flow, Line, Rank
from fanwise.core._quota import Quota
from fanwise.errors import LimitTooSlow
from fanwise.patterns import fan_out
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    outcome_of,
    rejects,
    ticks,
    virtually,
)  # fmt: skip

TOKENS = 60  # a minute, and in the bucket

# Seconds that it takes, tokens that it reserves, how it ends.
BRANCH = st.tuples(
    ticks(), st.integers(1, 5).map(lambda n: 8 * n), st.sampled_from(["ok", "ok", "flaky", "slow"])
)
PROGRAM = {
    "branches": st.lists(BRANCH, min_size=1, max_size=8),
    "eighths": st.integers(0, 8),  # of what is reserved that is used
    "width": st.none() | st.integers(1, 3),
    "policy": st.sampled_from([{}, {"retry": Retry(attempts=2, shortest=0, longest=0)},
                               {"hedge": Hedge(after=0.25)}, {"timeout": 0.5}]),
    "enough": st.none() | st.integers(1, 3),
    "cancel_at": st.none() | ticks(0, 60),
    "drain_at": st.none() | ticks(0, 60),
    "order": ORDERS,
    "far": st.booleans(),
}  # fmt: skip


class FarGate(Buckets):
    """A gate as on a server: what it says has to be waited for, at times or always."""

    asked = 0

    def admit_nowait(self, number, amount):
        self.asked += 1
        return None if self.asked % 3 else super().admit_nowait(number, amount)

    async def admit(self, number, amount):
        await asyncio.sleep(0)  # cancelled here, it takes nothing
        return super().admit_nowait(number, amount)


class FarGates:
    """The gates of a runtime whose limits are elsewhere."""

    def gate(self, name, limit):
        return FarGate(limit, asyncio.get_running_loop().time)

    async def aclose(self):
        pass


@pytest.fixture(autouse=True)
def sure_from_the_start(monkeypatch):
    """What these steps say of themselves is true, so that the times are known beforehand."""
    monkeypatch.setattr(_needs, "SURE", 0)


def above_the_rate(begun):
    """Give the first window in which more was used than the bucket and its refill."""
    for first in range(len(begun)):
        total = 0
        for time, used in begun[first:]:
            total += used
            if total > TOKENS + (time - begun[first][0]) * TOKENS / 60 + 1e-6:
                return begun[first][0], time
    return None


def nothing_is_lost(  # noqa: PLR0917 - one parameter per strategy
    branches, eighths, width, policy, enough, cancel_at, drain_at, order, far
):
    inside = [0]
    begun = []

    @step(limit="thing", needs=lambda seconds, need, end: Need(need), **policy)
    async def job(seconds, need, end):
        inside[0] += 1
        begun.append((now(), need * eighths // 8))
        assert width is None or inside[0] <= width, "more bodies than slots"
        try:
            await asyncio.sleep(seconds)
            current().usage(tokens_in=need * eighths // 8)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5 if end == "slow" else 0)
            raise
        finally:
            inside[0] -= 1
        if end == "flaky":
            raise ConnectionError

    @step
    async def main():
        calls = [job(*branch) for branch in branches]
        most = None if enough is None else min(enough, len(calls))
        return await fan_out(*calls, need=0, enough=most)

    async def program(runtime):
        runtime.gates = FarGates() if far else None
        task = asyncio.create_task(runtime.run(main()))
        loop = asyncio.get_running_loop()
        acts = [(cancel_at, task.cancel), (drain_at, runtime.drain)]
        timers = [loop.call_at(at, act) for at, act in acts if at is not None]
        await asyncio.wait([task])
        await asyncio.sleep(1)
        for timer in timers:
            timer.cancel()
        assert not above_the_rate(begun)
        for quota in runtime.widths.values():
            assert quota.used == quota.statistics().quota.in_flight == 0, "a slot is lost"
            assert not quota.statistics().waiting
            assert not quota.gate._kept, "a reservation is lost"
            assert quota._line._handle is None, "a timer is left"

    limit = Limit(at_once=width, tokens_per_minute=TOKENS)
    virtually(program, order=order, limits={"thing": limit})


def test_lines_hold():
    holds(nothing_is_lost, **PROGRAM, examples=200)


def rejected(*changes, **narrowed):
    rejects(nothing_is_lost, **PROGRAM | narrowed, mutant=changed(*changes), examples=1000)


def test_lines_reject_a_grant_that_is_lost_with_a_cancel():
    # The one who ends lets the next one in, and is enough, so that the next one is cancelled.
    calm = {"policy": st.just({}), "drain_at": st.none(), "enough": st.just(1)}
    rejected((Line, "_give_back", lambda self, turn: None), **calm)


def test_lines_reject_an_end_that_wakes_nobody():
    rejected((Line, "wake", lambda self: None))


def test_lines_reject_a_cancel_that_leaves_its_place():
    def stays(self, turn):
        if turn not in turn.flow.turns and turn.error is None:
            self._give_back(turn)

    rejected((Line, "_leave", stays))


def test_lines_reject_reservations_that_are_not_settled():
    rejected((Quota, "settle", lambda self, reservation, call, attempt: None))


def test_lines_reject_admission_without_a_question():
    rejected((Buckets, "_wait", lambda self, now, costs: 0.0))


SERVED = {
    "needs": st.lists(st.integers(1, 60), min_size=1, max_size=12),
    "gaps": st.lists(ticks(0, 8), min_size=12, max_size=12),
    "order": ORDERS,
    "far": st.booleans(),
}


def in_order_and_in_time(needs, gaps, order, far):
    """One line, first come first served; each is let in the moment its own tokens are there."""
    begun = {}

    @step(limit="thing", needs=lambda index, need: Need(need))
    async def job(index, need):
        begun[index] = now()
        current().usage(tokens_in=need)

    @step
    async def main():
        tasks = []
        for index, (need, gap) in enumerate(zip(needs, gaps, strict=False)):
            await asyncio.sleep(gap)
            tasks.append(asyncio.ensure_future(job(index, need)))
        await asyncio.gather(*tasks)

    async def program(runtime):
        runtime.gates = FarGates() if far else None
        await runtime.run(main())
        level, time, arrived, line = float(TOKENS), 0.0, 0.0, []
        for need, gap in zip(needs, gaps, strict=False):
            arrived += gap
            due = max(time, arrived)
            level = min(TOKENS, level + due - time)
            time = due + max(0.0, need - level)
            level += time - due - need
            line.append(time)
        assert list(begun) == sorted(begun)
        assert [round(each, 6) for each in begun.values()] == [round(each, 6) for each in line]

    virtually(program, order=order, limits={"thing": Limit(tokens_per_minute=TOKENS)})


def test_order_holds():
    holds(in_order_and_in_time, **SERVED, examples=100)


def test_order_rejects_a_line_served_from_its_end():
    mutant = changed((Flow, "first", lambda self: next(reversed(self.turns))))
    rejects(in_order_and_in_time, **SERVED, mutant=mutant)


def test_order_rejects_small_ones_that_pass_a_large_one():
    def smallest(self):
        return min(self.turns, key=lambda turn: turn.asked.tokens_in)

    rejects(in_order_and_in_time, **SERVED, mutant=changed((Flow, "first", smallest)))


def test_order_rejects_timers_that_are_late():
    tell = Line._tell
    mutant = changed((Line, "_tell", lambda self, turn, wait: tell(self, turn, wait + 0.125)))
    rejects(in_order_and_in_time, **SERVED, mutant=mutant)


# Of each tenant: its weight, and the tokens of each of its requests.
TENANTS = st.lists(st.tuples(st.integers(1, 3), st.integers(4, 16)), min_size=2, max_size=4)
SHARED = {"tenants": TENANTS, "tenanted": st.booleans(), "seconds": ticks(0, 4), "order": ORDERS}


def shared_by_weight(tenants, tenanted, seconds, order):
    """While all have somebody waiting, each gets its weight's part of the tokens, within 5 %."""
    total = sum(weight for weight, _ in tenants)
    had = Counter()
    period = 6 * TOKENS * total / min(weight for weight, _ in tenants)

    @step(limit="thing", needs=lambda tenant, need: Need(need))
    async def job(tenant, need):
        if now() <= period:
            had[tenant] += need
        await asyncio.sleep(seconds)
        current().usage(tokens_in=need)

    @step
    async def main(tenant, need, count):
        await fan_out(*[job(tenant, need) for _ in range(count)], need=0)

    async def program(runtime):
        runs = []
        for tenant, (weight, need) in enumerate(tenants):
            count = int(1.1 * (period * weight / total + TOKENS) / need) + 2
            name = f"tenant {tenant}" if tenanted else None
            call = main(tenant, need, count)
            runs.append(runtime.start(call, tenant=name, weight=weight))
        await asyncio.sleep(period)
        for run in runs:
            run.cancel()
        await asyncio.wait([run.task for run in runs])
        # The first bucket goes to whoever was there before a line stood.
        every = sum(had.values()) - TOKENS
        for tenant, (weight, need) in enumerate(tenants):
            due = every * weight / total
            assert had[tenant] >= 0.95 * due - need, (had, tenants)

    virtually(program, order=order, limits={"thing": Limit(tokens_per_minute=TOKENS)})


def test_shares_hold():
    holds(shared_by_weight, **SHARED, examples=10)


def shares_reject(*changes):
    rejects(shared_by_weight, **SHARED, mutant=changed(*changes), examples=20)


def test_shares_reject_a_line_without_tenants():
    shares_reject((Quota, "_key", lambda self, run: None))


def test_shares_reject_weights_that_are_not_read():
    grant = Rank.grant

    def plain(self, turn, share):
        turn.weight = 1.0
        grant(self, turn, share)

    shares_reject((Rank, "grant", plain))


def test_shares_reject_turns_instead_of_tokens():
    shares_reject((Quota, "_share", lambda self, amount: 1.0))


LARGE = {
    "before": st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), max_size=8),
    "after": st.lists(st.tuples(ticks(0, 20), st.integers(0, 3), st.integers(1, 30)), max_size=20),
    "seconds": ticks(0, 2000),
    "order": ORDERS,
}


def large_ones_get_in(before, after, seconds, order):
    """Nine tenths of the bucket wait at most twice as long as what stood before and they refill.

    What stood before is what waits, and what is missing in the bucket.
    """
    need = TOKENS * 9 // 10
    waited = []

    @step(limit="thing", needs=lambda need, started: Need(need))
    async def job(need, started):
        if started is not None:
            waited.append(now() - started)
        await asyncio.sleep(seconds)
        current().usage(tokens_in=need)

    async def later(runtime, at, tenant, need):
        await asyncio.sleep(at)
        await runtime.run(job(need, None), tenant=f"tenant {tenant}")

    async def program(runtime):
        async with asyncio.TaskGroup() as group:
            for tenant, small in before:
                group.create_task(later(runtime, 0, tenant, small))
            await asyncio.sleep(0.125)
            group.create_task(runtime.run(job(need, now()), tenant="large"))
            for at, tenant, small in after:
                group.create_task(later(runtime, at, tenant, small))
        stood = sum(small for _, small in before)
        assert waited[0] <= 2 * (stood + need) * 60 / TOKENS

    virtually(program, order=order, limits={"thing": Limit(tokens_per_minute=TOKENS)})


def test_large_ones_hold():
    holds(large_ones_get_in, **LARGE, examples=100)


def test_large_ones_reject_small_ones_that_pass():
    def smallest_first(self):
        turns = [turn for flow in self.flows.values() for turn in flow.turns]
        return min(turns, key=lambda turn: (turn.asked.tokens_in, turn.number), default=None)

    rejects(large_ones_get_in, **LARGE, mutant=changed((Rank, "first", smallest_first)))


def test_large_ones_reject_places_that_are_never_given_up():
    make = Buckets.__init__

    def for_ever(self, limit, time):
        make(self, limit, time)
        self._hold *= 100

    rejects(large_ones_get_in, **LARGE, mutant=changed((Buckets, "__init__", for_ever)))


HURRIED = {
    "needs": st.lists(st.integers(1, 60), min_size=1, max_size=8),
    "left": ticks(1, 400),
    "order": ORDERS,
}


def refused_at_once(needs, left, order):
    """Who cannot be served before the deadline hears it when it comes, and others are served."""
    heard = {}

    @step(limit="thing", needs=lambda index, need: Need(need))
    async def job(index, need):
        heard[index] = now()
        await asyncio.sleep(1000)  # nothing comes back

    @step
    async def one(index, need):
        with deadline(left):
            error = await outcome_of(job(index, need))
        if isinstance(error, LimitTooSlow) and now() == 0 and error.wait > error.left:
            heard[index] = "too slow"

    async def program(runtime):
        @step
        async def main():
            calls = [one(index, need) for index, need in enumerate(needs)]
            await fan_out(*calls, need=0)

        await runtime.run(main())
        level = TOKENS
        for index, need in enumerate(needs):
            if level - need < -left:
                assert heard.get(index) == "too slow", (index, heard)
            else:
                assert heard.get(index) != "too slow", (index, heard)
                level -= need

    virtually(program, order="fifo", limits={"thing": Limit(tokens_per_minute=TOKENS, burst=60)})


def test_hurry_holds():
    holds(refused_at_once, **HURRIED, examples=100)


def test_hurry_rejects_waiting_in_vain():
    mutant = changed((Quota, "_refuse_late", lambda self, ahead, amount, deadline: None))
    rejects(refused_at_once, **HURRIED, mutant=mutant)


def test_hurry_rejects_a_line_that_is_not_counted():
    mutant = changed((Line, "ahead", lambda self, key, share: Amount(0, 0, 0)))
    rejects(refused_at_once, **HURRIED, mutant=mutant)


ASKED = {"count": st.integers(1, 60), "seconds": ticks(0, 8), "order": ORDERS}


def nobody_polls(count, seconds, order):
    """The gate is asked a few times a call, however long it waits."""
    asked = [0]
    ask = Buckets.admit_nowait

    def counting(self, number, amount):
        asked[0] += 1
        return ask(self, number, amount)

    @step(limit="thing")
    async def job():
        await asyncio.sleep(seconds)

    @step
    async def main():
        await fan_out(*[job() for _ in range(count)])

    async def program(runtime):
        await runtime.run(main())

    limit = Limit(requests_per_minute=6, burst=10)
    with changed((Buckets, "admit_nowait", counting)):
        virtually(program, order=order, limits={"thing": limit})
    assert asked[0] <= 5 * count + 5


def test_nobody_polls():
    holds(nobody_polls, **ASKED, examples=30)


def test_nobody_polls_rejects_polling():
    tell = Line._tell
    mutant = changed((Line, "_tell", lambda self, turn, wait: tell(self, turn, min(wait, 0.5))))
    rejects(nobody_polls, **ASKED, mutant=mutant)


BURST = 4
PRIORITIES = {"priority": st.integers(0, 3), "order": ORDERS}


def waiting_ages(priority, order):
    """A step of priority is worth the burst in waiting: who is older than that goes first."""
    served = []

    @step(limit="thing")
    async def job(name):
        served.append(name)

    async def at(runtime, time, name, priority):
        await asyncio.sleep(time)
        await runtime.run(job(name), priority=priority)

    async def program(runtime):
        async with asyncio.TaskGroup() as group:
            for _ in range(BURST):  # so that whoever comes has to wait
                group.create_task(at(runtime, 0, "first", 0))
            group.create_task(at(runtime, 0.25, "low", 0))
            for number in range(80):  # two come each second, and one is served
                group.create_task(at(runtime, number / 2 + 0.5, "high", priority))
        older = 2 * BURST * priority  # of those with priority, before which nothing has aged
        assert served.index("low") == BURST + older

    limit = Limit(requests_per_minute=60, burst=BURST)
    virtually(program, order=order, limits={"thing": limit})


def test_priorities_hold():
    holds(waiting_ages, **PRIORITIES, examples=20)


def test_priorities_reject_one_that_never_ages():
    def strict(self):
        turns = [(rank.priority, rank.first()) for rank in self._ranks.values()]
        found = [(priority, turn) for priority, turn in turns if turn is not None]
        return max(found, key=lambda each: each[0])[1] if found else None

    rejects(waiting_ages, **PRIORITIES, mutant=changed((Line, "_head", strict)))


def test_priorities_reject_one_that_nobody_reads():
    def plain(self):
        turns = [rank.first() for rank in self._ranks.values()]
        return min((turn for turn in turns if turn), key=lambda turn: turn.number, default=None)

    rejects(waiting_ages, **PRIORITIES, mutant=changed((Line, "_head", plain)))


REFUSING = {"retry_after": ticks(0, 20), "at": st.integers(0, 5), "order": ORDERS}


def too_many_pauses_the_name(retry_after, at, order):
    """After a 429 nobody of that name goes on until its Retry-After is over; others do."""
    begun = []

    class TooMany(ConnectionError):
        status_code = 429
        headers = MappingProxyType({"retry-after": str(retry_after)})

    @step(limit="thing")
    async def job(number):
        begun.append(now())
        await asyncio.sleep(0.125)
        if number == at:
            raise TooMany

    @step(limit="other")
    async def other():
        await asyncio.sleep(0.25)
        return now()

    @step
    async def main():
        elsewhere = asyncio.ensure_future(other())
        await fan_out(*[job(number) for number in range(10)], need=0)
        assert await elsewhere == 0.25

    async def program(runtime):
        await runtime.run(main())
        refused = at + 0.125
        over = refused + (retry_after or 1.0)
        assert len(begun) == 10
        assert not [time for time in begun if refused <= time < over]
        assert begun[at + 1] == max(at + 1, over)

    slow, wide = Limit(requests_per_minute=60, burst=1), Limit(at_once=2)
    virtually(program, order=order, limits={"thing": slow, "other": wide})


def test_pauses_hold():
    holds(too_many_pauses_the_name, **REFUSING)


def test_pauses_reject_one_that_stops_its_caller_alone():
    rejects(
        too_many_pauses_the_name, **REFUSING, mutant=changed((Buckets, "pause", lambda *_: None))
    )


def test_flows_that_had_no_more_than_is_due_are_forgotten():
    rank = Rank(0)
    for number in range(10 * queues.FORGET_AT):
        turn = queues.Turn(number, Amount, Amount())
        turn.weight = 1.0
        rank.join(number, turn)
        rank.grant(turn, 0.0)
    assert len(rank.flows) <= 2 * queues.FORGET_AT + 1
