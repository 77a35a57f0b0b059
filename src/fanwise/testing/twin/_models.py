"""The list of models: one path for both providers, told in the form of the client that asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._http import Refused, Response, Route, json_response

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._values import Json


async def _listed(twin: Twin, request: Request) -> Response:
    data = [_model(twin, name, request) for name in twin.models if name != "*"]
    if not _anthropic(request):
        return json_response({"object": "list", "data": data})
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    first, last = ends
    told = {"data": data, "has_more": False, "first_id": first, "last_id": last}
    return json_response(told)


async def _one(twin: Twin, request: Request) -> Response:
    name = request.params["name"]
    if not twin.knows(name):
        text = f"The model '{name}' does not exist"
        raise Refused(404, "missing", text, param="model", code="model_not_found")
    return json_response(_model(twin, name, request))


def _anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _model(twin: Twin, name: str, request: Request) -> Json:
    made = int(twin.wall())
    if _anthropic(request):
        told = datetime.fromtimestamp(made, UTC).isoformat().replace("+00:00", "Z")
        return {"id": name, "type": "model", "display_name": name, "created_at": told}
    return {"id": name, "object": "model", "created": made, "owned_by": "twin"}


ROUTES: Final = [
    Route("GET", "/v1/models", _listed, None),
    Route("GET", "/v1/models/{name}", _one, None),
]
