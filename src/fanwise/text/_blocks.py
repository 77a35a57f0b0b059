"""Blocks and headings of a text in one of the known markups."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Final, Literal

from fanwise.text._block import Block
from fanwise.text._markdown import markdown_blocks
from fanwise.text._plain import plain_blocks
from fanwise.text._restructured import restructured_blocks

Markup = Literal["plain", "markdown", "restructured"]

_SCANNERS: Final[Mapping[str, Callable[[str], list[Block]]]] = {
    "plain": plain_blocks,
    "markdown": markdown_blocks,
    "restructured": restructured_blocks,
}


def blocks(text: str, markup: Markup = "plain") -> list[Block]:
    """Cut a text into blocks, in order; together they hold all that is not blank.

    `markup` is "plain", "markdown" or "restructured". Raises ValueError for another one.
    """
    scanner = _SCANNERS.get(markup)
    if scanner is None:
        message = f"markup={markup!r} is not known; use one of {', '.join(_SCANNERS)}"
        raise ValueError(message)
    return scanner(text)


class Outline:
    """The headings of a text: which ones stand over a place."""

    __slots__ = ("_paths", "_starts")

    def __init__(self, found: list[Block]) -> None:
        """Take the headings among `found`, which are the blocks of one text in order."""
        self._starts: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        open_: list[Block] = []
        for block in found:
            if block.kind == "heading":
                open_ = [above for above in open_ if above.level < block.level]
                open_.append(block)
                self._starts.append(block.start)
                self._paths.append(tuple(above.title for above in open_))

    def __repr__(self) -> str:
        """Say how many headings there are."""
        return f"<Outline of {len(self._starts)} headings>"

    def at(self, offset: int) -> tuple[str, ...]:
        """Give the path of headings, the outermost first, over the character at `offset`."""
        place = bisect_right(self._starts, offset)
        return self._paths[place - 1] if place else ()
