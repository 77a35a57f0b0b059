"""The arguments of a function as a model is told of them, and their check, by pydantic.

The schema is that of the signature: types, defaults, and what `Annotated[int, Field(...)]` says.
Loaded when a tool is first made: pydantic takes 30 ms of processor time.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from fanwise.models.tools._given import WrongArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.models.tools._given import Given

_VALUES: TypeAdapter[object] = TypeAdapter(object)


class Arguments:
    """The arguments of one function: `schema` for the model, `read` to check what it wrote."""

    __slots__ = ("_codec", "schema")

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read a function's signature; raise TypeError where a model could not call it."""
        self._codec: TypeAdapter[Any] = TypeAdapter(cast("Any", _collector(function)))
        self.schema = _schema(self._codec, function)

    def read(self, arguments: Mapping[str, object]) -> Given:
        """Give what the function is called with; raise `WrongArguments` where it does not fit."""
        try:
            given: Given = self._codec.validate_python(dict(arguments))
        except ValidationError as error:
            raise WrongArguments(_told(error)) from error
        return given

    def __repr__(self) -> str:
        """Name the arguments."""
        return f"<Arguments {self.schema}>"


def _collector(function: Callable[..., Any]) -> Callable[..., Given]:
    """Make a function of the same signature that gives back what it is called with."""

    def collect(*args: Any, **kwargs: Any) -> Given:  # noqa: ANN401 - of any function
        return args, kwargs

    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        msg = f"the signature of {function!r} cannot be read, so no model can be told: {error}"
        raise TypeError(msg) from error
    if next(iter(signature.parameters), "") == "self":
        msg = f"{function!r} is a method: give that of an object, such as shop.find"
        raise TypeError(msg)
    given = [each for each in signature.parameters.values() if each.annotation is not each.empty]
    collect.__signature__ = signature.replace(return_annotation=Any)  # type: ignore[attr-defined]
    collect.__annotations__ = {each.name: each.annotation for each in given}
    return collect


def _schema(codec: TypeAdapter[Any], function: Callable[..., Any]) -> dict[str, object]:
    try:
        schema = codec.json_schema()
    except PydanticUserError as error:
        msg = (
            f"a model gives arguments by name, as JSON, and {function!r} takes others "
            f"({error.message}): make a tool of a function around it"
        )
        raise TypeError(msg) from error
    if schema.get("type") != "object":
        msg = f"a model gives arguments by name, and those of {function!r} are positional only"
        raise TypeError(msg)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)  # the name again, which would be paid for with every question
    return schema


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)


def arguments(_address: str) -> type[Arguments]:
    """Give what reads a function's arguments, for the table of codecs."""
    return Arguments


def value_text(_address: str) -> Callable[[object], str]:
    """Give what writes a tool's value as JSON, for the table of codecs."""
    return _as_json


def _as_json(value: object) -> str:
    return _VALUES.dump_json(value, fallback=str).decode()
