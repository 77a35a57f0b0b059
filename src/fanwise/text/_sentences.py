"""Sentences of a text as exact spans.

Problem: quotes are shown with their place, so a sentence must be a span of the original
text, cut neither at "e.g. this" nor inside code. Algorithm: blocks first (`_block.py`);
in prose every mark of `.!?` before a blank is a candidate, and rules over the token
before and the character behind decide (Grefenstette & Tapanainen 1994, "What is a word,
what is a sentence?": abbreviations and case settle 99 % of English stops; Mikheev 2002
for initials and for quotes before a verb of saying). Cost: linear. Rejected: Punkt (Kiss
& Strunk 2006), which wants training text, and neural splitters, which want far more than
this library.
Limit: the abbreviations are English; other languages are cut at the marks alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fanwise.text._block import Block, Kind
from fanwise.text._blocks import Markup, blocks

PROSE: Final[frozenset[Kind]] = frozenset(("paragraph", "item", "quote"))
"""Kinds of blocks that consist of sentences; any other block counts as one sentence."""

_CLOSING: Final = "\"'”’»)\\]}*_`"
_CANDIDATE: Final = re.compile(
    rf"(?<![.!?…])[.!?…]++[{_CLOSING}]*+(?:\s?\[[\w#]{{1,20}}\]_)*+(?=\s)"
    r"|(?<![。！？])[。！？]++[」』”]*+"  # noqa: RUF001
)
_LITERAL: Final = re.compile(r"``[^\n]{1,200}?``|`[^`]{1,300}`")
_TOKEN: Final = re.compile(r"[^\s(\[\"'“‘*_]*$")
_OPENING: Final = "\"'“‘«([{*_`<|:"
_LITERAL_OPENS: Final = re.compile(r"`|:\w+:`")
_MARKER: Final = re.compile(r"(?:>\s*)*(?:(?:[-*+•]|\(?(?:\d{1,9}|#|[a-zA-Z]|[ivx]{1,4})[.)])\s+)?")
_SAYING: Final = re.compile(r"(?:\w+ )?(?:said|asked|replied|answered|cried|says|asks)\b")
_LONGEST_TOKEN: Final = 40

_NEVER_LAST: Final = frozenset(
    "mr mrs ms dr prof rev gen col sgt capt lt st mt messrs hon gov sen rep pres "
    "e.g i.e eg ie viz vs cf ca approx resp incl excl esp fig figs eq eqs sec ch chap vol nos "
    "pp ed eds dept univ assn jan feb mar apr jun jul aug sep sept oct nov dec "
    "mon tue wed thu fri sat sun a.k.a aka w.r.t wrt def ref refs".split()
)
_MAYBE_LAST: Final = frozenset(
    "etc inc ltd co corp jr sr al no p a.m p.m u.s u.k u.n e.u ph.d b.a m.a d.c".split()
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, `text[start:end]`; `kind` is that of its block.

    A heading, a code block, a table and the like count as one sentence each.
    """

    start: int
    end: int
    kind: Kind


def sentences(text: str, markup: Markup = "plain") -> list[Sentence]:
    """Cut a text into sentences, in order; all that is not blank is in exactly one.

    A list item's mark belongs to its first sentence. Raises ValueError for an unknown
    `markup`.
    """
    found: list[Sentence] = []
    for block in blocks(text, markup):
        found.extend(sentences_of(text, block))
    return found


def sentences_of(text: str, block: Block) -> Iterator[Sentence]:
    """Cut one block of `text` into its sentences."""
    if block.kind not in PROSE:
        yield Sentence(block.start, block.end, block.kind)
        return
    start = block.start
    for end in _borders(text, block):
        yield Sentence(start, end, block.kind)
        start = _filled(text, end, block.end)
    if start < block.end:
        yield Sentence(start, block.end, block.kind)


def _filled(text: str, at: int, stop: int) -> int:
    while at < stop and text[at].isspace():
        at += 1
    return at


def _borders(text: str, block: Block) -> Iterator[int]:
    """Give the offset behind each sentence of a prose block but the last."""
    marker = _MARKER.match(text, block.start, block.end)
    body = marker.end() if marker else block.start
    literals = _LITERAL.finditer(text, body, block.end)
    literal = next(literals, None)
    for mark in _CANDIDATE.finditer(text, body, block.end):
        while literal is not None and literal.end() <= mark.start():
            literal = next(literals, None)
        inside = literal is not None and literal.start() < mark.start() < literal.end() - 2
        if not inside and _ends(text, mark, body, block.end):
            yield mark.end()


def _ends(text: str, mark: re.Match[str], body: int, stop: int) -> bool:
    """Decide whether a candidate ends its sentence."""
    follower = _filled(text, mark.end(), stop)
    if follower >= stop:
        return False
    if mark[0][0] in "。！？":  # noqa: RUF001
        return True
    if not _LITERAL_OPENS.match(text, follower, stop) and _continues(text, follower, stop):
        return False
    if mark[0].startswith(".") and not mark[0].startswith(".."):
        return not _is_abbreviation(text, mark.start(), body)
    quoted = mark[0][-1] in "\"'”’»"
    return not (quoted and _SAYING.match(text, follower, stop))


def _continues(text: str, follower: int, stop: int) -> bool:
    """Tell whether the first letter, behind quotation marks and brackets, is a small one."""
    while follower < stop - 1 and text[follower] in _OPENING:
        follower += 1
    return text[follower].islower()


def _is_abbreviation(text: str, dot: int, body: int) -> bool:
    """Tell whether the token before a full stop is an abbreviation or an initial."""
    found = _TOKEN.search(text, max(body, dot - _LONGEST_TOKEN), dot)
    last = found[0] if found else ""
    if len(last) == 1 and last.isalpha() and last.isupper():
        return last != "I"
    name = last.lower().strip(".,;")
    if name in _MAYBE_LAST:
        follower = _filled(text, dot + 1, dot + 8)
        return name in ("no", "p") and text[follower : follower + 1].isdigit()
    return name in _NEVER_LAST
