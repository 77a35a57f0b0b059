"""SIGUSR1: every unfinished call and what it waits for, on standard error."""

import asyncio
import signal
import subprocess
import sys

import pytest

from fanwise import Retry, Runtime, current, step
from fanwise.core._dump import dump

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this system")

PROGRAM = """
import asyncio, sys
from fanwise import Limit, Runtime, bind, fan_out, step

async def main():
    @step(limit="db")
    async def holds():
        await asyncio.sleep(100)  # the line

    @step(limit="db")
    async def waits():
        pass

    @step
    async def last(_):
        pass

    @step
    async def search():
        await fan_out(holds(), waits(), bind(last, asyncio_sleep()))

    @step
    async def asyncio_sleep():
        await asyncio.sleep(100)

    async with Runtime(limits={"db": Limit(at_once=1)}) as runtime:
        run = runtime.start(search(), run_id="the run")
        await asyncio.sleep(0.05)
        print("ready", flush=True)
        BODY
        run.cancel()
        try:
            await run.wait()
        except asyncio.CancelledError:
            pass
    print("over", flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


@pytest.fixture
def started():
    """Start the program, and see to its end."""
    running = []

    def start(body):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.replace("BODY", body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def dumped(process):
    """Send the signal; give the lines of the dump."""
    process.send_signal(signal.SIGUSR1)
    lines = []
    while not lines or not lines[-1].startswith("end of"):
        line = process.stderr.readline().rstrip("\n")
        lines.append(line)
        if "asyncio_sleep" in line and "at " in line:
            return lines
    return lines


WAIT = "await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)"


def test_it_names_what_each_call_waits_for(started):
    process = started(WAIT)
    text = "\n".join(dumped(process))
    assert "run the run" in text
    assert "search: waits for " in text
    assert "waits: waits for the limit 'db'" in text
    assert (
        f"holds: running at <string>:{PROGRAM[: PROGRAM.index('# the line')].count(chr(10)) + 1}, 0."
        in text
    ), text
    assert "last: waits for asyncio_sleep" in text
    assert "asyncio_sleep: running at <string>:" in text
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "over\n"


def test_it_works_while_the_loop_is_blocked(started):
    process = started("import time; time.sleep(1.5)")
    assert any("waits for the limit 'db'" in line for line in dumped(process))


def test_it_may_be_sent_twice(started):
    process = started(WAIT)
    assert dumped(process)[1:2] == dumped(process)[1:2] == ["run the run"]


def test_after_the_last_runtime_the_signal_is_given_back(started):
    process = started("pass")
    assert process.stdout.readline() == "over\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == -signal.SIGUSR1


def test_a_signal_that_somebody_else_has_taken_is_left_alone():
    program = (
        PROGRAM.replace("BODY", "pass")
        .replace(
            "asyncio.run(main())",
            "import signal\n"
            "signal.signal(signal.SIGUSR1, lambda *_: print('mine', flush=True))\n"
            "asyncio.run(main())",
        )
        .replace('print("ready", flush=True)', "import os; os.kill(os.getpid(), 10)")
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], input="\n", capture_output=True, text=True, timeout=15,
        check=True,
    )  # fmt: skip
    assert ended.stdout == "mine\nover\n"


async def test_a_call_that_backs_off_says_for_how_long():
    @step(retry=Retry(attempts=2, shortest=8.0, longest=8.0))
    async def flaky():
        if current().attempt == 1:
            raise ConnectionError

    async with Runtime(seed=7) as runtime:
        run = runtime.start(flaky())
        await asyncio.sleep(0)
        while not runtime.backing_off:
            await asyncio.sleep(0)
        (until,) = runtime.backing_off.values()
        wait = until - runtime.time()
        line = dump(runtime).splitlines()[-1]
        assert line == f"  flaky: waits {wait:.1f} s more after attempt 1 failed, 0.0 s"
        await run.wait()
        assert runtime.backing_off == {}
        assert runtime.time() >= until
