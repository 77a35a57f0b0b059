"""Limits that bring their definition with their name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from fanwise.core._policies import Limit


class OwnLimit(str):
    """The name of a limit that brings its definition: for adapters of what has a width of its own.

    What a runtime defines under the name, or a pattern that fits it, goes first. Without that it is
    this process's own, whatever else the runtime shares.
    """

    __slots__ = ("limit",)

    limit: Limit

    def __new__(cls, name: str, limit: Limit) -> Self:
        """Name `limit`."""
        made = super().__new__(cls, name)
        made.limit = limit
        return made
