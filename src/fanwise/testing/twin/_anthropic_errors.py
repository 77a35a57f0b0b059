"""Errors as Anthropic writes them, and the words of its documentation for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.testing.twin._http import json_response

if TYPE_CHECKING:
    from fanwise.testing.twin._http import Kind, Refused, Response
    from fanwise.testing.twin._values import Json

_WORDS: dict[Kind, str] = {
    "invalid": "invalid_request_error",
    "key": "authentication_error",
    "permission": "permission_error",
    "missing": "not_found_error",
    "too_large": "request_too_large",
    "rate": "rate_limit_error",
    "internal": "api_error",
    "overloaded": "overloaded_error",
}


def write_error(refused: Refused, request: str = "") -> Json:
    """Return the body of an error, as responses, streams and batches carry it."""
    message = f"{refused.param}: {refused.message}" if refused.param else refused.message
    error = {"type": _WORDS[refused.kind], "message": message}
    return {"type": "error", "error": error, "request_id": request or None}


def error_response(refused: Refused, request: str = "") -> Response:
    """Return a response that says what is wrong; `request` is the id of the request."""
    return json_response(
        write_error(refused, request), status=refused.status, headers=refused.headers
    )
