"""What a user may bring to have a model made: a client, a key, an address, connections."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx2

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Given(Generic[C]):
    """What was given for the model `address`; refuses what contradicts itself."""

    address: str
    client: C | None
    key: str | None
    base_url: str | None
    http: httpx2.AsyncClient | None

    def __post_init__(self) -> None:
        """Refuse an address without a name, and a client beside what it holds itself."""
        if not self.address.partition(":")[2]:
            raise ValueError(f"model={self.address!r} names no model after the colon")
        beside = {"key": self.key, "base_url": self.base_url, "http": self.http}
        given = [name for name, value in beside.items() if value is not None]
        if self.client is not None and given:
            raise ValueError(f"client= has its own {given[0]}: give one of both")

    @property
    def borrowed(self) -> bool:
        """Whether the connections are the user's, who closes them."""
        return self.client is not None or self.http is not None

    def without_key(self, *names: str) -> ValueError:
        """Give the error that says how to bring a key."""
        provider, _, name = self.address.partition(":")
        made = f"fanwise.providers.{provider.replace('-', '_')}({name!r}, key=...)"
        return ValueError(
            f"model={self.address!r} needs a key: set {' or '.join(names)}, or use {made}"
        )


def nowhere() -> httpx2.AsyncClient:
    """Give connections that lead nowhere, until those of a loop are put in their place."""
    return httpx2.AsyncClient(transport=httpx2.MockTransport(_refuse))


def _refuse(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("asked before the connections of a loop were there")
