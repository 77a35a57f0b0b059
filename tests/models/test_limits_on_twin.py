"""Limits with rates before the twin, which has buckets of its own: all of its quota, and no 429."""

import pytest

from fanwise import Limit, Runtime, fan_map
from fanwise.testing import run_virtual
from fanwise.testing.twin import Law, Quota, Twin
from tests.providers.on_twin import on_twin

MINUTES = 5
TPM = 6000


def answer(ask):
    """Answer in 5 to 45 words, by the question."""
    size = sum(map(ord, str(ask))) % 41
    return "word " * (5 + size)


@pytest.mark.parametrize("charge", ["use", "admission"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_all_of_the_quota_is_used_and_no_request_is_refused(wire, charge):
    quota = Quota(tokens_per_minute=TPM, requests_per_minute=600, charge=charge)
    twin = Twin({"*": Law(first=0.3, per_second=30, jitter=0.5)}, quota=quota, answers=answer)
    limit = Limit(tokens_per_minute=TPM, requests_per_minute=600, charge=charge)

    async def main():
        async with on_twin(wire, twin, limit="model") as model:
            async with Runtime(limits={"model": limit}, seed=1) as runtime:

                async def ask(number):
                    return await model.ask(f"What of {number}? " * (1 + number % 7), max_tokens=80)

                found = await fan_map(ask, range(600), at_once=600)
                return found, runtime.statistics().limits[0].quota, runtime.time()

    found, quota_used, seconds = run_virtual(main())
    assert found.complete
    refused = [entry for entry in twin.ledger if entry.status == 429]
    assert not refused, f"{len(refused)} of {len(twin.ledger)}"
    print(wire, charge, quota_used, seconds, sum(e.tokens_in + e.tokens_out for e in twin.ledger))
