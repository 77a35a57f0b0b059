"""Models and embedders by name: what a runtime's `models=` says that they are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from fanwise.core import current_runtime, step
from fanwise.models._deployments import EXAMPLE, Deployment, Manner, Names, is_name, names_of
from fanwise.models._embedder import Embedder
from fanwise.models._embedder import at_address as embedder_at
from fanwise.models._estimate import looped
from fanwise.models._failover import Question, answered, beginning, streamed, tiers_of
from fanwise.models._model import Model, asked_key, streamed_key
from fanwise.models._model import at_address as model_at

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from decimal import Decimal

    from typing_extensions import TypeForm

    from fanwise.core import Step, StreamStep
    from fanwise.models._answer import Answer, Piece
    from fanwise.models._chat import Asked
    from fanwise.models._deployments import Asks
    from fanwise.models._embedder import Embedded, Kind
    from fanwise.models._provider import Request, ToolSpec
    from fanwise.models._usage import Usage

ASK: Final = "_ask"
STREAM: Final = "_stream"
REQUEST: Final = "_request"


class Name:
    """What stands where a model has its adapter; those that it stands for answer."""

    __slots__ = ("most", "name")

    most: int  # texts in one request, which only a runtime knows

    def __init__(self, name: str) -> None:
        """Take the name."""
        self.name = name
        self.most = 0

    async def answer(self, _request: Request, /) -> Answer[str]:
        """Refuse: it is asked through its model."""
        msg = f"{self.name} is a name: model({self.name!r}).ask(...) asks whom it stands for"
        raise TypeError(msg)

    async def embed(self, _texts: Sequence[str], _kind: Kind, /) -> Embedded:
        """Refuse likewise."""
        msg = f"{self.name} is a name: embedder({self.name!r}).embed(...) asks whom it stands for"
        raise TypeError(msg)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Name {self.name}>"


class NamedModel(Model):
    """The model of a name; `timeout` bounds each deployment's attempt, unless that has its own."""

    __slots__ = ("_manner",)

    def __init__(self, name: str, **policy: Any) -> None:  # noqa: ANN401 - as @step
        """Take a name, and the arguments of `@step`: the policy of going round its deployments."""
        self.provider = Name(name)
        self._policy = policy
        self._roles = {}
        self._manner = Manner(policy.get("timeout"), policy.get("role"))
        ours: dict[str, Any] = {"name": name} | policy | {"timeout": None, "needs": None}
        ask: dict[str, Any] = {"key": asked_key} | ours
        stream: dict[str, Any] = {"key": streamed_key} | ours
        self._ask = cast("Step[..., Answer[Any]]", step(**ask)(self._answer))
        self._stream = cast("StreamStep[..., Piece]", step(**stream)(self._pieces))

    def using(self, **policy: Any) -> Model:  # noqa: ANN401 - as @step
        """Give the same name under another policy; what is not named stays."""
        return NamedModel(self.name, **(self._policy | policy))

    def estimate(
        self,
        asked: Asked,
        *,
        output: TypeForm[object] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
    ) -> Usage:
        """Estimate as the first of its deployments does; outside of a loop, by bytes alone."""
        if not looped():
            return super().estimate(asked, output=output, tools=tools, max_tokens=max_tokens)
        first = cast("Model", self._first().given)
        return first.estimate(asked, output=output, tools=tools, max_tokens=max_tokens)

    async def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        """Give what so many tokens cost at the first of its deployments, in US dollars."""
        return await cast("Model", self._first().given).price(usage, batch=batch)

    def _first(self) -> Deployment:
        return tiers_of(self.name, names_of(current_runtime()))[0][0]

    async def _answer(self, asked: Asked, *rest: Any) -> Answer[Any]:  # noqa: ANN401 - as Model
        question = Question(self.name, ASK, self._manner, (asked, *rest), beginning(asked))
        return cast("Answer[Any]", await answered(question))

    def _pieces(self, asked: Asked, *rest: Any) -> AsyncGenerator[Piece]:  # noqa: ANN401 - as Model
        question = Question(self.name, STREAM, self._manner, (asked, *rest), beginning(asked))
        return streamed(question)


class NamedEmbedder(Embedder):
    """The embedder of a name, whose deployments all have one model."""

    __slots__ = ("_manner",)

    def __init__(self, name: str, *, at_once: int = 4, **policy: Any) -> None:  # noqa: ANN401 - as @step
        """Take a name, and the policy of going round its deployments with each request."""
        self._manner = Manner(policy.get("timeout"), policy.get("role"))
        super().__init__(Name(name), at_once=at_once, **(policy | {"timeout": None, "needs": None}))
        self._policy = policy

    def using(self, **policy: Any) -> Embedder:  # noqa: ANN401 - as @step
        """Give the same name under another policy; what is not named stays."""
        return NamedEmbedder(self.name, **({"at_once": self.at_once} | self._policy | policy))

    async def _embedded(self, request: tuple[tuple[str, ...], Kind]) -> Embedded:
        question = Question(self.name, REQUEST, self._manner, (request,))
        return cast("Embedded", await answered(question))

    def _most(self) -> int:
        runtime = current_runtime()
        made = [
            each.embeds(embedder_at)
            for tier in tiers_of(self.name, names_of(runtime))
            for each in tier
        ]
        models = {each.name.partition(":")[2] for each in made}
        if len(models) > 1:
            msg = (
                f"models[{self.name!r}] has embedders of several models, whose vectors do not fit "
                f"together: {', '.join(sorted(models))}"
            )
            raise ValueError(msg)
        return min(each.provider.most for each in made)


named_model = lru_cache(256)(NamedModel)  # they hold nothing but the name
named_embedder = lru_cache(256)(NamedEmbedder)


def model(address: str) -> Model:
    """Give the model of an address such as "local:extractive", or of a runtime's name.

    A name has no colon: `Runtime(models={"smart": [...]})` says what "smart" stands for, which is
    looked up when the model is asked.

    Raises ValueError for an address that no provider knows; the message names those known.
    """
    if is_name(address):
        return named_model(address)
    return model_at(address)


def embedder(address: str) -> Embedder:
    """Give the embedder of an address such as "openai:text-embedding-3-small", or of a name.

    As `model`. Raises ValueError for an address that no provider knows.
    """
    if is_name(address):
        return named_embedder(address)
    return embedder_at(address)


def given_as(made: dict[str, Model]) -> Callable[[str, object], tuple[Asks, str | None]]:
    """Give what makes models of what a runtime was given; those of addresses are kept in `made`."""

    def give(name: str, given: object) -> tuple[Asks, str | None]:
        if isinstance(given, (NamedModel, NamedEmbedder)) or (is_name(given)):
            msg = (
                f"models[{name!r}] has {getattr(given, 'name', given)!r} in it, which is no address"
                " such as 'openai:gpt-5-mini'; a name in a name is not looked up: write its "
                "deployments there"
            )
            raise ValueError(msg)
        if isinstance(given, str):
            if given not in made:
                made[given] = model_at(given)
            return made[given], given
        if not isinstance(given, (Model, Embedder)):
            msg = f"models {EXAMPLE}, got {given!r} for {name!r}"
            raise TypeError(msg)
        return given, None

    return give


def names(_address: str) -> Callable[[object], Names]:
    """Give what makes the names of a runtime, for the registry."""
    return lambda models: Names(models, given_as({}))
