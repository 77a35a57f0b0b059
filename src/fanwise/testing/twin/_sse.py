"""Server-sent events: how both providers stream (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.testing.twin._values import compact

if TYPE_CHECKING:
    from collections.abc import Mapping

MALFORMED = b'data: {"id": "cut in the mid\n\n'
"""A chunk that is no JSON, as the fault `malformed` sends it."""


def named_event(body: Mapping[str, object]) -> bytes:
    """Return an event whose name is the body's `type`: Anthropic's messages, OpenAI's responses."""
    return f"event: {body['type']}\ndata: {compact(body)}\n\n".encode()
