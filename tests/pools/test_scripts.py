"""Whole programs: guards, exits, Ctrl-C, sudden deaths; and no process left after any of them."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.pools.test_processes import is_alive
from tests.repository.sources import ROOT

HEAD = """
import asyncio, os, sys, threading
from fanwise import Runtime, current, fan_out, run, step

@step(pool="process")
def pid():
    return os.getpid()

@step(pool="process")
def hang():
    print("hangs", os.getpid(), flush=True)
    threading.Event().wait()

class Value:
    def __init__(self, number):
        self.number = number

@step(pool="process")
def value():
    return Value(7)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}", "PYTHONWARNINGS": "error"}


@pytest.fixture
def script(tmp_path):
    """Start a program; see to its end."""
    running = []

    def start(body, *, head=HEAD, stdin=None, **options):
        path = tmp_path / "program.py"
        path.write_text(head + body)
        process = subprocess.Popen(
            [sys.executable, str(path)] if stdin is None else [sys.executable, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=tmp_path,
            **options,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ends(process, *, code=0, **options):
    out, err = process.communicate(timeout=15, **options)
    assert process.returncode == code, err
    return out, err


def pids(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def test_a_script_with_the_guard(script):
    out, err = ends(
        script("""
if __name__ == "__main__":
    print(run(pid()), run(value()).number)
""")
    )
    worker, number = pids(out)
    assert number == 7
    assert err == ""
    assert not is_alive(worker)


def test_a_script_without_the_guard_says_the_cure(script):
    out, err = ends(script("print('before')\nprint(run(pid()))\n"), code=1)
    assert 'put what the script runs under `if __name__ == "__main__":`' in err
    assert "WorkerNotStarted: a worker could not import the program's main module" in err
    assert out.count("before") == 2  # here, and where the worker imported it; no further


def test_so_does_one_that_has_its_own_loop(script):
    body = """
async def main():
    print(await pid())

asyncio.run(main())
"""
    _, err = ends(script(body), code=1)
    assert 'put what the script runs under `if __name__ == "__main__":`' in err


def test_what_is_piped_into_python_is_refused(script):
    process = script("", stdin="-")
    _, err = ends(process, code=1, input=HEAD + "\nrun(pid())\n")
    assert "TypeError: the workers of step 'pid' find its function by name" in err
    assert "typed or piped into Python is no module" in err


def test_the_default_runtime_leaves_no_process(script):
    body = """
async def main():
    print(*(await fan_out(pid(), pid(), pid())).values())

if __name__ == "__main__":
    asyncio.run(main())
"""
    out, err = ends(script(body))
    assert err == ""
    assert [is_alive(each) for each in pids(out)] == [False] * 3


def test_a_program_that_exits_in_the_middle_leaves_none(script):
    body = """
async def main():
    task = asyncio.create_task(wait())
    await asyncio.to_thread(sys.stdin.readline)
    os._exit(4)

async def wait():
    await hang()

if __name__ == "__main__":
    asyncio.run(main())
"""
    process = script(body)
    (worker,) = pids(process.stdout.readline())
    ends(process, code=4, input="go\n")
    until_gone(worker)


def until_gone(pid):
    """Wait, without polling, for the end of a process that is not a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    with os.fdopen(descriptor):
        assert select.select([descriptor], [], [], 10)[0], "it lives"


def test_workers_end_when_the_parent_is_killed(script):
    process = script("if __name__ == '__main__':\n    run(hang())\n")
    (worker,) = pids(process.stdout.readline())
    process.kill()
    process.communicate()
    until_gone(worker)


def test_ctrl_c_is_the_parents_alone(script):
    """It goes to the whole foreground group; the workers stand outside of it."""
    body = """
if __name__ == "__main__":
    run(hang())
"""
    process = script(body, start_new_session=True)
    (worker,) = pids(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    _, err = ends(process, code=-signal.SIGINT)
    assert err.splitlines().count("KeyboardInterrupt") == 1
    assert "fanwise/pools" not in err
    assert not is_alive(worker)


def test_workers_leave_signals_to_the_parent(script):
    body = """
@step(pool="process")
def survives():
    print("there", os.getpid(), flush=True)
    return sys.stdin.read() == "" and input_of(3)

def input_of(_):
    with open("go") as pipe:
        return pipe.read()

if __name__ == "__main__":
    os.mkfifo("go")
    print(run(survives()))
"""
    process = script(body)
    (worker,) = pids(process.stdout.readline())
    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGTERM)
    with open(os.path.join(process_folder(process), "go"), "w") as pipe:
        pipe.write("gone on")
    out, err = ends(process)
    assert out.strip() == "gone on"
    assert err == ""


def process_folder(process):
    return os.readlink(f"/proc/{process.pid}/cwd")


def test_what_a_function_prints_is_seen(script):
    body = """
@step(pool="process")
def talks():
    print("said in a worker")

if __name__ == "__main__":
    run(talks())
"""
    out, _ = ends(script(body))
    assert out == "said in a worker\n"


def test_sigusr1_shows_who_waits_for_a_worker(script):
    body = """
async def main():
    async with Runtime(pools={"process": 1}) as runtime:
        runs = [runtime.start(hang()), runtime.start(pid())]
        await asyncio.gather(*(run.wait() for run in runs))

if __name__ == "__main__":
    asyncio.run(main())
"""
    process = script(body)
    process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    lines = [process.stderr.readline() for _ in range(5)]
    text = "".join(lines)
    assert re.search(r"hang: running in the pool 'process', \d", text)
    assert re.search(r"pid: waits for the pool 'process', \d", text)
