"""Which third-party packages a layer names: those that must stay bare name none."""

import ast
import sys
from collections.abc import Iterator, Sequence

from tests.repository.sources import Module

BARE = frozenset({"analysis", "core", "models", "patterns", "testing", "text"})
# Known to every type checker, and imported for them only.
TYPES = frozenset({"_typeshed", "typing_extensions"})
# Loaded by its entry point, that is by pytest itself; by those who have a client of httpx2; from
# the table, when a type is asked for.
EXCEPTED = frozenset(
    {
        ("models/_json_codec.py", "pydantic"),
        ("testing/pytest_plugin.py", "pytest"),
        ("testing/twin/_transport.py", "httpx2"),
    }
)


def strangers(modules: Sequence[Module]) -> Iterator[str]:
    """Every import, at any depth, of neither the standard library nor fanwise in a bare layer."""
    for module in modules:
        if module.path.parts[0] in BARE:
            for line, name in imported(module):
                known = name in sys.stdlib_module_names or name == "fanwise" or name in TYPES
                if not known and (str(module.path), name) not in EXCEPTED:
                    yield f"{module.path}:{line}: {name}"


def imported(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name.split(".")[0]) for each in names)
            case ast.ImportFrom(module=str(home), level=0):
                yield node.lineno, home.split(".")[0]
