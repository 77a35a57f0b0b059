"""TF-IDF vectors of sentences and their cosines.

Problem: all pairs of similar sentences without n x n dot products. Algorithm: unit
vectors as sparse dicts; an inverted index adds up the products term by term, so that
pairs without a common term cost nothing. Cost: the sum over terms of the square of the
number of sentences that hold them.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

Vector = dict[str, float]


def inverse_frequencies(counts: Sequence[Counter[str]]) -> dict[str, float]:
    """Give log(1 + n/df) of each term over n sentences."""
    found: Counter[str] = Counter()
    for sentence in counts:
        found.update(sentence.keys())
    total = len(counts)
    return {term: math.log(1 + total / number) for term, number in found.items()}


def unit_vectors(counts: Sequence[Counter[str]], inverse: dict[str, float]) -> list[Vector]:
    """Give the vector of each sentence, term count times inverse frequency, of length 1."""
    return [_unit({t: n * inverse[t] for t, n in sentence.items()}) for sentence in counts]


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(math.fsum(x * x for x in vector.values()))
    return {term: x / length for term, x in vector.items()} if length else vector


def cosines(vectors: Sequence[Vector]) -> list[dict[int, float]]:
    """Give for each vector the cosines with those others that share a term with it."""
    index: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    found: list[dict[int, float]] = [{} for _ in vectors]
    for number, vector in enumerate(vectors):
        row: defaultdict[int, float] = defaultdict(float)
        for term, x in vector.items():
            postings = index[term]
            for other, y in postings:
                row[other] += x * y
            postings.append((number, x))
        for other, cosine in row.items():
            found[number][other] = cosine
            found[other][number] = cosine
    return found
