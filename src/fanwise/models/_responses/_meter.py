"""An answer that comes in pieces: what they say together, also where they break off.

Providers count at different places: at the start (input), at the end, in every piece as sums so
far. A meter takes the greatest of each count, which is right for all of them; where a client adds
its pieces' counts up, the reader of pieces says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fanwise.core import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = ("tokens_in", "tokens_out", "cached", "written", "written_hour")


class Bit(NamedTuple):
    """What one piece says. `id` tells answers apart, `said` counts bytes of the answer.

    `counted` is the provider's own account so far, `closing` whether that is the last word.
    """

    id: str | None = None
    model: str | None = None
    said: int = 0
    finish: str | None = None
    counted: Reading | None = None
    closing: bool = False
    tier: str | None = None


class PieceMeter:
    """Follows the pieces of one answer after another; `bit` reads a piece, `None` says nothing."""

    __slots__ = ("_adds", "_bit", "_id", "_reading", "_settled")

    def __init__(self, bit: Callable[[object], Bit | None], *, adds: bool = False) -> None:
        """Follow pieces whose counts are sums so far, or, where it `adds`, each its own."""
        self._bit = bit
        self._adds = adds
        self._id: str | None = None
        self._reading: Reading | None = None
        self._settled = False  # whether the provider has said its last word

    def take(self, piece: object) -> Reading | None:
        """Take a piece; give the answer before it, where this one begins another."""
        bit = self._bit(piece)
        if bit is None:
            return None
        ended = None
        if bit.id is not None and self._id is not None and bit.id != self._id:
            ended = self.close(broken=False)
        self._id = bit.id or self._id
        self._add(bit)
        return ended

    def close(self, *, broken: bool) -> Reading | None:
        """Give what is known of the answer; estimated unless the provider has counted it all."""
        reading, settled = self._reading, self._settled
        self._reading = self._id = None
        self._settled = False
        if reading is None:
            return None
        whole = settled or (not broken and reading.tokens_in > 0 and reading.tokens_out > 0)
        finish = reading.finish or ("cut" if broken else None)
        return reading._replace(estimated=not whole, finish=finish)

    def _add(self, bit: Bit) -> None:
        before = self._reading or Reading(None)
        counts = {name: getattr(before, name) for name in COUNTS}
        if bit.counted is not None:
            for name in COUNTS:
                new = getattr(bit.counted, name)
                counts[name] = counts[name] + new if self._adds else max(counts[name], new)
        self._settled = self._settled or bit.closing
        self._reading = before._replace(
            **counts,
            model=bit.model or before.model,
            tier=bit.tier or before.tier,
            finish=bit.finish or before.finish,
            said=before.said + bit.said,
        )

    def __repr__(self) -> str:
        """Show what is known."""
        return f"<PieceMeter {self._reading}>"
