"""The FastAPI example: two workers of uvicorn share one quota, over a Redis server."""

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest

from fanwise.testing.twin import Law, Quota, Twin
from tests.repository.sources import ROOT
from tests.stores.servers import redis_server

pytestmark = [
    pytest.mark.live("redis"),
    pytest.mark.real_clock,
    pytest.mark.blocking_ok,
    pytest.mark.timeout(90),  # it starts four processes
]
REQUESTS, TOKENS, BURST = 1_800, 120_000, 3.0  # a minute, and in seconds
COMMAND = [sys.executable, "-m", "uvicorn", "examples.shared_quota:app", "--port", "0"]


@asynccontextmanager
async def served(redis, twin, workers):
    """Start the application as its page says; give its address."""
    reached = {
        "OPENAI_BASE_URL": f"{twin}/v1",
        "OPENAI_API_KEY": "any",
        "MODEL": "openai:gpt-4o-mini",
        "REDIS_URL": redis.url,
        "REQUESTS": str(REQUESTS),
        "TOKENS": str(TOKENS),
        "BURST": str(BURST - 1.0),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--workers", str(workers),
        cwd=ROOT,
        env=os.environ | reached,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    address, started = "", 0
    told = []
    while started < workers:
        line = (await process.stderr.readline()).decode()
        assert line, f"it ended: {''.join(told)}"
        told.append(line)
        started += "Application startup complete" in line
        if found := re.search(r"running on (http://\S+)", line):
            address = found[1]
    draining = asyncio.create_task(process.stderr.read())
    try:
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert "Traceback" not in (await draining).decode()


async def test_two_workers_share_one_quota_and_the_provider_refuses_nothing():
    quota = Quota(
        requests_per_minute=REQUESTS, tokens_per_minute=TOKENS, charge="use", burst_s=BURST
    )
    twin = Twin({"*": Law(first=0.05, per_second=2_000)}, quota=quota, answers="echo")
    bounds = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
    workers: dict[int, int] = {}
    asked = 0
    with redis_server() as redis:
        async with (
            twin.serve() as address,
            served(redis, address, 2) as app,
            httpx2.AsyncClient(base_url=app, limits=bounds, timeout=60.0) as client,
        ):
            while asked < 200 or len(workers) < 2:  # which of them answers is the kernel's to say
                questions = [f"question {asked + n}" for n in range(100)]
                replies = await asyncio.gather(
                    *(client.get("/answer", params={"question": each}) for each in questions)
                )
                asked += len(replies)
                for question, reply in zip(questions, replies, strict=True):
                    assert reply.status_code == 200, reply.text
                    assert question in reply.json()["answer"]
                    worker = reply.json()["worker"]
                    workers[worker] = workers.get(worker, 0) + 1
            limits = (await client.get("/limits")).json()
            late = await client.get("/answer", params={"question": "now", "seconds": 0})
    assert len(workers) == 2
    assert [entry.status for entry in twin.ledger] == [200] * asked
    assert limits["model"]["used"]["requests_per_minute"] > 0
    assert late.status_code == 504
    began, *_, ended = sorted(entry.time for entry in twin.ledger)
    assert asked / (REQUESTS / 60 * (ended - began + BURST)) > 0.7, "the quota took the time"
