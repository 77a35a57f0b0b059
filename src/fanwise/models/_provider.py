"""What a provider's adapter does; `Model` does the rest."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fanwise.models._answer import Answer, RawPiece
from fanwise.models._chat import Asked, Chat, as_chat


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it; `schema` is the JSON schema of its arguments, an object."""

    name: str
    description: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a provider.

    `schema` is the JSON schema that the answer's text must fit (`None`: free text).
    """

    asked: Asked
    tools: tuple[ToolSpec, ...] = ()
    schema: Mapping[str, object] | None = None
    max_tokens: int | None = None

    @property
    def chat(self) -> Chat:
        """The question as a conversation."""
        return as_chat(self.asked)


class Provider(Protocol):
    """An adapter: one model of one provider, without policies, retries and memory of its own.

    It may be cancelled at any time and then closes its connection, once, before it returns. It
    raises what the provider's client raises.
    """

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        ...

    async def answer(self, request: Request, /) -> Answer[str]:
        """Answer one request."""
        ...


@runtime_checkable
class Streaming(Provider, Protocol):
    """An adapter that gives an answer while it is written; of another, it comes as one piece."""

    def pieces(self, request: Request, /) -> AsyncGenerator[RawPiece]:
        """Answer one request piece by piece, an `Ended` last."""
        ...
