"""Tokens that nobody has counted: estimated from what was sent and what arrived."""

import json
from asyncio import get_running_loop
from collections.abc import Iterator

from fanwise.core import Need, Reading, current_runtime, waiting_call
from fanwise.models._chat import Message
from fanwise.models._provider import Request
from fanwise.models._usage import Usage
from fanwise.text import bytes_of, tokens_estimated
from fanwise.text._estimates import known_estimates, size_of

FRAME = 16  # tokens at most around each message
SHAPES = 1000  # tokens at most of what providers say of tools and schemas


def used_so_far(request: Request, written: str, counted: Usage | None) -> Usage:
    """Give what a question used that broke off while its answer was read, marked as estimated.

    `written` is what arrived of its answer, `counted` what its provider said so far; the rest is
    estimated as this step's tokens were until now.
    """
    call = waiting_call()
    told = counted or Usage(0, 0)
    reading = Reading(None, told.tokens_in, told.tokens_out, said=bytes_of(written), estimated=True)
    if call is not None:
        reading = known_estimates().filled(call, reading)
    return Usage(
        reading.tokens_in or tokens_asked(request),
        reading.tokens_out,
        estimated=True,
        cached=told.cached,
        written=told.written,
    )


def used_until(began: float, request: Request) -> Usage:
    """Give what a question used that was let go before any answer, marked as estimated.

    The input as this step's tokens were until now, and as much output as others wrote in the time
    since `began`; where there were none, the input by its bytes.
    """
    call = waiting_call()
    seconds = current_runtime().time() - began
    lost = None if call is None else known_estimates().lost(call, seconds)
    if lost is None:
        return Usage(tokens_asked(request), 0, estimated=True)
    return Usage(lost.tokens_in, lost.tokens_out, estimated=True)


def expected(step: str, request: Request) -> Usage:
    """Give what a question of a step is expected to use, by those that the runtime has seen.

    Where it has seen none, or no loop runs, by the question's bytes, and `max_tokens` written.
    """
    most = request.max_tokens
    size = size_of(request.asked, request.tools)
    found = known_estimates().expected(step, size) if looped() else None
    if found is None:
        return Usage(tokens_asked(request), most or 0, estimated=True)
    asked, said = found
    written = most or 0 if said is None else said if most is None else min(said, most)
    return Usage(asked, written, estimated=True)


def needed(model: str, request: Request, step: str | None = None) -> Need:
    """Give what a question is expected to take of a limit, and the most that of a budget.

    `step` is the name of what asks, where that is not the model's.
    """
    used = expected(step or model, request)
    known = used.tokens_out or request.max_tokens is not None
    spends = looped() and current_runtime().spending is not None
    return Need(
        used.tokens_in,
        used.tokens_out if known else None,
        request.max_tokens,
        longest(request) if spends else None,
        model=model,
        fits=True,
    )


def bounded_by(said: Need, own: Need) -> Need:
    """Give what a user says of a question, with the bounds that a budget wants besides."""
    if type(said) is not Need or own.most_in is None:  # what is none, the policy refuses
        return said
    most = own.most if said.most is None else said.most
    most_in = own.most_in if said.most_in is None else said.most_in
    return said._replace(most=most, most_in=most_in, model=said.model or own.model, fits=own.fits)


def longest(request: Request) -> int:
    """Give the most tokens that a model may read of a question.

    A tokenizer gives no token for less than a byte. Providers add some for each message, and
    several hundred where there are tools or a schema.
    """
    shaped = bool(request.tools) or request.schema is not None
    frames = FRAME * (2 + len(request.chat.messages)) + SHAPES * shaped
    return sum(map(bytes_of, _texts(request))) + frames


def looped() -> bool:
    """Say whether a loop runs, and so a runtime that may have seen something."""
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


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
