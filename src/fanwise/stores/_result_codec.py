"""How results are written: as they are, or by the step's return annotation.

Most values are written as they are (see `fanwise.stores._plain_data`). One of any other type goes
through pydantic by the step's return annotation, and is read back at once: what does not come back
equal is refused by name, before anybody counts on it. Rejected: pydantic for all (an int under
`-> float` comes back as a float, a subclass loses its fields without a word).
"""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from fanwise.core import NotStorable, ProgramChanged
from fanwise.stores._plain_data import decode_plain, encode_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._entries import Codec
    from fanwise.core._step import Definition

TYPED = b"t"
UNTYPED = (Any, object, None, type(None), inspect.Parameter.empty)
WRAPPERS = frozenset({"Awaitable", "Coroutine", "Call", "Future", "Task"})
STREAMS = frozenset({"AsyncIterator", "AsyncGenerator", "AsyncIterable"})


class ResultCodec:
    """Writes the results of one step."""

    __slots__ = ("adapter", "annotation", "step")

    def __init__(self, step: str, annotation: Any) -> None:  # noqa: ANN401 - any form of type
        """Write results of `annotation`; raise `NotStorable` where no data can be of that type."""
        self.step = step
        self.annotation = annotation
        self.adapter: TypeAdapter[Any] | None = None
        if annotation in UNTYPED or isinstance(annotation, (TypeVar, Unknown)):
            return
        try:
            self.adapter = TypeAdapter(annotation)
        except (PydanticUserError, TypeError) as error:
            raise self._refused(f"{told(annotation)}, which is no data") from error

    def encode(self, value: Any) -> bytes:  # noqa: ANN401 - the step's value
        """Give the bytes of a result; raise `NotStorable` where they would not give it again."""
        try:
            data = encode_plain(value)
        except (ValueError, RecursionError) as error:
            raise self._refused(f"a value that cannot be written ({error})") from error
        return TYPED + self._typed(value) if data is None else data

    def _typed(self, value: Any) -> bytes:  # noqa: ANN401 - the step's value
        kind = type(value).__qualname__
        if self.adapter is None:
            raise self._refused(f"a {kind}, and its return annotation does not say so")
        try:
            data = self.adapter.dump_json(value, warnings="error")
            back = self.adapter.validate_json(data)
        except ValueError as error:  # as both refusals of pydantic are
            why = str(error).partition("\n")[0]
            raise self._refused(f"a {kind} that is no {told(self.annotation)} ({why})") from error
        if type(back) is not type(value) or not (back == value or repr(back) == repr(value)):
            raise self._refused(
                f"a {kind} that does not come back as it was when it is written as "
                f"{told(self.annotation)}"
            )
        return data

    def decode(self, data: bytes) -> Any:  # noqa: ANN401 - as above
        """Give the result of its bytes; raise `ProgramChanged` where they do not fit the step."""
        if data[:1] != TYPED:
            return decode_plain(data)
        try:
            if self.adapter is not None:
                return self.adapter.validate_json(data[1:])
        except ValidationError as error:
            raise self._changed() from error
        raise self._changed()

    def _changed(self) -> ProgramChanged:
        return ProgramChanged(
            f"a result of {self.step} in the journal is no {told(self.annotation)}: its return "
            "annotation, or that type, changed since"
        )

    def _refused(self, what: str) -> NotStorable:
        return NotStorable(
            f"{self.step} gives {what}: under a journal a step returns data (None, bool, int, "
            "float, str, bytes, list, tuple, set, dict, enums, dataclasses, pydantic models, named "
            "tuples, of modules' own classes), such as found.values() in place of a FanIn"
        )

    def __repr__(self) -> str:
        """Name step and type."""
        return f"<codec of {self.step}: {told(self.annotation)}>"


class Unknown:
    """An annotation that cannot be looked up, such as a class of a function's body."""


def told(annotation: Any) -> str:  # noqa: ANN401 - any form of type
    """Give an annotation as people write it."""
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


CODECS: weakref.WeakKeyDictionary[Callable[..., Any], ResultCodec] = weakref.WeakKeyDictionary()


def codec_of(step: Definition[Any]) -> Codec:
    """Give the codec of a step's results; raise `NotStorable` where it gives no data."""
    function = step.function
    try:
        codec = CODECS.get(function)
    except TypeError:  # an object that cannot be held weakly
        return ResultCodec(step.name, returned(function))
    if codec is None:
        codec = ResultCodec(step.name, returned(function))
        CODECS[function] = codec
    return codec


def returned(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - any form of type
    """Give the type of what awaiting a function's call gives."""
    plain = inspect.unwrap(getattr(function, "func", function))
    if not hasattr(plain, "__code__"):
        plain = getattr(plain, "__call__", plain)  # noqa: B004 - an object that is called
    given = getattr(plain, "__annotations__", {})
    if "return" not in given:
        return inspect.Parameter.empty
    try:
        found = get_type_hints(plain, localns=enclosed(plain), include_extras=True)["return"]
    except (NameError, TypeError, AttributeError):
        return Unknown()
    origin = get_origin(found)
    name = getattr(origin, "__name__", "")
    arguments = get_args(found)
    if name in STREAMS and arguments:
        return list[arguments[0]]  # type: ignore[valid-type]
    return arguments[-1] if name in WRAPPERS and arguments else found


def enclosed(function: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a function
    """Give the names of enclosing functions that a function uses."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return found


def maker(_address: str) -> object:
    """Give what gives the codec of a step."""
    TypeAdapter(int)  # pydantic looks for its plugins when the first is made: here, not on the loop
    return codec_of
