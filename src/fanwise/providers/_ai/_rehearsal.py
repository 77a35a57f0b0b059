"""Answers that nobody asked for: what the clients would build at their first answer, inside a loop.

The official clients build the types of their answers when the first of each kind arrives, and
pydantic-ai reads its price table with its first model. That takes a tenth to half a second in which
the loop stands still and every timer is late. So a provider's module has its synchronous client
read one answer, and one in pieces, while it is imported.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import httpx2
from genai_prices.data_snapshot import get_snapshot

_JSON: Final = {"content-type": "application/json"}
_EVENTS: Final = {"content-type": "text/event-stream"}

Events = Sequence[Mapping[str, object]]


def rehearsed(answer: Mapping[str, object], events: Events) -> httpx2.Client:
    """Give connections on which every question gets this answer, or these events."""
    stream = "".join(f"event: {each.get('type')}\ndata: {json.dumps(each)}\n\n" for each in events)

    def reply(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content.replace(b" ", b""):
            return httpx2.Response(200, text=stream, headers=_EVENTS)
        return httpx2.Response(200, text=json.dumps(answer), headers=_JSON)

    get_snapshot()
    return httpx2.Client(transport=httpx2.MockTransport(reply))
