"""The adapters over sockets, on the real clock: nothing is left open, whatever ends a call."""

import asyncio

import pytest

from fanwise import providers
from fanwise.models import Model
from fanwise.testing import no_orphans
from fanwise.testing.twin import Law, Twin
from tests.providers.on_twin import IMPORTED

LONG = "a text of many more tokens than two or three, so that it takes its time"

pytestmark = pytest.mark.real_clock


def made(name: str, address: str):
    if name == "openai":
        return providers.openai("m", key="k", base_url=f"{address}/v1")
    return providers.anthropic("m", key="k", base_url=address)


async def until(found) -> None:
    """Wait for what the twin must see; the test's time limit ends it otherwise."""
    while not found():
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("end", ["read", "left", "cancelled"])
async def test_a_stream_over_a_socket_leaves_nothing_open(name, end):
    assert IMPORTED
    slow = Law(first=0.0, per_second=1.0 if end != "read" else 1000.0)
    twin = Twin({"*": slow})
    begun = asyncio.Event()
    with no_orphans():
        async with twin.serve() as address:

            async def read() -> None:
                async with Model(made(name, address)).stream(LONG) as pieces:
                    async for _ in pieces:
                        begun.set()
                        if end == "left":
                            break

            task = asyncio.create_task(read())
            await begun.wait()
            if end == "cancelled":
                task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() == (end == "cancelled")
            if end != "read":
                await until(lambda: twin.ledger[0].closed)
            await providers.close_connections()
        await asyncio.sleep(0)  # the twin's side of the sockets
    assert twin.ledger[0].closed == (end != "read")


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_connection_serves_one_stream_after_the_other(name):
    twin = Twin()
    ports = set()
    with no_orphans():
        async with twin.serve() as address:
            model = Model(made(name, address))
            for n in range(3):
                async with model.stream(f"number {n}") as pieces:
                    last = [piece async for piece in pieces][-1]
                assert last.text == f"number {n}"
                (pools,) = (await providers._ai._http.open_client())._transport.pools
                pool = pools.transport._pool
                ports |= {id(connection) for connection in pool.connections}
                assert len(pool.connections) == 1
            await providers.close_connections()
        await asyncio.sleep(0)
    assert len(ports) == 1
