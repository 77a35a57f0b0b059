"""A twin in a process of its own, for a quota that several processes share.

Says its address; when its standard input is closed it tells its ledger, a line of JSON a request.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fanwise.testing.twin import Law, Quota, Twin

LAW = Law(first=0.1, per_second=100, jitter=0.5)


async def main(names: str, tpm: float, rpm: float, burst: float) -> None:
    """Serve the models of these names, such as "admission-0.5": what it charges is in its name."""
    quotas = {
        name: Quota(rpm, tpm, charge=name.partition("-")[0], burst_s=burst)  # type: ignore[arg-type]
        for name in names.split(",")
    }
    twin = Twin({"*": LAW}, quota=quotas, answers=answer)
    async with twin.serve() as address:
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    for entry in twin.ledger:
        counts = entry.counts
        told = (entry.model, entry.time, entry.status, counts.tokens_in, counts.tokens_out)
        print(json.dumps(told))


def answer(ask: object) -> str:
    """Answer in 5 to 45 words, by the question."""
    return "word " * (5 + sum(map(ord, str(ask))) % 41)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(float, sys.argv[2:])))
