"""Errors in the form of each provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._http import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.testing.twin._http import Kind, Refused
    from fanwise.testing.twin._values import Json, Protocol

_OPENAI: Final[Mapping[Kind, str]] = {
    "invalid": "invalid_request_error",
    "key": "invalid_request_error",
    "permission": "invalid_request_error",
    "missing": "invalid_request_error",
    "too_large": "invalid_request_error",
    "rate": "rate_limit_error",
    "internal": "server_error",
    "overloaded": "server_error",
}
_ANTHROPIC: Final[Mapping[Kind, str]] = {
    "invalid": "invalid_request_error",
    "key": "authentication_error",
    "permission": "permission_error",
    "missing": "not_found_error",
    "too_large": "request_too_large",
    "rate": "rate_limit_error",
    "internal": "api_error",
    "overloaded": "overloaded_error",
}
_TEXTS: Final[Mapping[str, str]] = {"missing_required_parameter": "Field required"}
"""Anthropic's words, where they are others than OpenAI's."""


def error_response(refused: Refused, protocol: Protocol, request_id: str) -> Response:
    """Write an error as its provider does."""
    body = error_body(refused, protocol, request_id)
    return json_response(body, status=refused.status, headers=refused.headers)


def error_body(refused: Refused, protocol: Protocol, request_id: str) -> Json:
    """Write the body of an error, which the results of batches carry too."""
    if protocol == "openai":
        kind = _OPENAI[refused.kind]
        told = {"message": refused.message, "type": kind}
        return {"error": {**told, "param": refused.param, "code": refused.code}}
    message = _TEXTS.get(refused.code or "", refused.message)
    message = f"{refused.param}: {message}" if refused.param else message
    error = {"type": _ANTHROPIC[refused.kind], "message": message}
    return {"type": "error", "error": error, "request_id": request_id or None}
