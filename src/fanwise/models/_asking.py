"""What is done for one question: asked, its tokens told to the record, its answer read as a type.

Tokens are told for each try as soon as they are known. Where an answer is cancelled or breaks off
before the provider has counted, they are estimated from what was sent and what arrived, and marked:
what was let go has a price too.
"""

from __future__ import annotations

import json
from asyncio import CancelledError
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from fanwise.core import (
    BudgetSpent,
    current,
    current_runtime,
    note,
    reserve_again,
    waiting_call,
)
from fanwise.models._answer import Ended, Text, ToolBegun, ToolText
from fanwise.models._arriving import Arriving
from fanwise.models._chat import Message, as_chat
from fanwise.models._estimate import needed, used_so_far, used_until
from fanwise.models._output import MalformedAnswer, codec_of
from fanwise.models._prices import price_of
from fanwise.models._provider import Streaming
from fanwise.models._usage import Usage
from fanwise.text import bytes_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from typing_extensions import TypeForm

    from fanwise.models._answer import Answer, Finish, Piece, RawPiece
    from fanwise.models._chat import Asked
    from fanwise.models._output import Codec
    from fanwise.models._provider import Provider, Request

_DEPTH: Final = 2  # fields of the value, and elements of a list that is such a field


def bounded(request: Request) -> Request:
    """Give a request whose answer has a bound, where it is under a budget, which needs one."""
    if request.max_tokens is not None:
        return request
    return replace(request, max_tokens=current().max_tokens)


async def ask_text(provider: Provider, request: Request) -> Answer[str]:
    """Ask once, and tell what it used; of a cancelled question, what its input is estimated at."""
    current_runtime().expect_prices(provider.name)
    began = current_runtime().time()
    try:
        answer = await provider.answer(request)
    except CancelledError:
        tell(used_until(began, request), provider.name, "cut")
        raise
    tell(answer.usage, answer.model, answer.finish, answer.text)
    note_served(answer.model, answer.served)
    return await priced(answer)


async def ask_typed(
    provider: Provider, request: Request, output: TypeForm[object], again: int
) -> Answer[Any]:
    """Ask until the answer fits, at most `again` times more, each time saying what was wrong."""
    codec = codec_of(output)
    used = Usage(0, 0)
    cost: Decimal | None = Decimal(0)
    while True:
        answer = await ask_text(provider, request)
        used += answer.usage
        cost = None if cost is None or answer.cost is None else cost + answer.cost
        answer = replace(answer, usage=used, cost=cost)
        if answer.calls:
            return valued(answer, None)
        value, wrong = fitted(codec, answer, request.max_tokens)
        if wrong is None:
            return valued(answer, value)
        if again == 0 or not answer.complete:
            raise wrong
        again -= 1
        request = replace(request, asked=_corrected(request.asked, answer, wrong))
        try:
            call = waiting_call()
            step = None if call is None else call.step.name
            await reserve_again(needed(provider.name, request, step))
        except BudgetSpent as spent:
            raise wrong from spent


def fitted(
    codec: Codec, answer: Answer[Any], most: int | None
) -> tuple[Any, MalformedAnswer | None]:
    """Give the value of an answer, or what is wrong with it; one that is not whole is not read."""
    if not answer.complete:
        return None, MalformedAnswer(answer.text, _unread(answer, most))
    try:
        return codec.read(answer.text), None
    except MalformedAnswer as error:
        return None, error


def _unread(answer: Answer[Any], most: int | None) -> str:
    if answer.finish == "refused":
        return "the model would not answer"
    if answer.finish == "cut":
        return "it broke off before it was whole, and was not read"
    bound = "the model's own bound of tokens" if most is None else f"max_tokens={most}"
    return f"it was cut at {bound}, and was not read; ask for less, or with more tokens"


def _corrected(asked: Asked, answer: Answer[Any], wrong: MalformedAnswer) -> Asked:
    told = f"Your answer does not fit: {wrong.why}\nAnswer again, with JSON that fits."
    return as_chat(asked).then(answer.message, Message("user", told))


async def ask_in_pieces(
    provider: Provider, request: Request, output: TypeForm[object] | None
) -> AsyncGenerator[Piece]:
    """Ask, and give the answer as it arrives; tell what it used, also when it is cut short."""
    current_runtime().expect_prices(provider.name)
    arriving = Arriving(None if output is None else _DEPTH)
    used: Usage | None = None
    try:
        async with aclosing(raw_pieces(provider, request)) as pieces:
            async for raw in pieces:
                for piece in arriving.take(raw):
                    yield piece
        used = _settled(arriving, request, provider.name)
        answer = await priced(arriving.answer(used, provider.name))
    finally:
        if used is None:
            _settled(arriving, request, provider.name)
    yield valued(answer, _value(answer, output, request.max_tokens))


def _settled(arriving: Arriving, request: Request, name: str) -> Usage:
    """Tell what was used so far, and give it."""
    used = arriving.usage
    if used is None or not arriving.whole:
        used = used_so_far(request, arriving.written, used)
    tell(used, arriving.model or name, arriving.finish, arriving.written)
    note_served(arriving.model, arriving.served)
    return used


def _value(answer: Answer[str], output: TypeForm[object] | None, most: int | None) -> object:
    if output is None:
        return answer.text
    if answer.calls:
        return None
    value, wrong = fitted(codec_of(output), answer, most)
    if wrong is not None:
        raise wrong
    return value


def valued(answer: Answer[Any], value: Any) -> Answer[Any]:  # noqa: ANN401 - of the type asked for
    """Give an answer with its value."""
    return replace(answer, value=value)


async def priced(answer: Answer[str], tier: str | None = None) -> Answer[str]:
    """Give an answer with its cost; `tier` is "batch" or another that has prices of its own.

    Only the first in a process may wait for the known prices, which load while it is made.
    """
    if answer.cost is not None:
        return answer
    return replace(answer, cost=await price_of(answer.model, answer.usage, tier=tier))


def raw_pieces(provider: Provider, request: Request) -> AsyncGenerator[RawPiece]:
    """Give a provider's pieces, or where it knows no pieces, its answer as one."""
    return (
        provider.pieces(request) if isinstance(provider, Streaming) else _whole(provider, request)
    )


async def _whole(provider: Provider, request: Request) -> AsyncGenerator[RawPiece]:
    answer = await provider.answer(request)
    if answer.text:
        yield Text(answer.text)
    for index, call in enumerate(answer.calls):
        yield ToolBegun(index, call.id, call.name)
        yield ToolText(index, call.broken or json.dumps(call.arguments))
    yield Ended(answer.usage, answer.finish, answer.model, answer.served)


def tell(
    usage: Usage,
    model: str,
    finish: Finish | None = None,
    text: str = "",
    tier: str | None = None,
) -> None:
    """Tell the record what an answer used, and how it ended; estimates learn from its text."""
    counts = {
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cached": usage.cached,
        "written": usage.written,
        "said": bytes_of(text),
    }
    told = {name: count for name, count in counts.items() if count}
    current().usage(model=model, estimated=usage.estimated, tier=tier, finish=finish, **told)


def note_served(model: str, served: str) -> None:
    """Tell the record the provider's own name of what answered, where its address does not."""
    if served and served != model.partition(":")[2]:
        call = waiting_call()
        if call is not None:
            note(call, served=served)
