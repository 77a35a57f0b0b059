"""Terms of a text: words in lower case without stop words, brought to a stem.

The stemmer is step 1 of Porter's (M. F. Porter 1980, "An algorithm for suffix
stripping", steps 1a to 1c: plurals, -ed, -ing, final y) and, without its measure, step
5a (final e); the steps between join words that a quote should keep apart ("organ",
"organisation"). Stop words: the English function
words common to the lists of SMART and Snowball. Cost: linear, stems are remembered.
"""

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_VOWEL: Final = re.compile(r"[aeiou]|(?<=[^aeiou])y")
_MEASURED: Final = re.compile(r"[aeiouy][^aeiouy]")
_SHORT: Final = re.compile(r"[^aeiou]*[aeiouy][^aeiouwxy]$")

STOP_WORDS: Final = frozenset(
    "a about above after again against all almost also although always am among an and "
    "another any anyone anything are aren't as at be became because become been before "
    "being below between both but by can can't cannot could couldn't did didn't do does "
    "doesn't doing don't done down during each either else enough etc even ever every few "
    "first for from further get gets give given go goes had hadn't has hasn't have "
    "haven't having he her here hers herself him himself his how however i i'd i'll i'm "
    "i've if in indeed instead into is isn't it it's its itself just let let's like made "
    "make makes many may maybe me might more most much must my myself neither never no "
    "nor not nothing now of off often on once one ones only onto or other others otherwise "
    "our ours out over own per perhaps quite rather really same see seem seems several "
    "shall she should shouldn't since so some something such take than that that's the "
    "their theirs them themselves then there there's therefore these they they're thing "
    "things this those though three through thus to together too toward towards two "
    "under until up upon us use used uses using very via want wants was wasn't way we "
    "we're we've well were weren't what when where whether which while who whom whose why "
    "will with within without won't would wouldn't yes yet you you're your yours yourself".split()
)


def terms(text: str) -> list[str]:
    """Give the stems of the words of a text in order, stop words left out.

    A number counts without leading zeros, so that "0492" meets "492".
    """
    return [stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Bring one word in lower case to its stem (Porter 1980, steps 1 and 5a)."""
    if word.isdigit():
        return word.lstrip("0") or "0"
    word = re.split("['’]", word, maxsplit=1)[0]
    if len(word) <= 2 or not word.isascii():
        return word
    word = _past(_singular(word))
    if word.endswith("y") and _VOWEL.search(word[:-1]):
        return word[:-1] + "i"
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _singular(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _past(word: str) -> str:
    """Take -eed, -ed and -ing off, and mend what is left."""
    if word.endswith("eed"):
        return word[:-1] if _MEASURED.search(word[:-3]) else word
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and _VOWEL.search(rest):
            return _mended(rest)
    return word


def _mended(rest: str) -> str:
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    doubled = len(rest) > 1 and rest[-1] == rest[-2] and rest[-1] not in "aeioulsz"
    if doubled:
        return rest[:-1]
    one_measure = len(_MEASURED.findall(rest)) == 1
    return rest + "e" if one_measure and _SHORT.match(rest) else rest
