"""The type that an answer must have: its JSON schema, and the check of an answer's text."""

from functools import lru_cache
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class MalformedAnswer(ValueError):
    """A model's answer does not fit the type that was asked for; `text` is what it wrote."""

    def __init__(self, text: str, why: str) -> None:
        """Keep the text, and say in `why` where it does not fit."""
        super().__init__(f"the answer does not fit: {why}")
        self.text = text
        self.why = why


@lru_cache(256)
def adapter(output: type[T]) -> TypeAdapter[T]:
    """Give the codec of a type, made once."""
    return TypeAdapter(output)


def schema_of(output: type[object]) -> dict[str, object]:
    """Give the JSON schema of a type."""
    return adapter(output).json_schema()


def read_output(output: type[T], text: str) -> T:
    """Read an answer's text as `output`; raise `MalformedAnswer` where it does not fit."""
    try:
        return adapter(output).validate_json(text)
    except ValidationError as error:
        raise MalformedAnswer(text, str(error)) from error
