"""Responses of the google-genai client; in a stream each piece is one, with the counts so far."""

from functools import partial
from typing import Final

from fanwise.core import Reader, Reading
from fanwise.models._responses._meter import Bit, PieceMeter
from fanwise.models._responses._shape import count, each, part, size, text

_FINISH: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "OTHER": "cut",
    "MALFORMED_FUNCTION_CALL": "cut",
}
_REFUSED: Final = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"})


def generated(value: object) -> Reading | None:
    """Read a response; what a model thinks is written too."""
    usage = part(value, "usage_metadata")
    finish = next(filter(None, map(_finish, each(value, "candidates"))), None)
    return Reading(
        text(value, "model_version"),
        count(usage, "prompt_token_count") + count(usage, "tool_use_prompt_token_count"),
        count(usage, "candidates_token_count") + count(usage, "thoughts_token_count"),
        cached=count(usage, "cached_content_token_count"),
        finish=finish,
        said=sum(map(_said, each(value, "candidates"))),
        estimated=usage is None,
    )


def piece(value: object) -> Bit | None:
    """Read a piece of a stream."""
    known = generated(value)
    if known is None:
        return None
    closing = known.finish is not None and not known.estimated
    identity = text(value, "response_id")
    return Bit(identity, known.model, known.said, known.finish, known, closing=closing)


def _finish(candidate: object) -> str | None:
    reason = text(candidate, "finish_reason")
    calls = any(part(each_, "function_call") for each_ in each(candidate, "content", "parts"))
    if reason is None or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    if reason in _REFUSED or reason.startswith("IMAGE_"):
        return "refused"
    return "tools" if calls and reason == "STOP" else _FINISH.get(reason, "cut")


def _said(candidate: object) -> int:
    parts = list(each(candidate, "content", "parts"))
    calls = [part(each_, "function_call", "args") for each_ in parts]
    return size(*(part(each_, "text") for each_ in parts)) + sum(len(str(c)) for c in calls if c)


READERS: Final = {"GenerateContentResponse": Reader(generated, partial(PieceMeter, piece))}
