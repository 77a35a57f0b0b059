"""Sentences worth quoting, with a weight for how well each stands alone."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fanwise.models import Passage
from fanwise.text import PROSE, Outline, Sentence, blocks, sentences_of, terms

_MARKER: Final = re.compile(
    r"(?:>\s*)*(?:(?:[-*+•]|\(?(?:\d{1,3}|#|[a-z])[.)])\s+)?(?:\[[ xX]\]\s+)?"
)
_FINISHED: Final = re.compile(r"[.!?…。！？][\"'”’»)\]}*_`]*(?:\s?\[[\w#]{1,20}\]_)*$")  # noqa: RUF001
_OPENING: Final = re.compile(r"[\"'“‘«(*_]*(?:[A-Z0-9]|[^\W\d_a-zA-Z]|`|<|\[|:\w+:`|\|)")
_LEANING: Final = re.compile(
    r"(?:please|it|they|he|she|its|their|his|her|these|those|such|that|so|but|and|or|also|then|thus|"
    r"therefore|hence|however|instead|otherwise|here|there|similarly|likewise|moreover|"
    r"furthermore|additionally|finally|again|both|neither|nor|yet|still|note|see|"
    r"(?:as|for) (?:a|an|this|that|another)? ?(?:result|example|instance)|in (?:this|that|such) "
    r"(?:case|example|way)|this|the (?:above|former|latter|following|second|third|other)|"
    r"on the other hand|in addition|in contrast|if so|if not|i|my|we'd|now|another|one)\b",
    re.IGNORECASE,
)
_SELF: Final = re.compile(
    r"this (?:pep|document|page|guide|library|package|project|proposal|module|paper|issue|"
    r"section|specification|tool|article|report|book|chapter|repository|file|style)\b",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"https?://|www\.|\S+@\S+\.\w")
_CODE_MARKS: Final = re.compile(r"[{}=;\\|~^]|->|\w\(\)|[a-z]_[a-z]|\w\.\w")
_POINTER: Final = re.compile(
    r"\b(?:see|above|below|following|previous|aforementioned|next section)\b", re.IGNORECASE
)
_BACK: Final = re.compile(
    r"\b(?:references?|copyright|acknowledge?ments?|thanks|credits|footnotes?|bibliography|"
    r"change ?log|changes|version history|revision|post-history|license|contributors?|see also|"
    r"further reading|links|table of contents|contents|index|appendix|todo|discussions?)\b",
    re.IGNORECASE,
)
_FRONT: Final = re.compile(
    r"\b(?:abstract|summary|overview|introduction|motivation|rationale|conclusions?|proposal|"
    r"goals?|in short|tl;?dr|what it is|why)\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_MANY_NUMBERS: Final = 3
_FEWEST_WORDS: Final = 5
_MOST_WORDS: Final = 55


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted.

    `passage` is its passage's number from 1. `alone`, from 0 to 1, says how well it can be
    understood alone; `place`, around 1, what its place in the document promises; `section`
    names the part of the document that it stands in.
    """

    passage: int
    text: str
    counts: Counter[str]
    context: frozenset[str]
    alone: float
    place: float
    section: tuple[str, ...]


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Give the sentences of all passages that may be quoted, in order.

    Headings, code, tables, link lists and preambles never are. Where no sentence is
    complete, unfinished ones of three words and more are taken.
    """
    found = list(_numbered(passages, strict=True))
    return found or list(_numbered(passages, strict=False))


def _numbered(passages: Sequence[Passage], *, strict: bool) -> Iterator[Candidate]:
    for number, passage in enumerate(passages, 1):
        for quotable in _quotable(passage, strict=strict):
            text = quotable.text
            counts = Counter(terms(text))
            if counts:
                context = _context(passage.source, quotable.heading)
                place = _place(quotable, counts)
                section = (passage.source, *quotable.heading[:2])
                yield Candidate(number, text, counts, context, _alone(text), place, section)


@lru_cache(maxsize=4096)
def _context(source: str, heading: tuple[str, ...]) -> frozenset[str]:
    return frozenset(terms(" ".join((source, *heading))))


@dataclass(frozen=True, slots=True)
class _Quotable:
    """A sentence with the headings over it and its place in its document, if known."""

    text: str
    heading: tuple[str, ...]
    offset: int | None


def _quotable(passage: Passage, *, strict: bool) -> Iterator[_Quotable]:
    """Give the sentences of a passage, each under the nearest headings inside it."""
    found = blocks(passage.text, passage.markup)
    outline = Outline(found)
    for block in found:
        if block.kind in PROSE:
            inner = outline.at(block.start)
            heading = (*passage.heading, *(h for h in inner if h not in passage.heading))
            for sentence in sentences_of(passage.text, block):
                text = _bare(passage.text, sentence)
                if _may_be_quoted(text, strict=strict):
                    offset = passage.offset
                    place = None if offset is None else offset + sentence.start
                    yield _Quotable(text, heading, place)


def _place(quotable: _Quotable, counts: Counter[str]) -> float:
    """Weigh where a sentence stands.

    Edmundson 1969, "New methods in automatic extracting": location (the opening of a
    document says what it is about), title (words of the headings), cue (what a heading
    promises). Sentences full of figures are details.
    """
    weight = _cue(quotable.heading)
    if quotable.offset is not None:
        weight *= 1 + 0.9 / (1 + (quotable.offset / 1500) ** 2)
    if len(_NUMBER.findall(quotable.text)) >= _MANY_NUMBERS:
        weight *= 0.6
    titles = _context("", quotable.heading[:1] + quotable.heading[-1:])
    shared = sum(term in titles for term in counts)
    return weight * (1 + 0.4 * min(1.0, shared / 3))


def _bare(text: str, sentence: Sentence) -> str:
    """Give a sentence without the mark of its list item or quotation."""
    marker = _MARKER.match(text, sentence.start, sentence.end)
    return text[marker.end() if marker else sentence.start : sentence.end]


def _may_be_quoted(text: str, *, strict: bool) -> bool:
    words = text.count(" ") + text.count("\n") + 1
    if not strict:
        return 3 <= words <= 2 * _MOST_WORDS and _is_language(text)
    if not _FEWEST_WORDS <= words <= _MOST_WORDS * 1.2 or len(text) > 12 * _MOST_WORDS:
        return False
    return (
        _FINISHED.search(text) is not None
        and _OPENING.match(text) is not None
        and _is_closed(text)
        and _is_language(text)
    )


def _is_closed(text: str) -> bool:
    """Tell whether brackets, quotation marks and code marks come in pairs."""
    if text.count("(") != text.count(")") or text.count("[") != text.count("]"):
        return False
    return text.count('"') % 2 == 0 and text.count("`") % 2 == 0


def _is_language(text: str) -> bool:
    """Tell whether a text is mostly letters, and not a list of links or a line of code."""
    letters = sum(map(str.isalpha, text))
    blanks = text.count(" ") + text.count("\n")
    if letters < 0.75 * max(1, len(text) - blanks) or len(_LINK.findall(text)) > 1:
        return False
    return not text.startswith((">>>", "$ ", "http"))


def _alone(text: str) -> float:
    """Weigh how well a sentence can be understood without those around it."""
    weight = 1.0
    opening = text.lstrip("\"'“‘«(*_`")
    if _LEANING.match(opening) and not _SELF.match(opening):
        weight *= 0.45
    if "?" in text[-3:]:
        weight *= 0.4
    if _POINTER.search(text):
        weight *= 0.75
    words = len(text.split())
    if words < 9 or words > 40:
        weight *= 0.7 if words > 6 else 0.4
    marks = len(_CODE_MARKS.findall(text)) + text.count("`") // 4
    return weight / (1 + 0.25 * max(0, marks - 1)) * (0.6 if _LINK.search(text) else 1.0)


@lru_cache(maxsize=4096)
def _cue(heading: tuple[str, ...]) -> float:
    if _BACK.search(" / ".join(heading[1:] or heading)):
        return 0.2
    return 1.6 if heading and _FRONT.search(heading[-1]) else 1.0
