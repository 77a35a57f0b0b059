"""Where a quote stands in its passage.

Problem: a model answers with a sentence on one line, the passage breaks it over lines; the
place must be exact or not given at all. Algorithm: the exact text first; else the
quote's words in order with any run of blanks between them. Cost: occurrences of the
first word times the words that agree behind it. Rejected: fuzzy matching, which would give
a place to a sentence that does not stand there.
"""


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Give start and end of a quote in `text`, or None where it does not stand there."""
    words = quote.split()
    if not words:
        return None
    at = text.find(quote)
    if at >= 0:
        return at, at + len(quote)
    at = text.find(words[0])
    while at >= 0:
        end = _end(text, at, words)
        if end is not None:
            return at, end
        at = text.find(words[0], at + 1)
    return None


def _end(text: str, at: int, words: list[str]) -> int | None:
    """Give the end of the words from `at` on, or None at the first that differs."""
    for number, word in enumerate(words):
        start = at
        while number and at < len(text) and text[at].isspace():
            at += 1
        if (number and at == start) or not text.startswith(word, at):
            return None
        at += len(word)
    return at
