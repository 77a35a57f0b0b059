"""What a user may bring to have a model made: a client, a key, an address, connections."""

import os
from dataclasses import dataclass
from types import UnionType
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
        name = self.address.partition(":")[2]
        if not name.strip():
            raise ValueError(f"model={self.address!r} names no model after the colon")
        if name != name.strip():
            raise ValueError(f"model={self.address!r} has spaces around the model's name")
        key: object = self.key
        if key is not None and (not isinstance(key, str) or not key):
            raise _wrong("key is a text", key)
        if self.http is not None and not isinstance(self.http, httpx2.AsyncClient):
            raise _wrong("http is an httpx2.AsyncClient", self.http)
        if self.base_url is not None:
            _check_address("base_url", self.base_url)
        beside = {"key": self.key, "base_url": self.base_url, "http": self.http}
        given = [name for name, value in beside.items() if value is not None]
        if self.client is not None and given:
            raise ValueError(f"client= has its own {given[0]}: give one of both")

    def check_client(self, kinds: type | UnionType, shown: str) -> None:
        """Refuse a client of another provider, and one that would stop the loop."""
        if self.client is not None and not isinstance(self.client, kinds):
            raise _wrong(f"client is {shown}", self.client)

    def check_environment(self, variable: str) -> None:
        """Refuse an address that is read from the environment, and is none."""
        value = os.environ.get(variable)
        if self.client is None and self.base_url is None and value is not None:
            _check_address(variable, value)

    @property
    def borrowed(self) -> bool:
        """Whether the connections are the user's, who closes them."""
        return self.client is not None or self.http is not None

    def without_key(self, *names: str, more: str = "") -> ValueError:
        """Give the error that says how to bring a key."""
        provider, _, name = self.address.partition(":")
        made = f"fanwise.providers.{provider.replace('-', '_')}({name!r}, key=...{more})"
        return ValueError(
            f"model={self.address!r} needs a key: set {' or '.join(names)}, or use {made}"
        )


def _wrong(expected: str, value: object) -> TypeError:
    return TypeError(f"{expected}, got {value!r}")


def _check_address(name: str, value: str) -> None:
    if not isinstance(value, str):
        raise _wrong(f"{name} is a text, such as 'http://127.0.0.1:8030/v1'", value)
    if not value.startswith(("http://", "https://")):
        raise ValueError(
            f"{name}={value!r} is no address: it begins with http:// or https://, such as"
            " 'http://127.0.0.1:8030/v1'"
        )


def nowhere() -> httpx2.AsyncClient:
    """Give connections that lead nowhere, until those of a loop are put in their place."""
    return httpx2.AsyncClient(transport=httpx2.MockTransport(_refuse))


def _refuse(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("asked before the connections of a loop were there")
