"""The wheel, installed into an empty environment: small, complete, and it runs."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.repository.sources import ROOT

PACKAGES = 15
MEGABYTES = 40
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
# Building and installing is outside the 20 s of other tests: it reads packages over the network.
pytestmark = pytest.mark.timeout(300)


def run(*command, **options):
    """Runs a command and shows its output where it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("fanwise-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An empty environment with the wheel and what it needs, and nothing else (no pip)."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(*PIP, "--python", python, "install", "-c", ROOT / "constraints.txt", wheel)
    return folder


def site_packages(environment):
    (found,) = environment.glob("lib/python*/site-packages")
    return found


def installed(folder):
    return sorted(path.name for path in folder.glob("*.dist-info"))


def megabytes(folder):
    """What the files take, bytecode included: that is what a disk or an image holds."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def clean():
    """An environment for commands in which nothing of this tree or its tests is found."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).parts[0].split("-")[0] for name in names} == {"fanwise"}
    assert "fanwise/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    inside = {path.relative_to(ROOT / "src").as_posix() for path in ROOT.glob("src/**/*.py")}
    assert {name for name in names if name.endswith(".py")} == inside


def test_the_wheel_keeps_its_budget(environment):
    packages = installed(site_packages(environment))
    assert any(name.startswith("fanwise-0") for name in packages)
    assert len(packages) <= PACKAGES, packages
    assert megabytes(site_packages(environment)) <= MEGABYTES


def test_the_budget_counts_what_is_there(tmp_path):
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "a-1.dist-info" / "RECORD").write_bytes(b"x" * 2_000_000)
    assert installed(tmp_path) == ["a-1.dist-info"]
    assert megabytes(tmp_path) == 2


def test_the_command_runs(environment, tmp_path):
    said = run(environment / "bin" / "fanwise", "--version", env=clean(), cwd=tmp_path)
    assert "0.1.0" in said


def test_a_digest_needs_the_base_install_only(environment, tmp_path):
    (tmp_path / "tides.md").write_text(
        "# Tides\n\nThe moon pulls the sea. Spring tides follow a new moon. Neap tides are weak.\n"
    )
    command = (environment / "bin" / "fanwise", "digest", "tides.md", "--task", "what is a tide?")
    assert "tides.md" in run(*command, env=clean(), cwd=tmp_path)


ADAPTERS = {
    "fanwise.documents._pdfium": "pypdfium2",
    "fanwise.documents._pypdf": "pypdf",
    "fanwise.providers._genai_prices": "genai_prices",
    "fanwise.providers._mcp": "jsonschema",  # of the extra `mcp`, whose package needs it
    "fanwise.stores._redis": "redis",
    "fanwise.stores._redis_till": "redis",
    "fanwise.stores._refusals": "redis",
    "fanwise.testing.twin._transport": "httpx2",
}
OF_MODELS = {"anthropic", "google", "httpx2", "openai", "pydantic_ai"}  # of providers._ai


def test_every_module_imports_from_the_wheel(environment, tmp_path):
    """Modules that need an extra are the adapters' own business, and say so when imported."""
    script = (
        f"import fanwise, importlib, pkgutil\nneeds, of_models = {ADAPTERS!r}, {OF_MODELS!r}\n"
        "lacking = set()\n"
        "for each in pkgutil.walk_packages(fanwise.__path__, 'fanwise.'):\n"
        "    if 'pytest_plugin' not in each.name and '__main__' not in each.name:\n"
        "        try:\n"
        "            importlib.import_module(each.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            if each.name.startswith('fanwise.providers._ai.'):\n"
        "                lacking.add(error.name.partition('.')[0])\n"
        "            else:\n"
        "                assert needs.pop(each.name, None) == error.name, error\n"
        "        else:\n"
        "            assert each.name not in needs, each.name\n"
        "assert not needs, needs\n"
        "assert lacking and lacking <= of_models, lacking\n"
    )
    run(environment / "bin" / "python", "-W", "error", "-c", script, env=clean(), cwd=tmp_path)


@pytest.mark.parametrize(
    ("statement", "extra"),
    [
        ("from fanwise.models import model; model('openai:gpt-5-mini')", "llm"),
        ("from fanwise.models.tools import mcp_server; mcp_server(['server'])", "mcp"),
        ("from fanwise.testing.twin import Twin; Twin().client()", "twin"),
        ("from fanwise.stores import redis_board; redis_board('redis://127.0.0.1')", "redis"),
    ],
)
def test_without_an_extra_its_name_is_said(environment, tmp_path, statement, extra):
    script = (
        f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)\n"
        "else:\n    raise SystemExit('it did without')\n"
    )
    said = run(environment / "bin" / "python", "-c", script, env=clean(), cwd=tmp_path)
    assert f"pip install 'fanwise[{extra}]'" in said
