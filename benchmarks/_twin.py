"""A twin in a process of its own: tells its address, and every closing that it sees, in lines."""

import asyncio

from fanwise.testing.twin import Law, Twin


async def main() -> None:
    # "slow" speaks for a second and begins soon; everything else waits for nothing.
    twin = Twin({"slow": Law(first=0.01, per_second=50), "*": Law()})
    told = 0
    async with twin.serve() as address:
        print(address, flush=True)
        while True:
            await asyncio.sleep(0.05)
            closed = [entry for entry in twin.ledger if entry.closed_at is not None]
            for entry in closed[told:]:
                print(entry.closed_at, flush=True)
            told = len(closed)


asyncio.run(main())
