"""The options of `fanwise twin`: each a name and settings in one word, `NAME,a=1,b=2`."""

import json
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from fanwise.cli._settings import number_of, settings_of
from fanwise.testing.twin import BatchPace, Fault, Law, Price, Quota, Script

_ANY: Final = "*"
_QUOTA: Final = {
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "input": "input_tokens_per_minute",
    "output": "output_tokens_per_minute",
    "charge": "charge",
    "burst": "burst_s",
}
_RULES: Final = ("auto", "choose", "echo", "extract", "quote")


def read_models(given: Sequence[str]) -> dict[str, Law] | None:
    """Read `NAME,first=0.4,per_second=80`; none is any model."""
    laws = {}
    for text in given:
        name, settings = settings_of("--model", text, [each.name for each in fields(Law)])
        if name is None:
            raise ValueError(f'--model {text!r} names no model; write "NAME,first=0.4" ("*": all)')
        draws: Any = settings.pop("draws", "number")
        laws[name] = Law(
            draws=draws,
            **{key: number_of("--model", key, value) for key, value in settings.items()},
        )
    return laws or None


def read_quotas(given: Sequence[str]) -> dict[str, Quota] | None:
    """Read `requests=500,tokens=30000`, with a model's name in front or for all."""
    quotas = {}
    for text in given:
        name, settings = settings_of("--quota", text, _QUOTA)
        named: dict[str, Any] = {
            _QUOTA[key]: value if key == "charge" else number_of("--quota", key, value)
            for key, value in settings.items()
        }
        quotas[name or _ANY] = Quota(**named)
    return quotas or None


def read_prices(given: Sequence[str]) -> dict[str, Price]:
    """Read `NAME,input=2.5,output=10`."""
    prices = {}
    known = [each.name for each in fields(Price)]
    for text in given:
        name, settings = settings_of("--price", text, known)
        if missing := {"input", "output"} - settings.keys():
            raise ValueError(f"--price {text!r} lacks {' and '.join(sorted(missing))}")
        exact = {key: _dollars(key, value) for key, value in settings.items()}
        prices[name or _ANY] = Price(**exact)
    return prices


def read_pace(given: str | None) -> BatchPace | None:
    """Read `first=1,each=0.1`, in seconds."""
    if given is None:
        return None
    name, settings = settings_of("--batches", given, [each.name for each in fields(BatchPace)])
    if name is not None:
        raise ValueError(f"--batches {given!r} is for all models; write only what differs")
    return BatchPace(**{key: number_of("--batches", key, value) for key, value in settings.items()})


def read_answers(given: str) -> str | Script:
    """Read a rule's name, or a JSON file: a list of answers, or an object from match to answer."""
    if given in _RULES:
        return given
    if not given.endswith(".json"):
        raise ValueError(f"--answers {given!r}: one of {', '.join(_RULES)}, or a file *.json")
    found = _json("--answers", Path(given))
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return Script(found, repeat=True)
    if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
        return Script(matches=found)
    raise ValueError(f"--answers {given}: a list of texts, or an object from match to text")


def read_faults(path: Path | None) -> list[Fault]:
    """Read a JSON list of objects with the fields of `Fault`."""
    if path is None:
        return []
    found = _json("--faults", path)
    if not isinstance(found, list):
        raise TypeError(
            f"--faults {path}: a list of faults is expected, not {type(found).__name__}"
        )
    return [_fault(path, place, each) for place, each in enumerate(found)]


def _fault(path: Path, place: int, given: object) -> Fault:
    known = {each.name for each in fields(Fault)}
    if not isinstance(given, dict) or "kind" not in given:
        raise ValueError(f"--faults {path}, fault {place}: an object with a kind, not {given!r}")
    if unknown := sorted(given.keys() - known):
        names = ", ".join(sorted(known))
        raise ValueError(f"--faults {path}, fault {place}: {unknown[0]!r} is none of {names}")
    try:
        return Fault(**given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--faults {path}, fault {place}: {error}") from error


def _json(option: str, path: Path) -> Any:  # noqa: ANN401 - JSON of any kind
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{option} {path} is no JSON: {error}") from error


def _dollars(key: str, value: str) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f"--price: {key}={value!r} is no number") from None
