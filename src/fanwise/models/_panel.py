"""What several models are asked together: the checks that all such functions share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from fanwise.core import Call, excuse
from fanwise.models._model import Model

K = TypeVar("K")


def as_models(given: object, kinds: type[K] | tuple[type[Any], ...], what: str) -> list[K]:
    """Give what was given as a list; raise where it is none, is empty, or holds something else.

    `what` names the pattern and shows how it is called. Calls that are refused are excused.
    """
    if isinstance(given, (Model, Call, str)) or not isinstance(given, Iterable):
        excuse_calls([given])
        msg = f"models are several, such as {what}, got {given!r}"
        raise TypeError(msg)
    models = list(given)
    for each in models:
        if not isinstance(each, kinds):
            excuse_calls(models)
            calls = "" if kinds is Model else ", or calls of their answers"
            shown = 'model("anthropic:claude-haiku-4-5")'
            msg = f"models are models, such as {shown}{calls}: got {each!r}"
            raise TypeError(msg)
    if not models:
        msg = f"models are at least one, such as {what}, got none"
        raise ValueError(msg)
    return models


def excuse_calls(given: Iterable[object]) -> None:
    """Excuse calls whose pattern is refused: one mistake is reported once."""
    for each in given:
        if isinstance(each, Call):
            excuse(each)
