"""What a model gives to a tool, and what a tool gives back: the codecs, loaded when first used."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakKeyDictionary

from fanwise.core import _registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Given = tuple[tuple[Any, ...], dict[str, Any]]


class WrongArguments(ValueError):
    """A model's arguments do not fit the tool; the text says where, for the model to read."""


class Arguments(Protocol):
    """The arguments of one function: `schema` for the model, `read` to check what it wrote."""

    schema: Mapping[str, object]

    def read(self, arguments: Mapping[str, object], /) -> Given:
        """Give what the function is called with; raise `WrongArguments` where it does not fit."""
        ...


_kept: WeakKeyDictionary[FunctionType, Arguments] = WeakKeyDictionary()  # it knows no function


def arguments_of(function: Callable[..., Any]) -> Arguments:
    """Read a function's signature; raise TypeError where a model could not call it."""
    found = _kept.get(function) if isinstance(function, FunctionType) else None
    if found is None:
        make = cast("Callable[[object], Arguments]", _registry.load("codec", "arguments"))
        found = make(function)
        if isinstance(function, FunctionType):
            _kept[function] = found
    return found


def text_of(value: object) -> str:
    """Give a tool's value as a model reads it: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    write = cast("Callable[[object], str]", _registry.load("codec", "value"))
    return write(value)
