"""How much a sentence says on the task: BM25 over the sentences in hand.

Algorithm: Okapi BM25 (Robertson & Zaragoza 2009), k1 = 1.2 and b = 0.4, times the share
of the task's terms that the sentence holds, so that two of three terms beat one of them
said twice. Rarity among the sentences in hand is only part of a term's weight:
in a chunk about type hints "hint" is common and "time" is rare, which is the wrong way
round, so commonplace words of a task count less. A term that stands in the headings or the
name of the document counts as two fifths of one in the sentence (BM25F's weighted fields).
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from fanwise.providers._extractive._candidates import Candidate
from fanwise.text import terms

_K1: Final = 1.2
_B: Final = 0.4
_FIELD: Final = 0.4

_COMMON: Final = 0.35
_POINTING: Final = re.compile(r"\b(?:this|these)\s+\w+", re.IGNORECASE)
_COMMONPLACE: Final = frozenset(
    terms(
        "time change changed way case number part rule difference example problem issue "
        "thing result set value old possible able current different order start end call"
    )
)
_ASKING: Final = frozenset(
    terms(
        "summarise summarize summarising summarizing summary summaries digest overview outline "
        "abstract document documents documentation doc docs text texts file files page pages "
        "paper papers article articles explain describe tell list give show find state "
        "answer question report key main major important central essential point points idea "
        "ideas topic topics subject content contents gist brief briefly short shortly concise "
        "sentence sentences word words paragraph people reader know learn understand need "
        "please read say says said talk mean means work works working kind sort lot "
        "happen happens exist exists reason reasons good best better new"
    )
)


_SUMMING: Final = frozenset(
    terms("summarise summarize summary summaries digest overview outline gist abstract tldr brief")
)


def task_terms(task: str) -> frozenset[str]:
    """Give the terms of a task that name a subject, those that only ask left out.

    "This library" and the like point at the documents and name nothing in them.
    """
    return frozenset(terms(_POINTING.sub(" ", task))) - _ASKING


def asks_for_summary(task: str) -> bool:
    """Tell whether a task wants a summary, whatever else it names ("Summarise for a novice")."""
    return not _SUMMING.isdisjoint(terms(task))


def relevance(found: Sequence[Candidate], wanted: frozenset[str]) -> list[float]:
    """Give the relevance of each sentence; 0 where it shares no term with the task."""
    worth = {term: _worth(found, term) for term in sorted(wanted)}
    total = sum(worth.values())
    mean = sum(c.counts.total() for c in found) / len(found)
    return [_score(c, worth, mean) * _covered(c, worth, total) for c in found]


def _worth(found: Sequence[Candidate], term: str) -> float:
    """Weigh a term of the task from 0 to 1.5: half is its own, the rest its rarity here."""
    holding = sum(term in c.counts for c in found)
    rarity = 1 - math.log(1 + holding) / math.log(1 + len(found))
    return (_COMMON if term in _COMMONPLACE else 1.0) * (0.5 + rarity)


def _score(candidate: Candidate, worth: dict[str, float], mean: float) -> float:
    length = 1 - _B + _B * candidate.counts.total() / mean
    score = 0.0
    for term, weight in worth.items():
        count = candidate.counts.get(term, 0) + _FIELD * (term in candidate.context)
        score += weight * count * (_K1 + 1) / (count + _K1 * length)
    return score


def _covered(candidate: Candidate, worth: dict[str, float], total: float) -> float:
    held = sum(x for term, x in worth.items() if term in candidate.counts)
    named = sum(x for term, x in worth.items() if term in candidate.context)
    return min(1.0, (held + _FIELD * named) / total) if total else 0.0
