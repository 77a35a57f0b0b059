"""Schemas that are no objects: providers take objects only, so the value is wrapped in one.

A list that is asked for goes as `{"answer_value": [...]}`, and the wrapping is taken off the
text again, also while it is written: all up to the first colon, and the last brace.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

_KEY: Final = "answer_value"
_OPENING: Final = re.compile(r'\s*\{\s*"answer_value"\s*:\s*')
_BARE_OPENING: Final = '{"answer_value":'


def is_object(schema: Mapping[str, object]) -> bool:
    """Say whether a schema is that of an object, as its root says itself."""
    return schema.get("type") == "object"


def as_object(schema: Mapping[str, object]) -> dict[str, object]:
    """Give a schema as that of an object, wrapped where it is of anything else."""
    if is_object(schema):
        return dict(schema)
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    wrapped: dict[str, object] = {
        "type": "object",
        "properties": {_KEY: inner},
        "required": [_KEY],
        "additionalProperties": False,
    }
    return wrapped | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def unwrapped(text: str) -> str:
    """Take the wrapping off a whole answer; a text that has none is given as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict) and found.keys() == {_KEY}:
        return json.dumps(found[_KEY], ensure_ascii=False)
    return text


class Unwrapping:
    """Takes the wrapping off an answer that comes in pieces; one that has none goes through."""

    __slots__ = ("_held", "_opened", "_plain")

    def __init__(self) -> None:
        """Begin at the beginning of an answer."""
        self._held = ""
        self._opened = False
        self._plain = False

    def feed(self, text: str) -> str:
        """Give what is certainly of the value; what may be the wrapping's end is held back."""
        if self._plain:
            return text
        self._held += text
        if not self._opened:
            match = _OPENING.match(self._held)
            if match is None:
                return self._unless_opening()
            self._opened = True
            self._held = self._held[match.end() :]
        given = self._held.rstrip("} \t\r\n")
        self._held = self._held[len(given) :]
        return given

    def _unless_opening(self) -> str:
        """Give what is there once it cannot be the wrapping's beginning any more."""
        if _BARE_OPENING.startswith("".join(self._held.split())):
            return ""
        self._plain = True
        held, self._held = self._held, ""
        return held

    def rest(self) -> str:
        """Give what was held back at the answer's end, without the wrapping's brace."""
        held, self._held = self._held, ""
        if not self._opened:
            return held
        return held.rstrip().removesuffix("}").rstrip()

    def __repr__(self) -> str:
        """Show how much is held back."""
        return f"<Unwrapping, {len(self._held)} characters held>"
