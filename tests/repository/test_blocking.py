"""A blocking call that the library makes inside the loop fails the test that made it."""

import asyncio
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

import fanwise

BELOW = str(Path(fanwise.__file__).with_name("toy.py"))


def blocking_from(filename):
    """Runs a coroutine that sleeps the thread, as if its code stood in the given file."""
    namespace = {"time": time}
    source = "async def work():\n    time.sleep(0.001)\n"
    exec(compile(source, filename, "exec"), namespace)
    asyncio.run(namespace["work"]())


def test_a_blocking_call_below_fanwise_is_an_error():
    with pytest.raises(BlockingError, match="sleep"):
        blocking_from(BELOW)


def test_a_test_may_block_its_own_loop():
    blocking_from(__file__)


@pytest.mark.blocking_ok
def test_the_marker_lifts_the_rule():
    blocking_from(BELOW)
