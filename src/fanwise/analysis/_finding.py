"""What a detector found: a failure mode, where it stands in the record, and what cures it (F5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal[
    "synchronised retries", "cascading failure", "rate-limit cascade", "head-of-line blocking"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure mode that a record shows.

    `steps` are those concerned, the one in which it began first. `start` and `end` are instants in
    microseconds since the record's anchor. `strength` says how many times more than in health,
    each kind in its own measure (docs/show.md). `evidence` has the numbers behind it, times among
    them in microseconds; `what` tells them in a sentence, and `cure` is another.
    """

    kind: Kind
    steps: tuple[str, ...]
    start: int
    end: int
    strength: float
    what: str
    cure: str
    evidence: Mapping[str, float]

    def __str__(self) -> str:
        """Tell it in a line, the cure left out."""
        return f"{self.kind}: {self.what}"
