"""Law 11 by a source rule, seen failing on every shape of a second engine."""

import pytest

from tests.repository import one_engine
from tests.repository.one_engine import second_engines
from tests.repository.sources import PACKAGE, read_tree, toy

RETRY_COUNTED = """
def f():
    for attempt in range(3):
        try:
            return work()
        except OSError:
            pass
"""
RETRY_AWAITED = """
async def f():
    for wait in waits:
        try:
            value = await work()
            break
        except OSError:
            continue
"""
RETRY_PAUSED = """
def f():
    for pause in pauses:
        try:
            return work()
        except OSError:
            time.sleep(pause)
"""
RETRY_ELSE = """
async def f():
    while True:
        try:
            value = await work()
        except OSError as error:
            last = error
        else:
            return value
"""
ALTERNATIVES = """
def f(raw):
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
"""
DRAIN = """
async def f():
    while True:
        try:
            await queue.get()
        except Closed:
            return
"""
GATHER = """
async def f():
    for call in calls:
        try:
            values.append(await call)
        except Exception as error:
            errors.append(error)
"""


def test_the_package_has_one_policy_engine():
    assert list(second_engines(read_tree(PACKAGE))) == []


def test_what_the_demo_compares_with_would_be_found(monkeypatch):
    monkeypatch.setattr(one_engine, "COMPARED", frozenset())
    found = {said.split(":")[0] for said in second_engines(read_tree(PACKAGE))}
    assert found == {"cli/demo/_gather.py", "cli/demo/_careful.py"}


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasync def f():\n    async with asyncio.timeout(1): ...",
        "import asyncio\nasync def f():\n    await asyncio.wait_for(g(), 1)",
        "import asyncio\nslots = asyncio.Semaphore(3)",
        "import asyncio\nslots = asyncio.BoundedSemaphore(3)",
        "import threading\nslots = threading.Semaphore(3)",
        "from asyncio import timeout_at",
        "from asyncio import sleep, wait_for as patience",
        "import tenacity",
        "from tenacity.asyncio import AsyncRetrying",
        "def f():\n    import stamina",
        RETRY_COUNTED,
        RETRY_AWAITED,
        RETRY_PAUSED,
        RETRY_ELSE,
    ],
)
def test_a_second_engine_is_found(text):
    assert len(list(second_engines(toy(patterns__m=text)))) == 1
    assert list(second_engines(toy(core__m=text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)",
        "class Timeout:\n    timeout: float",
        "def f(step):\n    return step.using(timeout=1)",
        ALTERNATIVES,
        DRAIN,
        GATHER,
    ],
)
def test_what_only_looks_like_one_passes(text):
    assert list(second_engines(toy(patterns__m=text))) == []
