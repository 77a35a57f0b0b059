"""`fanwise run`: what can be named, what can be given, what is printed, and the exit codes."""

import dataclasses
import datetime as dt
import json
import pathlib
import subprocess

import click
import pydantic
import pytest

from fanwise import FanIn, Outcome, fan_map, fan_out, step, tree_reduce, vote
from fanwise import run as run_call
from fanwise.cli._inputs import arguments_of
from fanwise.cli._result import as_data, as_text, missing_of
from fanwise.cli._target import ImportFailed, find
from fanwise.record import read_records
from tests.cli.terminals import START, environment

# Calls of these tests run on loops of their own.
pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]

JOBS = """
import asyncio, sys
from dataclasses import dataclass
from fanwise import Limit, Retry, current, fan_map, fan_out, step

@step
async def double(n: int) -> int:
    return 2 * n

def plain(n: int) -> int:
    print("printed by the program")
    return 2 * n

def pattern(numbers: list[int]):
    return fan_map(double, numbers, at_once=2)

async def partial(n: int):
    return await fan_map(odd_only, range(n), at_once=4, need=1)

@step
async def odd_only(n):
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n

@step
async def none_good():
    return await fan_map(odd_only, [2, 4], at_once=2)

class Sums:
    @step
    async def add(self, a: int, b: int) -> int:
        return a + b

sums = Sums()
two = fan_out(double(1), double(2))

@step
async def nothing() -> None:
    current().usage(tokens_in=5)

@step(limit="door")
async def guarded(n):
    await asyncio.sleep(0.2)
    return current().run_id

async def three():
    await fan_map(guarded, range(3), at_once=3)

async def forever():
    await asyncio.Event().wait()

async def leaves():
    sys.exit(7)

def made(n: int):
    yield n

async def letters(n: int):
    for letter in "abcdef"[:n]:
        yield letter
"""


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def fanwise_run(jobs, *arguments, stdin=None):
    return subprocess.run(
        [*START, "run", *arguments], cwd=jobs, env=environment(), input=stdin,
        capture_output=True, text=True, timeout=18, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["jobs:double", "--input", "n=21"], "42\n"),
        (["jobs:double", "--input", '{"n": 21}'], "42\n"),
        (["jobs:double", "--input", "[21]"], "42\n"),
        (["jobs:double", "--input", "@n.json"], "42\n"),
        (["jobs:plain", "--input", "n=21"], "42\n"),
        (["jobs:sums.add", "--input", "a=1", "--input", '{"b": 2}'], "3\n"),
        (["jobs:nothing"], ""),
        (["jobs:letters", "--input", "n=2"], '[\n  "a",\n  "b"\n]\n'),
    ],
)
def test_it_runs_what_is_named_with_what_is_given(jobs, arguments, out):
    (jobs / "n.json").write_text('{"n": 21}')
    done = fanwise_run(jobs, *arguments)
    assert (done.returncode, done.stdout) == (0, out), done.stderr
    assert "calls one after another" in done.stderr


def test_standard_input_can_hold_the_arguments(jobs):
    done = fanwise_run(jobs, "jobs:double", "--input", "-", stdin="[4]")
    assert (done.returncode, done.stdout) == (0, "8\n")


def test_what_the_program_prints_is_not_the_result(jobs):
    done = fanwise_run(jobs, "jobs:plain", "--input", "n=1", "--quiet")
    assert (done.stdout, done.stderr) == ("2\n", "printed by the program\n")


@pytest.mark.parametrize("target", ["jobs:two", "jobs:pattern"])
def test_a_call_and_a_function_that_gives_one_are_run(jobs, target):
    given = [] if target == "jobs:two" else ["--input", "numbers=[1, 2]"]
    done = fanwise_run(jobs, target, *given)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "complete": True,
        "ok": dict(zip(found["ok"], [2, 4], strict=True)),
        "missing": {},
    }


def test_a_part_that_is_missing_is_named_and_ends_with_3(jobs):
    done = fanwise_run(jobs, "jobs:partial", "--input", "n=4")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert list(found["ok"].values()) == [1, 3]
    assert found["missing"]["odd_only 1"] == "failed: ValueError: 0 is even"
    assert "fanwise: incomplete, 2 missing:" in done.stderr
    assert "fanwise:   odd_only 3: failed: ValueError: 2 is even" in done.stderr
    assert "2 calls failed:" in done.stderr


def test_a_failure_shows_its_frames_and_keeps_what_was_there(jobs):
    done = fanwise_run(jobs, "jobs:none_good", "--json", "--record", "r.jsonl")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["status"], found["value"]) == ("failed", None)
    assert found["error"].startswith("NotEnough: ")
    assert found["found"]["missing"]["odd_only 2"] == "failed: ValueError: 4 is even"
    assert "in none_good" in done.stderr
    assert "in odd_only" in done.stderr, "the cause, which came first"
    assert "fanwise/core" not in done.stderr
    (record,) = read_records((jobs / "r.jsonl").read_text().splitlines(keepends=True))
    assert len(record.calls) == found["calls"] == 4


def test_limits_and_time_can_be_bounded(jobs):
    done = fanwise_run(jobs, "jobs:three", "--limit", "door=1", "--json")
    assert json.loads(done.stdout)["seconds"] > 0.55, "one after the other"
    done = fanwise_run(jobs, "jobs:three", "--json")
    assert json.loads(done.stdout)["seconds"] < 0.55
    done = fanwise_run(jobs, "jobs:forever", "--within", "0.1", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "DeadlinePassed: the deadline of 0.1 s passed"
    assert "fanwise.errors.DeadlinePassed" in done.stderr
    assert "never retrieved" not in done.stderr


def test_the_programs_own_exit_code_goes_through(jobs):
    assert fanwise_run(jobs, "jobs:leaves").returncode == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "MODULE:FUNCTION is missing"),
        (["jobs:two", "--input", "n=1"], "jobs:two is a call, which has its arguments"),
        (["jobs:double", "--limit", "door"], "--limit 'door' is not NAME=N"),
        (["jobs:double", "--limit", "door=0"], "--limit 'door=0' is not NAME=N"),
        (["jobs:double", "--within", "-1"], "--within is -1"),
        (["jobs:double", "--within", "nan"], "--within is nan"),
        (["jobs:double", "--input", "n=1", "--record", "no/x"], "the record cannot be written"),
        (["jobs:made", "--input", "n=1"], "made is a generator"),
    ],
)
def test_wrong_use_is_named_and_ends_with_2(jobs, arguments, message):
    done = fanwise_run(jobs, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_module_that_raises_shows_its_own_traceback(jobs):
    (jobs / "broken.py").write_text("import jobs\n\n1 / 0  # here\n")
    done = fanwise_run(jobs, "broken:x")
    assert done.returncode == 1
    assert "1 / 0  # here" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.count("File ") == 1
    assert "fanwise: broken cannot be imported" in done.stderr


# What can be named


@pytest.fixture
def here(jobs, monkeypatch):
    monkeypatch.chdir(jobs)
    monkeypatch.syspath_prepend(str(jobs))
    name = f"jobs_{jobs.name}"  # a module is imported once a process
    (jobs / "jobs.py").rename(jobs / f"{name}.py")
    (jobs / "flat.py").touch()
    return name


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("HERE", "is not of the form module:function, such as jobs:answer"),
        ("HERE.double", "did you mean HERE:double?"),
        ("HERE:", "is not of the form"),
        (":double", "is not of the form"),
        ("HERE.py:double", "'HERE.py' is a file; HERE:double names it as a module"),
        ("./deep/jobs.py:double", "deep.jobs:double names it as a module"),
        ("HERX:double", "there is no module 'HERX' here; did you mean 'HERE'?"),
        ("flat.deep:double", "there is no module 'flat.deep' here"),
        ("HERE:doubles", "'HERE' has no 'doubles'; did you mean 'double'?"),
        ("HERE:__name__", "HERE:__name__ is a str; a step, a function or a call can be run"),
    ],
)
def test_an_address_that_names_nothing_is_refused_with_near_names(here, address, message):
    with pytest.raises(click.UsageError) as refused:
        find(address.replace("HERE", here).replace("HERX", f"x{here}"))
    assert message.replace("HERE", here).replace("HERX", f"x{here}") in str(refused.value)


def test_a_module_that_lacks_another_one_is_not_itself_missing(here, tmp_path):
    (tmp_path / "lacking.py").write_text("import no_such_module_anywhere\n")
    with pytest.raises(ImportFailed) as failed:
        find("lacking:x")
    assert isinstance(failed.value.__cause__, ModuleNotFoundError)


# What can be given


class Point(pydantic.BaseModel):
    x: int
    y: float = 0.0


@dataclasses.dataclass
class Box:
    tags: list[str]


def takes(text: str, number: int = 1, *more: float, flag: bool = False, when: dt.date | None = None, **rest: int):  # fmt: skip
    return text, number, more, flag, when, rest


def takes_models(point: Point, box: Box | None = None, anything=None, client: "click.Context" = None):  # fmt: skip
    return point, box, anything


def unresolved(a: "NotThere", b: int):  # noqa: F821
    return a, b


@pytest.mark.parametrize(
    ("function", "inputs", "args", "kwargs"),
    [
        (takes, ["text=5"], ("5", ), {}),
        (takes, ["text=a=b"], ("a=b", ), {}),
        (takes, ["text="], ("", ), {}),
        (takes, ["text=x", "number=7"], ("x", 7), {}),
        (takes, ["text=x", "flag=true"], ("x",), {"flag": True}),
        (takes, ["text=x", "when=2026-01-02"], ("x",), {"when": dt.date(2026, 1, 2)}),
        (takes, ['["x", 2, 3, 4]'], ("x", 2, 3.0, 4.0), {}),
        (takes, ["[]", "text=x", "other=4"], ("x",), {"other": 4}),
        (takes_models, ['point={"x": 1}'], (Point(x=1),), {}),
        (takes_models, ['{"point": {"x": 1}, "box": {"tags": []}}'], (Point(x=1), Box([])), {}),
        (takes_models, ['point={"x": 1}', "anything=[1]"], (Point(x=1),), {"anything": [1]}),
        (takes_models, ['point={"x": 1}', "anything=word"], (Point(x=1),), {"anything": "word"}),
        (unresolved, ["a=1", "b=2"], (1, 2), {}),
        (step(takes), ["text=x"], ("x",), {}),
    ],
)  # fmt: skip
def test_arguments_are_converted_to_their_annotations(function, inputs, args, kwargs):
    bound = arguments_of(function, inputs)
    assert (bound.args, bound.kwargs) == (args, kwargs)


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        (takes, [], "missing a required argument: 'text'; the arguments are: text: str, number"),
        (takes, ["text=x", "number=y"], "argument number: input should be a valid integer"),
        (takes, ["text=x", "number=y"], "got 'y'"),
        (takes, ['{"text": 5}'], "argument text: input should be a valid string, got 5"),
        (takes, ['["x", 1, 2, "y"]'], "argument more[1]: input should be a valid number"),
        (takes, ["text=x", "other=y"], "argument other: input should be a valid integer"),
        (takes, ["text=x", "text=y"], "--input gives 'text' twice"),
        (takes, ["text"], "--input 'text' is none of: a JSON object"),
        (takes, ["5"], "--input 5 is no argument by itself; write name=value"),
        (takes, ['{"text"'], "--input is not JSON: "),
        (takes, ["@absent.json"], "--input @absent.json cannot be read: "),
        (takes_models, ["points=1"], "there is no argument 'points'; did you mean 'point'?"),
        (takes_models, ["point={}"], "argument point['x']: field required"),
        (takes_models, ['{"point": {"x": "a", "y": "b"}}'], "(and 1 more)"),
        (takes_models, ['point={"x": 1}', "client=1"], "argument 'client' is a "),
        (takes_models, ["[1, 2, 3, 4, 5]"], "too many positional arguments"),
    ],
)
def test_a_wrong_argument_is_named(function, inputs, message):
    with pytest.raises(click.UsageError) as refused:
        arguments_of(function, inputs)
    assert message in str(refused.value)


# What is printed


@step
async def even(n):
    if n % 2:
        raise ValueError(f"{n} is odd\nand more")
    return n


async def total(numbers):
    return sum(numbers)


def test_results_of_patterns_are_data():
    found = run_call(fan_map(even, [2, 3], at_once=2, need=0))
    assert as_data(found) == (
        {"complete": False, "ok": {"even 1": 2}, "missing": {"even 2": "failed: ValueError: 3 is odd\nand more"}},
        [],
    )  # fmt: skip
    assert as_data(found.outcomes[0])[0] == {"name": "even 1", "status": "ok", "value": 2}
    assert as_data(found.outcomes[1])[0]["cause"].startswith("failed: ValueError")
    assert as_data({"inner": [found]})[0]["inner"][0]["ok"] == {"even 1": 2}
    reduced = run_call(tree_reduce(total, [even(2), even(3), even(4)], arity=2))
    assert as_data(reduced)[0]["value"] == 6
    assert list(missing_of(reduced)) == list(reduced.missing)


def test_a_vote_is_data():
    @step
    async def ask(answer):
        return answer

    data, odd = as_data(run_call(vote([ask("a"), ask("a"), ask("b")], stop_at=None)))
    assert odd == []
    assert (data["answer"], data["counts"], data["asked"]) == ("a", {"a": 2, "b": 1}, 3)


def test_what_is_complete_misses_nothing():
    whole = run_call(fan_out(even(2)))
    assert isinstance(whole, FanIn)
    assert isinstance(whole.outcomes[0], Outcome)
    assert missing_of(whole) == missing_of({"complete": False}) == missing_of(None) == {}


@dataclasses.dataclass
class Answer:
    complete: bool
    missing: object = ()


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"a": "gone"}, {"a": "gone"}),
        (["a", "b"], {"a": "", "b": ""}),
        (None, {"part of it": "its `complete` is False"}),
    ],
)
def test_any_result_may_say_that_it_is_incomplete(missing, named):
    assert missing_of(Answer(complete=False, missing=missing)) == named
    assert missing_of(Answer(complete=True, missing=missing)) == {}


def test_what_is_no_data_is_shown_by_its_repr_and_named():
    data, odd = as_data({"path": pathlib.Path("a"), "day": dt.date(2026, 1, 2), "odd": takes})
    assert (data["path"], data["day"], odd) == ("a", "2026-01-02", ["function"])
    assert data["odd"].startswith("<function takes")
    assert as_data(b"\xff") == ("b'\\xff'", ["bytes"])
    circular = []
    circular.append(circular)
    assert as_data(circular) == ("[[...]]", ["list"])


def test_text_is_printed_as_it_stands():
    printed = [as_text(value) for value in (None, "", "a", "a\n", 1, {"ä": [True]})]
    assert printed == ["", "", "a\n", "a\n", "1\n", '{\n  "ä": [\n    true\n  ]\n}\n']


def test_a_file_of_limits_is_followed_while_it_runs(tmp_path):
    (tmp_path / "jobs.py").write_text(FOLLOWED)
    (tmp_path / "limits.toml").write_text("[limits.door]\nat_once = 1\n")
    done = fanwise_run(tmp_path, "jobs:opened", "--limits", "limits.toml")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 4]


FOLLOWED = """
import asyncio, os
from fanwise import fan_out, step
from fanwise.core import current_runtime

go_on = asyncio.Event()

@step(limit="door")
async def through(number):
    await go_on.wait()

async def until(slots):
    while sum(limit.in_flight for limit in current_runtime().statistics().limits) < slots:
        await asyncio.sleep(0.01)
    return slots

@step
async def changes():
    seen = [await until(1)]
    with open("new.toml", "w") as file:
        file.write("[limits.door]\\nat_once = 4\\n")
    os.replace("new.toml", "limits.toml")
    seen.append(await until(4))
    go_on.set()
    return seen

async def opened():
    found = await fan_out(*(through(number) for number in range(4)), changes())
    return found.values()[-1]
"""
