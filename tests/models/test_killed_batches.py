"""A process that is killed while its batches run, and the next one that goes on with its handle."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest

from fanwise.testing.twin import BatchPace, Twin

pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]

PROGRAM = """
import json, sys
from fanwise import run
from fanwise.models import BatchTerms, Model, ask_batch
from fanwise.providers import anthropic

address, handle = sys.argv[1:]
model = Model(anthropic("claude-1", key="k", base_url=address))
terms = BatchTerms(size=2, shortest=0.05, longest=0.05, on_handle=lambda it: print(it, flush=True))
found = run(ask_batch(model, ["a", "b", "c"], handle=handle or None, terms=terms))
print(json.dumps([answer.text for answer in found.values()]))
"""


@asynccontextmanager
async def started(address, handle):
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, address, handle, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.mark.timeout(120)  # two interpreters import a client's whole library
async def test_nothing_is_handed_in_twice():
    twin = Twin(batches=BatchPace(first=3600))
    async with twin.serve() as address:
        async with started(address, "") as child:
            lines = [(await child.stdout.readline()).decode().strip() for _ in range(2)]
            child.kill()
            assert await child.wait() == -9
        assert len(twin.shelf.jobs) == 2
        for job in twin.shelf.jobs.values():  # an hour passes
            job.created -= 4000
        async with started(address, lines[-1]) as child:
            told, _ = await child.communicate()
            assert child.returncode == 0
    assert json.loads(told) == ["a", "b", "c"]
    assert len(twin.shelf.jobs) == 2
    assert len(twin.ledger) == 3
