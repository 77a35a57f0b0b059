"""A shared limit as it stands on its board, for who watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fanwise.stores._visit import DIMENSIONS, MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LimitStanding(NamedTuple):
    """A limit at one instant, over all the workers that share it.

    `workers` were seen lately, `waiting` of them have a head of the line there. `held` counts slots
    of `at_once` that are in use or lent beforehand. `sizes` gives the bucket of each rate, in whole
    requests or tokens, and `spent` what is gone of it: used within the last burst, reserved, or
    lent. Nobody is let in for `paused` seconds.
    """

    name: str
    at_once: int | None
    workers: int
    waiting: int
    held: int
    paused: float
    sizes: Mapping[str, int]
    spent: Mapping[str, int]

    @property
    def used(self) -> dict[str, float]:
        """The share of each bucket that is gone."""
        return {name: self.spent[name] / size for name, size in self.sizes.items()}


def standing_of(name: str, told: Sequence[int]) -> LimitStanding:
    """Read what a board tells of a limit, in the order of `_look.lua`."""
    _, at_once, workers, waiting, held, paused, *dimensions = told
    sizes = dict(zip(DIMENSIONS, dimensions[::2], strict=True))
    spent = dict(zip(DIMENSIONS, dimensions[1::2], strict=True))
    limited = [each for each in DIMENSIONS if sizes[each]]
    return LimitStanding(
        name,
        None if at_once < 0 else at_once,
        workers,
        waiting,
        held,
        paused / MICROSECONDS,
        {f"{each}_per_minute": sizes[each] for each in limited},
        {f"{each}_per_minute": spent[each] for each in limited},
    )


__all__ = ["LimitStanding", "standing_of"]
