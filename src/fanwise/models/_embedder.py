"""An embedder: what gives vectors for texts, each request a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

from fanwise.core import Need, _registry, made_by_caller, step, whole
from fanwise.models._asking import tell
from fanwise.models._estimate import FRAME, bounded_by
from fanwise.models._model import check_address
from fanwise.models._usage import Usage
from fanwise.patterns import fan_map
from fanwise.text import BYTES_PER_TOKEN, bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fanwise.core import Call, Step

Kind = Literal["document", "query"]
"""What a text is for: to be found, or to find with; some models embed the two differently."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts, in their order, with the tokens used and the model's full name."""

    vectors: tuple[Sequence[float], ...]
    usage: Usage
    model: str

    def __repr__(self) -> str:
        """Count the vectors, without their numbers."""
        size = len(self.vectors[0]) if self.vectors else 0
        return f"<{len(self.vectors)} vectors of {size} numbers by {self.model}>"


class Embeds(Protocol):
    """An adapter: one embedding model of one provider, without policies of its own.

    `most` is the greatest number of texts in one request.
    """

    most: int

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        ...

    async def embed(self, texts: Sequence[str], kind: Kind, /) -> Embedded:
        """Give a vector for each text, in their order; cancelled, close the connection."""
        ...


class Embedder:
    """What gives vectors: `embed` is a call, cut into as many requests as it takes.

    Made of a provider's adapter, or by `embedder("openai:...")`. A request's step is named by the
    address, and `policy` (the arguments of `@step`) is that of each request. `at_once` requests
    of one call run at the same time.
    """

    __slots__ = ("_embed", "_policy", "_request", "at_once", "provider")

    at_once: int
    provider: Embeds

    def __init__(self, provider: Embeds, *, at_once: int = 4, **policy: Any) -> None:  # noqa: ANN401 - as @step
        """Take an adapter; raise ValueError for `at_once` below 1, TypeError for no adapter."""
        if not callable(getattr(provider, "embed", None)):
            msg = (
                "Embedder(provider) takes an adapter, with a name, its `most` texts at a time and "
                f"`async def embed(texts, kind)`, got {provider!r}; that of an address is "
                "embedder(address)"
            )
            raise TypeError(msg)
        whole("at_once", at_once, 1)
        self.provider = provider
        self.at_once = at_once
        self._policy = policy
        ours: dict[str, Any] = {"name": provider.name, "needs": self._needs} | policy
        said = policy.get("needs")
        if callable(said) or isinstance(said, Need):
            ours["needs"] = partial(self._needs_too, said)
        self._request = cast("Step[..., Embedded]", step(**ours)(self._embedded))
        self._embed = cast("Step[..., Embedded]", step(name=f"{provider.name}/all")(self._all))

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        return self.provider.name

    @property
    def policy(self) -> Mapping[str, Any]:
        """The arguments of `@step` that its requests are made with."""
        return MappingProxyType(self._policy)

    def embed(self, texts: Iterable[str], *, kind: Kind = "document") -> Call[Embedded]:
        """Give a vector for each text, in their order.

        Raises TypeError for a single str: it would be read as its letters. A request that fails
        fails it all. Cancelled, it closes its connections.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            msg = f"embed takes several texts, such as embed([text]), got {texts!r}"
            raise TypeError(msg)
        if kind not in get_args(Kind):
            raise ValueError(f'kind is "document" or "query", got {kind!r}')
        given = tuple(texts)
        for each in given:
            if not isinstance(each, str):
                msg = f"embed takes texts, got {each!r} among them"
                raise TypeError(msg)
        if 0 < len(given) <= self.provider.most:
            return made_by_caller(self._request((given, kind)))
        return made_by_caller(self._embed(given, kind))

    def using(self, **policy: Any) -> Embedder:  # noqa: ANN401 - as @step
        """Give the same embedder under another policy; what is not named stays."""
        return Embedder(self.provider, **({"at_once": self.at_once} | self._policy | policy))

    def _needs(self, request: tuple[tuple[str, ...], Kind]) -> Need:
        """Give what a request reads: no token is shorter than a byte, and some stand around."""
        sizes = [bytes_of(text) for text in request[0]]
        expected = sum(-(-size // BYTES_PER_TOKEN) for size in sizes)
        return Need(expected, 0, 0, sum(sizes) + FRAME * len(sizes), model=self.name)

    def _needs_too(
        self, said: Need | Callable[..., Need], request: tuple[tuple[str, ...], Kind]
    ) -> Need:
        """Give what its user says of it, and the bounds that only the request has."""
        return bounded_by(said if isinstance(said, Need) else said(request), self._needs(request))

    async def _embedded(self, request: tuple[tuple[str, ...], Kind]) -> Embedded:
        texts, kind = request
        found = await self.provider.embed(texts, kind)
        tell(found.usage, found.model)
        if len(found.vectors) != len(texts):
            msg = f"{self.name} gave {len(found.vectors)} vectors for {len(texts)} texts"
            raise ValueError(msg)
        return found

    async def _all(self, texts: tuple[str, ...], kind: Kind) -> Embedded:
        most = self._most()
        cuts = [(texts[n : n + most], kind) for n in range(0, len(texts), most)]
        found = (await fan_map(self._request, cuts, at_once=self.at_once)).values()
        return Embedded(
            tuple(vector for part in found for vector in part.vectors),
            reduce(add, [part.usage for part in found], Usage(0, 0)),
            found[0].model if found else self.name,
        )

    def _most(self) -> int:
        return self.provider.most

    def __repr__(self) -> str:
        """Show the address."""
        return f"<Embedder {self.name}>"


def at_address(address: str) -> Embedder:
    """Give the embedder of an address; raise ValueError, naming those known, for any other."""
    check_address("embedder", address)
    return Embedder(cast("Embeds", _registry.load("embedder", address)))
