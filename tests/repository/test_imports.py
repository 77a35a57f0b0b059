"""What the package imports: nothing foreign in the bare layers, nothing heavy at the root."""

import json
import subprocess
import sys

import pytest

from tests.repository.imports import strangers
from tests.repository.sources import PACKAGE, ROOT, read_tree, toy

# What the design keeps off the path of `import fanwise`; each costs more than the whole root.
HEAVY = frozenset(
    {
        *("click", "httpx", "httpx2", "hypothesis", "numpy", "opentelemetry", "pydantic"),
        *("pydantic_core", "pytest", "rich", "importlib.metadata", "sqlite3", "tomllib"),
        *("multiprocessing", "urllib.request", "http.client", "email"),
    }
)
PROBE = """
import asyncio, json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement):
    """The modules that a statement loads in a fresh interpreter that has asyncio already."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE.format(statement=statement)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT / "src",
    )
    return frozenset(json.loads(done.stdout))


def test_the_root_imports_nothing_heavy():
    loaded = loaded_by("import fanwise")
    assert "fanwise" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", ["pydantic", "sqlite3", "importlib.metadata", "tomllib"])
def test_the_probe_sees_heavy_imports(name):
    assert name in loaded_by(f"import {name}") & HEAVY


def test_every_public_name_resolves_without_anything_heavy():
    statement = "import fanwise; [getattr(fanwise, name) for name in fanwise.__all__]"
    assert not loaded_by(statement) & HEAVY


def test_a_digest_by_a_local_model_loads_neither_prices_nor_clients():
    digest = "digest(['README.md'], 'What is it?', library=Memory({'README.md': b'A tool.'}))"
    statement = (
        "from fanwise import run; from fanwise.digest import digest; "
        f"from fanwise.documents import Memory; run({digest})"
    )
    loaded = loaded_by(statement)
    assert "fanwise.models" in loaded
    assert not loaded & {"genai_prices", "openai", "anthropic", "pydantic", "pydantic_ai"}


def test_no_json_is_loaded_before_a_record_is_written_or_read():
    program = "from fanwise import fan_map, run, step; run(fan_map(step(abs), [1], at_once=1))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print('json' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT / "src",
    )
    assert done.stdout == "False\n"


def test_usage_that_is_told_on_the_loop_loads_no_models_there():
    program = "def ask(): current().usage(model='local:mine', tokens_in=3)"
    statement = f"from fanwise import current, run, step\n{program}\nrun(step(ask)())"
    loaded = loaded_by(statement)
    assert "fanwise.text._estimates" in loaded
    assert "fanwise.models" not in loaded


def test_bare_layers_import_the_standard_library_only():
    assert list(strangers(read_tree(PACKAGE))) == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("core__m", "import pydantic", True),
        ("core__m", "def f():\n    from attrs import define", True),
        ("text__m", "import numpy.linalg", True),
        ("core__m", "import asyncio, collections.abc\nfrom . import other", False),
        ("patterns__m", "from fanwise.core import step", False),
        ("documents__m", "import pydantic", False),
        ("testing__pytest_plugin", "import pytest", False),
        ("testing__clock", "import pytest", True),
    ],
)
def test_strangers_are_found(name, text, found):
    assert bool(list(strangers(toy(**{name: text})))) is found
