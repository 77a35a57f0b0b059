"""Named pipes between a test and the workers that it starts."""

import asyncio
import os

import pytest


class Pipe:
    """A named pipe: workers tell, the test hears; or the test lets a worker go."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = str(path)

    async def heard(self):
        return await asyncio.to_thread(self._read)

    def _read(self):
        with open(self.path) as pipe:
            return pipe.read()

    async def let(self):
        await asyncio.to_thread(self._open)

    def _open(self):
        with open(self.path, "w"):
            pass


@pytest.fixture
def pipe(tmp_path):
    made = iter(range(100))
    return lambda: Pipe(tmp_path / f"pipe{next(made)}")
