"""Law 9 for rates: what is admitted in any window is never above burst + rate * t.

In every dimension, wherever between its admission and its end an attempt is counted, whatever is
reserved and settled meanwhile; and nobody waits longer than that takes.
"""

from hypothesis import strategies as st

from fanwise.core import Amount, Limit
from fanwise.core._buckets import SECOND, Bucket, Buckets
from tests.laws.proving import changed, holds, rejects, ticks

RATES = st.sampled_from([None, 20, 60, 90.5, 240])
LIMITS = st.builds(
    Limit,
    at_once=st.none() | st.integers(1, 4),
    requests_per_minute=st.sampled_from([None, 30, 60, 240]),
    tokens_per_minute=RATES,
    input_tokens_per_minute=RATES,
    output_tokens_per_minute=RATES,
    burst=st.sampled_from([4.0, 6.0, 60.0]),
)
# Seconds before it comes, tokens in and out that it reserves and the part of them that it uses (in
# eighths), seconds that it takes, how often it is settled.
ATTEMPT = st.tuples(
    ticks(0, 20), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), ticks(0, 30),
    st.integers(0, 2),
)  # fmt: skip
ARRIVALS = {"limit": LIMITS, "attempts": st.lists(ATTEMPT, min_size=1, max_size=25)}


class Admitted:
    """An attempt at a gate: when it was admitted and ended, and what it used."""

    def __init__(self, number, start, end, reserved, used):
        self.number, self.start, self.end = number, start, end
        self.reserved, self.used = reserved, used

    def __repr__(self):
        return f"<{self.number}: {self.used} from {self.start} to {self.end}>"


def played(limit, attempts):
    """Let attempts come to a gate one by one, and give those that it admitted."""
    now = [100.0]
    gate = Buckets(limit, lambda: now[0])
    live, admitted = [], []

    def pass_time(until):
        for each in sorted(live, key=lambda it: it.end):
            if each.end <= until:
                now[0] = each.end
                for _ in range(each.times):
                    gate.settle(each.number, each.used)
                gate.release(each.number)
                live.remove(each)
        now[0] = until

    for number, (gap, read, written, eighths, seconds, times) in enumerate(attempts):
        pass_time(now[0] + gap)
        reserved = Amount(1, read, written)
        room = gate.has_room(reserved)
        assert (gate.admit_nowait(number, reserved) == 0.0) == room
        if room:
            used = Amount(1, read * eighths // 8, written * eighths // 8)
            counted = used if times else reserved
            one = Admitted(number, now[0], now[0] + seconds, reserved, counted)
            one.times = times
            live.append(one)
            admitted.append(one)
        assert limit.at_once is None or len(live) <= limit.at_once
    return admitted


def costs(amount):
    requests, read, written = amount
    return {
        "requests_per_minute": requests,
        "tokens_per_minute": read + written,
        "input_tokens_per_minute": read,
        "output_tokens_per_minute": written,
    }


def never_above(limit, attempts):
    admitted = played(limit, attempts)
    hold = limit.burst * 3 / 4  # what takes longer counts as used when it began
    for counted_at_end in (False, True):
        facts = sorted(
            (each.end if counted_at_end and each.end - each.start < hold else each.start, n)
            for n, each in enumerate(admitted)
        )
        for name, rate in limit.rates.items():
            kept = name == "requests_per_minute"
            for first in range(len(facts)):
                total = 0
                for time, n in facts[first:]:
                    one = admitted[n]
                    late = one.end - one.start >= hold
                    total += costs(one.reserved if late and not kept else one.used)[name]
                    if kept and counted_at_end:
                        continue  # a request counts when it comes
                    assert total * 60 <= rate * (limit.burst + time - facts[first][0]) + 1e-6


def test_rates_hold():
    holds(never_above, **ARRIVALS, examples=400)


def rejected(*changes, law=never_above):
    rejects(law, **ARRIVALS, mutant=changed(*changes), examples=2000)


def test_rates_reject_idle_time_that_comes_back_as_more_than_the_burst():
    def endless(self, now):
        for bucket in self._buckets:
            bucket.level += (now - self._at) * bucket.rate
        self._at = now

    rejected((Buckets, "_refill", endless))


def test_rates_reject_a_refill_beside_what_is_in_flight():
    def full(self, now):
        for bucket in self._buckets:
            bucket.level = min(bucket.size, bucket.level + (now - self._at) * bucket.rate)
        self._at = now

    rejected((Buckets, "_refill", full))


def test_rates_reject_a_second_settlement():
    settle = Buckets.settle

    def again(self, number, used):
        held = self._kept.get(number)
        settle(self, number, used)
        if held is not None and not self._expired.get(number):
            self._kept[number] = held
            self._kept.move_to_end(number, last=False)

    rejected((Buckets, "settle", again))


def test_rates_reject_a_dimension_that_is_not_asked():
    wait = Buckets._wait

    def first_only(self, now, costs):
        every = self._buckets
        self._buckets = every[:1]
        try:
            return wait(self, now, costs[:1])
        finally:
            self._buckets = every

    rejected((Buckets, "_wait", first_only))


def test_rates_reject_a_refund_of_what_lost_its_place():
    settle = Buckets.settle

    def generous(self, number, used):
        held = self._expired.get(number)
        settle(self, number, used)
        if held is not None:
            for bucket, cost, true in zip(self._buckets, held[1], self._costs(used), strict=True):
                bucket.level += cost - true

    def counted_as_used(limit, attempts):
        admitted = played(limit, attempts)
        for name, rate in limit.rates.items():
            for first in range(len(admitted)):
                total = 0
                for one in admitted[first:]:
                    total += costs(one.used)[name]
                    passed = one.start - admitted[first].start
                    assert total * 60 <= rate * (limit.burst + passed) + 1e-6

    holds(counted_as_used, **ARRIVALS)
    rejected((Buckets, "settle", generous), law=counted_as_used)


def never_above_at_admission(limit, attempts):
    """Where the provider takes all of `max_tokens` at once, what is read too much comes back."""
    limit = Limit(charge="admission", **limit.rates, at_once=limit.at_once, burst=limit.burst)
    admitted = played(limit, attempts)
    for name, rate in limit.rates.items():
        for first in range(len(admitted)):
            total = 0
            for one in admitted[first:]:
                taken = Amount(1, one.used.tokens_in, one.reserved.tokens_out)
                total += costs(taken)[name]
                passed = one.start - admitted[first].start
                assert total * 60 <= rate * (limit.burst + passed) + 1e-6


def test_rates_at_admission_hold():
    holds(never_above_at_admission, **ARRIVALS, examples=400)


def at_admission_rejected(*changes):
    rejected(*changes, law=never_above_at_admission)


def test_rates_at_admission_reject_what_is_written_coming_back():
    make = Bucket.__init__

    def by_use(self, kind, per_minute, burst, *, early):
        make(self, kind, per_minute, burst, early=False)

    at_admission_rejected((Bucket, "__init__", by_use))


def test_rates_at_admission_reject_a_refill_beside_what_may_come_back():
    def beside(self, now):
        for bucket in self._buckets:
            most = max(bucket.size, bucket.level)
            bucket.level = min(most, bucket.level + (now - self._at) * bucket.rate)
        self._at = now

    at_admission_rejected((Buckets, "_refill", beside))


def test_what_is_read_too_much_comes_back_at_admission():
    now = [0.0]
    limit = Limit(tokens_per_minute=100, input_tokens_per_minute=100, charge="admission")
    gate = Buckets(limit, lambda: now[0])
    assert gate.admit_nowait(1, Amount(1, 40, 50)) == 0.0
    gate.settle(1, Amount(1, 10, 5))
    rooms = gate.statistics().room
    assert rooms == {"tokens_per_minute": 0.4, "input_tokens_per_minute": 0.9}


WAITS = {
    "limit": LIMITS.filter(lambda limit: limit.rates and limit.at_once is None),
    "before": st.lists(st.tuples(ticks(0, 9), st.integers(0, 8), st.integers(0, 8)), max_size=9),
    "read": st.integers(0, 8),
    "written": st.integers(0, 8),
}  # fmt: skip


def no_longer_than_needed(limit, before, read, written):
    """A wait that is told is exact: with nothing settled it is over then, and not before."""
    now = [7.25]
    gate = Buckets(limit, lambda: now[0])
    for number, (gap, asked, said) in enumerate(before):
        now[0] += gap
        gate.admit_nowait(number, Amount(1, asked, said))
    for number in range(len(before)):  # so that nothing but time brings room
        gate.settle(number, Amount(1, 0, 0))
    amount = Amount(1, read, written)
    sizes = {name: rate * limit.burst / 60 for name, rate in limit.rates.items()}
    if any(costs(amount)[name] > size for name, size in sizes.items()):
        return
    wait = gate.admit_nowait(99, amount)
    if wait:
        now[0] += wait - 1e-6
        assert gate.admit_nowait(99, amount) > 0
        now[0] += 2e-6
        assert gate.admit_nowait(99, amount) == 0.0
    level = [bucket.level for bucket in gate._buckets]
    now[0] += limit.burst * 2
    gate.settle(99, amount)
    gate.has_room(amount)
    assert all(each.level == each.size for each in gate._buckets), level


def test_waits_hold():
    holds(no_longer_than_needed, **WAITS, examples=200)


def test_waits_reject_whole_seconds():
    wait = Buckets._wait
    mutant = changed((Buckets, "_wait", lambda self, now, costs: -(-wait(self, now, costs) // 1)))
    rejects(no_longer_than_needed, **WAITS, mutant=mutant)


def test_waits_reject_fractions_that_are_dropped():
    refill = Buckets._refill

    def whole_seconds(self, now):
        refill(self, self._at + (now - self._at) // SECOND * SECOND)
        self._at = now

    mutant = changed((Buckets, "_refill", whole_seconds))
    rejects(no_longer_than_needed, **WAITS, mutant=mutant)


class Counted:
    """A clock that gives the instants of a long program."""

    def __init__(self):
        self.ticks = 0

    def __call__(self):
        return self.ticks / 10  # which binary fractions cannot say

    def __repr__(self):
        return f"<Counted {self.ticks}>"


def test_nothing_is_rounded_in_a_hundred_thousand_admissions():
    clock = Counted()
    limit = Limit(requests_per_minute=600, tokens_per_minute=4200, burst=1)
    gate = Buckets(limit, clock)
    admitted = 0
    for clock.ticks in range(100_000):  # one is due each tenth of a second
        while gate.admit_nowait(admitted, Amount(1, 4, 3)) == 0.0:
            gate.settle(admitted, Amount(1, 4, 3))
            gate.release(admitted)
            admitted += 1
    assert admitted == 10 + 99_999
