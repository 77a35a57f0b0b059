"""The table of formats, by suffix."""

from pathlib import PurePath
from typing import Final

from fanwise.documents._format import Format
from fanwise.documents._markdown import MARKDOWN
from fanwise.documents._plain import PLAIN
from fanwise.documents._restructured import RESTRUCTURED

_BY_SUFFIX: Final = {
    suffix: form for form in (MARKDOWN, PLAIN, RESTRUCTURED) for suffix in form.suffixes
}

SUFFIXES: Final = tuple(sorted(_BY_SUFFIX))
"""The suffixes that are taken from a folder, in lower case."""


def is_document(name: str) -> bool:
    """Tell whether a name has one of the known suffixes."""
    return PurePath(name).suffix.lower() in _BY_SUFFIX


def format_of(name: str) -> Format:
    """Give the format of a name; a file of another suffix is taken as plain text."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower(), PLAIN)
