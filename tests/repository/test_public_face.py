"""The root holds the names of the design's section 3 and nothing else; the version is one."""

import ast
import tomllib
import types

import pytest

import fanwise
from tests.repository.sources import PACKAGE, ROOT, read_tree, toy

# A name enters this list by a change of the design, never because code happens to export it.
FACE = frozenset(
    {
        *("step", "Step", "Call", "bind", "fan_out", "fan_map", "first", "vote", "tree_reduce"),
        *("pipeline", "stage", "batch", "Retry", "Hedge", "Breaker", "Limit", "Budget", "Cache"),
        *("Runtime", "FanIn", "Outcome", "NotEnough", "deadline", "current", "run", "Timeout"),
    }
)
# What the first issue brings; the others come with theirs.
FIRST_FACE = FACE - {"vote", "pipeline", "stage", "batch", "Budget", "Cache"}


def strays(module):
    """Public names of a module that are neither in `__all__` nor modules or plain annotations."""
    names = {name for name in vars(module) if not name.startswith("_")}
    modules = {name for name in names if isinstance(vars(module)[name], types.ModuleType)}
    return sorted(names - modules - set(module.__all__) - {"annotations", "TYPE_CHECKING"})


def versions(modules):
    """Every literal `__version__ = "..."`, with its place."""
    for module in modules:
        for node in ast.walk(module.tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(said))):
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(said))):
                    pass
                case _:
                    continue
            if name.strip("_").lower() == "version" and said[:1].isdigit():
                yield str(module.path), said


def test_the_root_exports_the_names_of_the_design_in_order():
    assert list(fanwise.__all__) == sorted(fanwise.__all__)
    # mypy takes a name from the root only where `__all__` has it, and the command asks its version.
    assert set(fanwise.__all__) - {"__version__"} <= FACE
    assert set(fanwise.__all__) >= FIRST_FACE


def test_every_exported_name_is_there():
    assert [name for name in fanwise.__all__ if not hasattr(fanwise, name)] == []
    assert set(fanwise.__all__) <= set(dir(fanwise))


def test_the_root_leaks_no_other_name():
    assert strays(fanwise) == []


def test_a_stray_name_is_found():
    module = types.ModuleType("toy")
    vars(module).update(__all__=["a"], a=1, b=2, ast=ast, _c=3)
    assert strays(module) == ["b"]


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = dict(versions(read_tree(PACKAGE)))
    assert {said for said in found.values() if said != project["version"]} == set(), found


@pytest.mark.parametrize("text", ['__version__ = "9"', 'VERSION: Final = "9.1"'])
def test_a_second_version_is_found(text):
    assert list(versions(toy(m=text)))


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
