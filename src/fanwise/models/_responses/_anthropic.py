"""Responses of the anthropic client: messages, and the events of their streams.

Its `input_tokens` leave out what was read from the cache and written into it: they are added.
"""

from functools import partial
from typing import Final

from fanwise.core import Reader, Reading
from fanwise.models._responses._meter import Bit, PieceMeter
from fanwise.models._responses._shape import count, each, part, size, text

FINISH: Final = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "cut",
    "refusal": "refused",
    "stop_sequence": "stop",
    "tool_use": "tools",
}


def message(value: object) -> Reading | None:
    """Read a message."""
    blocks = list(each(value, "content"))
    said = sum(size(part(block, "text"), part(block, "thinking")) for block in blocks)
    said += sum(len(str(part(block, "input") or "")) for block in blocks)
    finish = FINISH.get(text(value, "stop_reason") or "")
    return counted(value)._replace(finish=finish, said=said)


def counted(value: object) -> Reading:
    """Read model and usage of a message or an event."""
    usage = part(value, "usage")
    cached = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    tier = text(usage, "service_tier")
    return Reading(
        text(value, "model"),
        count(usage, "input_tokens") + cached + written,
        count(usage, "output_tokens"),
        cached=cached,
        written=written,
        written_hour=count(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        tier=tier if tier in ("batch", "priority") else None,
        estimated=usage is None,
    )


def event(piece: object) -> Bit | None:
    """Read an event; those that the client adds (text, input_json) repeat the others."""
    match text(piece, "type"):
        case "message_start":
            begun = part(piece, "message")
            known = counted(begun)
            return Bit(text(begun, "id"), known.model, 0, None, known, tier=known.tier)
        case "content_block_delta":
            delta = part(piece, "delta")
            return Bit(
                said=size(*(part(delta, name) for name in ("text", "partial_json", "thinking")))
            )
        case "message_delta":
            finish = FINISH.get(text(piece, "delta", "stop_reason") or "")
            return Bit(finish=finish, counted=counted(piece), closing=finish is not None)
        case _:
            return None


_EVENTS: Final = Reader(None, partial(PieceMeter, event))
READERS: Final = {
    "Message": Reader(message),
    "BetaMessage": Reader(message),
} | dict.fromkeys(
    [
        f"{beta}{name}"
        for beta in ("", "Beta")
        for name in ("RawMessageStartEvent", "RawContentBlockDeltaEvent", "RawMessageDeltaEvent")
    ],
    _EVENTS,
)
