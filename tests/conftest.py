"""What holds for every test: real servers are asked for by name, the loop is never blocked.

`@pytest.mark.live("redis")` runs where the server's program is installed, is skipped with that
reason where it is not, and fails where FANWISE_REQUIRE (names separated by commas) says that it
must be there: CI cannot turn green by losing a server.
"""

import logging
import os
import shutil
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster
from hypothesis import settings

from fanwise.models import known_prices

# Server name -> programs, any of which will do. A server is added with its first test.
SERVERS = {
    "postgres": ("postgres", "pg_ctlcluster"),
    "redis": ("redis-server", "valkey-server"),
}

# One slow example is no failure on a busy machine: the limit is pytest-timeout's, per test.
# Under CI=true Hypothesis has a profile of its own, which repeats the same examples.
settings.register_profile(
    "fanwise", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None
)
settings.load_profile("fanwise")


def required() -> frozenset[str]:
    """The servers that must be there; a misspelt name would require nothing, so it is refused."""
    names = os.environ.get("FANWISE_REQUIRE", "").split(",")
    found = frozenset(name.strip() for name in names if name.strip())
    if unknown := found - SERVERS.keys():
        message = f"FANWISE_REQUIRE names {sorted(unknown)}; known are {sorted(SERVERS)}"
        raise pytest.UsageError(message)
    return found


def missing_server(name: str) -> str | None:
    """Why the server cannot run here, or None where it can."""
    programs = SERVERS[name]
    if any(shutil.which(program) for program in programs):
        return None
    return f"no {name} server here: none of {', '.join(programs)} is installed"


def pytest_configure() -> None:
    required()


@pytest.fixture(scope="session", autouse=True)
def _prices() -> None:
    """Load the known prices before a loop runs: who looks at a record in the loop waits for them."""
    known_prices()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("live"):
        name = mark.args[0]
        reason = missing_server(name)
        if reason is not None and name in required():
            pytest.fail(f"{reason}, and FANWISE_REQUIRE says that it must be", pytrace=False)
        if reason is not None:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def blockbuster() -> BlockBuster:
    """Finds calls that block, made in a running loop from anywhere below `fanwise`.

    `fanwise.testing` is excepted: its plugin stands under every async test, and would make each
    blocking call of a test body look like one of the library.
    """
    found = BlockBuster("fanwise", excluded_modules=["fanwise.testing"])
    for function in found.functions.values():  # what is imported at its first use
        function.can_block_in("fanwise/core/_registry.py", {"load"})
        function.can_block_in("fanwise/models/_prices.py", {"known_prices"})
    return found


@pytest.fixture(autouse=True)
def never_blocks(request: pytest.FixtureRequest, blockbuster: BlockBuster) -> Iterator[None]:
    """A blocking call in the loop is an error, but under the marker `blocking_ok`."""
    if request.node.get_closest_marker("blocking_ok"):
        yield
        return
    blockbuster.activate()
    yield
    blockbuster.deactivate()


@pytest.fixture(autouse=True)
def loud_again():
    """Undo what a test did to the library's logger, for the next one reads it."""
    logger = logging.getLogger("fanwise")
    before = logger.level
    yield
    logger.setLevel(before)
