"""Named pipes between a test and the workers that it starts."""

import asyncio
import os

import pytest


class Pipe:
    """A named pipe: workers tell and the test hears, or the test lets a worker go.

    Held open for both here, so that neither side ever waits in `open`.
    """

    def __init__(self, path):
        os.mkfifo(path)
        self.path = str(path)
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def heard(self):
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self.descriptor, there.set)
        try:
            async with asyncio.timeout(15):
                await there.wait()
        finally:
            loop.remove_reader(self.descriptor)
        return os.read(self.descriptor, 1000).decode().strip()

    def let(self):
        os.write(self.descriptor, b"go\n")


@pytest.fixture
def pipe(tmp_path):
    made = []

    def make():
        made.append(Pipe(tmp_path / f"pipe{len(made)}"))
        return made[-1]

    yield make
    for each in made:
        os.close(each.descriptor)
