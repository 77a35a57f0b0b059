"""`--limit` and `--limits`: what may be used of a name, in a word or in a file."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from fanwise import Limit
from fanwise.cli._refusal import refuse
from fanwise.cli._settings import number_of, settings_of
from fanwise.core import _registry

if TYPE_CHECKING:
    from fanwise.core._reload import LimitsFile

OPTION: Final = "--limit"
ANY: Final = "*"
_WORDS: Final = {
    "at_once": "at_once",
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "input": "input_tokens_per_minute",
    "output": "output_tokens_per_minute",
    "charge": "charge",
    "burst": "burst",
}


limits_option: Final = click.option(
    "--limits",
    "limits_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of limits, which may be changed while the command runs.",
    metavar="FILE",
)


def read_quotas(given: Iterable[str]) -> dict[str, Limit]:
    """Read `[NAME,]requests=500,tokens=200000`; what has no name is for all that are not named.

    Raises ValueError for what cannot be meant.
    """
    limits: dict[str, Limit] = {}
    for text in given:
        name, settings = settings_of(OPTION, text, _WORDS)
        if not settings:
            raise ValueError(f"{OPTION} {text!r} bounds nothing: such as {text},requests=500")
        _add(limits, name or ANY, text, settings)
    return _in_order(limits)


def read_named(given: Iterable[str]) -> dict[str, Limit]:
    """Read `NAME=N`, a width, or `NAME,requests=500,...`; a name that is not there has no limit.

    Raises ValueError for what cannot be meant.
    """
    limits: dict[str, Limit] = {}
    for text in given:
        name, settings = settings_of(OPTION, text, _WORDS) if "," in text else _width(text)
        if not name:
            raise ValueError(_unnamed(text))
        _add(limits, name, text, settings)
    return _in_order({ANY: Limit()} | limits)


def with_file(
    defined: Mapping[str, Limit], path: Path | None
) -> "Mapping[str, Limit] | LimitsFile":
    """Give limits with those of a file, which go first; refuse what cannot be read or meant."""
    if path is None:
        return defined
    file = cast("type[LimitsFile]", _registry.load("limit", "file"))(path, beside=defined)
    try:
        file.read()
    except OSError as error:
        refuse(f"--limits {path} cannot be read: {error.strerror or error}")
    except ValueError as error:
        refuse(f"--limits {error}")
    return file


def fits(name: str, limits: Iterable[str]) -> bool:
    """Say whether any of the names or patterns is for a name."""
    return any(fnmatchcase(name, pattern) for pattern in limits)


def _add(limits: dict[str, Limit], name: str, text: str, settings: dict[str, str]) -> None:
    if name in limits:
        raise ValueError(f"{OPTION} {text!r}: {name!r} has one already")
    named: dict[str, Any] = {_WORDS[key]: _value(key, value) for key, value in settings.items()}
    try:
        limits[name] = Limit(**named)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{OPTION} {text!r}: {error}") from None


def _value(key: str, value: str) -> float | str:
    if key == "charge":
        return value
    if key == "at_once" and value.isdecimal():
        return int(value)
    return number_of(OPTION, key, value)


def _width(text: str) -> tuple[str, dict[str, str]]:
    name, _, number = text.rpartition("=")
    if not number.isdecimal() or not int(number):
        raise ValueError(_unnamed(text))
    return name, {"at_once": number}


def _unnamed(text: str) -> str:
    return (
        f"{OPTION} {text!r} is not NAME=N with N at least 1, such as search=8, "
        "or NAME,requests=500,tokens=200000"
    )


def _in_order(limits: dict[str, Limit]) -> dict[str, Limit]:
    """Let names stand before patterns, and the widest pattern last: the first that fits counts."""
    return dict(sorted(limits.items(), key=lambda each: (each[0] == ANY, "*" in each[0])))
