"""Messages and results of LangChain, whose `usage_metadata` has one meaning for all providers."""

from functools import partial
from typing import Final

from fanwise.core import Reader, Reading
from fanwise.models._responses import _anthropic
from fanwise.models._responses._meter import Bit, PieceMeter
from fanwise.models._responses._shape import count, each, part, size, text

_FINISH: Final = _anthropic.FINISH | {
    "content_filter": "refused",
    "function_call": "tools",
    "length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "SAFETY": "refused",
    "stop": "stop",
    "STOP": "stop",
    "tool_calls": "tools",
}


def message(value: object) -> Reading | None:
    """Read an answer; without usage it is no model's, but one that somebody wrote."""
    if part(value, "usage_metadata") is None and not part(value, "response_metadata"):
        return None
    return counted(value)._replace(said=_said(value))


def counted(value: object) -> Reading:
    """Read model, usage and finish of a message or a piece of one."""
    usage = part(value, "usage_metadata")
    details = part(usage, "input_token_details")
    hour = count(details, "ephemeral_1h_input_tokens")
    more = hour + count(details, "ephemeral_5m_input_tokens")
    told = part(value, "response_metadata")
    reasons = (text(told, name) for name in ("finish_reason", "stop_reason", "done_reason"))
    return Reading(
        text(told, "model_name") or text(told, "model"),
        count(usage, "input_tokens"),
        count(usage, "output_tokens"),
        cached=count(details, "cache_read"),
        written=max(count(details, "cache_creation"), more),
        written_hour=hour,
        tier=text(told, "service_tier")
        if text(told, "service_tier") in ("batch", "flex", "priority")
        else None,
        finish=next((_FINISH[reason] for reason in reasons if reason in _FINISH), None),
        estimated=usage is None,
    )


def piece(value: object) -> Bit | None:
    """Read a piece of a stream; counts of pieces are added up."""
    known = counted(value)
    last = text(value, "chunk_position") == "last"
    return Bit(
        text(value, "id"), known.model, _said(value), known.finish,
        None if known.estimated else known, closing=last and not known.estimated, tier=known.tier,
    )  # fmt: skip


def result(value: object) -> Reading | None:
    """Read the result of a whole batch of prompts."""
    messages = [
        part(one, "message") for prompt in each(value, "generations") for one in each(prompt)
    ]
    found = [known for known in map(message, messages) if known is not None and not known.estimated]
    told = part(value, "llm_output")
    name = text(told, "model_name") or text(told, "model")
    if found:
        sums = [sum(counts) for counts in zip(*(known[1:6] for known in found), strict=True)]
        read, made, cached, written, hour = sums
        cut = "length" if any(known.finish == "length" for known in found) else found[0].finish
        said = sum(known.said for known in found)
        name = found[0].model or name
        return Reading(name, read, made, cached, written, hour, finish=cut, said=said)
    usage = part(told, "token_usage") or part(told, "usage")
    if usage is None:
        return None
    return Reading(name, count(usage, "prompt_tokens"), count(usage, "completion_tokens"))


def _said(value: object) -> int:
    content = part(value, "content")
    blocks = content if isinstance(content, list) else []
    told = [part(block, name) for block in blocks for name in ("text", "thinking", "partial_json")]
    calls = [part(call, "args") for name in ("tool_call_chunks",) for call in each(value, name)]
    whole = (
        sum(len(str(part(call, "args"))) for call in each(value, "tool_calls")) if not calls else 0
    )
    return size(content, *told, *calls) + whole


_MESSAGE: Final = Reader(message)
READERS: Final = {
    "AIMessageChunk": Reader(message, partial(PieceMeter, piece, adds=True)),
    "AIMessage": _MESSAGE,
    "LLMResult": Reader(result),
}
