"""OpenAI's list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._http import Refused, Response, Route, json_response

if TYPE_CHECKING:
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._values import Json


async def _listed(twin: Twin, _request: Request) -> Response:
    names = [name for name in twin.models if name != "*"]
    return json_response({"object": "list", "data": [_model(twin, name) for name in names]})


async def _one(twin: Twin, request: Request) -> Response:
    name = request.params["name"]
    if not twin.knows(name):
        text = f"The model '{name}' does not exist"
        raise Refused(404, "missing", text, param="model", code="model_not_found")
    return json_response(_model(twin, name))


def _model(twin: Twin, name: str) -> Json:
    return {"id": name, "object": "model", "created": int(twin.wall()), "owned_by": "twin"}


ROUTES: Final = [
    Route("GET", "/v1/models", _listed, "openai"),
    Route("GET", "/v1/models/{name}", _one, "openai"),
]
