"""The laws of admission, wherever a limit stands: one suite, and mutants that it rejects.

Workers share a limit in one process, over a board in memory, and over a Redis server, with clocks
that differ. Time is the loop's, everywhere (`tests.stores.places`).
"""

import asyncio
from collections import Counter
from types import MappingProxyType

import pytest
from hypothesis import strategies as st

from fanwise.core import Amount, Limit, Need, Remaining, _needs, current, deadline, step
from fanwise.core._buckets import Buckets
from fanwise.core._queues import Line, Rank
from fanwise.core._quota import Quota
from fanwise.core._scope import CURRENT
from fanwise.errors import DeadlinePassed, LimitTooSlow
from fanwise.stores import _gate, _memory, _said, _visit
from fanwise.stores._purse import Purse
from fanwise.testing import no_orphans, run_virtual
from tests.laws.proving import changed, holds, now, outcome_of, rejects, ticks
from tests.stores.places import LONG, Here, InMemory, OnServer

pytestmark = [pytest.mark.blocking_ok, pytest.mark.timeout(60)]  # the server is asked in the loop

SIZE = 60  # tokens in the bucket, and a minute
ONE_A_SECOND = Limit(tokens_per_minute=SIZE)


@pytest.fixture(
    params=["process", "memory", pytest.param("redis", marks=pytest.mark.live("redis"))]
)
def place(request):
    if request.param == "redis":
        return OnServer(request.getfixturevalue("server").url)
    return Here() if request.param == "process" else InMemory()


@pytest.fixture(autouse=True)
def what_is_said_is_reserved(monkeypatch):
    """Reservations are what a step says of itself, so that each instant is known beforehand."""
    monkeypatch.setattr(_needs, "SURE", 0)
    monkeypatch.setattr(_needs.Expected, "learn", lambda self, need, used: None)


class Job:
    """What one attempt needs and uses, how long it takes, and when it was admitted and ended."""

    def __init__(self, need, used=None, seconds=0.0):
        self.need, self.used, self.seconds = need, need if used is None else used, seconds
        self.came = self.began = self.ended = None

    def __repr__(self):
        return f"<{self.need} {self.used}: came {self.came}, {self.began} to {self.ended}>"


@step(limit="thing", needs=lambda job: Need(job.need[0], job.need[1]))
async def work(job):
    job.began = now()
    await asyncio.sleep(job.seconds)
    current().usage(tokens_in=job.used[0], tokens_out=job.used[1])
    job.ended = now()


async def done(runtime, job, at=0.0, **whose):
    await asyncio.sleep(at - now())
    job.came = now()
    return await outcome_of(runtime.run(work(job), **whose))


def played(program, place, size, limit, **given):
    """Run `program(workers)` at a place, and see that nothing is left behind."""

    async def main():
        async with no_orphans(), place.workers(size, limit, **given) as workers:
            await program(workers)
            await asyncio.sleep(0)
            for quota in [width for worker in workers for width in worker.widths.values()]:
                assert quota.used == 0, "a slot is lost"
                if isinstance(quota, Quota):
                    assert quota.gate.statistics().in_flight == 0, "a slot is lost there"
                    assert quota._line._handle is None, "a timer is left"

    run_virtual(main(), horizon=20_000)


def law_holds(law, place, drawn, examples=40):
    few = examples if place.name != "redis" else examples // 2
    holds(law, place=st.just(place), **drawn, examples=few)


def law_rejects(law, place, drawn, mutants, examples=300):
    """Demand that the law fails under the mutant of that place."""
    mutant = mutants[place.name]
    if not hasattr(mutant, "__enter__"):
        mutant = mutant(place)
    rejects(law, place=st.just(place), **drawn, mutant=mutant, examples=examples)


def both(*changes):
    """Give a mutant of what boards in memory and on servers have in common."""
    return {"memory": lambda _: changed(*changes), "redis": lambda _: changed(*changes)}


def everywhere(*changes):
    return {"process": lambda _: changed(*changes)} | both(*changes)


# No window sees more than burst + rate * t, in any dimension, whatever clocks say.

RATES = st.sampled_from([None, 60, 90.5, 240])
LIMITS = st.builds(
    Limit,
    at_once=st.none() | st.integers(1, 4),
    requests_per_minute=st.sampled_from([None, 30, 60, 240]),
    tokens_per_minute=RATES,
    input_tokens_per_minute=RATES,
    output_tokens_per_minute=RATES,
    burst=st.sampled_from([16.0, 20.0]),  # a bucket holds whatever an attempt needs
    charge=st.sampled_from(["use", "use", "admission"]),
).filter(lambda limit: limit.rates or limit.at_once)
# Seconds after the one before it, whose it is, tokens in and out, eighths of them used, seconds.
ATTEMPT = st.tuples(
    ticks(0, 6), st.integers(0, 2), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8),
    ticks(0, 12) | ticks(0, 80),
)  # fmt: skip
SKEWS = st.tuples(st.sampled_from([-1e6, 0.0, 1e6]), st.sampled_from([0.9, 1.0, 1.1]))
BOUNDED = {
    "limit": LIMITS,
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=20),
    "lease": st.sampled_from([1, 4, 64]),
    "latency": st.sampled_from([0.0, 0.003, 0.2]),
    "skew": st.tuples(SKEWS, SKEWS, SKEWS),
    "heartbeat": st.sampled_from([1.0, LONG]),
}  # fmt: skip


def costs(tokens):
    read, written = tokens
    return {
        "requests_per_minute": 1,
        "tokens_per_minute": read + written,
        "input_tokens_per_minute": read,
        "output_tokens_per_minute": written,
    }


def facts(jobs, limit, name, *, at_end):
    """Give when the provider counts how much; what outlasts its place counts as when it began."""
    for job in jobs:
        early = limit.charge == "admission" or name == "requests_per_minute"
        outlasts = job.ended - job.began >= limit.burst * 3 / 4
        used = (job.used[0], job.need[1]) if limit.charge == "admission" else job.used
        counted = job.need if outlasts else used
        later = at_end and not early and not outlasts
        yield job.ended if later else job.began, costs(counted)[name]


def bounded(place, limit, attempts, **given):  # lease, latency, skew, heartbeat
    jobs, most = [], [0]

    async def program(workers):
        at = 0.0
        async with asyncio.TaskGroup() as group:
            for gap, worker, read, written, eighths, seconds in attempts:
                at += gap
                job = Job((read, written), (read * eighths // 8, written * eighths // 8), seconds)
                jobs.append(job)
                group.create_task(done(workers[worker], job, at))

    played(program, place, 3, limit, **given)
    for name, rate in limit.rates.items():
        for at_end in (False, True):
            seen = sorted(facts(jobs, limit, name, at_end=at_end))
            for first, (start, _) in enumerate(seen):
                total = 0
                for time, amount in seen[first:]:
                    total += amount
                    assert total * 60 <= rate * (limit.burst + time - start) + 1e-3, (name, seen)
    changes = [(job.began, 1) for job in jobs] + [(job.ended, -1) for job in jobs]
    for _, change in sorted(changes):
        most.append(most[-1] + change)
    assert limit.at_once is None or max(most) <= limit.at_once


def test_every_window_is_bounded(place):
    law_holds(bounded, place, BOUNDED)


def refilled_beside(self, now):
    for bucket in self._buckets:
        bucket.level = min(bucket.size, bucket.level + (now - self._at) * bucket.rate)
    self._at = now


def refilled_below(self, terms, floors, now):
    return REFILL(self, terms, [0, 0, 0, 0], now)


REFILL = _memory.Bucket.refill


# Attempts that take long: the provider may count when they begin, or when they end.
RETURNED = BOUNDED | {
    "limit": st.just(Limit(tokens_per_minute=60, burst=16.0)),
    "attempts": st.lists(
        st.tuples(ticks(0, 8), st.integers(0, 2), st.just(8), st.integers(4, 8),
                  st.integers(6, 8), ticks(24, 44)),
        min_size=3, max_size=12,
    ),
    "latency": st.just(0.0),
    "heartbeat": st.just(LONG),
}  # fmt: skip


def test_what_is_in_flight_without_a_place_is_rejected(place):
    law_rejects(bounded, place, RETURNED, {
        "process": changed((Buckets, "_refill", refilled_beside)),
        "memory": changed((_memory.Bucket, "refill", refilled_below)),
        "redis": lambda it: it.without("math.max(spent, before[d] * term.scale)", "math.max(spent, 0)"),
    })  # fmt: skip


def without_slots(self, number, amount):
    wait = ADMIT(self, number, amount)
    self._slots.discard(number)
    return wait


def alone(self, holder):
    others, self.bucket.holders = self.bucket.holders, {self.visit.holder: holder}
    try:
        return WAIT_OF(self, holder)
    finally:
        self.bucket.holders = others


ADMIT = Buckets.admit_nowait
WAIT_OF = _memory.Decision.wait_of


def test_a_width_of_each_worker_is_rejected(place):
    law_rejects(bounded, place, BOUNDED, {
        "process": changed((Buckets, "admit_nowait", without_slots)),
        "memory": changed((_memory.Decision, "wait_of", alone)),
        "redis": lambda it: it.without("used = used + entry[SLOTS]\n", "used = held\n"),
    })  # fmt: skip


def first_only(self, now, costs):
    every, self._buckets = self._buckets, self._buckets[:1]
    try:
        return WAIT(self, now, costs[:1])
    finally:
        self._buckets = every


def first_limit_only(self, holder):
    every, self.limits = self.limits, self.limits[:1]
    try:
        return WAIT_OF(self, holder)
    finally:
        self.limits = every


WAIT = Buckets._wait


def test_a_dimension_that_is_not_asked_is_rejected(place):
    law_rejects(bounded, place, BOUNDED, {
        "process": changed((Buckets, "_wait", first_only)),
        "memory": changed((_memory.Decision, "wait_of", first_limit_only)),
        "redis": lambda it: it.without("    if need > 0 then", "    if need > 0 and d == 1 then"),
    })  # fmt: skip


# First come, first served: at one worker, and between workers.

ORDERED = {
    "waiting": st.lists(
        st.tuples(ticks(1, 8), st.integers(1, SIZE), ticks(0, 20)), min_size=1, max_size=8
    ),
    "spread": st.booleans(),
    "lease": st.sampled_from([1, 8]),
}


def in_order(place, waiting, spread, lease):
    jobs = [Job((need, 0), seconds=seconds) for _, need, seconds in waiting]

    async def program(workers):
        at = 0.0
        async with asyncio.TaskGroup() as group:
            group.create_task(done(workers[0], Job((SIZE, 0))))
            for worker, (job, (gap, _, _)) in enumerate(zip(jobs, waiting, strict=True)):
                at += gap
                group.create_task(done(workers[worker if spread else 0], job, at))

    played(program, place, len(jobs) if spread else 1, ONE_A_SECOND, lease=lease)
    begun = [job.began for job in jobs]
    assert begun == sorted(begun)


def test_who_comes_first_is_served_first(place):
    law_holds(in_order, place, ORDERED)


def latest(self):
    turns = [turn for flow in self.flows.values() for turn in flow.turns]
    return max(turns, key=lambda turn: turn.number, default=None)


def test_a_line_served_from_its_end_is_rejected(place):
    here = ORDERED | {"spread": st.just(False)}
    law_rejects(in_order, place, here, everywhere((Rank, "first", latest)))


def beside(self, holder):
    tickets = {other: other.ticket for other in self.bucket.holders.values()}
    for other in tickets:
        other.ticket = 0
    try:
        return WAIT_OF(self, holder)
    finally:
        for other, ticket in tickets.items():
            other.ticket = ticket


def test_one_who_comes_later_and_passes_is_rejected(place):
    law_rejects(in_order, place, ORDERED | {"spread": st.just(True)}, {
        "process": changed((Rank, "first", latest)),
        "memory": changed((_memory.Decision, "wait_of", beside)),
        "redis": lambda it: it.without("other[TICKET] < entry[TICKET]", "false"),
    })  # fmt: skip


# Shares by weight between tenants, whose calls are made at several workers.

SHARED = {
    "tenants": st.lists(st.tuples(st.integers(1, 3), st.integers(3, 10)), min_size=2, max_size=3),
    "size": st.integers(1, 2),
    "seconds": ticks(0, 8),
}


def by_weight(place, tenants, size, seconds):
    total = sum(weight for weight, _ in tenants)
    period = 4 * SIZE * total / min(weight for weight, _ in tenants)
    had = Counter()

    async def program(workers):
        tasks = []
        for tenant, (weight, need) in enumerate(tenants):
            for number in range(int(1.2 * (period * weight / total + SIZE) / need) + 2 * size):
                job = Job((need, 0), seconds=seconds)
                whose = {"tenant": f"tenant {tenant}", "weight": weight}
                tasks.append((tenant, job, done(workers[number % size], job, **whose)))
        running = [asyncio.create_task(it) for _, _, it in tasks]
        await asyncio.sleep(period)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for tenant, job, _ in tasks:
            had[tenant] += job.need[0] * (job.began is not None)
        every = sum(had.values()) - SIZE  # the first bucket is whose who come first
        for tenant, (weight, need) in enumerate(tenants):
            assert had[tenant] >= 0.95 * every * weight / total - size * need, (had, tenants)

    played(program, place, size, ONE_A_SECOND)


def test_tenants_share_by_weight(place):
    law_holds(by_weight, place, SHARED, examples=6)


def plain_grant(self, turn, share):
    turn.weight = 1.0
    GRANT(self, turn, share)


GRANT = Rank.grant


@pytest.mark.parametrize(
    "change",
    [
        (Quota, "_key", lambda self, run: None),
        (Rank, "grant", plain_grant),
        (Quota, "_share", lambda self, amount: 1.0),
    ],
    ids=["no tenants", "no weights", "turns in place of tokens"],
)
def test_shares_that_are_not_kept_are_rejected(place, change):
    law_rejects(by_weight, place, SHARED, everywhere(change), examples=30)


# Priorities, until who waits is older.

BURST = 4
HURRIED = {"priority": st.integers(0, 2)}


def ages(place, priority):
    served = []

    @step(limit="thing")
    async def job(name):
        served.append(name)

    async def later(runtime, time, name, priority):
        await asyncio.sleep(time)
        await runtime.run(job(name), priority=priority)

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            for _ in range(BURST):
                group.create_task(later(workers[0], 0, "first", 0))
            group.create_task(later(workers[0], 0.25, "low", 0))
            for number in range(60):  # two come each second, and one is served
                group.create_task(later(workers[0], number / 2 + 0.5, "high", priority))

    played(program, place, 1, Limit(requests_per_minute=60, burst=BURST))
    assert served.index("low") == BURST + 2 * BURST * priority


def test_priorities_go_first_until_others_are_older(place):
    law_holds(ages, place, HURRIED, examples=4)


def never_ages(self):
    turns = [(rank.priority, rank.first()) for rank in self._ranks.values()]
    found = [(priority, turn) for priority, turn in turns if turn is not None]
    return max(found, key=lambda each: each[0])[1] if found else None


def test_priorities_that_never_age_are_rejected(place):
    law_rejects(ages, place, HURRIED, everywhere((Line, "_head", never_ages)))


# A large request is not starved by small ones, of its own worker or of others.

LARGE = {
    "before": st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=6),
    "after": st.lists(st.tuples(ticks(0, 20), st.integers(0, 2), st.integers(1, 30)), max_size=20),
    "seconds": ticks(0, 400),
    "lease": st.sampled_from([1, 8]),
}


def large_ones_get_in(place, before, after, seconds, lease):
    need = SIZE * 9 // 10
    large = Job((need, 0), seconds=seconds)

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            for worker, small in before:
                group.create_task(done(workers[worker], Job((small, 0), seconds=seconds)))
            group.create_task(done(workers[0], large, 0.125))
            for gap, worker, small in after:
                job = Job((small, 0), seconds=seconds)
                group.create_task(done(workers[worker], job, 0.25 + gap))

    played(program, place, 3, ONE_A_SECOND, lease=lease)
    stood = sum(small for _, small in before)
    beat = 1.0  # until which a worker may keep the place of what takes too long
    assert large.began - large.came <= 2 * (stood + need) * 60 / SIZE + beat


def test_large_requests_are_not_starved(place):
    law_holds(large_ones_get_in, place, LARGE)


def smallest_first(self):
    turns = [turn for flow in self.flows.values() for turn in flow.turns]
    return min(turns, key=lambda turn: (turn.asked.tokens_in, turn.number), default=None)


def test_small_ones_that_pass_are_rejected(place):
    stream = [(at / 4, worker, 10) for at in range(100) for worker in (1, 2)]
    many = LARGE | {"after": st.just(stream), "seconds": st.just(0.0)}
    law_rejects(large_ones_get_in, place, many, {
        "process": changed((Rank, "first", smallest_first)),
        "memory": changed((_memory.Decision, "wait_of", beside)),
        "redis": lambda it: it.without("other[TICKET] < entry[TICKET]", "false"),
    })  # fmt: skip


def for_ever(self, limit, time):
    MAKE(self, limit, time)
    self._hold *= 100


MAKE = Buckets.__init__


def test_places_that_are_never_given_up_are_rejected(place):
    stay = [(0, 30), (1, 20), (2, 9)]
    long = LARGE | {"before": st.just(stay), "seconds": st.just(1_000.0)}
    law_rejects(large_ones_get_in, place, long, {
        "process": changed((Buckets, "__init__", for_ever)),
    } | both((Purse, "expire", lambda self, before: None)))  # fmt: skip


# Who cannot be served before its deadline is told at once, where somebody waits already.

HASTY = {
    "before": st.integers(1, SIZE),
    "need": st.integers(1, SIZE),
    "left": ticks(1, 500),
}


def told_at_once(place, before, need, left):
    first, last = Job((before, 0)), Job((need, 0))
    found = []

    async def hurry(worker):
        await asyncio.sleep(0.5)
        try:
            with deadline(left):
                await worker.run(work(last), tenant="one")
        except (LimitTooSlow, DeadlinePassed) as error:
            found.append((type(error), now()))

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            group.create_task(done(workers[0], Job((SIZE, 0)), tenant="one"))
            group.create_task(done(workers[0], first, tenant="one"))
            group.create_task(hurry(workers[0]))

    played(program, place, 1, ONE_A_SECOND)
    due = (before + need) * 60 / SIZE
    assert abs(first.began - before * 60 / SIZE) <= 0.001
    if due > 0.5 + left:
        assert found == [(LimitTooSlow, 0.5)]
    elif due < 0.5 + left:
        assert abs(last.began - due) <= 0.001


def test_who_comes_too_late_is_told_at_once(place):
    law_holds(told_at_once, place, HASTY)


def test_waiting_in_vain_is_rejected(place):
    law_rejects(told_at_once, place, HASTY, {
        "process": changed((Quota, "_refuse_late", lambda self, ahead, amount, deadline: None)),
    } | both((_gate.SharedGate, "least_wait", lambda self, amount: self.paused())))  # fmt: skip


# Who gives up takes nothing, and costs those behind nothing.

GIVEN_UP = {
    "waiting": st.lists(
        st.tuples(st.integers(1, SIZE), st.none() | ticks(0, 16) | ticks(0, 200)),
        min_size=1, max_size=6,
    ),
    "used": st.integers(1, SIZE),
    "spread": st.booleans(),
    "latency": st.sampled_from([0.0, 0.002]),
}  # fmt: skip
HELD_FOR = 8.0


def given_up(place, waiting, used, spread, latency):
    """The others are admitted on the instants on which they are due, one after the other."""
    jobs = [Job((need, 0)) for need, _ in waiting]
    quits = [
        None if after is None else 0.25 + number / 8 + max(after, 0.001) + 1 / 16
        for number, (_, after) in enumerate(waiting)
    ]

    async def until(task, at):
        if at is not None:
            await asyncio.sleep(at - now())
            task.cancel()
        await asyncio.wait([task])

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            first = Job((SIZE, 0), (used, 0), HELD_FOR)
            group.create_task(done(workers[0], first))
            for number, job in enumerate(jobs):
                worker = workers[number % len(workers)]
                task = asyncio.create_task(done(worker, job, 0.25 + number / 8))
                group.create_task(until(task, quits[number]))

    size = len(jobs) + 1 if spread else 1
    played(program, place, size, ONE_A_SECOND, lease=1, heartbeat=LONG, latency=latency)
    for job, due in zip(jobs, dues(waiting, quits, SIZE - used), strict=True):
        assert (job.began is None) == (due is None), (jobs, due)
        assert due is None or abs(job.began - due) <= 0.001 + 10 * latency, (jobs, due)


def dues(waiting, quits, level):
    """Give when each is due: first come, first served, one a second."""
    at = HELD_FOR
    for (need, _), quits_at in zip(waiting, quits, strict=True):
        due = at + max(0, need - level)
        stays = quits_at is None or quits_at > due
        end = due if stays else max(at, quits_at)
        level = min(SIZE, level + end - at) - (need if stays else 0)
        yield due if stays else None
        at = end


def test_who_gives_up_costs_nothing(place):
    law_holds(given_up, place, GIVEN_UP, examples=100)


def stays(self, turn):
    if turn not in turn.flow.turns and turn.error is None:
        self._give_back(turn)


def test_a_place_that_is_not_given_up_is_rejected(place):
    law_rejects(given_up, place, GIVEN_UP, {
        "process": changed((Line, "_leave", stays)),
    } | both((_gate.SharedGate, "forgo", lambda self: None)))  # fmt: skip


ASKED_IN_VAIN = {"latency": st.sampled_from([0.02, 0.05, 0.1]), "need": st.integers(1, SIZE)}


def asked_in_vain(place, latency, need):
    """Who gives up while its question is under way keeps no place either."""
    last = Job((need, 0))

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            group.create_task(done(workers[0], Job((SIZE, 0), seconds=HELD_FOR)))
            hasty = group.create_task(done(workers[1], Job((SIZE, 0)), 2.0))
            group.create_task(done(workers[2], last, 4.0))
            await asyncio.sleep(2 + latency)
            hasty.cancel()

    played(program, place, 3, ONE_A_SECOND, lease=1, heartbeat=LONG, latency=latency)
    assert abs(last.began - HELD_FOR - need) <= 8 * latency, last


def test_a_question_that_is_given_up_keeps_no_place(place):
    law_holds(asked_in_vain, place, ASKED_IN_VAIN)


def kept_in_flight(self):
    if self._wanted is not None:
        self._wanted = None
        self._poke()


def test_a_place_that_is_kept_by_a_question_under_way_is_rejected(place):
    if place.name == "process":
        pytest.skip("no question is under way here")
    kept = both((_gate.SharedGate, "forgo", kept_in_flight))
    law_rejects(asked_in_vain, place, ASKED_IN_VAIN, kept)


# What comes back helps the next one in line, at once.

REFUNDED = {
    "reserved": st.integers(20, SIZE),
    "eighths": st.integers(0, 8),
    "seconds": ticks(2, 40),
    "need": st.integers(1, SIZE),
    "elsewhere": st.booleans(),
}


def refund_helps(place, reserved, eighths, seconds, need, elsewhere):
    used = max(1, reserved * eighths // 8)  # nothing at all would count as not told
    first, second = Job((reserved, 0), (used, 0), seconds), Job((need, 0))

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            group.create_task(done(workers[0], first))
            group.create_task(done(workers[-1], second, 0.25))

    size = 2 if elsewhere else 1
    played(program, place, size, ONE_A_SECOND, lease=1, heartbeat=LONG)
    if reserved + need <= SIZE:
        assert second.began == 0.25
    else:
        lacks = max(0, need - (SIZE - used)) * 60 / SIZE
        assert abs(second.began - (seconds + lacks)) <= 0.001, second


def test_a_refund_helps_the_next_at_once(place):
    law_holds(refund_helps, place, REFUNDED, examples=100)


def settled_in_silence(self, number, used):
    wake, self._wake = self._wake, lambda: None
    SETTLE(self, number, used)
    self.release(number)
    self._wake = wake


def answered_in_silence(self, me, listeners, *, returned):
    return ANSWER(self, me, listeners, returned=False)


SETTLE = Buckets.settle
ANSWER = _memory.Decision.answer


def test_a_refund_that_nobody_hears_of_is_rejected(place):
    law_rejects(refund_helps, place, REFUNDED | {"elsewhere": st.just(True)}, {
        "process": changed((Buckets, "settle", settled_in_silence)),
        "memory": changed((_memory.Decision, "answer", answered_in_silence)),
        "redis": lambda it: it.without("if first and (returned or left) then", "if first and left then"),
    })  # fmt: skip


# Settled once, whoever says it again: the worker, or the network.

SETTLED = {
    "held": st.lists(
        st.tuples(st.integers(1, 15), st.integers(0, 8), st.integers(1, 3)), max_size=4
    ),
    "lost": st.lists(st.sampled_from([None, "asked", "answered"]), max_size=10).map(
        lambda drawn: [each for loss in drawn for each in (loss, None)]
    ),
    "extra": st.integers(0, 2),
}


def settled_once(place, held, lost, extra):
    """After everything is settled exactly the rest is there, and the next token a second later."""
    left = SIZE - sum(need * eighths // 8 for need, eighths, _ in held)
    last = Job((min(SIZE, left + extra), 0))

    async def program(workers):
        gates = [worker.width("thing").gate for worker in workers]
        for number, (need, eighths, times) in enumerate(held, 1_000):
            gate = gates[number % 2]
            wait = gate.admit_nowait(number, Amount(1, need, 0))
            assert (await gate.admit(number, Amount(1, need, 0)) if wait is None else wait) == 0
            for _ in range(times):  # the first time counts
                gate.settle(number, Amount(1, need * eighths // 8, 0))
                gate.release(number)
                gate.settle(number, Amount(1, 0, 0))
        await done(workers[0], last, now())

    played(program, place, 2, ONE_A_SECOND, lease=1, losses=lost)
    lacks = last.need[0] - left
    lost_time = 0.5 if lost else 0.001
    assert abs(last.began - last.came - lacks * 60 / SIZE) <= lost_time, last


def test_what_is_settled_counts_once(place):
    law_holds(settled_once, place, SETTLED, examples=100)


def settled_again(self, number, used):
    held = self._kept.get(number)
    SETTLE(self, number, used)
    if held is not None:
        self._kept[number] = held


def forgetful(self, number, used, now):
    held = self.held.get(number)
    found = SETTLE_PURSE(self, number, used, now)
    if held is not None:
        self.held[number] = held
        for d, kept in enumerate(held.kept):
            self.kept[d] += kept
    return found


SETTLE_PURSE = Purse.settle


def test_a_second_settlement_that_counts_is_rejected(place):
    law_rejects(settled_once, place, SETTLED, {
        "process": changed((Buckets, "settle", settled_again)),
    } | both((Purse, "settle", forgetful)))  # fmt: skip


def heard_again(self, listeners, *, known):
    known_of = self.bucket.holders.get(self.visit.holder)
    if known_of is not None:
        known_of.visit = 0
    return MADE(self, listeners, known=known)


MADE = _memory.Decision.made


def test_a_visit_that_happens_twice_is_rejected(place):
    if place.name == "process":
        pytest.skip("nothing is sent here")
    law_rejects(settled_once, place, SETTLED, {
        "memory": changed((_memory.Decision, "made", heard_again)),
        "redis": lambda it: it.without("me[VISIT] >= visit", "false"),
    })  # fmt: skip


# A 429 pauses the name, wherever it is used.

PAUSED = {
    "retry_after": ticks(1, 20),
    "at": st.integers(2, 10),
    "size": st.integers(1, 3),
    "lease": st.sampled_from([1, 64]),
}


class TooMany(ConnectionError):
    status_code = 429

    def __init__(self, retry_after):
        self.headers = MappingProxyType({"retry-after": str(retry_after)})


def pauses_everybody(place, retry_after, at, size, lease):
    begun = []

    @step(limit="thing")
    async def job(number):
        begun.append(now())
        await asyncio.sleep(0.0625)
        if number == at:
            raise TooMany(retry_after)

    async def later(runtime, number):
        await asyncio.sleep(number / 4)
        await outcome_of(runtime.run(job(number)))

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(later(workers[number % size], number))

    played(program, place, size, Limit(requests_per_minute=6_000, burst=4), lease=lease)
    refused = at / 4 + 0.0625
    assert len(begun) == 20
    assert not [time for time in begun if refused < time < refused + retry_after - 0.001]


def test_too_many_pauses_everybody(place):
    law_holds(pauses_everybody, place, PAUSED)


def test_a_pause_of_one_worker_alone_is_rejected(place):
    law_rejects(pauses_everybody, place, PAUSED, {
        "process": changed((Buckets, "pause", lambda self, seconds: None)),
        "memory": changed((_memory.Decision, "pauses", lambda self: 0)),
        "redis": lambda it: it.without("if pause > 0 then bucket", "if false then bucket"),
    })  # fmt: skip


def test_leases_that_go_on_in_a_pause_are_rejected(place):
    if place.name == "process":
        pytest.skip("there are no leases here")
    leases = PAUSED | {"lease": st.just(64), "size": st.integers(2, 3)}
    deaf = both((_gate.SharedGate, "halted", lambda self, holder, wait: None))
    law_rejects(pauses_everybody, place, leases, deaf)


# What a provider says is left counts, and does no harm where nothing is missing.

SAID = {
    "others": st.integers(1, SIZE),  # what somebody else used of the provider's bucket
    "needs": st.lists(st.integers(1, 20), min_size=2, max_size=12),
    "seconds": ticks(0, 8),
    "old": st.booleans(),  # whether an answer tells what was left when it was asked
    "size": st.integers(1, 2),
}


class Provider:
    """A provider's bucket, which refills evenly; it takes what is read when a request comes."""

    def __init__(self, taken):
        self.level, self.at = SIZE - taken, 0.0

    def take(self, tokens):
        """Take, and give what is left then; below 0: it is refused, and nothing taken."""
        left = self.look() - tokens
        if left >= 0:
            self.level = left
        return left

    def look(self):
        self.level = min(SIZE, self.level + (now() - self.at) * SIZE / 60)
        self.at = now()
        return self.level


def told(place, others, needs, seconds, old, size, *, tells=True, gap=None):
    """Let jobs come one by one, or with a gap between them; give (began, left, when told)."""
    seen = []
    provider = []

    @step(limit="thing", needs=lambda worker, need: Need(need, 0))
    async def job(worker, need):
        left = provider[0].take(need)
        attempt = CURRENT.get()
        begun = now()
        await asyncio.sleep(seconds if gap is None or len(seen) % 2 else 0)
        current().usage(tokens_in=need)
        if tells:
            said = left if old and left >= 0 else provider[0].look()
            remaining = Remaining(tokens=int(said))
            worker.width("thing").gate.correct(attempt.reservation.number, remaining)
        seen.append((begun, left, now()))

    async def program(workers):
        provider.append(Provider(others))
        tasks = []
        for number, need in enumerate(needs):
            worker = workers[number % size]
            task = asyncio.ensure_future(worker.run(job(worker, need)))
            tasks.append(task)
            await (task if gap is None else asyncio.sleep(gap))
        await asyncio.gather(*tasks)
        if gap is not None:
            await workers[0].run(job(workers[0], SIZE))  # which shows what is left

    played(program, place, size, ONE_A_SECOND, lease=1)
    return sorted(seen)


def heeded(place, others, needs, seconds, old, size):
    """Once it was told nobody asks for more than the provider has.

    But for what refills while an answer is made, on both sides.
    """
    seen = told(place, others, needs, seconds, old, size)
    first = seen[0][2]
    assert all(left >= -2 * (seconds + 1) for begun, left, _ in seen[1:] if begun >= first), seen


def harmless(place, others, needs, seconds, old, size):
    """Where nobody else used anything, it is as if nothing was told."""
    given = (place, 0, needs, seconds, old, size)
    plain = [it[0] for it in told(*given, tells=False, gap=0.5)]
    seen = [it[0] for it in told(*given, gap=0.5)]
    assert seen == pytest.approx(plain, abs=1.1)  # what is said is rounded down


def test_what_is_left_is_heeded(place):
    law_holds(heeded, place, SAID)


def test_what_nobody_heeds_is_rejected(place):
    law_rejects(heeded, place, SAID, {
        "process": changed((Buckets, "correct", lambda self, number, left: None)),
        "memory": changed((_visit.Rate, "ceiling", lambda self, left: self.capacity)),
        "redis": lambda it: it.without("floor, term.gone)", "floor)"),
    })  # fmt: skip


def test_what_is_left_does_no_harm(place):
    law_holds(harmless, place, SAID)


def fresh(self, left, since, now, levels):
    return REMAINS(self, left, now, now, levels)


def as_it_is(self, number, left):
    for bucket in self._buckets:
        bucket.level = min(bucket.level, left[bucket.kind] * bucket.part)


REMAINS = _said.Said.remains


def test_old_answers_that_are_taken_for_new_are_rejected(place):
    law_rejects(harmless, place, SAID | {"old": st.just(True), "seconds": ticks(4, 8)}, {
        "process": changed((Buckets, "correct", as_it_is)),
    } | both((_said.Said, "remains", fresh)))  # fmt: skip


# Nobody polls.

ASKED = {"waiting": st.integers(1, 30), "size": st.integers(1, 3)}


def nobody_polls(place, waiting, size):
    asked = Counter()

    def counted(self, number, amount):
        asked[number, id(self)] += 1
        return ADMIT(self, number, amount)

    async def program(workers):
        async with asyncio.TaskGroup() as group:
            for number in range(waiting):
                group.create_task(done(workers[number % size], Job((20, 0)), 0.0))
        visits = sum(getattr(worker.gates, "board", Counted).visits for worker in workers)
        assert visits <= size * (4 * waiting * size + 5)

    with changed((Buckets, "admit_nowait", counted)):
        played(program, place, size, ONE_A_SECOND, heartbeat=LONG)
    assert sum(asked.values()) <= 5 * waiting + 5


class Counted:
    visits = 0


def test_nobody_polls(place):
    law_holds(nobody_polls, place, ASKED, examples=20)


def test_polling_is_rejected(place):
    impatient = everywhere(
        (Line, "_tell", lambda self, turn, wait: TELL(self, turn, min(wait, 0.25)))
    )
    law_rejects(nobody_polls, place, ASKED, impatient)


TELL = Line._tell
