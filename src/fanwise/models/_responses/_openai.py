"""Responses of the openai client: chat completions, responses, embeddings, and their streams."""

from functools import partial
from typing import Final

from fanwise.core import Reader, Reading
from fanwise.models._responses._meter import Bit, PieceMeter
from fanwise.models._responses._shape import count, each, part, size, text

_FINISH: Final = {
    "content_filter": "refused",
    "function_call": "tools",
    "length": "length",
    "max_output_tokens": "length",
    "stop": "stop",
    "tool_calls": "tools",
}
_TIERS: Final = frozenset({"batch", "flex", "priority", "fast"})


def tier_of(value: object) -> str | None:
    """Give the tier, where it has prices of its own."""
    tier = text(value, "service_tier")
    return tier if tier in _TIERS else None


def chat(response: object) -> Reading | None:
    """Read a chat completion, or a completion of the older kind."""
    choices = list(each(response, "choices"))
    if part(response, "usage") is None and not choices:
        return None
    finishes = [_FINISH.get(text(choice, "finish_reason") or "") for choice in choices]
    said = sum(spoken(part(choice, "message")) + size(part(choice, "text")) for choice in choices)
    return counted(response)._replace(finish=worst(finishes), said=said)


def counted(response: object) -> Reading:
    """Read model, tier and the usage of a chat completion or a piece of one."""
    usage = part(response, "usage")
    details = part(usage, "prompt_tokens_details")
    return Reading(
        text(response, "model"),
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
        cached=count(details, "cached_tokens"),
        written=count(details, "cache_write_tokens"),
        tier=tier_of(response),
        estimated=usage is None,
    )


def spoken(message: object) -> int:
    """Count the bytes that a message or a piece of one says, arguments of tools included."""
    calls = [part(call, "function") for call in each(message, "tool_calls")]
    told = [part(call, name) for call in calls for name in ("name", "arguments")]
    return size(part(message, "content"), part(message, "refusal"), *told)


def worst(finishes: list[str | None]) -> str | None:
    """Give how several choices of one response end: cut off, where one of them is."""
    known = [finish for finish in finishes if finish is not None]
    return "length" if "length" in known else known[0] if known else None


def chunk(piece: object) -> Bit | None:
    """Read a piece of a chat completion; usage comes in one after the last, if it was asked for."""
    inner = part(piece, "chunk")  # an event of the client's own stream
    piece = piece if inner is None else inner
    choices = list(each(piece, "choices"))
    usage = part(piece, "usage")
    return Bit(
        text(piece, "id"),
        text(piece, "model"),
        sum(spoken(part(choice, "delta")) + size(part(choice, "text")) for choice in choices),
        worst([_FINISH.get(text(choice, "finish_reason") or "") for choice in choices]),
        None if usage is None else counted(piece),
        closing=usage is not None and not choices,
        tier=tier_of(piece),
    )


def response(value: object) -> Reading | None:
    """Read a response of the responses endpoint."""
    usage = part(value, "usage")
    items = [
        item for output in each(value, "output") for item in (output, *each(output, "content"))
    ]
    status = text(value, "status")
    reason = text(value, "incomplete_details", "reason")
    tools = any(text(item, "type") == "function_call" for item in items)
    finish = {"completed": "tools" if tools else "stop"}.get(status or "", "cut")
    return Reading(
        text(value, "model"),
        count(usage, "input_tokens"),
        count(usage, "output_tokens"),
        cached=count(usage, "input_tokens_details", "cached_tokens"),
        written=count(usage, "input_tokens_details", "cache_write_tokens"),
        tier=tier_of(value),
        finish=_FINISH.get(reason or "", finish) if status != "failed" else "cut",
        said=sum(size(part(item, "text"), part(item, "arguments")) for item in items),
        estimated=usage is None,
    )


def event(piece: object) -> Bit | None:
    """Read an event of a response; the first and the last hold the response itself."""
    whole = part(piece, "response")
    if whole is not None:
        closing = part(whole, "usage") is not None
        known = response(whole)
        finish = None if known is None or not closing else known.finish
        return Bit(text(whole, "id"), text(whole, "model"), 0, finish, known, closing=closing)
    kind = text(piece, "type") or ""
    return Bit(said=size(part(piece, "delta"))) if kind.endswith(".delta") else None


def embedding(value: object) -> Reading | None:
    """Read embeddings, which only read."""
    return counted(value)._replace(finish="stop")


def no_events(_: object) -> Bit | None:
    """Pass over what repeats other events."""
    return None


CHAT: Final = Reader(chat)
CHUNKS: Final = Reader(None, partial(PieceMeter, chunk))
_EVENTS: Final = Reader(None, partial(PieceMeter, event))
READERS: Final = {
    "ChatCompletion": CHAT,
    "ChatCompletionChunk": CHUNKS,
    "ChunkEvent": CHUNKS,
    "Completion": CHAT,
    "CreateEmbeddingResponse": Reader(embedding),
    "Response": Reader(response),
    "ResponseCompletedEvent": _EVENTS,
    "ResponseCreatedEvent": _EVENTS,
    "ResponseFailedEvent": _EVENTS,
    "ResponseFunctionCallArgumentsDeltaEvent": _EVENTS,
    "ResponseIncompleteEvent": _EVENTS,
    "ResponseReasoningSummaryTextDeltaEvent": _EVENTS,
    "ResponseReasoningTextDeltaEvent": _EVENTS,
    "ResponseRefusalDeltaEvent": _EVENTS,
    "ResponseTextDeltaEvent": _EVENTS,
}
