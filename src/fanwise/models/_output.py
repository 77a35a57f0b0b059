"""The type that an answer must have: its JSON schema, and the check of an answer's text."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from fanwise.core import _registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import TypeForm

T = TypeVar("T")


class MalformedAnswer(ValueError):
    """A model's answer does not fit the type that was asked for; `text` is what it wrote."""

    def __init__(self, text: str, why: str) -> None:
        """Keep the text, and say in `why` where it does not fit."""
        super().__init__(f"the answer does not fit: {why}")
        self.text = text
        self.why = why


class Codec(Protocol):
    """A type that answers must have: its JSON schema, and what reads a text as it."""

    schema: Mapping[str, object]

    def read(self, text: str, /) -> Any:  # noqa: ANN401 - of the type
        """Give the value of a text; raise `MalformedAnswer` where it does not fit."""
        ...


def codec_of(output: TypeForm[object]) -> Codec:
    """Give the codec of a type, made once; raise TypeError for a type that JSON cannot carry."""
    if isinstance(output, Hashable):
        return cast("Callable[[object], Codec]", _kept)(output)
    return _made(output)


@lru_cache(1)
def load_codec() -> Callable[[object], Codec]:
    """Load what makes the codec of a type; it takes some 50 ms, once."""
    return cast("Callable[[object], Codec]", _registry.load("codec", "json"))


def _made(output: object) -> Codec:
    return load_codec()(output)


_kept = lru_cache(256)(_made)


def schema_of(output: TypeForm[object] | None) -> Mapping[str, object] | None:
    """Give the JSON schema of a type, `None` for free text."""
    return None if output is None else codec_of(output).schema


def read_output(output: TypeForm[T], text: str) -> T:
    """Read an answer's text as `output`; raise `MalformedAnswer` where it does not fit."""
    value: T = codec_of(output).read(text)
    return value
