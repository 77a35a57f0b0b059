"""Connections to providers: one pool for each event loop, and the headers that tell of limits.

A pool belongs to the loop that opened its connections, while models are made once and used by one
`run` after the other; so each loop gets a client of its own, which all adapters share. It is closed
when its loop ends: an async generator that waits in its `try` is what a loop closes before it ends
itself (`loop.shutdown_asyncgens`, PEP 525), and there is no other way to be told.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Final, Protocol
from urllib.request import getproxies

import httpx2

from fanwise.core import hear_headers
from fanwise.models import Rates, read_rates
from fanwise.providers._ai._pools import CONNECTIONS, KEPT_SECONDS, TLS, Pools

_TIMES: Final = httpx2.Timeout(600.0, connect=10.0)  # the official clients'; steps have `timeout=`

_Kept = tuple[httpx2.AsyncClient, AsyncGenerator[None]]
_KEPT: Final[dict[asyncio.AbstractEventLoop, _Kept]] = {}

HEARD: Final[ContextVar["Hears | None"]] = ContextVar("HEARD", default=None)
"""Who is told of the headers of the response that is being waited for."""


class Hears(Protocol):
    """Who asked, and wants to know what the response says of limits."""

    def hear(self, rates: Rates) -> None:
        """Take what a response said of limits."""
        ...


async def open_client() -> httpx2.AsyncClient:
    """Give the client of the running loop, opened at its first use."""
    loop = asyncio.get_running_loop()
    kept = _KEPT.get(loop)
    if kept is not None:
        return kept[0]
    for other in list(_KEPT):  # a copy: other threads have loops of their own
        if other.is_closed():
            _KEPT.pop(other, None)
    # Proxies of the environment are read by a client that makes its own transports only.
    client = httpx2.AsyncClient(
        transport=None if getproxies() else Pools(),
        verify=TLS,
        limits=httpx2.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=KEPT_SECONDS,
        ),
        timeout=_TIMES,
        follow_redirects=True,
        event_hooks={"response": [hear_rates]},
    )
    closing = _until_closed(loop, client)
    _KEPT[loop] = (client, closing)
    await anext(closing)
    return client


async def close() -> None:
    """Close the connections of the running loop; a later call opens new ones.

    Needed only where a loop goes on for long without models, or a test counts what is left open.
    """
    kept = _KEPT.get(asyncio.get_running_loop())
    if kept is not None:
        await kept[1].aclose()


async def _until_closed(
    loop: asyncio.AbstractEventLoop, client: httpx2.AsyncClient
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        _KEPT.pop(loop, None)
        await client.aclose()


async def hear_rates(response: httpx2.Response) -> None:
    """Tell who asked, and its limit, what a response says; the hook of every client in use here."""
    said = _about_limits(response)
    hear_headers(said)
    listener = HEARD.get()
    if listener is not None:
        rates = read_rates(said)
        if rates is not None:
            listener.hear(rates)


def _about_limits(response: httpx2.Response) -> dict[str, str]:
    """Pick the headers that matter; looking each up would search the whole list each time."""
    raw = ((name.lower(), value) for name, value in response.headers.raw)
    return {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in raw
        if b"ratelimit" in name or name.startswith(b"retry-after") or name == b"date"
    }


def listen_on(client: httpx2.AsyncClient) -> None:
    """Add the hook to a client that a user brought, once."""
    hooks = client.event_hooks
    if hear_rates not in hooks["response"]:
        client.event_hooks = {**hooks, "response": [*hooks["response"], hear_rates]}


def closing(_address: str) -> object:
    """Give `close`, for the registry."""
    return close
