"""`--input`: arguments for a function, from text, checked against its signature and annotations.

Each is a JSON object (arguments by name), a JSON list (in their order), `name=value`, `@file` (one
of these, from a file) or `-` (from standard input). What JSON gives is converted to the parameter's
annotation by pydantic; the value of `name=value` is taken as text where the annotation takes text,
else as JSON.
"""

import difflib
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from inspect import BoundArguments, Parameter, Signature
from pathlib import Path
from typing import Any, Final, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from fanwise.cli._refusal import refuse

_LONGEST: Final = 60  # characters of a value in a message
_FORMS: Final = 'a JSON object, such as {"query": "x"}, a JSON list, name=value, @file or -'
_NAMED: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Raw(str):
    """The value of `name=value`, before anybody knows what it is to be."""

    __slots__ = ()


def arguments_of(function: Callable[..., Any], inputs: Iterable[str]) -> BoundArguments:
    """Give the arguments for `function` that the inputs describe, converted.

    Raises `click.UsageError` that names the argument.
    """
    signature, hints = _signature(function)
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for text in inputs:
        _take(text, args, kwargs)
    _check_names(signature, kwargs)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        refuse(f"{error}; the arguments are: {_shown(signature)}")
    for name, value in bound.arguments.items():
        bound.arguments[name] = _converted(name, value, signature.parameters[name], hints)
    return bound


def _signature(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    plain = getattr(function, "function", function)  # of a step
    try:
        signature = inspect.signature(plain)
    except (TypeError, ValueError) as error:
        refuse(f"{function!r} does not say what arguments it takes: {error}")
    try:
        hints = get_type_hints(inspect.unwrap(plain), include_extras=True)
    except (AttributeError, NameError, TypeError):
        hints = {}  # names that exist for a type checker only: the values go in as they are
    return signature, hints


def _take(text: str, args: list[object], kwargs: dict[str, object]) -> None:
    """Add one input to the arguments."""
    name, equals, value = text.partition("=")
    if equals and name.isidentifier():
        _add(kwargs, {name: Raw(value)})
        return
    match _json(_read(text)):
        case dict() as named:
            _add(kwargs, named)
        case list() as listed:
            args.extend(listed)
        case other:
            refuse(f"--input {_cut(other)} is no argument by itself; write name=value")


def _read(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"--input {text} cannot be read: {error}")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "["):
            refuse(f"--input is not JSON: {error}; got {_cut(text)}")
        refuse(f"--input {_cut(text)} is none of: {_FORMS}")


def _add(kwargs: dict[str, object], more: dict[str, object]) -> None:
    for name in more:
        if name in kwargs:
            refuse(f"--input gives {name!r} twice")
    kwargs.update(more)


def _check_names(signature: Signature, kwargs: Iterable[str]) -> None:
    parameters = signature.parameters.values()
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        return
    names = [each.name for each in parameters if each.kind in _NAMED]
    for name in kwargs:
        if name not in names:
            like = difflib.get_close_matches(name, names, n=1)
            near = f"; did you mean {like[0]!r}?" if like else ""
            refuse(f"there is no argument {name!r}{near or f'; there are: {_shown(signature)}'}")


def _converted(name: str, value: Any, parameter: Parameter, hints: dict[str, Any]) -> Any:  # noqa: ANN401 - what the annotation says
    """Convert what was given for one parameter, which may be a starred one."""
    convert = _converter(name, hints)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return tuple([convert(f"{name}[{n}]", each) for n, each in enumerate(value)])
    if parameter.kind is Parameter.VAR_KEYWORD:
        return {key: convert(key, each) for key, each in value.items()}
    return convert(name, value)


def _converter(name: str, hints: dict[str, Any]) -> Callable[[str, object], object]:
    if hints.get(name, Any) is Any:
        return lambda _, value: _guessed(value) if isinstance(value, Raw) else value
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hints[name])
    except (PydanticSchemaGenerationError, PydanticUserError):
        refuse(f"argument {name!r} is a {hints[name]}, which cannot be given on a command line")
    return lambda place, value: _validated(adapter, place, value)


def _validated(adapter: TypeAdapter[object], place: str, value: object) -> object:
    try:
        if not isinstance(value, Raw):
            return adapter.validate_python(value)
        return _from_text(adapter, str(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        inner = "".join(f"[{part!r}]" for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        said = first["msg"][:1].lower() + first["msg"][1:]
        refuse(f"argument {place}{inner}: {said}, got {_cut(first['input'])}{more}")


def _from_text(adapter: TypeAdapter[object], text: str) -> object:
    """Take text as it stands where that fits, else as JSON."""
    try:
        return adapter.validate_python(text)
    except ValidationError:
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return adapter.validate_python(value)


def _guessed(text: str) -> object:
    """Take text for which there is no annotation as JSON where it is some, else as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return str(text)


def _shown(signature: Signature) -> str:
    parameters = [str(each) for each in signature.parameters.values()]
    return ", ".join(parameters) or "none"


def _cut(value: object) -> str:
    shown = repr(str(value)) if isinstance(value, str) else json.dumps(value, default=repr)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
