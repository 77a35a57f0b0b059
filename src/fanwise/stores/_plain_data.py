"""Values as bytes that give them again exactly, without running anybody's code.

Problem: what a resumed run is given must be what the step gave, with its types, and neither pickle
nor an import may happen when it is read.
Method: JSON as it stands for None, bool, int, float, str, list, and dict with str keys. Where there
is more (bytes, tuples, sets, numbers and times of the standard library, enums, named tuples,
dataclasses, pydantic models), every container says what it is. Classes are told by module and name;
they are looked for among the modules that are loaded, and instances are made of their fields, not
by their `__init__`. An instance that has more than its fields is refused.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PosixPath, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from fanwise.core import ProgramChanged

if TYPE_CHECKING:
    from collections.abc import Callable

ATOMS: Final = frozenset({str, int, float, bool, type(None)})
PLAIN: Final = b"p"
TAGGED: Final = b"q"
ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


class Unwritable(ValueError):
    """A value of a type that has no form here."""


def encode_plain(value: Any) -> bytes | None:  # noqa: ANN401 - any value
    """Give the bytes of a value, `None` where it has a part of another type.

    Raises ValueError or RecursionError for what is endless.
    """
    kind = value.__class__
    if kind is int:
        return b"p%d" % value
    if kind in ATOMS or is_json(value):
        return PLAIN + ENCODER.encode(value).encode()
    try:
        return TAGGED + ENCODER.encode(tagged(value)).encode()
    except Unwritable:
        return None


def decode_plain(data: bytes) -> Any:  # noqa: ANN401 - as above
    """Give the value of its bytes; raise `ProgramChanged` for a class that is not as it was."""
    found = json.loads(data[1:])
    return untagged(found) if data[:1] == TAGGED else found


def is_json(value: Any) -> bool:  # noqa: ANN401 - any value
    """Say whether a value is what JSON gives again as it was."""
    stack = [value]
    seen: set[int] = set()
    for each in stack:
        kind = each.__class__
        if kind in ATOMS:
            continue
        if kind not in (list, dict):
            return False
        if id(each) not in seen:
            seen.add(id(each))
            if kind is dict and not all(key.__class__ is str for key in each):
                return False
            stack += each.values() if kind is dict else each
    return True


TEXTS: Final[dict[type, tuple[str, Callable[[Any], str]]]] = {
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    PosixPath: ("path", str),
    PurePosixPath: ("pure path", str),
}
FROM_TEXT: Final[dict[str, Callable[[str], Any]]] = {
    "decimal": Decimal,
    "uuid": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "path": PosixPath,
    "pure path": PurePosixPath,
}
SERIES: Final[dict[type, str]] = {list: "l", tuple: "t", set: "s", frozenset: "f"}
FROM_SERIES: Final[dict[str, Callable[[list[Any]], Any]]] = {
    tag: kind for kind, tag in SERIES.items()
}


def tagged(value: Any) -> Any:  # noqa: ANN401, PLR0911 - any value, a line for each form
    """Give data in which every container says what it is; raise `Unwritable`."""
    kind = value.__class__
    if kind in ATOMS:
        return value
    if kind in SERIES:
        return [SERIES[kind], *map(tagged, value)]
    if kind is dict:
        return ["d", *([tagged(key), tagged(each)] for key, each in value.items())]
    if kind is bytes:
        return ["b", b64encode(value).decode()]
    if kind is timedelta:
        return ["delta", value.days, value.seconds, value.microseconds]
    if kind in TEXTS:
        tag, tell = TEXTS[kind]
        return ["x", tag, tell(value)]
    return _tagged_object(value, kind)


def _tagged_object(value: Any, kind: type) -> list[Any]:  # noqa: ANN401 - any value
    name = f"{kind.__module__}:{kind.__qualname__}"
    if _known(name) is not kind:
        raise Unwritable(f"{name} cannot be found by its name")
    if isinstance(value, Enum):
        return ["e", name, value.name]
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return ["n", name, *map(tagged, value)]
    if is_dataclass(value) and kind.__new__ is object.__new__:
        told = {field.name: tagged(getattr(value, field.name)) for field in fields(value)}
        if not getattr(value, "__dict__", told).keys() <= told.keys():
            raise Unwritable(f"{name} has more than its fields")
        return ["o", name, told]
    if hasattr(kind, "model_construct") and hasattr(value, "model_fields_set"):
        if value.model_extra or getattr(value, "__pydantic_private__", None):
            raise Unwritable(f"{name} has more than its fields")
        told = {field: tagged(each) for field, each in value.__dict__.items()}
        return ["m", name, told, *sorted(value.model_fields_set)]
    raise Unwritable(name)


def untagged(value: Any) -> Any:  # noqa: ANN401, PLR0911 - as above
    """Give the value of `tagged` again."""
    if value.__class__ is not list:
        return value
    tag, *rest = value
    if tag in FROM_SERIES:
        return FROM_SERIES[tag]([*map(untagged, rest)])
    if tag == "d":
        return {untagged(key): untagged(each) for key, each in rest}
    if tag == "b":
        return b64decode(rest[0])
    if tag == "delta":
        return timedelta(*rest)
    if tag == "x":
        return FROM_TEXT[rest[0]](rest[1])
    return _untagged_object(tag, rest[0], rest[1:])


def _untagged_object(tag: str, name: str, rest: list[Any]) -> Any:  # noqa: ANN401 - as above
    kind: Any = _known(name)
    if tag == "e" and isinstance(kind, type) and issubclass(kind, Enum):
        found = kind.__members__.get(rest[0])
        if found is not None:
            return found
    elif tag == "n" and hasattr(kind, "_fields") and len(kind._fields) == len(rest):
        return tuple.__new__(kind, map(untagged, rest))
    elif tag == "o" and is_dataclass(kind) and {f.name for f in fields(kind)} == rest[0].keys():
        made = object.__new__(cast("type[object]", kind))
        for field, each in rest[0].items():
            object.__setattr__(made, field, untagged(each))
        return made
    elif (
        tag == "m" and hasattr(kind, "model_fields") and kind.model_fields.keys() == rest[0].keys()
    ):
        told = {field: untagged(each) for field, each in rest[0].items()}
        return kind.model_construct(_fields_set=set(rest[1:]), **told)
    raise ProgramChanged(
        f"a result in the journal is of the class {name.replace(':', '.')}, which is not loaded "
        "here, or has other fields than it had: it goes on with the code that wrote it"
    )


def _known(name: str) -> Any:  # noqa: ANN401 - whatever has the name
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
