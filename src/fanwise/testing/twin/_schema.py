"""A value that validates against a JSON schema, with what a text says under the same names."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.testing.twin._values import Json

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_DEEPEST: Final = 12
_DIGITS: Final = 15
_FORMATS: Final = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: Json, text: str) -> Any:  # noqa: ANN401 - JSON of any kind
    """Give a value of the schema.

    A text that is JSON itself, or holds a JSON object, is taken for the answer where the schema
    asks for an object. Else each property takes what stands behind its name in the text (`name:
    value`, `name = value`), else a text takes the whole text, a number the first number in it, a
    list what a comma-separated line holds. Bounds, enums, constants, references and the first of
    alternatives are kept to; patterns and multiples are not.
    """
    given = _json_in(text)
    if given is not None and set(given) & set(schema.get("properties", ())):
        known = schema.get("properties", {})
        rest = _Filler(schema).value(schema, text, 0)
        return {**rest, **{name: value for name, value in given.items() if name in known}}
    return _Filler(schema).value(schema, text, 0)


def _json_in(text: str) -> Json | None:
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class _Filler:
    """Fills one schema, whose definitions its parts refer to."""

    def __init__(self, root: Json) -> None:
        self.root = root

    def value(self, schema: Any, text: str, depth: int) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return None
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _named_in(schema["enum"], text)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, text, depth)
        if kind == "array":
            return self._array(schema, text, depth)
        return _SIMPLE.get(kind, _nothing)(schema, text)

    def _resolved(self, schema: Json, depth: int) -> Json:
        for _ in range(_DEEPEST - depth):
            if "$ref" in schema:
                schema = self._definition(schema["$ref"])
            elif choice := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                real = [each for each in choice if each.get("type") != "null"]
                schema = (real or choice)[0]
            else:
                break
        return schema

    def _definition(self, reference: str) -> Json:
        found: Any = self.root
        for name in reference.removeprefix("#/").split("/"):
            found = found.get(name, {}) if isinstance(found, dict) else {}
        return found if isinstance(found, dict) else {}

    def _object(self, schema: Json, text: str, depth: int) -> Json:
        named: Json = schema.get("properties", {})
        return {
            name: self.value(each, _said(name, text), depth + 1)
            for name, each in named.items()
            if depth < _DEEPEST // 2 or name in schema.get("required", ())
        }

    def _array(self, schema: Json, text: str, depth: int) -> list[Any]:
        items = schema.get("items", {})
        least, most = schema.get("minItems", 1), schema.get("maxItems", 16)
        if depth >= _DEEPEST // 2 and not schema.get("minItems"):
            return []
        told = [each.strip() for each in re.split(r"[,;\n]", text) if each.strip()] or [""]
        count = min(max(len(told), least), most)
        return [self.value(items, told[place % len(told)], depth + 1) for place in range(count)]


def _kind(schema: Json) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    return str(kind)


def _said(name: str, text: str) -> str:
    """Give what stands behind a name in the text, or all of it."""
    words = re.escape(name).replace("_", "[_ -]")
    found = re.search(rf"\b{words}\b[\"']?\s*(?:[:=]|is)\s*(.+)", text, re.IGNORECASE)
    return found[1].strip() if found else text


def _named_in(values: list[Any], text: str) -> Any:  # noqa: ANN401 - JSON
    small = text.lower()
    return next((each for each in values if str(each).lower() in small), values[0])


def _text(schema: Json, text: str) -> str:
    if (form := schema.get("format")) in _FORMATS:
        return _FORMATS[form]
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _number(schema: Json, text: str) -> float:
    found = _NUMBER.search(text)
    return _bounded(float(found[0]) if found else 0.0, schema, math.nextafter)


def _integer(schema: Json, text: str) -> int:
    found = _NUMBER.search(text)
    value = float(found[0]) if found and len(found[0]) <= _DIGITS else 0.0
    return int(_bounded(float(int(value)), schema, _next_whole))


def _bounded(value: float, schema: Json, beside: Callable[[float, float], float]) -> float:
    least = [schema.get("minimum", -math.inf)]
    if "exclusiveMinimum" in schema:
        least.append(beside(schema["exclusiveMinimum"], math.inf))
    most = [schema.get("maximum", math.inf)]
    if "exclusiveMaximum" in schema:
        most.append(beside(schema["exclusiveMaximum"], -math.inf))
    return float(max(min(value, *most), *least))


def _next_whole(value: float, towards: float) -> float:
    return value + (1 if towards > value else -1)


def _boolean(_schema: Json, text: str) -> bool:
    return not re.search(r"\b(false|no|not|never)\b", text, re.IGNORECASE)


def _nothing(_schema: Json, _text: str) -> None:
    return None


_SIMPLE: Final[dict[str, Callable[[Json, str], Any]]] = {
    "string": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}
