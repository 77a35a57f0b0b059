"""The JSON of a request, read field by field; what is wrong is said with the field's path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanwise.testing.twin._http import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def malformed(message: str, param: str) -> Refused:
    """Return the error for a field (its path is `param`) that a provider answers with 400."""
    return Refused(400, "invalid", message, param=param)


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and where it stands in the request. Absent and null are the same."""

    body: Mapping[str, object]
    path: str = ""

    @classmethod
    def of(cls, value: object, path: str = "") -> Fields:
        """Take `value` as an object; anything else is `Refused` with 400."""
        if not isinstance(value, dict):
            raise malformed("Input should be an object", path or "body")
        return cls(value, path)

    def at(self, name: object) -> str:
        """Return the path of a field of this object."""
        return f"{self.path}.{name}" if self.path else str(name)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.body.get(name) is not None

    def text(self, name: str) -> str:
        """Return a field that must be there as text."""
        if not self.has(name):
            raise malformed("Field required", self.at(name))
        return self.text_or(name, "")

    def text_or(self, name: str, default: str) -> str:
        """Return a field as text."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise malformed("Input should be a valid string", self.at(name))
        return value

    def number(self, name: str, *, least: int = 0) -> int | None:
        """Return a field as a whole number of at least `least`, or None where it is absent."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise malformed("Input should be a valid integer", self.at(name))
        if value < least:
            raise malformed(f"Input should be greater than or equal to {least}", self.at(name))
        return value

    def flag(self, name: str) -> bool:
        """Return a field as a boolean; False where it is absent."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, bool):
            raise malformed("Input should be a valid boolean", self.at(name))
        return bool(value)

    def inner(self, name: str) -> Fields | None:
        """Return a field as an object, or None where it is absent."""
        value = self.body.get(name)
        return None if value is None else Fields.of(value, self.at(name))

    def items(self, name: str) -> tuple[object, ...]:
        """Return a field as a list; empty where it is absent."""
        value = self.body.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise malformed("Input should be a valid array", self.at(name))
        return tuple(value)

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of a list."""
        for index, value in enumerate(self.items(name)):
            yield Fields.of(value, self.at(f"{name}.{index}"))

    def one_of(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Return a field whose text must be among `known`."""
        value = self.text(name) if default is None else self.text_or(name, default)
        if value not in known:
            wanted = ", ".join(repr(word) for word in known)
            raise malformed(f"Input should be one of {wanted}, not {value!r}", self.at(name))
        return value
