"""Tokens that nobody has counted: estimated from what was sent and what arrived."""

import json
from collections.abc import Iterator

from fanwise.models._chat import Message
from fanwise.models._provider import Request
from fanwise.models._usage import Usage
from fanwise.text import tokens_estimated


def used_so_far(request: Request, written: str, counted: Usage | None) -> Usage:
    """Give what a question used that was let go or broke off, marked as estimated.

    `written` is what arrived of its answer, `counted` what its provider said so far.
    """
    out = tokens_estimated(written)
    if counted is None:
        return Usage(tokens_asked(request), out, estimated=True)
    return Usage(
        counted.tokens_in,
        max(counted.tokens_out, out),
        estimated=True,
        cached=counted.cached,
        written=counted.written,
    )


def tokens_asked(request: Request) -> int:
    """Estimate the tokens that a model reads of a question."""
    return tokens_estimated("".join(_texts(request)))


def _texts(request: Request) -> Iterator[str]:
    chat = request.chat
    yield chat.system
    yield chat.shared
    for message in chat.messages:
        yield from _texts_of(message)
    for tool in request.tools:
        yield from (tool.name, tool.description, json.dumps(tool.schema))
    if request.schema is not None:
        yield json.dumps(request.schema)


def _texts_of(message: Message) -> Iterator[str]:
    yield message.text
    for call in message.calls:
        yield from (call.name, call.broken or json.dumps(call.arguments))
    for result in message.results:
        yield result.text
