"""Requests and responses as the wires see them, apart from any server."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fanwise.testing.twin._values import NOTHING, Json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._values import Protocol

Kind: TypeAlias = Literal[
    "invalid", "key", "permission", "missing", "too_large", "rate", "internal", "overloaded"
]
"""What is wrong; each wire has its own word for it."""


class Refused(Exception):
    """A request that gets an error; the wire writes it in its provider's own form.

    `headers` go with it; `param` names the field that is wrong, `code` is the provider's word
    for the case, where it has one.
    """

    status: int
    kind: Kind
    message: str
    param: str | None
    code: str | None
    headers: Mapping[str, str]

    def __init__(
        self,
        status: int,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.param, self.code, self.headers = param, code, headers
        self.noted = False
        """Whether the ledger has it."""


class Dropped(Exception):
    """The connection is to be dropped without another byte (the fault "reset")."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whole: header names in small letters; `params` are the parts of its path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The caller's key, from `Authorization: Bearer` or `x-api-key`; "" where there is none."""
        bearer = self.headers.get("authorization", "")
        return self.headers.get("x-api-key") or bearer.removeprefix("Bearer ")

    def json(self) -> Json:
        """Give the body as a JSON object; raises Refused (400) where it is none."""
        try:
            found: Any = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            msg = f"We could not parse the JSON body of your request: {error}"
            raise Refused(400, "invalid", msg) from error
        if not isinstance(found, dict):
            raise Refused(400, "invalid", "the body of the request must be a JSON object")
        return found


@dataclass(frozen=True, slots=True)
class Response:
    """A response whole."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response whose body comes in chunks; closing `chunks` early is the caller leaving."""

    chunks: AsyncGenerator[bytes, None]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    media: str = "text/event-stream; charset=utf-8"


Answer: TypeAlias = "Callable[[Twin, Request], Awaitable[Response | Streamed]]"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: a method and a path such as `/v1/files/{id}/content`.

    `protocol` is the one whose errors it gives (`None`: that of whoever asks).
    """

    method: str
    path: str
    answer: Answer
    protocol: Protocol | None
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the pattern of the path."""
        named = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(named))


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] = NOTHING
) -> Response:
    """Make a response of a value."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers)
