"""Choice without repetition: maximal marginal relevance.

Algorithm: MMR (Carbonell & Goldstein 1998): again and again the sentence with the
greatest lambda x score - (1 - lambda) x greatest cosine with one already chosen; one that is
nearly the same as a chosen one is never taken. For a summary, where every part of the
documents should have its say, the score also falls with the number of sentences already
chosen from the same section (the diversity reward of Lin & Bilmes 2011, as a root). Cost:
chosen times sentences.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

_LAMBDA: Final = 0.7
_SAME: Final = 0.65


def choose(
    scores: Sequence[float],
    similar: Sequence[dict[int, float]],
    most: int,
    sections: Sequence[Hashable] = (),
) -> list[int]:
    """Choose up to `most` numbers, the best first; a score of 0 is never chosen.

    `sections` names the section of each number, or is empty where sections do not count.
    """
    top = max(scores, default=0.0)
    nearest = [0.0] * len(scores)
    left = {n for n, score in enumerate(scores) if score > 0}
    chosen: list[int] = []
    taken: Counter[Hashable] = Counter()
    while left and len(chosen) < most:
        share = [1 / math.sqrt(1 + taken[section]) for section in sections]
        worth = {n: scores[n] / top * (share[n] if share else 1.0) for n in left}
        best = max(left, key=lambda n: (_LAMBDA * worth[n] - (1 - _LAMBDA) * nearest[n], -n))
        if sections:
            taken[sections[best]] += 1
        left.discard(best)
        chosen.append(best)
        for other, cosine in similar[best].items():
            nearest[other] = max(nearest[other], cosine)
            if cosine >= _SAME:
                left.discard(other)
    return chosen
