"""What the headers of a response say that is left of a provider's limits, for the limit here.

Two families: OpenAI and those who copy it write `x-ratelimit-remaining-tokens: 149984`, Anthropic
writes `anthropic-ratelimit-output-tokens-remaining: 8000`. (`fanwise.models.read_rates` reads all
that they say; it is not loaded for this.)
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING

from fanwise.core._protocols import Remaining
from fanwise.core._scope import CURRENT, Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._quota import Reservation

KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
WORD = "ratelimit"


def hear_headers(headers: Mapping[str, str]) -> None:
    """Let the limit under which this runs hear what a response says; nothing without a limit."""
    reservation = reservation_here()
    if reservation is None:
        return
    left = remaining_in(headers)
    if left is None:
        return
    loop = reservation.run.runtime.loop
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the public one raises in a thread
        reservation.quota.correct(reservation, left)
    else:
        with suppress(RuntimeError):  # it is closed: nobody waits there any more
            loop.call_soon_threadsafe(reservation.quota.correct, reservation, left)


def reservation_here() -> Reservation | None:
    """Give what the innermost attempt around this has of a limit with rates."""
    here = CURRENT.get()
    while here is not None:
        if isinstance(here, Attempt):
            found: Reservation | None = getattr(here, "reservation", None)
            if found is not None:
                return found
            here = here.scope
        here = here.parent
    return None


def remaining_in(headers: Mapping[str, str]) -> Remaining | None:
    """Read what is left; `None` where nothing is said, or nothing that can be read."""
    said = {name: value for name, value in _lowered(headers) if WORD in name}
    if not said:
        return None
    left = Remaining(*(_left(said, kind) for kind in KINDS))
    return None if left == Remaining() else left


def _lowered(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(str(name).lower(), value) for name, value in headers.items()]


def _left(said: Mapping[str, str], kind: str) -> int | None:
    text = said.get(f"x-ratelimit-remaining-{kind}")
    if text is None:
        text = said.get(f"anthropic-ratelimit-{kind}-remaining")
    try:
        count = float("nan" if text is None else text)
    except ValueError:
        return None
    return max(0, int(count)) if isfinite(count) else None


def hearing(_address: str) -> Callable[[Mapping[str, str]], None]:
    """Give `hear_headers`, for the registry: most programs hear no headers."""
    return hear_headers
