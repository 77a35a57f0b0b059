"""How many calls a second the twin answers, so that it is not what a load test measures."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise.testing.twin import Price, Quota, Twin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks._measure import Scale

CALLS = 4_000
CONNECTIONS = 20
LOAD = str(Path(__file__).with_name("_load.py"))
YARDSTICK = "an absolute bar; in the note fixed bytes"


def served(scale: Scale) -> Iterator[Figure]:
    """Measure calls that are not streamed and wait for nothing, over sockets."""
    count = scale.of(CALLS, 2 * CONNECTIONS)
    rates, bare = asyncio.run(_rates(scale, count))
    note = f"{CONNECTIONS} connections of another process; fixed bytes {bare.median:,.0f} /s"
    what = "the twin, chat completions a second"
    yield Figure(what, rates, 1_000, YARDSTICK, unit="/s", at_least=True, note=note)


async def _rates(scale: Scale, count: int) -> tuple[Spread, Spread]:
    quota = Quota(requests_per_minute=1e9, tokens_per_minute=1e12)
    twin = Twin(quota=quota, prices={"*": Price("2.5", "10")})
    ours, bare = [], []
    async with twin.serve() as address:
        port = int(address.rpartition(":")[2])
        fixed = await asyncio.start_server(_fixed, "127.0.0.1", 0)
        async with fixed:
            bare_port = fixed.sockets[0].getsockname()[1]
            for _ in range(scale.rounds + 1):
                bare.append(count / await _seconds(bare_port, count))
                ours.append(count / await _seconds(port, count))
    # Calls that the ledger does not have were not answered by the twin.
    expected = (count // CONNECTIONS + 1) * CONNECTIONS * (scale.rounds + 1)
    assert twin.statistics().statuses == {200: expected}
    return Spread.of(ours[1:]), Spread.of(bare[1:])


async def _seconds(port: int, count: int) -> float:
    load = await asyncio.create_subprocess_exec(
        *(sys.executable, LOAD, str(port), str(count), str(CONNECTIONS)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await load.communicate()
    return float(told)


async def _fixed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with the same bytes, which cost nothing to make."""
    body = b'{"choices":[{"message":{"content":"Are you there, and how fast?"}}]}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async for _ in _requests(reader):
        writer.write(answer)
    writer.close()


async def _requests(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        yield await reader.readexactly(length)
