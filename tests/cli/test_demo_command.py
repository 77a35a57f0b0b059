"""`fanwise demo`: its figures are what happened, its story fits a page, and it can be stopped."""

import asyncio
import json
import math
import signal
import subprocess
import sys
import time

import pytest

from fanwise.cli.demo import _careful, _figures, _gather, _steps, _story
from fanwise.cli.demo._command import QUESTIONS
from fanwise.cli.demo._figures import rank, run_careful, run_fanwise, run_gather
from fanwise.cli.demo._services import WORLD, Answer, World
from fanwise.testing import run_virtual
from tests.laws.proving import changed

START = [sys.executable, "-c", "from fanwise.cli import main; main()", "demo"]


async def all_three(seed):
    first = await run_gather(QUESTIONS, seed)
    second = await run_careful(QUESTIONS, seed)
    third, record = await run_fanwise(QUESTIONS, seed)
    return [first, second, third], record, asyncio.get_running_loop().time()


def check(figures):
    for each in figures:
        used = 3 * each.answered + each.complete  # the model and two sources, or three
        assert each.in_vain == each.requests - used
        assert 0 <= each.lost <= each.in_vain
        assert each.answered <= each.questions == 100
        assert (each.p99 == math.inf) == (each.answered < 99)
        assert 0 < each.median <= each.p99


@pytest.mark.parametrize("seed", range(8))
def test_the_figures_add_up_and_all_of_it_takes_less_than_ten_seconds(seed):
    (gather, careful, ours), record, took = run_virtual(all_three(seed))
    check([gather, careful, ours])
    assert took < 9.0
    assert gather.refused > 50
    assert gather.lost > 100
    assert careful.refused == careful.orphans == ours.refused == ours.orphans == 0
    assert ours.answered == 100
    assert careful.answered - 3 <= ours.complete <= 100  # `within` cuts what three slow tries get
    assert (careful.lost > 0) == (careful.answered < 100)
    assert ours.seconds < careful.seconds
    assert record.hedges > 0 < record.retries


def test_the_same_seed_gives_the_same_faults_and_another_seed_others():
    one, again, other = (run_virtual(run_careful(QUESTIONS, seed)) for seed in (3, 3, 4))
    assert one == again != other


def test_figures_of_a_job_that_is_known():
    async def known():
        world = WORLD.get()
        await asyncio.sleep(1.0)
        left = asyncio.create_task(_gather.web("b"))
        answer = await _gather.answer("a")
        assert len(world.requests) == 5
        left.cancel()
        asyncio.create_task(asyncio.sleep(60), name="left")
        return [answer, ValueError("b")]

    async def measured():
        return await _figures._measure("gather", known, ["a", "b"], 0)

    found = run_virtual(measured())
    assert (found.answered, found.complete, found.requests) == (1, 1, 5)
    assert (found.in_vain, found.lost, found.orphans) == (1, 1, 1)
    assert 1.0 < found.seconds < 2.0
    assert found.median < 1.0
    assert found.p99 == math.inf


def test_a_count_that_takes_every_reply_for_a_result_is_found():
    class Greedy(Answer):
        @property
        def requests(self):
            return tuple(range(len(WORLD.get().requests)))

    async def model(question, found):
        plain = await original(question, found)
        return Greedy(*plain)

    original = _careful.model
    with changed((_careful, "model", model)), pytest.raises((AssertionError, LookupError)):
        check([run_virtual(run_careful(QUESTIONS, 1))])


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1, 2, 3, 4], 0.5, 2), ([1, 2, 3], 0.5, 2), (list(range(1, 101)), 0.99, 99), ([7], 0.99, 7)],
)
def test_ranks(values, share, expected):
    assert rank(values, share) == expected


def test_lines_of_code_are_counted_without_what_explains_them():
    assert _story.code_lines(_gather) == 6
    assert _story.code_lines(_steps) < _story.code_lines(_careful)


def test_the_story_fits_eighty_columns_and_names_the_numbers():
    versions, record, _ = run_virtual(all_three(1))
    parts = [
        _story.introduction(100, 1, str),
        _story.table(versions, str),
        _story.code(str),
        _story.difference(versions, record, str),
        _story.onward(str),
    ]
    lines = [line for part in parts for line in part]
    assert max(map(len, lines)) <= 79
    text = "\n".join(lines)
    assert "100 of 100" in text
    assert f"requests that failed and were sent again: {record.retries};" in text
    assert "found = await fan_out(*asked, need=2, within=0.8)" in text


def test_it_runs_for_real_and_gives_json():
    began = time.monotonic()
    done = subprocess.run([*START, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 15  # ten and a busy machine
    data = json.loads(done.stdout)
    assert [each["name"] for each in data["versions"]] == ["gather", "careful", "fanwise"]
    assert data["versions"][2]["answered"] == 100
    assert data["versions"][1]["p99"] is None
    assert done.stderr.splitlines()[0] == "fanwise: 1 of 3: asyncio.gather ..."


def test_the_sources_are_shown():
    done = subprocess.run([*START, "--source"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    compile(done.stdout, "demo", "exec")
    assert "asyncio.gather(*asked)" in done.stdout
    assert "Semaphore" in done.stdout
    assert "\x1b" not in done.stdout


def test_ctrl_c_ends_it_at_once_and_quietly():
    running = subprocess.Popen(START, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "1 of 3" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=10)
    assert running.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "fanwise: stopped"
    assert "Traceback" not in err


def test_wrong_use():
    done = subprocess.run([*START, "--seed", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--seed" in done.stderr


def test_worlds_meet_the_same_whatever_the_order_of_requests():
    async def states(order):
        token = WORLD.set(World(5))
        try:
            calls = [asyncio.create_task(_gather.web(f"q{n}")) for n in order]
            done = await asyncio.gather(*calls, return_exceptions=True)
            return {n: type(it) for n, it in zip(order, done, strict=True)}
        finally:
            WORLD.reset(token)

    assert run_virtual(states(range(60))) == run_virtual(states(range(59, -1, -1)))
