"""A signal that the system gives to another thread ends a loop that waits all the same."""

import subprocess
import sys

PROGRAM = """
import asyncio, signal, threading
from fanwise import run, step

running = threading.Event()

def interrupt():
    running.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

@step
async def waits():
    asyncio.get_running_loop().call_later(0.05, running.set)
    await asyncio.Event().wait()

threading.Thread(target=interrupt, daemon=True).start()
run(waits())
"""


def test_a_waiting_run_is_ended_by_a_signal_to_another_thread():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.returncode != 0
