"""A model: what answers a question, each answer a call."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from fanwise.core import Need, Timeout, _registry, made_by, made_by_caller, step, whole
from fanwise.models._asking import ask_in_pieces, ask_text, ask_typed, bounded
from fanwise.models._batch import DEFAULT_TERMS, Order, order_batch
from fanwise.models._chat import as_chat, check_asked
from fanwise.models._estimate import bounded_by, expected, needed
from fanwise.models._output import load_codec, schema_of
from fanwise.models._prices import price_of
from fanwise.models._prompt import Prompt
from fanwise.models._provider import Request, ToolSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from typing_extensions import TypeForm

    from fanwise.core import Call, FanIn, Step, StreamCall, StreamStep
    from fanwise.models._answer import Answer, Piece
    from fanwise.models._batch import BatchTerms
    from fanwise.models._chat import Asked
    from fanwise.models._provider import Provider
    from fanwise.models._usage import Usage

T = TypeVar("T")


class Model:
    """What answers a prompt: `ask` gives a call, `stream` a stream, under the model's policy.

    Made of a provider's adapter, or by `model("anthropic:...")`. The steps of both are named by
    the address, so that limits, plans and reports know it; usage is told to the record.
    """

    __slots__ = ("_ask", "_policy", "_roles", "_stream", "provider")

    provider: Provider

    def __init__(self, provider: Provider, **policy: Any) -> None:  # noqa: ANN401 - as @step
        """Take an adapter, and the arguments of `@step` as the policy of every question.

        Of a `Timeout`, `first` and `idle` bound streams only. Raises TypeError for what is no
        adapter.
        """
        if not callable(getattr(provider, "answer", None)):
            msg = (
                "Model(provider) takes an adapter, with a name and `async def answer(request)`, "
                f"got {provider!r}; the model of an address is model(address)"
            )
            raise TypeError(msg)
        self.provider = provider
        self._policy = policy
        self._roles: dict[str, Model] = {}
        ours: dict[str, Any] = {"name": provider.name, "key": asked_key, "needs": self._needs}
        ours |= policy
        said = policy.get("needs")
        if callable(said) or isinstance(said, Need):
            ours["needs"] = partial(self._needs_too, said)
        if isinstance(ours.get("timeout"), Timeout):
            ours["timeout"] = ours["timeout"].attempt
        if not provider.name.startswith("local:"):
            load_codec()  # now rather than in the loop; what is local needs none, or is in no hurry
        streamed = ours | {"key": streamed_key, "timeout": policy.get("timeout")}
        streamed |= {name: each for name, each in policy.items() if name != "needs"}
        self._ask = cast("Step[..., Answer[Any]]", step(**ours)(self._answer))
        self._stream = cast("StreamStep[..., Piece]", step(**streamed)(self._pieces))

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        return self.provider.name

    @property
    def policy(self) -> Mapping[str, Any]:
        """The arguments of `@step` that it was made with."""
        return MappingProxyType(self._policy)

    @overload
    def ask(self, asked: Asked, *, max_tokens: int | None = None) -> Call[Answer[str]]: ...
    @overload
    def ask(
        self,
        asked: Asked,
        *,
        tools: Sequence[ToolSpec],
        max_tokens: int | None = None,
    ) -> Call[Answer[str]]: ...
    @overload
    def ask(
        self,
        asked: Asked,
        *,
        output: TypeForm[T],
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Call[Answer[T]]: ...
    @overload
    def ask(
        self,
        asked: Asked,
        *,
        output: TypeForm[T],
        tools: Sequence[ToolSpec],
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Call[Answer[T | None]]: ...
    @made_by("_ask")
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
        `again` times more, with what was wrong, and then raises `MalformedAnswer`. One that was cut
        is never read. An answer that asks for tools has no value yet: `None` where `output` is
        given. Cancelled, it closes its connection, and what it used is estimated.

        Raises TypeError for a type that JSON cannot carry, and for a question that is none.
        """
        _check(asked, tools, max_tokens)
        whole("again", again, 0)
        schema_of(output)
        return made_by_caller(self._ask(asked, output, tuple(tools), max_tokens, again))

    @made_by("_stream")
    def stream(
        self,
        asked: Asked,
        *,
        output: TypeForm[object] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
    ) -> StreamCall[Piece]:
        """Ask, and read the answer while it is written; the whole `Answer` comes last.

        Pieces of `Text` come as they are, a `ToolCall` when its arguments are whole, and with
        `output` a `Part` for each finished field and list element, not yet validated. Leaving the
        block closes the connection; what was used until then is told, estimated where the provider
        has not counted. With `output`, an answer that does not fit raises `MalformedAnswer`.
        """
        _check(asked, tools, max_tokens)
        schema_of(output)
        return made_by_caller(self._stream(asked, output, tuple(tools), max_tokens))

    @overload
    def batch(
        self, items: Iterable[Asked], *,
        need: int | str = ..., within: float | None = ..., handle: str | None = ...,
        terms: BatchTerms = ...,
    ) -> Call[FanIn[Answer[str]]]: ...  # fmt: skip
    @overload
    def batch(
        self, items: Iterable[Asked], *, output: TypeForm[T],
        need: int | str = ..., within: float | None = ..., handle: str | None = ...,
        terms: BatchTerms = ...,
    ) -> Call[FanIn[Answer[T]]]: ...  # fmt: skip
    def batch(
        self,
        items: Iterable[Asked],
        *,
        output: TypeForm[object] | None = None,
        need: int | str = "all",
        within: float | None = None,
        handle: str | None = None,
        terms: BatchTerms = DEFAULT_TERMS,
    ) -> Call[FanIn[Answer[Any]]]:
        """Ask many questions through the provider's batch API, within hours and at a lower price.

        The same as `ask_batch(model, items)`, which says what its arguments mean. The model's
        policy is for answers that somebody waits for, and does not hold here: `terms` do.

        Raises TypeError where the provider has no batch API, `NotEnough` below `need`. Cancelled,
        it cancels the provider's batches, unless `terms=BatchTerms(leave=True)`.
        """
        order = Order(need, within, output, handle, terms)
        return made_by_caller(order_batch(self.provider, items, order))

    def using(self, **policy: Any) -> Model:  # noqa: ANN401 - as @step
        """Give the same model under another policy; what is not named stays."""
        return Model(self.provider, **(self._policy | policy))

    def in_role(self, role: str) -> Model:
        """Give the model whose calls have a role, such as "judge"; the same object each time."""
        if role not in self._roles:
            self._roles[role] = self.using(role=role)
        return self._roles[role]

    def estimate(
        self,
        asked: Asked,
        *,
        output: TypeForm[object] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
    ) -> Usage:
        """Estimate what asking is expected to use, as this model's questions did until now.

        Before the runtime has seen any, by the bytes of the question, and `max_tokens` of output
        (`None`: 0, as nothing is known of it).
        """
        _check(asked, tools, max_tokens)
        request = Request(asked, tuple(tools), schema_of(output), max_tokens)
        return expected(self._ask.name, request)

    async def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        """Give what so many tokens cost in US dollars, `None` where that is not known.

        By the prices of the running runtime; `batch` for those of the provider's batch API. The
        first use loads the known prices, which takes 0.3 s.
        """
        return await price_of(self.name, usage, tier="batch" if batch else None)

    def _needs(
        self,
        asked: Asked,
        output: TypeForm[object] | None = None,
        tools: tuple[ToolSpec, ...] = (),
        max_tokens: int | None = None,
        *_: object,
    ) -> Need:
        request = Request(asked, tools, schema_of(output), max_tokens)
        return needed(self.provider.name, request, self._ask.name)

    def _needs_too(self, said: Need | Callable[..., Need], *asked: Any) -> Need:  # noqa: ANN401 - as those of `_answer`
        """Give what its user says of it, and the bounds that only the question has."""
        return bounded_by(said if isinstance(said, Need) else said(*asked), self._needs(*asked))

    async def _answer(
        self,
        asked: Asked,
        output: TypeForm[object] | None = None,
        tools: tuple[ToolSpec, ...] = (),
        max_tokens: int | None = None,
        again: int = 1,
    ) -> Answer[Any]:
        request = bounded(Request(asked, tools, schema_of(output), max_tokens))
        if output is None:
            return await ask_text(self.provider, request)
        return await ask_typed(self.provider, request, output, again)

    def _pieces(
        self,
        asked: Asked,
        output: TypeForm[object] | None = None,
        tools: tuple[ToolSpec, ...] = (),
        max_tokens: int | None = None,
    ) -> AsyncGenerator[Piece]:
        request = bounded(Request(asked, tools, schema_of(output), max_tokens))
        return ask_in_pieces(self.provider, request, output)

    def __repr__(self) -> str:
        """Show the address."""
        return f"<Model {self.name}>"


def _check(asked: object, tools: Iterable[object], max_tokens: int | None) -> None:
    check_asked(asked, max_tokens)
    for tool in tools:
        if not isinstance(tool, ToolSpec):
            msg = f"tools are each a ToolSpec, what a model is told of a tool, got {tool!r}"
            raise TypeError(msg)


def asked_key(
    asked: Asked,
    output: TypeForm[object] | None = None,
    tools: tuple[ToolSpec, ...] = (),
    max_tokens: int | None = None,
    *_: object,
) -> object:
    """Give what counts of a question for a call's identity."""
    told = [(tool.name, tool.description, dict(tool.schema)) for tool in tools]
    kind = (getattr(output, "__module__", ""), getattr(output, "__qualname__", ""))
    # A prompt has more to say than its text: how many statements are wanted, for one.
    question = asked if isinstance(asked, Prompt) else as_chat(asked)
    return (question, told, kind, schema_of(output), max_tokens)


def streamed_key(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - as those of `asked_key`
    return ("stream", asked_key(*args, **kwargs))


def check_address(name: str, address: object) -> None:
    """Raise, naming the argument, where it is no text."""
    if not isinstance(address, str):
        msg = f'{name}(address) takes a text such as "openai:gpt-5-mini", got {address!r}'
        raise TypeError(msg)


def at_address(address: str) -> Model:
    """Give the model of an address; raise ValueError, naming those known, for any other."""
    check_address("model", address)
    return Model(cast("Provider", _registry.load("model", address)))
