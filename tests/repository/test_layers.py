"""The contracts of import-linter, from our own pyproject, over toy packages that break them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.sources import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")
LAYERS = [
    "analysis",
    "cli",
    "core",
    "digest",
    "documents",
    "models",
    "patterns",
    "providers",
    "stores",
    "testing",
    "text",
]
CONTRACTS = ROOT / "pyproject.toml"
CYCLES = ROOT / "tests" / "repository" / "cycles.toml"
# What a healthy tree holds beside its folders: an edge that the contracts must allow.
HEALTHY = {
    "core/_engine.py": "import asyncio",
    "patterns/_fan_out.py": "from fanwise.core._engine import asyncio",
    "core/_run.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    from fanwise.core import _step",
    "core/_step.py": "import fanwise.core._run",
    "documents/_plain.py": "import pydantic",
    "documents/_html.py": "",
    "documents/_markdown.py": "",
    "documents/_pdf.py": "",
    "documents/_restructured.py": "",
    "documents/_pdfium.py": "import pypdfium2",
    "documents/_pypdf.py": "import pypdf",
    "documents/_files.py": "import fanwise.documents._plain",
    "documents/_given.py": "",
    "documents/_memory.py": "import fanwise.documents._plain",
    "providers/_one.py": "import fanwise.models",
    "providers/_ai/__init__.py": "",
    "providers/_ai/_anthropic.py": "import fanwise.providers._ai._shared",
    "providers/_ai/_google.py": "",
    "providers/_ai/_openai.py": "import fanwise.providers._ai._shared",
    "providers/_ai/_shared.py": "import pydantic_ai",
    "digest/_job.py": "from fanwise.patterns import __name__ as name\nimport fanwise",
    "stores/_memory.py": "import fanwise.core",
    "stores/_memory_journal.py": "import fanwise.core",
    "stores/_sqlite.py": "import fanwise.core",
    "stores/_redis.py": "import redis",
    "testing/pytest_plugin.py": "import pytest",
    "testing/twin/__init__.py": "",
    "testing/twin/_transport.py": "import httpx2\nimport fanwise.testing.twin",
}
BROKEN = {
    "upward": {"core/_bad.py": "import fanwise.patterns"},
    "upward, hidden in a function": {"text/_bad.py": "def f():\n    import fanwise.models"},
    "a folder without a place": {"extras/__init__.py": ""},
    "siblings of a layer": {
        "providers/_a.py": "import fanwise.documents",
    },
    "journals know each other": {"stores/_sqlite.py": "import fanwise.stores._memory_journal"},
    "boards know each other": {"stores/_redis.py": "import fanwise.stores._memory"},
    "formats know each other": {"documents/_markdown.py": "import fanwise.documents._plain"},
    "readers know each other": {"documents/_pypdf.py": "import fanwise.documents._pdfium"},
    "places know each other": {"documents/_files.py": "import fanwise.documents._memory"},
    "providers know each other": {"providers/_two.py": "import fanwise.providers._one"},
    "adapters know each other": {
        "providers/_ai/_google.py": "import fanwise.providers._ai._openai"
    },
    "a cycle": {
        "core/_a.py": "import fanwise.core._b",
        "core/_b.py": "def f():\n    import fanwise.core._a",
    },
    "third party in core": {"core/_bad.py": "import pydantic"},
    "third party in testing": {"testing/_bad.py": "import pytest"},
    "third party in the twin": {"testing/twin/_bad.py": "import httpx2"},
    "the twin knows the library": {"testing/twin/_bad.py": "import fanwise.core._engine"},
    "the root from below": {"models/_bad.py": "from fanwise import step"},
    "an application reaches inside": {"digest/_bad.py": "import fanwise.core._engine"},
}


def build(folder, files):
    """A package of empty layers and the given files."""
    texts = {f"{layer}/__init__.py": "" for layer in LAYERS} | {"__init__.py": ""} | files
    for name, text in texts.items():
        path = folder / "fanwise" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def lint(folder, config):
    return subprocess.run(
        [LINTER, "--no-cache", "--no-logo", "--config", config],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
    )


@pytest.mark.parametrize("config", [CONTRACTS, CYCLES], ids=lambda path: path.name)
def test_a_healthy_tree_passes(tmp_path, config):
    build(tmp_path, HEALTHY)
    done = lint(tmp_path, config)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_broken_contract_is_found(tmp_path, files):
    build(tmp_path, HEALTHY | files)
    done = lint(tmp_path, CYCLES if files is BROKEN["a cycle"] else CONTRACTS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken" in done.stdout
