"""A document format: the suffixes of its files, its markup, how its title is found."""

from collections.abc import Callable
from dataclasses import dataclass

from fanwise.text import Markup


@dataclass(frozen=True, slots=True)
class Format:
    """One format; `title` gives a document's title, or "" where it has none."""

    suffixes: tuple[str, ...]
    markup: Markup
    title: Callable[[str], str]
