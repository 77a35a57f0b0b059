"""Times, counts and foreign text for people: one line, nothing that could steer a terminal."""

from typing import Final

from fanwise.analysis import Look

_MARK: Final = "\N{REPLACEMENT CHARACTER}"
_MINUTES_FROM: Final = 100.0


def count(number: int, noun: str) -> str:
    """Give a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """Give a time, in minutes and hours where it is long."""
    if value < _MINUTES_FROM:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def plain(text: str) -> str:
    """Give the first line of a text, control characters and the like shown as a mark.

    An error's text may come from anywhere, also from a server that means ill.
    """
    first = text.strip().split("\n", 1)[0]
    return first if first.isprintable() else "".join(map(_shown, first))


def counts(look: Look) -> str:
    """Give a look in a few words."""
    parts = [count(look.calls, "call"), f"{look.live:,} live"]
    rest = (look.failures, "failed"), (look.retries, "retried"), (look.hedges, "hedged")
    return ", ".join([*parts, *(f"{number:,} {word}" for number, word in rest if number)])


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else _MARK
