"""The script and its twin: the same visits, the same answers, digit by digit.

One rule-based state machine drives both. Redis goes first, on its own clock; the twin's clock is
then set to the instant that Redis answered with. Hours pass by moving what is stored into the past.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from fanwise.stores._memory import MemoryBoard
from fanwise.stores._redis import RedisBoard
from fanwise.stores._visit import GRANTED, LOST, WAIT, Rate, Terms, Visit

pytestmark = [pytest.mark.live("redis"), pytest.mark.real_clock, pytest.mark.timeout(120)]

SHIFT = """
local bucket = redis.call('GET', KEYS[1])
if not bucket then return end
local by = tonumber(ARGV[1])
local left = redis.call('PTTL', KEYS[1])
bucket = cmsgpack.unpack(bucket)
for i = 1, 3 do bucket[i] = math.max(0, bucket[i] - by) end
local flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  local entry = cmsgpack.unpack(flat[i + 1])
  entry[1] = entry[1] - by
  redis.call('HSET', KEYS[2], flat[i], cmsgpack.pack(entry))
end
left = math.max(1, left - math.floor(by / 1000))
redis.call('SET', KEYS[1], cmsgpack.pack(bucket), 'PX', string.format('%.0f', left))
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', left))
"""

rates = st.none() | st.builds(
    Rate.per_minute,
    st.sampled_from([1, 7, 60, 999.7, 59_999, 60_000, 7_000_000]),
    st.sampled_from([1, 5, 100, 60_000]),
)
terms_drawn = st.builds(
    Terms, st.just("drawn"), st.none() | st.integers(1, 9), st.tuples(rates, rates, rates, rates)
)
few = st.integers(0, 6) | st.integers(0, 120)
amounts = st.tuples(few, few, few, few)
owing = st.tuples(*[st.integers(-60, 60)] * 4)
names = st.sampled_from(["ann", "bob", "cal", "dot"])


class Boards(RuleBasedStateMachine):
    """Both boards under the same visits."""

    server = None

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.real = RedisBoard(self.server.url, prefix="agree", timeout=10)
        self.runner.run(self.real._client.flushall())
        self.now = 0
        self.twin = MemoryBoard(lambda: self.now)
        self.numbers = {}
        self.until = 0
        self.before = None

    @initialize(terms=terms_drawn)
    def begin(self, terms):
        self.terms = terms

    def both(self, visit):
        real = self.runner.run(self.real.visit(self.terms, visit))
        replayed = real == self.before
        if not replayed:
            self.now = real.now
        twin = self.twin.visit_nowait(self.terms, visit)
        assert twin == real, f"\nredis {real}\ntwin  {twin}\n{visit}\n{self.terms}"
        return real

    @rule(
        holder=names,
        held=st.integers(0, 4),
        slots=st.integers(0, 2),
        more_slots=st.integers(0, 5),
        owed=owing,
        kept=amounts,
        need=amounts,
        more=amounts,
        lapse=st.sampled_from([300_000_000, 900_000_000]),
        remembers=st.booleans(),
        pause=st.sampled_from([0, 0, 0, 0, 5_000_000]),
        born=st.booleans(),
        again=st.booleans(),
    )
    def visit(self, holder, remembers, born, again, **said):
        number = self.numbers[holder] = self.numbers.get(holder, 0) + 1
        known = self.until if remembers else 0
        visit = Visit(holder, number, born or number == 1, known_until=known, **said)
        reply = self.both(visit)
        if reply.status != LOST:
            self.until = reply.known_until
            assert (
                all(g >= n for g, n in zip(reply.grants, self.limited(visit.need), strict=True))
                or reply.status != GRANTED
            )
            assert reply.wait > 0 or reply.status != WAIT
        if again and reply.status != LOST:
            self.before = reply
            assert self.both(visit) == reply  # an answer that was lost is given again
            self.before = None

    def limited(self, amounts):
        return [n if rate else 0 for n, rate in zip(amounts, self.terms.rates, strict=True)]

    @rule(
        by=st.sampled_from([1_000, 1_000_000, 50_000_000, 290_000_000, 3_600_000_000, -2_000_000])
    )
    def time_passes(self, by):
        """Move what is stored into the past; below 0, the server's clock was set back."""
        self.runner.run(self.real._client.eval(SHIFT, 2, *self.real.keys("drawn"), by))
        self.until -= by
        for bucket in self.twin.buckets.values():
            bucket.at = max(0, bucket.at - by)
            bucket.paused = max(0, bucket.paused - by)
            bucket.until = max(0, bucket.until - by)
            for holder in bucket.holders.values():
                holder.seen -= by

    @rule(terms=terms_drawn)
    def terms_change(self, terms):
        self.terms = terms

    @rule()
    def server_forgets(self):
        self.runner.run(self.real._client.flushall())
        self.twin.buckets.clear()

    def teardown(self):
        self.runner.run(self.real.aclose())
        self.runner.close()


def tried(server, examples, phases=(Phase.generate, Phase.shrink)):
    machine = type("Boards", (Boards,), {"server": server})
    how = settings(
        max_examples=examples,
        stateful_step_count=25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


def test_the_script_and_its_twin_agree(server):
    tried(server, 60)
