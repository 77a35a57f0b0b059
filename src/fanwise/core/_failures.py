"""Failures in a journal: enough of an exception to catch it again, and nothing that runs code.

An exception is written as the name of its class, its `args` and its attributes, as far as these are
atoms. It is given again as that class only where the class is known already (nothing is imported),
makes its instances as Python does (`__init__` is not called), and says the same; anything else
comes back as a `RecordedFailure`.
"""

from __future__ import annotations

import json
import sys
from types import BuiltinFunctionType
from typing import Any

from fanwise.core._errors import NotDone, NotEnough, RecordedFailure, StepTimedOut

ATOMS = (str, int, float, bool, type(None))


def failure_data(error: BaseException, *, begun: bool = True) -> bytes:
    """Give what is kept of an error; `begun` says whether the call had an attempt at all."""
    kind = type(error)
    told = {
        "type": f"{kind.__module__}:{kind.__qualname__}",
        "text": text_of(error),
        "args": [each if isinstance(each, ATOMS) else None for each in error.args],
        "whole": all(isinstance(each, ATOMS) for each in error.args),
        "with": {n: v for n, v in vars(error).items() if type(v) in ATOMS and n[:2] != "__"},
        "not_done": isinstance(error, NotDone) or not begun,
    }
    return json.dumps(told).encode()


def text_of(error: BaseException) -> str:
    """Give what an error says, also where its own `__str__` fails."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - somebody's __str__, of a failure already
        return f"{type(error).__name__} that cannot be shown: {type(broken).__name__}"


def was_not_done(data: bytes) -> bool:
    """Say whether a kept failure says that the write did certainly not happen."""
    return bool(json.loads(data)["not_done"])


def failure_of_data(data: bytes, call: int | None) -> Exception:
    """Give the error again, as that of `call`."""
    told = json.loads(data)
    kind = _known(told["type"])
    if kind is not None and told["whole"]:
        error = _made(kind, told)
        if error is not None:
            if isinstance(error, StepTimedOut):
                error.call = call
            return error
    return RecordedFailure(f"{told['type'].rpartition(':')[2]}: {told['text']}")


def _known(name: str) -> type[Exception] | None:
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _made(kind: type[Exception], told: dict[str, Any]) -> Exception | None:
    """Make an exception without its `__init__`, where Python's own `__new__` does all of it."""
    if not isinstance(kind.__new__, BuiltinFunctionType) or issubclass(kind, ExceptionGroup):
        return None
    try:
        error = kind.__new__(kind, *told["args"])
        error.args = tuple(told["args"])
        vars(error).update(told["with"])
    except (TypeError, AttributeError, ValueError):
        return None
    return error if text_of(error) == told["text"] else None


def causes_of(error: BaseException) -> set[int]:
    """Give the ids of an error and of all that led to it."""
    found: set[int] = set()
    stack: list[BaseException | None] = [error]
    while stack:
        each = stack.pop()
        if each is None or id(each) in found:
            continue
        found.add(id(each))
        stack += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            stack += each.exceptions
        if isinstance(each, NotEnough):
            stack += [outcome.error for outcome in each.found.outcomes]
    return found


def run_error(error: BaseException) -> str:
    """Give the line that stands for an error in a list of runs."""
    return f"{type(error).__name__}: {text_of(error)}".partition("\n")[0][:500]


__all__ = ["causes_of", "failure_data", "failure_of_data", "run_error", "was_not_done"]
