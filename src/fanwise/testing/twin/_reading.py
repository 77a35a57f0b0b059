"""More ways to read the fields of a request, for bodies that are made of kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fanwise.testing.twin._values import Json


def malformed(message: str, param: str) -> Refused:
    """Return the error (400) for a field, whose path is `param`."""
    return Refused(400, "invalid", message, param=param)


def has(fields: Fields, name: str) -> bool:
    """Whether a field is there; null is the same as absent."""
    return fields.get(name) is not None


def inner(fields: Fields, name: str) -> Fields | None:
    """Return a field as an object, or None where it is absent."""
    return fields.fields(name) if has(fields, name) else None


def objects(fields: Fields, name: str, *, needed: bool = False) -> Iterator[Fields]:
    """Yield the objects of a list, each with its place in its path."""
    for place, each in enumerate(fields.items(name, needed=needed)):
        yield Fields(each, fields.at(f"{name}.{place}"))


def one_of(fields: Fields, name: str, known: Sequence[str], default: str | None = None) -> str:
    """Return a text that must be among `known`."""
    found = fields.text(name, default)
    if found not in known:
        wanted = ", ".join(repr(word) for word in known)
        raise malformed(f"Input should be one of {wanted}, not {found!r}", fields.at(name))
    return found


def read_json(fields: Fields, name: str, *, needed: bool = True) -> Json:
    """Return an object as it is, such as a JSON schema; empty where it is absent, unless needed."""
    if not needed and not has(fields, name):
        return {}
    fields.fields(name)
    found: Json = fields.get(name)
    return found
