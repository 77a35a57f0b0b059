"""OpenAI's endpoints besides chat: responses, files, and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin import _openai_batches as batches
from fanwise.testing.twin import _openai_files as files
from fanwise.testing.twin._http import Response, Route, json_response
from fanwise.testing.twin._openai_remembering import Responses, respond
from fanwise.testing.twin._shelf import owned
from fanwise.testing.twin._values import Counts

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request


async def count_tokens(twin: Twin, request: Request) -> Response:
    """Count the tokens of a response that is not asked for; costs nothing, and takes no quota."""
    ask = Responses(twin, request.json()).read(request)
    entry = twin.enter(replace(ask, endpoint="count_tokens"))
    entry.status, entry.ended_at = 200, entry.time
    twin.ledger.settle(entry, Counts())
    return json_response({"object": "response.input_tokens", "input_tokens": ask.tokens})


async def retrieve(twin: Twin, request: Request) -> Response:
    """Give a response that was kept."""
    kept = owned(twin.shelf.responses, request.params["id"], request.key, "response")
    return json_response(kept.response)


async def delete(twin: Twin, request: Request) -> Response:
    """Forget a response."""
    kept = owned(twin.shelf.responses, request.params["id"], request.key, "response")
    del twin.shelf.responses[kept.id]
    return json_response({"id": kept.id, "object": "response", "deleted": True})


ROUTES: Final = tuple(
    Route(method, f"/v1{path}", answer, "openai")
    for method, path, answer in (
        ("POST", "/responses", respond),
        ("POST", "/responses/input_tokens", count_tokens),
        ("GET", "/responses/{id}", retrieve),
        ("DELETE", "/responses/{id}", delete),
        ("POST", "/files", files.upload),
        ("GET", "/files", files.listing),
        ("GET", "/files/{id}", files.retrieve),
        ("GET", "/files/{id}/content", files.content),
        ("DELETE", "/files/{id}", files.delete),
        ("POST", "/batches", batches.create),
        ("GET", "/batches", batches.listing),
        ("GET", "/batches/{id}", batches.retrieve),
        ("POST", "/batches/{id}/cancel", batches.cancel),
    )
)
