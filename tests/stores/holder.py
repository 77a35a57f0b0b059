"""A worker process that holds slots and reservations until it is killed: `holder.py URL HEARTBEAT`.

It says "holding" when it has them, and "beat" after each later visit.
"""

import asyncio
import sys
from itertools import count

from fanwise.core.gates import Amount
from fanwise.stores._redis import RedisBoard
from tests.stores.workers import Worker, manner, terms

LIMIT = {"at_once": 4, "tokens": (0.01, 1_000)}


async def main(url, heartbeat):
    worker = Worker(0, terms(**LIMIT), RedisBoard(url), manner(heartbeat=heartbeat), count(1))
    for _ in range(2):
        await worker.turn(Amount(1, 100, 50))
    print("holding", flush=True)
    seen = 0
    while True:
        if worker.gate._number != seen:
            seen = worker.gate._number
            print("beat", flush=True)
        await asyncio.sleep(heartbeat / 20)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
