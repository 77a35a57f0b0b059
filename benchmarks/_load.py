"""Load from another process: `python _load.py PORT CALLS CONNECTIONS` prints seconds of wall time.

The client is as bare as it can be, one request after the other on each connection, so that the
server is what is measured. It imports nothing of Fanwise.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Are you there, and how fast?"}]}
BODY = json.dumps(QUESTION).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: twin\r\nauthorization: Bearer key\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


async def ask(port: int, count: int) -> None:
    """Ask so many times on one connection; every answer must be a 200 with the question in it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        assert b"how fast?" in body, body
    writer.close()
    await writer.wait_closed()


async def load(port: int, calls: int, connections: int) -> float:
    """Give the seconds for all calls."""
    await asyncio.gather(*[ask(port, 1) for _ in range(connections)])
    began = perf_counter()
    await asyncio.gather(*[ask(port, calls // connections) for _ in range(connections)])
    return perf_counter() - began


if __name__ == "__main__":
    print(asyncio.run(load(*map(int, sys.argv[1:4]))))
