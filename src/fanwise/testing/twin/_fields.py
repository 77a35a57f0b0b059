"""Reading the fields of a request, each fault told with the field's path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.testing.twin._http import Refused

if TYPE_CHECKING:
    from fanwise.testing.twin._values import Json


class Fields:
    """A JSON object of a request; `path` says where it stands there ("" at the top)."""

    __slots__ = ("_given", "path")

    def __init__(self, given: object, path: str = "") -> None:
        if not isinstance(given, dict):
            msg = f"Invalid type for '{path}': expected an object, but got {given!r} instead."
            raise Refused(400, "invalid", msg, param=path, code="invalid_type")
        self._given: Json = given
        self.path = path

    def __repr__(self) -> str:
        """Show the path and the names of the fields."""
        return f"<Fields {self.path or 'of the request'}: {', '.join(self._given)}>"

    def at(self, name: str) -> str:
        """Give the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name: str, expected: str) -> Refused:
        """Give the error of a field that is wrong."""
        path = self.at(name)
        if self._given.get(name) is None:
            text = f"Missing required parameter: '{path}'."
            return Refused(400, "invalid", text, param=path, code="missing_required_parameter")
        got = self._given[name]
        text = f"Invalid type for '{path}': expected {expected}, but got {got!r} instead."
        return Refused(400, "invalid", text, param=path, code="invalid_type")

    def get(self, name: str) -> Any:  # noqa: ANN401 - JSON of any kind
        """Give a field, or None."""
        return self._given.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text; where there is none the default, else Refused is raised."""
        found = self._given.get(name)
        if found is None and default is not None:
            return default
        if not isinstance(found, str):
            raise self.wrong(name, "a string")
        return found

    def flag(self, name: str) -> bool:
        """Give a flag; false where there is none."""
        found = self._given.get(name)
        if found is not None and not isinstance(found, bool):
            raise self.wrong(name, "a boolean")
        return bool(found)

    def count(self, name: str, *, least: int = 1) -> int | None:
        """Give a whole number of at least `least`, or None where there is none."""
        found = self._given.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.wrong(name, "an integer")
        if found < least:
            text = f"Invalid '{self.at(name)}': {found} is below the minimum of {least}."
            raise Refused(400, "invalid", text, param=self.at(name), code="integer_below_min_value")
        return found

    def items(self, name: str, *, needed: bool = True) -> list[Any]:
        """Give a list; an empty one where there is none and none is needed."""
        found = self._given.get(name)
        if found is None and not needed:
            return []
        if not isinstance(found, list) or (needed and not found):
            raise self.wrong(name, "a non-empty array" if needed else "an array")
        return found

    def fields(self, name: str, *, needed: bool = True) -> Fields:
        """Give an object; an empty one where there is none and none is needed."""
        found = self._given.get(name)
        if found is None and not needed:
            found = {}
        if not isinstance(found, dict):
            raise self.wrong(name, "an object")
        return Fields(found, self.at(name))
