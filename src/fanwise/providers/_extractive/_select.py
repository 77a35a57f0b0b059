"""The whole choice: candidates, relevance to the task, LexRank, MMR."""

from collections.abc import Sequence
from typing import Final

from fanwise.models import Prompt, Quote
from fanwise.providers._extractive._candidates import Candidate, candidates
from fanwise.providers._extractive._lexrank import lexrank
from fanwise.providers._extractive._mmr import choose
from fanwise.providers._extractive._relevance import (
    asks_for_summary,
    relevance,
    task_terms,
)
from fanwise.providers._extractive._vectors import cosines, inverse_frequencies, unit_vectors

_MOST: Final = 10
_JUMP: Final = 0.15
_JUMP_TO_TASK: Final = 0.7
_LEAST_RELEVANT: Final = 0.2
_ONLY_LIKE: Final = 0.5
_LEAST_SCORE: Final = 0.02


def select(prompt: Prompt) -> list[Quote]:
    """Choose the sentences that answer a prompt, the best first.

    At most `prompt.most` of them (`None`: 10). A task that names a subject draws on sentences
    that share a term with it and on those like them, and gets no answer where there are
    none, unless it asks for a summary.
    """
    found = candidates(prompt.passages)
    most = _MOST if prompt.most is None else prompt.most
    if not found or most < 1:
        return []
    wanted = task_terms(prompt.task)
    relevant = relevance(found, wanted)
    if wanted and not any(relevant) and not asks_for_summary(prompt.task):
        return []
    counts = [candidate.counts for candidate in found]
    similar = cosines(unit_vectors(counts, inverse_frequencies(counts)))
    if any(relevant):
        chosen = choose(_by_task(found, similar, relevant), similar, most)
    else:
        sections = [candidate.section for candidate in found]
        chosen = choose(_by_place(found, similar), similar, most, sections)
    return [Quote(found[n].passage, found[n].text) for n in chosen]


def _by_place(found: Sequence[Candidate], similar: Sequence[dict[int, float]]) -> list[float]:
    """Score for a summary: central sentences from telling places."""
    weights = [candidate.alone * candidate.place for candidate in found]
    return [r * w for r, w in zip(lexrank(similar, weights, _JUMP), weights, strict=True)]


def _by_task(
    found: Sequence[Candidate], similar: Sequence[dict[int, float]], relevant: Sequence[float]
) -> list[float]:
    """Score for a question: sentences on its subject, then those like them."""
    top = max(relevant)
    bias = [x * c.alone * min(1.0, c.place) for x, c in zip(relevant, found, strict=True)]
    ranks = lexrank(similar, bias, _JUMP_TO_TASK)
    scores = [
        rank * candidate.alone * (1.0 if x >= _LEAST_RELEVANT * top else _ONLY_LIKE)
        for rank, candidate, x in zip(ranks, found, relevant, strict=True)
    ]
    least = _LEAST_SCORE * max(scores)
    return [score if score >= least else 0.0 for score in scores]
