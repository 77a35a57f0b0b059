"""The script and its twin: the same visits, the same answers, digit by digit.

One rule-based state machine drives both. Redis goes first, on its own clock; the twin's clock is
then set to the instant that Redis answered with. Hours pass by moving what is stored into the past.
"""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from fanwise.stores._memory import MemoryBoard
from fanwise.stores._redis import SCRIPT, RedisBoard
from fanwise.stores._visit import ALL, GRANTED, LOST, NOTHING, WAIT, Rate, Terms, Visit

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
    Terms,
    st.just("drawn"),
    st.none() | st.integers(1, 9),
    st.tuples(rates, rates, rates, rates),
    st.sampled_from([0, 100_000]),
)
few = st.integers(0, 6) | st.integers(0, 120)
amounts = st.tuples(few, few, few, few)
owing = st.tuples(*[st.integers(-60, 60)] * 4)
remaining = st.just(ALL) | st.tuples(*[st.sampled_from([-500, -1, 0, 3, 50, ALL[0]])] * 4)
names = st.sampled_from(["ann", "bob", "cal", "dot"])


class Boards(RuleBasedStateMachine):
    """Both boards under the same visits."""

    server = None
    script = SCRIPT
    differences = None  # of a mutant, whose failures need not repeat: the server's clock is real

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.real = RedisBoard(self.server.url, prefix="agree", timeout=10)
        self.real._script = self.real._client.register_script(self.script)
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
        if twin != real and self.differences is not None:
            self.differences.append((real, twin))
        assert twin == real, f"\nredis {real}\ntwin  {twin}\n{visit}\n{self.terms}"
        return real

    @rule(
        holder=names,
        held=st.integers(0, 4),
        slots=st.integers(0, 2),
        more_slots=st.integers(0, 5),
        owed=st.just(NOTHING) | owing,
        kept=st.just(NOTHING) | amounts,
        need=amounts,
        more=amounts,
        left=remaining,
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
            assert reply.status != GRANTED or not reply.paused
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

    @rule()
    def somebody_looks(self):
        """What is told to who watches is the same, and nothing is changed by it."""
        line = self.runner.run(self.real._look(self.real.keys("drawn")))
        bucket = self.twin.buckets.get("drawn")
        if line:
            told = list(map(int, line.split()))
            assert bucket.told(told[0]) == told
        elif bucket is not None:
            seconds, rest = self.runner.run(self.real._client.time())
            assert not bucket.told(seconds * 1_000_000 + rest)

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


def tried(server, examples, phases=(Phase.generate, Phase.shrink), **changed):
    machine = type("Boards", (Boards,), {"server": server, **changed})
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


MUTANTS = {
    "leases keep no place": (
        "math.max(spent, before[d] * term.scale)",
        "math.max(spent, 0)",
    ),
    "a visit happens twice": ("me[VISIT] >= visit", "me[VISIT] > visit"),
    "the dead hold for ever": ("now - entry[SEEN] >= entry[LAPSE]", "false"),
    "who comes later passes": ("other[TICKET] < entry[TICKET]", "false"),
    "a width of each worker": ("used = used + entry[SLOTS]\n", "used = held\n"),
    "a forgetful server is full": ("not stored and now < known_until", "false"),
    "fractions are dropped": (
        "spent - elapsed * term.refill",
        "spent - math.floor(elapsed / 1e6) * 1e6 * term.refill",
    ),
    "digits are lost": ("cmsgpack.pack(bucket)", "cmsgpack.pack(rounded(bucket))"),
    "a pause is one worker's": ("bucket[PAUSED] = math.max(bucket[PAUSED], now + pause)", ""),
    "a pause is told to nobody": ("math.max(0, bucket[PAUSED] - now), slots", "0, slots"),
    "what is left at the provider is nobody's business": ("floor, term.gone)", "floor)"),
    "a bucket refills before its first request arrives": ("delay * term.refill", "0"),
    "a new rate counts old parts": ("was > 0 and was ~= term.scale", "false"),
    "a lease while others wait": ("if not first then more", "if true then more"),
    "a clock set back stops the bucket": ("if bucket[AT] > now then", "if false then"),
}
ROUNDED = """
local function rounded(list)
  for i = 1, #list do list[i] = tonumber(string.format('%.14g', list[i])) end
  return list
end
"""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_script_that_breaks_a_guarantee_is_rejected(server, name):
    original, broken = MUTANTS[name]
    assert SCRIPT.count(original) == 1
    script = ROUNDED + SCRIPT.replace(original, broken)
    differences = []
    with suppress(Exception):
        tried(server, 500, (Phase.generate,), script=script, differences=differences)
    assert differences


def test_nothing_stays_for_ever(server):
    """Keys expire when they say no more than their absence: after the refill and the lapse."""

    async def main():
        board = RedisBoard(server.url, prefix="expiry", timeout=10)
        limit = Terms("smart", None, (None, Rate.per_minute(6_000, 1_000), None, None))
        visit = Visit("ann", 1, True, 500_000, need=(0, 300, 0, 0))
        assert (await board.visit(limit, visit)).status == GRANTED
        left = [await board._client.pttl(key) for key in board.keys("smart")]
        visit = Visit("ann", 2, False, 500_000, owed=(0, -300, 0, 0))
        await board.visit(limit._replace(name="other"), visit._replace(born=True))
        few = [await board._client.pttl(key) for key in board.keys("other")]
        await board.aclose()
        return left, few

    left, few = asyncio.run(main())
    assert all(2_500 < each <= 3_502 for each in left)  # 300 at 100 in a second, after the lapse
    assert all(0 < each <= 502 for each in few)


@pytest.mark.parametrize(
    ("amount", "capacity"), [(0, 10), (-1, 10), (60, 0), (999_983, 1 << 40), (1 / 3, 1_000_000)]
)
def test_what_cannot_be_counted_exactly_is_refused(amount, capacity):
    with pytest.raises(ValueError, match=r"above 0|too fine"):
        Rate.per_minute(amount, capacity)


def test_the_terms_of_a_rate_lose_nothing():
    rate = Rate.per_minute(59_999, 60_000)
    assert rate.refill * 60_000_000 == 59_999 * rate.scale
    assert Rate.per_minute(0.1, 1) == Rate(1, 1, 600_000_000)
