"""Limits with rates before the twin, which has buckets of its own: all of its quota, and no 429."""

import pytest

from fanwise import Limit, Runtime, fan_map
from fanwise.core import Need
from fanwise.core._buckets import Buckets
from fanwise.testing import run_virtual
from fanwise.testing.twin import Law, Quota, Twin
from tests.laws.proving import changed
from tests.providers.on_twin import on_twin

ASKED = 200
TPM = 1800


def answer(ask):
    """Answer in 5 to 45 words, by the question."""
    size = sum(map(ord, str(ask))) % 41
    return "word " * (5 + size)


def taken(entry, charge):
    """Give what the twin's buckets of tokens took for a request."""
    return entry.counts.tokens_in + (80 if charge == "admission" else entry.counts.tokens_out)


def used_in(used, start, end):
    """Give the part of the quota that was used between two instants."""
    return sum(tokens for time, tokens in used if start <= time < end) / (TPM * (end - start) / 60)


@pytest.mark.parametrize(
    ("wire", "charge", "needs"),
    [
        ("openai", "admission", {}),
        ("anthropic", "use", {}),
        ("openai", "use", {"needs": Need(30, 14)}),  # half of what is used
        ("openai", "use", {"needs": Need(120, 56)}),
    ],
    ids=str,
)
def test_all_of_the_quota_is_used_and_no_request_is_refused(wire, charge, needs):
    quota = Quota(tokens_per_minute=TPM, requests_per_minute=600, charge=charge)
    twin = Twin({"*": Law(first=0.3, per_second=30, jitter=0.5)}, quota=quota, answers=answer)
    limit = Limit(tokens_per_minute=TPM, requests_per_minute=600, charge=charge)

    async def main():
        async with (
            on_twin(wire, twin, limit="model", **needs) as model,
            Runtime(limits={"model": limit}, seed=1),
        ):

            async def ask(number):
                return await model.ask(f"What of {number}? " * (1 + number % 7), max_tokens=80)

            return await fan_map(ask, range(ASKED), at_once=ASKED)

    found = run_virtual(main())
    assert found.complete
    assert not [entry for entry in twin.ledger if entry.status == 429]
    used = sorted((entry.time, taken(entry, charge)) for entry in twin.ledger)
    last = used[-1][0]
    assert last > 4 * 60  # a start, and three refills
    assert used_in(used, 60.0, last) > 0.97


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_headers_tell_of_what_others_used(wire):
    """Another program has used most of the key's quota; the first answer says so."""
    questions = [f"What of {number}? " * 4 for number in range(30)]

    def refused():
        quota = Quota(tokens_per_minute=TPM, requests_per_minute=600, charge="use")
        twin = Twin({"*": Law(first=0.3, per_second=30, jitter=0.5)}, quota=quota, answers=answer)
        limit = Limit(tokens_per_minute=TPM, requests_per_minute=600)

        async def main():
            async with (
                on_twin(wire, twin, limit="model") as ours,
                on_twin(wire, twin) as theirs,
                Runtime(limits={"model": limit}, seed=1) as runtime,
            ):
                await runtime.run(fan_map(theirs.ask, questions, at_once=30))
                await runtime.run(ours.ask(questions[0]))
                found = await runtime.run(fan_map(ours.ask, questions, at_once=30, need=0))
            return sum(each.status != "ok" for each in found.outcomes)

        return run_virtual(main())

    assert refused() == 0
    with changed((Buckets, "correct", lambda *_: None)):
        assert refused() > 0
