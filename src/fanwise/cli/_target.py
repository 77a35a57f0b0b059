"""`module:function`: finding what the user wants to run."""

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fanwise import Call
from fanwise.cli._refusal import refuse
from fanwise.core import excuse

Target = Callable[..., Any] | Call[Any]
_MOST_NAMED = 8


class ImportFailed(Exception):
    """The user's module raised while it was imported; the cause is its own error."""


def find(address: str) -> Target:
    """Import a module, the current folder being searched first, and give what is named in it.

    Raises `click.UsageError` where there is no such thing, with near names, and `ImportFailed`
    where the module itself raises.
    """
    name, colon, path = address.partition(":")
    if not colon or not name or not path:
        refuse(f"{address!r} is not of the form module:function{_form_of(address)}")
    if name.endswith(".py") or os.sep in name:
        refuse(f"{name!r} is a file; {_module_of(name)}:{path} names it as a module")
    sys.path[:0] = [""] if sys.path[:1] != [""] else []
    found: object = _imported(name)
    for part in path.split("."):
        found = _part(found, part, name)
    if not callable(found) and not isinstance(found, Call):
        kind = type(found).__name__
        refuse(f"{address} is a {kind}; a step, a function or a call can be run")
    return found


def _imported(name: str) -> object:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            refuse(f"there is no module {missing!r} here{_near(missing, _modules())}")
        raise ImportFailed(name) from error
    except Exception as error:
        raise ImportFailed(name) from error
    for each in vars(module).values():
        if isinstance(each, Call):
            excuse(each)  # calls at the top of a module are offered: only one of them is run
    return module


def _part(whole: object, part: str, module: str) -> object:
    try:
        return getattr(whole, part)
    except AttributeError:
        names = [n for n in dir(whole) if not n.startswith("_") and _runs(getattr(whole, n, None))]
        own = [n for n in names if getattr(getattr(whole, n), "__module__", module) == module]
        refuse(f"{module!r} has no {part!r}{_near(part, own or names)}")


def _runs(found: object) -> bool:
    return isinstance(found, Call) or (callable(found) and not isinstance(found, type))


def _modules() -> list[str]:
    """Name the modules of the current folder."""
    here = Path()
    packages = [path.parent.name for path in here.glob("*/__init__.py")]
    return [*packages, *(path.stem for path in here.glob("*.py") if path.stem.isidentifier())]


def _near(name: str, names: list[str]) -> str:
    """Suggest the names that are like it, else all where they are few."""
    like = difflib.get_close_matches(name, names, n=3)
    if like:
        return f"; did you mean {' or '.join(map(repr, like))}?"
    return f"; there are: {', '.join(sorted(names))}" if 0 < len(names) <= _MOST_NAMED else ""


def _form_of(address: str) -> str:
    module, dot, function = address.rpartition(".")
    if dot and function != "py":
        return f"; did you mean {module}:{function}?"
    return ", such as jobs:answer for the function answer in jobs.py"


def _module_of(file: str) -> str:
    return os.path.normpath(file.removesuffix(".py")).replace(os.sep, ".")
