"""The model protocol, and models by name."""

from typing import Protocol, cast

from fanwise.core import _registry
from fanwise.models._prompt import Answer, Prompt


class Model(Protocol):
    """What answers a prompt.

    `name` is the address that `model()` takes. `ask` is a coroutine that may be cancelled
    at any time; it raises what its provider raises.
    """

    @property
    def name(self) -> str:
        """The model's address: provider, a colon, the provider's own name."""
        ...

    async def ask(self, prompt: Prompt, *, max_tokens: int | None = None) -> Answer:
        """Answer one prompt in at most `max_tokens` tokens (`None`: the model's own bound)."""
        ...


def model(address: str) -> Model:
    """Give the model of an address such as "local:extractive".

    Raises ValueError for an address that no provider knows; the message names those known.
    """
    return cast("Model", _registry.load("model", address))
