"""Python sources as trees, with the few questions that the rules ask of them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fanwise"

Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function with its dotted name inside the module; overloads are declarations, not code."""

    name: str
    node: Def

    @property
    def lines(self) -> int:
        """Lines from `def` to the end, without the docstring and without decorators."""
        whole = (self.node.end_lineno or 0) - self.node.lineno + 1
        return whole - docstring_lines(self.node)

    @property
    def public(self) -> bool:
        """Whether users may call it: no part of its name is private, save for `__init__`."""
        parts = self.name.split(".")
        private = [part for part in parts if part.startswith("_") and part != "__init__"]
        return not private and "<locals>" not in parts

    @property
    def parameters(self) -> int:
        """Parameters that a caller sees: `self` and `cls` are not among them."""
        args = self.node.args
        named = [each.arg for each in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        stars = [each for each in (args.vararg, args.kwarg) if each is not None]
        bound = "." in self.name and named[:1] in (["self"], ["cls"])
        return len(named) + len(stars) - bound


@dataclass(frozen=True)
class Module:
    """One source file; `path` is relative to the package (`core/_engine.py`)."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @property
    def lines(self) -> int:
        return self.text.count("\n") + (not self.text.endswith("\n") and self.text != "")

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(find_functions(self.tree, ""))

    @property
    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def docstring_lines(node: Def) -> int:
    """The lines that the docstring takes, 0 where there is none or nothing else."""
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or len(node.body) == 1:
        return 0
    return (first.end_lineno or 0) - first.lineno + 1


def is_overload(node: Def) -> bool:
    return any(ast.unparse(each).split(".")[-1] == "overload" for each in node.decorator_list)


def find_functions(node: ast.AST, prefix: str) -> Iterator[Function]:
    """All functions below a node, methods and nested ones too, overloads left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Def):
            if not is_overload(child):
                yield Function(prefix + child.name, child)
            yield from find_functions(child, f"{prefix}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from find_functions(child, f"{prefix}{child.name}.")
        else:
            yield from find_functions(child, prefix)


def read_tree(folder: Path) -> list[Module]:
    """Every module below a folder, in the order of their paths."""
    return [
        Module(PurePosixPath(path.relative_to(folder).as_posix()), path.read_text("utf-8"))
        for path in sorted(folder.rglob("*.py"))
    ]


def toy(**texts: str) -> list[Module]:
    """Modules made of strings: `toy(core__engine="...")` is `core/engine.py`."""
    return [
        Module(PurePosixPath(name.replace("__", "/") + ".py"), text) for name, text in texts.items()
    ]
