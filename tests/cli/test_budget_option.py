"""`--budget` of `fanwise digest` and `fanwise run`: what it means, and what is said when it is spent."""

import json
import subprocess

import click
import pytest

from fanwise import Budget
from fanwise.cli import main
from fanwise.cli._budget_option import budget_data, budget_lines, read_budget
from tests.cli.terminals import START, environment

# Calls of these tests run on loops of their own.
pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]

JOBS = """
from fanwise import Budget, current, fan_map, step
from fanwise.core import Need

@step(needs=Need(0, 0, 100, 0))
async def ask(n):
    current().usage(tokens_out=60)
    return n

async def some(n: int):
    return await fan_map(ask, range(n), at_once=2, need=1)

async def all_of_them(n: int):
    return (await fan_map(ask, range(n), at_once=2)).values()

@step
async def one():
    return await ask(1)

@step(budget=Budget(tokens=10))
async def bounded():
    return await ask(1)
"""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], None),
        (["0.50"], Budget(dollars="0.50")),
        (["$2"], Budget(dollars="2")),
        ([".5"], Budget(dollars=".5")),
        (["20000tokens"], Budget(tokens=20_000)),
        (["20_000 tokens"], Budget(tokens=20_000)),
        (["0.5, 300tokens"], Budget(tokens=300, dollars="0.5")),
        (["300tokens", "0"], Budget(tokens=300, dollars="0")),
    ],
)
def test_amounts_are_dollars_or_tokens(given, meant):
    assert read_budget(given) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["much"], "--budget 'much' is no amount: dollars such as 0.50, or 20000tokens"),
        (["-1"], "'-1' is no amount"),
        (["1e3"], "'1e3' is no amount"),
        ([""], "'' is no amount"),
        (["5€"], "'5€' is no amount"),
        (["1", "2"], "--budget '2': dollars are bounded already, by 1"),
        (["5tokens,6tokens"], "tokens are bounded already, by 5"),
    ],
)
def test_what_is_no_amount_is_refused(given, said):
    with pytest.raises(click.UsageError) as caught:
        read_budget(given)
    assert said in str(caught.value)


def test_nothing_is_said_where_there_is_no_budget():
    assert list(budget_lines(None, 0)) == []
    assert budget_data(None, 0) == {}
    assert list(budget_lines(None, 1)) == [
        "budget spent: 1 call not started, as too little was left"
    ]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    for number in range(12):
        text = f"# Part {number}\n\nRates of part {number} are limited. Others are not.\n"
        (tmp_path / f"{number}.md").write_text(text)
    return tmp_path


def digested(folder, capsys, *options):
    with pytest.raises(SystemExit) as left:
        main(["digest", str(folder), "--task", "Which rates are limited?", *options])
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


def test_a_spent_budget_gives_a_partial_digest_that_says_so(folder, capsys):
    code, out, err = digested(folder, capsys, "--budget", "900tokens")
    assert code == 3
    assert "**Incomplete:" in out
    assert "not read, the budget was spent" in " ".join(out.split())
    assert "of 900 tokens used" in err
    assert "not started, as too little was left" in err
    assert all(
        len(line) <= 80 for line in err.splitlines() if "budget:" in line or "spent:" in line
    )


def test_it_says_so_as_json(folder, capsys):
    code, out, _ = digested(folder, capsys, "--budget", "900tokens", "--json", "--quiet")
    told = json.loads(out)
    assert code == 3
    assert not told["complete"]
    assert 0 < told["chunks_answered"] < told["chunks"]
    budget = told["budget"]
    assert budget["spent"] is True
    assert budget["tokens"] == 900 >= budget["used_tokens"] > 200
    assert budget["refused"] > 0
    assert {"name", "reason"} == set(told["missing"][0])


def test_a_budget_that_suffices_changes_nothing(folder, capsys):
    code, _, err = digested(folder, capsys, "--budget", "1.50,1000000tokens")
    assert code == 0
    assert "budget: $0.00 of $1.50 and " in err
    code, _, err = digested(folder, capsys, "--budget", "cheap")
    assert code == 2
    assert "--budget 'cheap' is no amount" in err


def fanwise_run(folder, *arguments):
    return subprocess.run(
        [*START, "run", *arguments], cwd=folder, env=environment(), capture_output=True,
        text=True, timeout=18, check=False,
    )  # fmt: skip


def test_a_run_gives_what_is_there(folder):
    done = fanwise_run(folder, "jobs:some", "--input", "n=8", "--budget", "200tokens", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert told["status"] == "partial"
    assert list(told["value"]["ok"].values()) == [0, 1]
    assert all("BudgetSpent" in each for each in told["missing"].values())
    spent = {"spent": True, "refused": 6, "tokens": 200, "used_tokens": 120}
    assert told["budget"] == spent
    assert "budget: 120 of 200 tokens used" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs:one", "--budget", "50tokens"], "no result: ask was not started: it may use 100"),
        (["jobs:bounded"], "of the budget of the step bounded (call 0) 10 tokens are left"),
        (["jobs:all_of_them", "--input", "n=8", "--budget", "200tokens"], "NotEnough"),
    ],
)
def test_a_run_without_a_result_says_why(folder, arguments, said):
    done = fanwise_run(folder, *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr
    assert "budget spent: " in done.stderr
