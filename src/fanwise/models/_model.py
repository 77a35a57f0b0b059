"""A model: what answers a question, each answer a call."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from fanwise.core import _registry, current, step
from fanwise.models._answer import Answer, Ended, Text, ToolBegun, ToolText
from fanwise.models._chat import Message, as_chat
from fanwise.models._open_calls import OpenCalls
from fanwise.models._output import MalformedAnswer, read_output, schema_of
from fanwise.models._provider import Request
from fanwise.models._usage import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fanwise.core import Call, Step, StreamCall, StreamStep
    from fanwise.models._answer import Piece
    from fanwise.models._chat import Asked
    from fanwise.models._provider import Provider, ToolSpec

T = TypeVar("T")


class Model:
    """What answers a prompt: `ask` gives a call, `stream` a stream, under the model's policy.

    Made of a provider's adapter, or by `model("anthropic:...")`. The steps of both are named by
    the address, so that limits, plans and reports know it; usage is told to the record.
    """

    __slots__ = ("_ask", "_policy", "_stream", "provider")

    def __init__(self, provider: Provider, **policy: Any) -> None:  # noqa: ANN401 - as @step
        """Take an adapter, and the arguments of `@step` as the policy of every question."""
        self.provider = provider
        self._policy: dict[str, Any] = {"name": provider.name, "key": _counts, **policy}
        self._ask = cast("Step[..., Answer[Any]]", step(**self._policy)(self._answer))
        self._stream = cast("StreamStep[..., Piece]", step(**self._policy)(self._pieces))

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        return self.provider.name

    @overload
    def ask(
        self,
        asked: Asked,
        *,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
    ) -> Call[Answer[str]]: ...
    @overload
    def ask(
        self,
        asked: Asked,
        *,
        output: type[T],
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Call[Answer[T]]: ...
    def ask(
        self,
        asked: Asked,
        *,
        output: type[object] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Call[Answer[Any]]:
        """Ask, in at most `max_tokens` tokens of answer (`None`: the model's own bound).

        With `output` the answer is JSON that is validated; one that does not fit is asked for
        `again` times more, with the error, and then raises `MalformedAnswer`. Cancelled, it closes
        its connection.
        """
        return self._ask(asked, output, tuple(tools), max_tokens, again)

    def stream(
        self,
        asked: Asked,
        *,
        output: type[object] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
    ) -> StreamCall[Piece]:
        """Ask, and read the answer while it is written; the whole answer comes last."""
        return self._stream(asked, output, tuple(tools), max_tokens)

    def using(self, **policy: Any) -> Model:  # noqa: ANN401 - as @step
        """Give the same model under another policy; what is not named stays."""
        return Model(self.provider, **(self._policy | policy))

    async def _answer(
        self,
        asked: Asked,
        output: type[object] | None,
        tools: tuple[ToolSpec, ...],
        max_tokens: int | None,
        again: int,
    ) -> Answer[Any]:
        schema = None if output is None else schema_of(output)
        request = Request(asked, tools, schema, max_tokens)
        while True:
            answer = await self.provider.answer(request)
            tell_usage(answer.usage, answer.model)
            if output is None or answer.calls:
                return answer
            try:
                value: Any = read_output(output, answer.text)
                return replace(answer, value=value)
            except MalformedAnswer as error:
                if again == 0:
                    raise
                again -= 1
                told = Message("user", f"{error}\nAnswer again, with JSON that fits.")
                request = replace(request, asked=as_chat(asked).then(answer.message, told))

    async def _pieces(
        self,
        asked: Asked,
        output: type[object] | None,
        tools: tuple[ToolSpec, ...],
        max_tokens: int | None,
    ) -> AsyncGenerator[Piece]:
        schema = None if output is None else schema_of(output)
        request = Request(asked, tools, schema, max_tokens)
        parts: list[str] = []
        calls = OpenCalls()
        async with aclosing(self.provider.pieces(request)) as pieces:
            async for piece in pieces:
                match piece:
                    case Text(text):
                        parts.append(text)
                        yield piece
                    case ToolBegun():
                        calls.begin(piece)
                    case ToolText():
                        whole_call = calls.add(piece)
                        if whole_call is not None:
                            yield whole_call
                    case Ended(usage, finish, name):
                        for call in calls.end():
                            yield call
                        used = usage or Usage(0, 0, estimated=True)
                        tell_usage(used, name)
                        whole = "".join(parts)
                        value = whole if output is None else read_output(output, whole)
                        yield Answer(whole, used, name, value, tuple(calls.whole), finish)

    def __repr__(self) -> str:
        """Show the address."""
        return f"<Model {self.name}>"


def tell_usage(usage: Usage, model: str) -> None:
    """Tell the record what an answer used."""
    current().usage(
        model=model,
        estimated=usage.estimated,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cached=usage.cached,
    )


def _counts(
    asked: Asked,
    output: type[object] | None,
    tools: tuple[ToolSpec, ...],
    max_tokens: int | None,
    *_: object,
) -> object:
    """Give what counts of a question for a call's identity."""
    schema = None if output is None else schema_of(output)
    return (as_chat(asked), [(tool.name, tool.schema) for tool in tools], schema, max_tokens)


def model(address: str) -> Model:
    """Give the model of an address such as "local:extractive".

    Raises ValueError for an address that no provider knows; the message names those known.
    """
    return Model(cast("Provider", _registry.load("model", address)))
