"""A Redis server of the tests' own: on a free port of this machine, in a folder that goes away."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A `redis-server` process, which can be stopped, killed and started again on its port."""

    def __init__(self, folder: str, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program is not None, "the marker live('redis') lets no test come here without one"
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--appendonly", "no", "--dir", self.folder, *self.options],
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stdout:  # it says itself when it is there
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server ended with {self.process.wait()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


@contextmanager
def redis_server(*options: str) -> Iterator[Server]:
    with TemporaryDirectory() as folder:
        server = Server(folder, *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
