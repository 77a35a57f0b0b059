"""The server that tests of this folder share."""

import pytest

from tests.stores.servers import redis_server


@pytest.fixture(scope="session")
def server():
    with redis_server() as started:
        yield started


@pytest.fixture
def own_server():
    """A server that a test may stop."""
    with redis_server() as started:
        yield started
