"""The type that an answer must have, by pydantic: its JSON schema, and the check of a text.

Loaded apart from the rest, since pydantic takes 30 ms of processor time and some never need it.
"""

from __future__ import annotations

from inspect import isroutine
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from fanwise.models._output import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping


class Typed:
    """A type that answers must have."""

    __slots__ = ("_adapter", "schema")

    schema: Mapping[str, object]

    def __init__(self, output: Any) -> None:  # noqa: ANN401 - any form of type
        """Make the codec of `output`; raise TypeError for what JSON cannot carry."""
        if isroutine(output):  # pydantic would call it
            msg = f"output is a type, such as list[str], got the function {output!r}"
            raise TypeError(msg)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(output)
            self.schema = self._adapter.json_schema()
        except (PydanticUserError, LookupError) as error:
            why = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
            msg = (
                f"output={output!r} is no type that JSON can carry ({why}): give a dataclass, "
                "a TypedDict, a pydantic model, or a type of str, int, float, bool, None, "
                "list, dict, tuple, Literal, Enum"
            )
            raise TypeError(msg) from None

    def read(self, text: str) -> Any:  # noqa: ANN401 - of that type
        """Give the value of an answer's text; raise `MalformedAnswer` where it does not fit."""
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise MalformedAnswer(text, _told(error)) from None

    def __repr__(self) -> str:
        """Show the schema's title or kind."""
        return f"<type of answers: {self.schema.get('title') or self.schema.get('type')}>"


def _told(error: ValidationError) -> str:
    """Say where an answer does not fit, and how."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, place['loc'])) or 'the whole'}: {place['msg']}" for place in found
    )


def codec(_address: str) -> type[Typed]:
    """Give what makes the codec of a type."""
    return Typed
