"""Responses of the clients that people already have, read by their shape.

None of these packages is imported: a class is looked at when the first of its objects comes, by
the names of itself and its bases.
"""

from collections.abc import Callable, Mapping
from typing import Final

from fanwise.core import Reader
from fanwise.models._responses import _anthropic, _google, _langchain, _litellm, _openai

Find = Callable[[type], Reader | None]


def _finder(readers: Mapping[str, Reader]) -> Find:
    def find(kind: type) -> Reader | None:
        names = (each.__name__.partition("[")[0] for each in kind.__mro__)
        return next((readers[name] for name in names if name in readers), None)

    return find


_FINDERS: Final = {
    "anthropic": _finder(_anthropic.READERS),
    "google": _finder(_google.READERS),
    "langchain_core": _finder(_langchain.READERS),
    "litellm": _finder(_litellm.READERS),
    "openai": _finder(_openai.READERS),
}


def finder(package: str) -> Find:
    """Give what finds the reader of a class of a package."""
    return _FINDERS[package]


__all__ = ["finder"]
