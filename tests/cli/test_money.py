"""Tokens and dollars, as `fanwise run` and `fanwise show` print them."""

import json
import subprocess

import pytest

from tests.cli.terminals import START, environment

JOBS = """
from fanwise import Retry, current, fan_out, step

@step(retry=Retry(attempts=2, shortest=0, longest=0))
async def ask(model, read, **more):
    current().usage(model=model, tokens_in=read, **more)
    if model == "openai:gpt-4o" and current().attempt == 1:
        raise ConnectionError

@step
async def answer():
    await fan_out(
        ask("gpt-4o", 1000, tokens_out=100, finish="length"),
        ask("openai:gpt-4o", 400),
        ask("gpt-4o", 40, estimated=True),
        ask("nobody-s", 1000),
    )
    return "done"

async def free():
    return "done"
"""


def fanwise(*arguments, cwd):
    return subprocess.run(
        [*START, *arguments], capture_output=True, text=True, cwd=cwd, check=True, timeout=60,
        env=environment(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("money")
    (place / "jobs.py").write_text(JOBS, "utf-8")
    return place


@pytest.fixture(scope="module")
def ended(folder):
    return fanwise("run", "jobs:answer", "--record", "r.jsonl", cwd=folder)


def test_run_says_cost_estimates_waste_and_what_is_cut(ended):
    assert ended.stdout == "done\n"
    assert "used: tokens_in 2,840, tokens_out 100 (estimated)\n" in ended.stderr
    assert (
        "cost: $0.0056, of which $0.0001 estimated; 1 call of unknown price\n"
        "fanwise: wasted: $0.0010 of it\n"
        "fanwise: not complete: 1 answer cut off\n"
    ) in ended.stderr


def test_a_run_without_models_says_nothing_of_money(folder):
    said = fanwise("run", "jobs:free", cwd=folder).stderr
    assert "cost" not in said
    assert "$" not in said


def test_show_prints_the_same_and_its_json_has_it_exactly(folder, ended):
    said = fanwise("show", "r.jsonl", cwd=folder).stdout
    assert "cost: $0.0056, of which $0.0001 estimated; 1 call of unknown price\n" in said
    assert "$0.0010 (1 x attempt failed" in said
    data = json.loads(fanwise("show", "r.jsonl", "--json", cwd=folder).stdout)
    assert data["money"] == {"cost": "0.0056", "estimated": "0.0001", "unpriced": 1}
    assert data["waste"]["money"]["cost"] == "0.001"
    assert data["cut"] == 1
    asked = [line for line in data["outline"] if line["step"] == "ask"]
    assert [line["complete"] for line in asked] == [False, True, True, True]
    assert asked[0]["cost"] == "0.0035"


def test_json_of_run_has_it_too(folder):
    data = json.loads(fanwise("run", "jobs:answer", "--json", cwd=folder).stdout)
    assert data["money"] == {"cost": "0.0056", "estimated": "0.0001", "unpriced": 1}
    assert data["usage"] == {"tokens_in": 2840, "tokens_out": 100}
    assert data["answers_cut"] == 1
