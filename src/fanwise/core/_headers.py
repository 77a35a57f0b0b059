"""What the headers of a response say that is left of a provider's limits.

Two families: OpenAI and those who copy it write `x-ratelimit-remaining-tokens: 149984`, Anthropic
writes `anthropic-ratelimit-output-tokens-remaining: 8000`. (`fanwise.models.read_rates` reads all
that they say; it is not loaded for this.)
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from fanwise.core._protocols import Remaining

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
WORD = "ratelimit"


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
