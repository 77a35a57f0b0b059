"""What a run gave, as text and as JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from fanwise import FanIn, Outcome
from fanwise.patterns import Vote

_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)


def as_data(value: object) -> tuple[object, list[str]]:
    """Give a value as plain data, and the types of which it shows the text only.

    Dataclasses, pydantic models, sets, dates, paths and the like are data; of what is none, such
    as an open file, the `repr` is shown: what a run has made is never lost to its printing.
    """
    odd: dict[str, None] = {}

    def fall_back(part: object) -> object:
        known = dict(part) if isinstance(part, Mapping) else _pattern_data(part)
        if known is not None:
            return known
        odd.setdefault(type(part).__qualname__)
        return repr(part)

    try:
        return _ANYTHING.dump_python(value, mode="json", fallback=fall_back), list(odd)
    except ValueError:  # bytes that are no text, or a value that holds itself
        return repr(value), [type(value).__qualname__]


def missing_of(value: object) -> dict[str, str]:
    """Name what is missing from a value, with its cause; nothing where it is complete.

    A value says itself that it is incomplete: by `complete`, which is False, as a `FanIn` does.
    """
    if getattr(value, "complete", None) is not False:
        return {}
    if isinstance(value, FanIn):
        return {each.name: _cause(each) for each in value.outcomes if each.status != "ok"} or {
            "input": "not read to its end"
        }
    named = getattr(value, "missing", None)
    if isinstance(named, dict):
        return {str(name): str(cause) for name, cause in named.items()}
    names = list(named) if isinstance(named, (list, tuple, set, frozenset)) else []
    return dict.fromkeys(map(str, names), "") or {"part of it": "its `complete` is False"}


def as_text(data: object) -> str:
    """Give data as a result is printed: text as it stands, nothing for None, the rest as JSON."""
    if data is None:
        return ""
    text = data if isinstance(data, str) else as_json(data)
    return text if text.endswith("\n") or not text else f"{text}\n"


def as_json(data: object) -> str:
    """Give data as indented JSON."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _pattern_data(value: object) -> dict[str, Any] | None:
    """Give the results of patterns by name, and of an outcome what became of it."""
    if isinstance(value, FanIn):
        return {"complete": value.complete, "ok": dict(value.ok), "missing": missing_of(value)}
    if isinstance(value, Vote):
        names = ("answer", "share", "counts", "asked", "tied", "stopped_early")
        return {name: getattr(value, name) for name in names}
    if isinstance(value, Outcome):
        kept = {"value": value.result} if value.status == "ok" else {"cause": _cause(value)}
        return {"name": value.name, "status": value.status, **kept}
    return None


def _cause(outcome: Outcome[object]) -> str:
    error = outcome.error
    said = "" if error is None else f": {type(error).__name__}: {error}"
    return f"{outcome.status}{said}".rstrip(": ")
