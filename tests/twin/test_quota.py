"""The twin's own limits: never above burst + rate x time, and never stricter than that."""

import asyncio
import math
from contextlib import suppress

import openai
import pytest
from hypothesis import strategies as st

from fanwise.testing.twin import Fault, Law, Quota, Twin
from fanwise.testing.twin._http import Refused
from fanwise.testing.twin._quota import Bucket, Gate, spell
from tests.laws.proving import changed, holds, rejects
from tests.twin.talk import asked, now, openai_on, said

# Requests as (seconds since the one before, tokens of input, tokens of output allowed).
PROGRAM = st.lists(
    st.tuples(st.integers(0, 60).map(lambda n: n / 4), st.integers(0, 300), st.integers(1, 300)),
    min_size=1,
    max_size=40,
)
QUOTAS = st.builds(
    Quota,
    requests_per_minute=st.sampled_from([None, 3.0, 10.0, 120.0]),
    tokens_per_minute=st.sampled_from([None, 500.0, 1000.0]),
    input_tokens_per_minute=st.sampled_from([None, 400.0]),
    output_tokens_per_minute=st.sampled_from([None, 400.0]),
    burst_s=st.sampled_from([1.0, 30.0, 60.0]),
)


def admitted(quota, program):
    """What a gate let through: times, and what each request takes of each bound."""
    gate, time, found = Gate(quota), 0.0, []
    for gap, tokens, most in program:
        time += gap
        with suppress(Refused):
            gate.admit(asked(max_tokens=most), time, tokens)
            costs = {"requests": 1, "tokens": tokens + most, "input": tokens, "output": most}
            found.append((time, costs))
    return found


def law_never_above(quota, program):
    found = admitted(quota, program)
    for name, limit in quota.limits.items():
        rate, size = limit / 60, limit / 60 * quota.burst_s
        for first in range(len(found)):
            taken = 0.0
            for time, costs in found[first:]:
                taken += costs[name]
                assert taken <= size + rate * (time - found[first][0]) + 1e-6


def passes(gate, ask, time, tokens):
    try:
        gate.admit(ask, time, tokens)
    except Refused as refused:
        return refused
    return None


def law_told_the_truth(quota, program):
    """A refused request passes when the time that it was told has come, and not before."""
    gate, time = Gate(quota), 0.0
    for gap, tokens, most in program:
        time += gap
        ask = asked(max_tokens=most)
        if (refused := passes(gate, ask, time, tokens)) is None:
            continue
        told = refused.headers.get("retry-after-ms")
        if told is None:
            assert passes(gate, ask, time + 1e9, tokens) is not None
            continue
        # The header is in whole milliseconds, rounded up.
        assert passes(gate, ask, time + int(told) / 1000 - 0.0015, tokens) is not None
        time += int(told) / 1000
        assert passes(gate, ask, time, tokens) is None


def test_in_no_window_more_than_the_burst_and_the_rate_allow():
    holds(law_never_above, QUOTAS, PROGRAM, examples=200)


def test_a_request_waits_no_longer_than_it_must():
    holds(law_told_the_truth, QUOTAS, PROGRAM, examples=200)


def refills_twice_as_fast(self, now):
    return max(0.0, self.full_at - now) / 2


def takes_before_it_is_full(self, now, amount):
    # The mistake of a bucket that forgets what it owes when it is asked again.
    self.full_at = now + amount / self.rate


@pytest.mark.parametrize(
    "mutant",
    [
        changed((Bucket, "until_full", refills_twice_as_fast)),
        changed((Bucket, "take", takes_before_it_is_full)),
        changed((Bucket, "take", lambda self, now, amount: None)),
    ],
    ids=["refills twice as fast", "forgets its debt", "takes nothing"],
)
def test_a_bucket_that_gives_too_much_is_found(mutant):
    rejects(law_never_above, QUOTAS, PROGRAM, mutant=mutant)


def tells_twice_the_wait(self, ask, name, wait, cost):
    return refusal(self, ask, name, wait * 2, cost)


def tells_half_the_wait(self, ask, name, wait, cost):
    return refusal(self, ask, name, wait / 2, cost)


refusal = Gate._refusal


@pytest.mark.parametrize("mutant", [tells_twice_the_wait, tells_half_the_wait])
def test_a_gate_that_tells_another_time_is_found(mutant):
    rejects(law_told_the_truth, QUOTAS, PROGRAM, mutant=changed((Gate, "_refusal", mutant)))


async def test_the_clients_own_retries_wait_as_long_as_they_are_told():
    twin = Twin({"m": Law()}, quota=Quota(requests_per_minute=60, burst_s=1))
    async with openai_on(twin, max_retries=2) as client:
        for _ in range(3):
            await client.chat.completions.create(model="m", messages=said("hello"))
        assert now() == pytest.approx(2.0, abs=0.01)
    assert [entry.status for entry in twin.ledger] == [200, 429, 200, 429, 200]


async def test_a_refusal_tells_what_is_left_and_when_to_come_again():
    quota = Quota(requests_per_minute=60, tokens_per_minute=600, burst_s=2)
    async with openai_on(Twin({"m": Law()}, quota=quota)) as client:
        found = await client.chat.completions.with_raw_response.create(
            model="m", messages=said("x" * 20), max_tokens=10
        )
        heads = found.headers
        assert heads["x-ratelimit-limit-requests"] == "60"
        assert heads["x-ratelimit-remaining-requests"] == "1"
        assert heads["x-ratelimit-reset-requests"] == "1s"
        assert heads["x-ratelimit-limit-tokens"] == "600"
        assert heads["x-ratelimit-remaining-tokens"] == "5"
        assert heads["x-ratelimit-reset-tokens"] == "1.5s"
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="m", messages=said("x" * 20), max_tokens=10)
        heads = refused.value.response.headers
        assert refused.value.code == "rate_limit_exceeded"
        assert heads["retry-after-ms"] == "1000"
        assert heads["retry-after"] == "1"
        assert heads["x-ratelimit-remaining-requests"] == "1"
        await asyncio.sleep(1)
        await client.chat.completions.create(model="m", messages=said("x" * 20), max_tokens=10)


async def test_what_never_fits_is_refused_without_a_time_to_come_again():
    twin = Twin({"m": Law()}, quota=Quota(tokens_per_minute=100))
    async with openai_on(twin, max_retries=5) as client:
        with pytest.raises(openai.RateLimitError, match="too large") as refused:
            await client.chat.completions.create(model="m", messages=said("x" * 40), max_tokens=100)
        assert "retry-after" not in refused.value.response.headers
    assert len(twin.ledger) == 1


async def test_at_admission_what_is_allowed_counts_and_by_use_what_was_made():
    async def admitted_of(charge):
        quota = Quota(tokens_per_minute=600, charge=charge)
        twin = Twin({"m": Law()}, quota=quota)
        async with openai_on(twin) as client:
            for _ in range(10):
                with suppress(openai.RateLimitError):
                    await client.chat.completions.create(
                        model="m", messages=said("x" * 40), max_tokens=190
                    )
        return sum(entry.status == 200 for entry in twin.ledger)

    # 10 tokens in and 10 out each, of 600: 200 are taken at admission, 20 by use.
    assert await admitted_of("admission") == 3
    assert await admitted_of("use") == 10


async def test_by_use_output_may_leave_a_debt_that_shuts_the_door():
    quota = Quota(output_tokens_per_minute=60, charge="use", burst_s=10)
    twin = Twin({"m": Law()}, quota=quota)
    async with openai_on(twin) as client:
        await client.chat.completions.create(model="m", messages=said("x" * 400))
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="m", messages=said("x"))
    # 100 tokens were made and 10 were there: 90 seconds of debt, and one for the first token.
    assert refused.value.response.headers["retry-after"] == "91"


async def test_each_key_and_each_model_has_buckets_of_its_own():
    twin = Twin(quota={"a": Quota(requests_per_minute=1)})
    async with openai_on(twin) as client:
        other = client.with_options(api_key="other")
        for it, model in ((client, "a"), (other, "a"), (client, "b"), (client, "b")):
            await it.chat.completions.create(model=model, messages=said("x"))
        with pytest.raises(openai.RateLimitError):
            await other.chat.completions.create(model="a", messages=said("x"))


async def test_a_refused_request_takes_nothing_and_a_fault_neither():
    twin = Twin(quota=Quota(requests_per_minute=1), faults=[Fault("status", nth=1, status=529)])
    async with openai_on(twin) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="m", messages=said("x"))
        await client.chat.completions.create(model="m", messages=said("x"))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0ms"), (0.0001, "1ms"), (0.02, "20ms"), (1.5, "1.5s"), (360, "6m0s"), (3723, "1h2m3s")],
)
def test_seconds_are_spelt_as_the_provider_spells_them(seconds, told):
    assert spell(seconds) == told


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_minute": 0},
        {"requests_per_minute": "60"},
        {"tokens_per_minute": math.inf},
        {"burst_s": 0},
        {"charge": "x"},
    ],
)
def test_a_quota_that_nothing_could_pass_is_refused_with_its_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Quota(**wrong)
