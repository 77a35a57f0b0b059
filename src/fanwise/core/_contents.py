"""What a record may hold of arguments and results: nothing, their shape, or all of it.

Nothing unless asked for, since prompts and answers are the user's. As text in JSON: a record never
holds anything that would have to be run to be read.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._call import Call
    from fanwise.core._record import Record

    ContentsOf = Callable[[Call[Any], str, Record], dict[str, str]]


def contents_of(call: Call[Any], status: str, record: Record) -> dict[str, str]:
    """Give the facts `args` and `result` of a call that is about to end."""
    arguments = {**dict(zip(call.step.parameters, call.args, strict=False)), **call.kwargs}
    rest = call.args[len(call.step.parameters) :]
    if rest:
        arguments["*"] = rest
    found: dict[str, Any] = {"args": arguments}
    if status == "ok" and not (call.taken and call.result is None):  # read, and not kept
        found["result"] = call.result
    plain = shape_of if record.contents == "shape" else plain_of
    texts = {name: json.dumps(plain(value), ensure_ascii=False) for name, value in found.items()}
    redact = record.redact
    return texts if redact is None else {name: redact(text) for name, text in texts.items()}


def shape_of(value: object) -> object:
    """Give types and lengths, and nothing of what is in them."""
    if isinstance(value, dict):
        return {str(key): shape_of(each) for key, each in value.items()}
    if isinstance(value, (str, bytes, list, tuple, set, frozenset)):
        return f"{type(value).__name__}({len(value)})"
    return type(value).__name__


def plain_of(value: object) -> object:
    """Give a value as JSON can say it; what it cannot is named by its type."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): plain_of(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_of(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_of(getattr(value, field.name)) for field in fields(value)}
    dumped = getattr(value, "model_dump", None)  # a pydantic model, without importing pydantic
    return plain_of(dumped()) if callable(dumped) else f"<{type(value).__qualname__}>"


def contents(_address: str) -> ContentsOf:
    """Give what a runtime asks at the end of each call."""
    return contents_of
