"""The configuration itself: reasons beside exemptions, pins by name and version, no addresses."""

import os
import re
import tomllib

import pytest

from tests.repository.sources import ROOT
from tests.repository.verify_types import complaints, complete

OURS = ("pyproject.toml", "Makefile", "constraints.txt", ".ci/run", "CONTRIBUTING.md")
EXEMPTION = re.compile(r'^\s+"[A-Z]+[0-9]*",')
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9A-Za-z.+!]*")


def read(name):
    return (ROOT / name).read_text("utf-8")


def without_reason(text):
    """The ruff exemptions of a configuration that have no comment on their line."""
    start = text.index("[tool.ruff.lint]")
    body = text[start : text.index("[tool.ruff.lint.flake8-type-checking]", start)]
    lines = [line for line in body.splitlines() if EXEMPTION.match(line)]
    assert lines, "no exemption was read, so nothing was checked"
    return [line.strip() for line in lines if not re.search(r",\s*# \S", line)]


def not_pins(text):
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line for line in lines if not PIN.fullmatch(line)]


def test_every_exemption_has_its_reason():
    assert without_reason(read("pyproject.toml")) == []
    bare = read("pyproject.toml").replace("# as EM101", "", 1)
    assert without_reason(bare) == ['"EM102",']


def test_the_rules_that_catch_the_most_stay_on():
    lint = tomllib.loads(read("pyproject.toml"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    exempt = {*lint["ignore"], *lint["per-file-ignores"]["src/fanwise/**"]}
    kept = ("C901", "PLR0912", "PLR0915", "BLE001", "PLC0415", "ERA001", "SLF001", "ASYNC109")
    assert [code for code in kept if code.startswith(tuple(exempt))] == []


def test_constraints_are_names_and_versions_only():
    assert not_pins(read("constraints.txt")) == []


@pytest.mark.parametrize(
    "line", ["click>=8", "click @ file:///x", "--index-url x", "click==8 ; python_version<'4'"]
)
def test_other_lines_in_constraints_are_found(line):
    assert not_pins(f"# head\nrich==15.0.0\n{line}\n") == [line]


def test_every_package_that_we_ask_for_is_pinned():
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *project["dependency-groups"]["dev"],
        *(each for extra in project["project"]["optional-dependencies"].values() for each in extra),
    ]
    pinned = set(re.findall(r"^([^#=]+)==", read("constraints.txt"), re.MULTILINE))
    assert {re.split(r"[\[<>=]", each)[0] for each in wanted} - pinned == {"fanwise"}


@pytest.mark.parametrize("name", OURS)
def test_no_address_in_what_sets_us_up(name):
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links", read(name)) == []


NO_PATHS = ("..|work", "~|opt", "docs|root", "example.org|home")


def machine_paths(text):
    """Paths that only the machine of whoever wrote them has."""
    return re.findall(r"(?<![\w.~-])/(?:work|opt|root|home)/[\w./-]*", text)


def test_no_path_of_one_machine():
    folders = (ROOT / name for name in ("src", "docs", "benchmarks", "examples", "tests"))
    files = [
        path for each in folders for path in each.rglob("*.*") if path.suffix in (".py", ".md")
    ]
    texts = {path: path.read_text("utf-8") for path in files} | {name: read(name) for name in OURS}
    found = {str(path): machine_paths(text) for path, text in texts.items()}
    assert {path: paths for path, paths in found.items() if paths} == {}


@pytest.mark.parametrize(
    "text", ["see /" + "home/me/x", "cd /" + "work/main", '"/' + 'opt/pypi/simple"']
)
def test_a_path_of_one_machine_is_found(text):
    assert machine_paths(text)
    assert not machine_paths(" ".join(f"{each}/x".replace("|", "/") for each in NO_PATHS))


def test_ci_runs_the_one_definition_of_green():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make check\b", script.read_text("utf-8"), re.MULTILINE)
    assert re.search(r"^check:.*\btest\b", read("Makefile"), re.MULTILINE)


SYMBOL = {"name": "fanwise.f", "isExported": True, "isTypeKnown": True, "diagnostics": []}


@pytest.mark.parametrize(
    ("share", "symbols", "expected"),
    [(1, [SYMBOL], True), (0.999, [SYMBOL], False), (1, [], False), (0, [SYMBOL], False)],
)
def test_types_are_complete_at_one_hundred_percent_only(share, symbols, expected):
    report = {"typeCompleteness": {"completenessScore": share, "symbols": symbols}}
    assert complete(report) is expected
    assert complete({}) is False


def test_an_unknown_type_is_named():
    hint = [{"message": "Return type is unknown\n  more"}]
    unknown = SYMBOL | {"isTypeKnown": False, "diagnostics": hint}
    report = {"typeCompleteness": {"symbols": [SYMBOL, unknown]}}
    assert list(complaints(report)) == ["fanwise.f: Return type is unknown"]
