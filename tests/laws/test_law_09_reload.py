"""Limits that change while calls are in flight: no window sees more than the larger of them allows."""

from collections import Counter

import pytest
from hypothesis import strategies as st

from fanwise import Limit
from fanwise.core import Amount
from fanwise.core._buckets import Bucket, Buckets
from fanwise.core._limits import Width
from fanwise.core._policies import RATES
from fanwise.testing import run_virtual
from tests.laws.proving import changed, holds, rejects

rates = st.sampled_from([60, 90.5, 120, 600.25, 6_000])
LIMITS = st.builds(
    Limit,
    at_once=st.none() | st.integers(1, 4),
    requests_per_minute=st.none() | rates,
    tokens_per_minute=rates,
    output_tokens_per_minute=st.none() | rates,
    burst=st.sampled_from([10, 60, 90]),
    charge=st.sampled_from(["use", "admission"]),
)
AMOUNTS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0, 0, 50, 100]))
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), AMOUNTS),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 7, 30])),
        st.tuples(st.just("end"), st.sampled_from([1, 3, 40])),
        st.tuples(st.just("change"), LIMITS),
    ),
    min_size=1,
    max_size=30,
)


class Program:
    """A gate under drawn acts, and what its provider saw: each attempt counts when it is let in."""

    def __init__(self, limit):
        self.time = 0.0
        self.limit = limit
        self.gate = Buckets(limit, lambda: self.time)
        self.limits = [(0.0, limit)]
        self.admitted = []  # when, and what it really uses
        self.live = {}
        self.number = 0

    def ask(self, drawn):
        """Let attempts in until the gate refuses; of what is reserved a part is used."""
        read, written, share = drawn
        for _ in range(40):
            reserved = Amount(1, read, written)
            self.number += 1
            if self.gate.admit_nowait(self.number, reserved) != 0.0:
                return
            used = Amount(1, read * share // 100, written * share // 100)
            self.live[self.number] = used
            counted = Amount(1, used[1], written) if self.limit.charge == "admission" else used
            self.admitted.append((self.time, counted))
            at_once = self.limit.at_once
            assert at_once is None or len(self.live) <= at_once, "narrower than what is in flight"

    def wait(self, seconds):
        self.time += seconds

    def end(self, count):
        for number in list(self.live)[:count]:
            self.gate.settle(number, self.live.pop(number))
            self.gate.release(number)

    def change(self, limit):
        self.limit = limit
        self.gate.changed_to(limit)()
        self.limits.append((self.time, limit))

    def bound(self, rate, since, until):
        """The largest bucket that was there in a window and what came back; `None` without any."""
        largest = back = 0.0
        for began, ended, limit in self.periods:
            if began <= until and ended >= since:
                if rate not in limit.rates:
                    return None
                largest = max(largest, limit.rates[rate] * limit.burst / 60)
                back += limit.rates[rate] / 60 * (min(until, ended) - max(since, began))
        return largest + back

    @property
    def periods(self):
        ends = [each for each, _ in self.limits[1:]] + [float("inf")]
        return [(began, end, each) for (began, each), end in zip(self.limits, ends, strict=True)]


def what(rate, amount):
    requests, read, written = amount
    return dict(zip(RATES, (requests, read + written, read, written), strict=True))[rate]


def no_window_sees_more(limit, acts):
    program = Program(limit)
    for act, given in acts:
        getattr(program, act)(given)
    for rate in ("requests_per_minute", "tokens_per_minute", "output_tokens_per_minute"):
        seen = Counter()
        for time, amount in program.admitted:
            seen[time] += what(rate, amount)
        for since in seen:
            for until in seen:
                bound = program.bound(rate, since, until) if since <= until else None
                if bound is not None:
                    within = sum(each for at, each in seen.items() if since <= at <= until)
                    assert within <= bound + 1e-6


def test_no_window_sees_more_than_the_larger_limit_allows():
    holds(no_window_sees_more, LIMITS, ACTS, examples=300)


def full(self, before, reserved):
    """A mutant: a changed bucket is full."""


def unscaled(self, before, reserved):
    """A mutant: what is left is taken for parts of the new rate."""
    for amount in reserved:
        self.cap -= amount[1] * self.guessed + amount[2] * self.written
    self.level = min(before.level if before is not None else self.level, self.cap)


def placeless(self, before, reserved):
    """A mutant: what is in flight keeps no place."""
    Bucket_follow(self, before, [])


Bucket_follow = Bucket.follow


@pytest.mark.parametrize("mutant", [full, placeless])
def test_a_changed_bucket_that_breaks_it_is_rejected(mutant):
    change = changed((Bucket, "follow", mutant))
    rejects(no_window_sees_more, LIMITS, ACTS, mutant=change, examples=2_000)


def spent_stays_spent(first, second, taken):
    """What is gone of a bucket is gone of the next one, in tokens, and no more than all of it."""
    gate = Buckets(Limit(tokens_per_minute=first), lambda: 0.0)
    taken = min(taken, int(first))
    assert gate.admit_nowait(1, Amount(1, taken, 0)) == 0.0
    gate.settle(1, Amount(1, taken, 0))
    gate.changed_to(Limit(tokens_per_minute=second))()
    left = gate.statistics().room["tokens_per_minute"] * second
    assert left == pytest.approx(max(0.0, second - taken), abs=1e-6)
    gate.changed_to(Limit(tokens_per_minute=first))()
    left = gate.statistics().room["tokens_per_minute"] * first
    assert left == pytest.approx(first - taken, abs=1e-6), "there and back gives nothing"


def forgetful(self, before, reserved):
    """A mutant: what a smaller bucket does not hold is forgotten."""
    Bucket_follow(self, before, reserved)
    self.excess = 0


def test_spent_stays_spent():
    holds(spent_stays_spent, rates, rates, st.integers(0, 6_000))
    for mutant in (full, unscaled, forgetful):
        change = changed((Bucket, "follow", mutant))
        rejects(spent_stays_spent, rates, rates, st.integers(0, 6_000), mutant=change)


def slots_in_use(widths, hold):
    """A width that changes while calls hold it never lets one in beyond what it is then."""

    async def main():
        width = Width("it", Limit(at_once=widths[0]))
        held = 0
        for at_once in widths[1:]:
            while held < hold and width.take_nowait():
                held += 1
                assert width.used <= width.full
            width.changed_to(Limit(at_once=at_once))()
            assert width.used == held
            width.give()
            held -= 1
            assert width.has_room() == (held < at_once)

    run_virtual(main())


def test_a_width_never_lets_in_more_than_it_is():
    holds(slots_in_use, st.lists(st.integers(1, 5), min_size=2, max_size=8), st.integers(1, 6))
    rejects(
        slots_in_use, st.lists(st.integers(1, 5), min_size=2, max_size=8), st.integers(1, 6),
        mutant=changed((Width, "_change", lambda self, limit: setattr(self, "full", limit.at_once))),
    )  # fmt: skip
