"""Threads, sockets and child processes are really waited for: time never jumps past them."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fanwise.testing import Deadlock, run_virtual

pytestmark = pytest.mark.blocking_ok


def nap():
    time.sleep(0.1)
    return "rested"


def test_a_thread_is_waited_for_while_time_stands_still():
    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.001):
            assert await asyncio.to_thread(nap) == "rested"
        with ThreadPoolExecutor(1) as pool:
            async with asyncio.timeout(0.001):
                assert await loop.run_in_executor(pool, nap) == "rested"
        return loop.time()

    assert run_virtual(main()) == 0.0


def test_time_goes_on_when_the_thread_is_back():
    async def main():
        await asyncio.to_thread(nap)
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600


def test_a_thread_of_ones_own_is_waited_for_before_a_deadlock_is_reported():
    async def main():
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def work():
            time.sleep(0.1)
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=work)
        thread.start()
        await done.wait()
        thread.join()

    run_virtual(main())


def test_a_thread_that_never_answers_is_a_deadlock_in_real_time():
    release = threading.Event()

    async def main():
        thread = threading.Thread(target=release.wait, args=(10,), name="silent", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            release.set()
            thread.join()

    with pytest.raises(Deadlock, match="busy threads: silent"):
        run_virtual(main(), watchdog=0.2)


def test_a_real_peer_is_waited_for_in_real_time():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            peer, _ = server.accept()
            with peer:
                time.sleep(0.1)
                peer.sendall(b"hello")

        thread = threading.Thread(target=answer)
        thread.start()

        async def main():
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(*server.getsockname())
                got = await reader.read()
            writer.close()
            await writer.wait_closed()
            followed = loop.time()
            await asyncio.sleep(3600)
            return got, followed, loop.time() - followed

        got, followed, slept = run_virtual(main())
        thread.join()
    assert got == b"hello"
    # Time went at real speed, on the grid, while the socket was open, and jumped again after it.
    assert 0.05 < followed < 4
    assert followed * 1024 == int(followed * 1024)
    assert slept == 3600


def test_a_timeout_before_a_silent_peer_fires_after_real_seconds():
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.25):
                    await loop.sock_recv(left, 1)
            return time.monotonic() - began, loop.time()

    # The wait is longer than the watchdog's patience: waiting for a peer is not being stuck.
    real, virtual = run_virtual(main(), watchdog=0.05)
    assert real > 0.2
    assert 0.25 <= virtual < 5


def test_a_server_and_its_client_on_one_loop():
    async def serve(reader, writer):
        await asyncio.sleep(0.1)
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"ping\n")
            got = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return got

    assert run_virtual(main()) == b"ping\n"


@pytest.mark.parametrize("pipe", [None, asyncio.subprocess.PIPE])
def test_a_child_process_is_waited_for(pipe):
    async def main():
        code = "import time; time.sleep(0.1); print('done')"
        sink = pipe or asyncio.subprocess.DEVNULL
        async with asyncio.timeout(8):
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=sink)
            out, _ = await child.communicate()
        return out, child.returncode

    assert run_virtual(main()) == (pipe and b"done\n", 0)


def test_a_job_that_never_comes_back_is_a_deadlock_in_real_time():
    release = threading.Event()

    async def main():
        try:
            await asyncio.to_thread(release.wait, 10)
        finally:
            release.set()

    with pytest.raises(Deadlock, match="jobs in executors: 1"):
        run_virtual(main(), watchdog=0.2)


@pytest.mark.parametrize(
    "wait", ["while not got.is_set(): await asyncio.sleep(1)", "await got.wait()"]
)
def test_a_signal_is_seen_beside_timers_and_without_any(wait):
    code = f"""
import asyncio, os, signal
from fanwise.testing import run_virtual

async def main():
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    {wait}

run_virtual(main(), horizon=10_000)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=15)
