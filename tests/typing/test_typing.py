"""Both checkers, as users run them, over code that must be accepted and code that must be refused."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = ("accepted.py", "refused.py")
ERROR = re.compile(r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", re.MULTILINE)
MARK = re.compile(r"# (mypy|pyright): ([\w\- ]+?)(?=\s*(?:#|$))")

pytestmark = pytest.mark.timeout(180)


def expected(checker, name):
    """Line -> the rules by which a checker refuses it, as the comments of a file say."""
    found = {}
    for number, line in enumerate((HERE / name).read_text("utf-8").splitlines(), 1):
        for said, rules in MARK.findall(line):
            if said == checker:
                found[name, number] = set(rules.split())
    return found


def run_checker(*words):
    command = [sys.executable, "-m", *words, *(f"tests/typing/{name}" for name in FILES)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def mypy():
    found = defaultdict(set)
    text = run_checker("mypy", "--no-error-summary", "--no-pretty", "--show-error-codes")
    for name, line, rule in re.findall(ERROR, text):
        found[name, int(line)].add(rule)
    return found


def pyright():
    told = json.loads(run_checker("pyright", "--outputjson", "--pythonpath", sys.executable))
    assert told["summary"]["filesAnalyzed"] == len(FILES)
    found = defaultdict(set)
    for each in told["generalDiagnostics"]:
        if each["severity"] == "error":
            place = Path(each["file"]).name, each["range"]["start"]["line"] + 1
            found[place].add(each.get("rule", "syntax"))
    return found


@pytest.fixture(scope="module")
def said():
    """What each checker says of all files, asked once."""
    return {"mypy": mypy(), "pyright": pyright()}


def check(said, checker, name):
    found = {place: rules for place, rules in said[checker].items() if place[0] == name}
    assert "\n".join(differences(found, expected(checker, name))) == ""


def differences(found, wanted):
    """Each place at which a checker did not say what the comment expects."""
    return [
        f"{name}:{line}: said {sorted(found.get((name, line), set()))}, "
        f"expected {sorted(wanted.get((name, line), set()))}"
        for name, line in sorted(found.keys() | wanted.keys())
        if found.get((name, line), set()) != wanted.get((name, line), set())
    ]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_what_is_right_is_accepted_with_its_exact_type(said, checker):
    check(said, checker, "accepted.py")


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_what_is_wrong_is_refused(said, checker):
    check(said, checker, "refused.py")


def test_the_marks_are_read():
    assert expected("mypy", "refused.py")
    assert not expected("mypy", "accepted.py")
    assert MARK.findall("f()  # mypy: arg-type  # pyright: reportX reportY") == [
        ("mypy", "arg-type"),
        ("pyright", "reportX reportY"),
    ]


def test_a_difference_is_told():
    found, wanted = {("a.py", 1): {"x"}, ("a.py", 2): {"y"}}, {("a.py", 1): {"x"}}
    assert differences(found, wanted) == ["a.py:2: said ['y'], expected []"]
    assert differences({}, wanted) == ["a.py:1: said [], expected ['x']"]
