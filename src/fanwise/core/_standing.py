"""How an attempt of a step would fare now, for those who choose between several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fanwise.core._shared import Shared
    from fanwise.core._step import Definition


class Standing(NamedTuple):
    """What is known of a step at one instant.

    `open` says that its breaker refuses attempts, for `retry_in` seconds (0: until its probe has
    ended); `probe` that the next attempt is the probe. `load` is the part of its limit that is
    taken: below 1 an attempt is admitted at once, above 1 calls wait.
    """

    open: bool
    retry_in: float
    probe: bool
    load: float


CALM = Standing(open=False, retry_in=0.0, probe=False, load=0.0)


def standing(runtime: Shared, step: Definition[Any], args: tuple[Any, ...], more: int) -> Standing:
    """Say how a call of `step` would fare after `more` others that have come first."""
    outfit = runtime.outfits.get(step) or runtime.outfit(step, runtime.policy_of(step))
    breaker = outfit.breaker
    load = 0.0
    for width, _ in outfit.widths:
        load = max(load, width.load(step, args, more))
    if breaker is None or breaker.until is None:
        return Standing(open=False, retry_in=0.0, probe=False, load=load) if load else CALM
    left = max(0.0, breaker.until - runtime.time())
    refuses = breaker.probing or left > 0
    return Standing(open=refuses, retry_in=left, probe=not refuses, load=load)
