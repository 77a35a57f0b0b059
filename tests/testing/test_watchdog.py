"""A loop that does not get on is found in real time, by a thread."""

import os
import subprocess
import sys

import pytest


def run_python(code, **environment):
    """Run in a process of its own: a loop that is really stuck would stop the tests."""
    return subprocess.run(
        [sys.executable, "-c", "import asyncio, time\nfrom fanwise.testing import *\n" + code],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
        env={**os.environ, "FANWISE_DEBUG": "0", **environment},
    )


BUSY = """
async def spins():
    while True: pass
"""
SWALLOWS = """
async def spins():
    for _ in range(2):
        try:
            while True: pass
        except Exception: pass
"""
YIELDS = """
async def spins():
    while True: await asyncio.sleep(0)
"""
BLOCKS = """
async def spins():
    time.sleep(1)
    await asyncio.sleep(0)
"""
MAIN = "\nrun_virtual(spins(), watchdog=0.2)\n"


@pytest.mark.parametrize("body", [BUSY, SWALLOWS, YIELDS, BLOCKS])
def test_a_stuck_loop_is_told_with_its_place_and_ended(body):
    done = run_python(body + MAIN)
    assert done.returncode == 1
    assert "LoopStuck: no progress for 0.2 real seconds" in done.stderr
    assert "in spins" in done.stderr
    assert "fanwise.testing._errors.LoopStuck" in done.stderr


def test_tasks_are_cleaned_up_after_it():
    done = run_python(
        """
async def main():
    try:
        while True: await asyncio.sleep(0)
    finally:
        await asyncio.sleep(5)
        print("cleaned up at", asyncio.get_running_loop().time())
try:
    run_virtual(main(), watchdog=0.2)
except LoopStuck:
    print("caught")
"""
    )
    assert done.stdout == "cleaned up at 5.0\ncaught\n"


def test_a_loop_that_gets_on_is_left_alone():
    # Each instant takes less real time than the watchdog's patience, all of them far more.
    done = run_python(
        """
async def main():
    for _ in range(20):
        time.sleep(0.05)
        await asyncio.sleep(1)
run_virtual(main(), watchdog=0.4)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "environment"), [("watchdog=None", {}), ("watchdog=0.1", {"FANWISE_DEBUG": "1"})]
)
def test_it_can_be_lifted(options, environment):
    done = run_python(
        f"async def main(): time.sleep(0.6)\nrun_virtual(main(), {options})", **environment
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_its_thread_ends_with_the_loop():
    done = run_python(
        """
import threading
run_virtual(asyncio.sleep(1), watchdog=60)
time.sleep(0.3)
assert threading.active_count() == 1, threading.enumerate()
"""
    )
    assert done.returncode == 0, done.stderr


def test_a_loop_that_nobody_closed_is_let_go():
    done = run_python(
        """
import gc, threading, weakref
loop = VirtualLoop(watchdog=0.1)
loop.run_until_complete(asyncio.sleep(1))
gone = weakref.ref(loop)
del loop
gc.collect()
assert gone() is None
time.sleep(0.5)
assert threading.active_count() == 1, threading.enumerate()
"""
    )
    assert done.returncode == 0, done.stderr
