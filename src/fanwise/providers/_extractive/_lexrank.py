"""Continuous LexRank, biased to a topic.

Problem: which sentences stand for the others. Algorithm: LexRank (Erkan & Radev 2004),
the stationary distribution of a walk over sentences whose steps are weighted by cosine
("continuous": no threshold), with a jump that is not uniform but follows a bias:
topic-sensitive LexRank (Otterbacher, Erkan & Radev 2005). Found by power iteration, at
most 30 rounds. Cost: rounds times pairs of similar sentences. Rejected: TextRank's word
overlap (long sentences win), centroid scores (one topic wins), anything that wants numpy.
"""

from collections.abc import Sequence
from typing import Final

_ROUNDS: Final = 30
_CLOSE: Final = 1e-4


def lexrank(similar: Sequence[dict[int, float]], bias: Sequence[float], jump: float) -> list[float]:
    """Rank sentences from their cosines; the result sums to 1.

    `bias` says where a jump lands (any scale, not negative; all zero is uniform), `jump`
    how often one is made, from 0 to 1.
    """
    landing = _shares(bias)
    outgoing = [sum(row.values()) for row in similar]
    rank = landing
    for _ in range(_ROUNDS):
        flow = [r / out if out else 0.0 for r, out in zip(rank, outgoing, strict=True)]
        lost = sum(r for r, out in zip(rank, outgoing, strict=True) if not out)
        jumped = jump + (1 - jump) * lost
        after = [
            jumped * land + (1 - jump) * sum(flow[other] * x for other, x in row.items())
            for land, row in zip(landing, similar, strict=True)
        ]
        change = sum(abs(a - b) for a, b in zip(after, rank, strict=True))
        rank = after
        if change < _CLOSE:
            break
    return rank


def _shares(bias: Sequence[float]) -> list[float]:
    total = sum(bias)
    if total <= 0:
        return [1 / len(bias)] * len(bias)
    return [x / total for x in bias]
