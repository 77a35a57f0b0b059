"""Several opinions on one question: the calls that make them, and what they are counted as."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fanwise.core import made_by_caller
from fanwise.models._chat import Chat, check_asked
from fanwise.models._model import Model
from fanwise.models._panel import as_models
from fanwise.models._prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from typing_extensions import TypeForm

    from fanwise.core import Call
    from fanwise.models._answer import Answer
    from fanwise.models._chat import Asked

T = TypeVar("T")

EXAMPLE = 'ask_all([small, large], "yes or no?")'
_AROUND = " \t\r\n.,;:!?*_`'\"()[]{}<>\u2018\u2019\u201c\u201d\u00ab\u00bb"


def ballot(answer: Answer[object]) -> Hashable:
    """Give what an answer is counted as in a vote: `vote(ask_all(models, question), key=ballot)`.

    A text without the case, the spaces and the punctuation around it; a value of another type
    (`output=`) is counted as it is. Raises ValueError, so that the vote is lost and said to be, for
    an answer that was cut or is empty. It is for short answers: a sentence is never counted twice.
    """
    if not answer.complete:
        msg = f"the answer of {answer.model} was not finished ({answer.finish}): no vote"
        raise ValueError(msg)
    value: Any = answer.value
    if not isinstance(value, str):
        counted: Hashable = value
        return counted
    plain = unicodedata.normalize("NFKC", value).casefold()
    said = " ".join(plain.split()).strip(_AROUND)
    if not said:
        msg = f"the answer of {answer.model} is empty: no vote"
        raise ValueError(msg)
    return said


@overload
def ask_all(
    models: Model | Iterable[Model],
    asked: Asked | Iterable[Asked],
    *,
    max_tokens: int | None = ...,
) -> list[Call[Answer[str]]]: ...
@overload
def ask_all(
    models: Model | Iterable[Model],
    asked: Asked | Iterable[Asked],
    *,
    output: TypeForm[T],
    max_tokens: int | None = ...,
) -> list[Call[Answer[T]]]: ...
def ask_all(
    models: Model | Iterable[Model],
    asked: Asked | Iterable[Asked],
    *,
    output: TypeForm[object] | None = None,
    max_tokens: int | None = None,
) -> list[Call[Answer[Any]]]:
    """Give a call for every model and every way to ask, for `vote`, `fan_out` or `ensemble`.

    The models take turns, then the next way to ask: calls that stand side by side are unlike, so
    that a wave of a vote is varied. Nothing runs before a pattern asks.
    """
    given = [models] if isinstance(models, Model) else models
    several: list[Model] = as_models(given, Model, EXAMPLE)
    ways: list[Asked] = [asked] if isinstance(asked, (str, Prompt, Chat)) else list(asked)
    for each in ways:
        check_asked(each)
    if not ways:
        msg = f"ask_all needs a question, such as {EXAMPLE}, got none"
        raise ValueError(msg)
    calls: list[Call[Answer[Any]]] = []
    for way in ways:
        for one in several:
            if output is None:
                call: Call[Answer[Any]] = one.ask(way, max_tokens=max_tokens)
            else:
                call = one.ask(way, output=output, max_tokens=max_tokens)
            calls.append(made_by_caller(call))
    return calls
