"""A model: what answers a question, each answer a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from fanwise.core import _registry, step
from fanwise.models._asking import ask_in_pieces, ask_text, ask_typed
from fanwise.models._chat import as_chat
from fanwise.models._output import schema_of
from fanwise.models._provider import Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from typing_extensions import TypeForm

    from fanwise.core import Call, Step, StreamCall, StreamStep
    from fanwise.models._answer import Answer, Piece
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
        output: TypeForm[T],
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Call[Answer[T]]: ...
    def ask(
        self,
        asked: Asked,
        *,
        output: TypeForm[object] | None = None,
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
        output: TypeForm[object] | None = None,
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
        output: TypeForm[object] | None,
        tools: tuple[ToolSpec, ...],
        max_tokens: int | None,
        again: int,
    ) -> Answer[Any]:
        request = Request(asked, tools, schema_of(output), max_tokens)
        if output is None:
            return await ask_text(self.provider, request)
        return await ask_typed(self.provider, request, output, again)

    def _pieces(
        self,
        asked: Asked,
        output: TypeForm[object] | None,
        tools: tuple[ToolSpec, ...],
        max_tokens: int | None,
    ) -> AsyncGenerator[Piece]:
        request = Request(asked, tools, schema_of(output), max_tokens)
        return ask_in_pieces(self.provider, request, output)

    def __repr__(self) -> str:
        """Show the address."""
        return f"<Model {self.name}>"


def _counts(
    asked: Asked,
    output: TypeForm[object] | None,
    tools: tuple[ToolSpec, ...],
    max_tokens: int | None,
    *_: object,
) -> object:
    """Give what counts of a question for a call's identity."""
    schema = schema_of(output)
    return (as_chat(asked), [(tool.name, tool.schema) for tool in tools], schema, max_tokens)


def model(address: str) -> Model:
    """Give the model of an address such as "local:extractive".

    Raises ValueError for an address that no provider knows; the message names those known.
    """
    return Model(cast("Provider", _registry.load("model", address)))
