"""The table of formats: by suffix, by name, and by what a file begins with."""

import re
from pathlib import PurePath
from typing import Final

from fanwise.documents._format import Format
from fanwise.documents._html import HTML
from fanwise.documents._markdown import MARKDOWN
from fanwise.documents._pdf import PDF, begins_as_pdf
from fanwise.documents._plain import PLAIN
from fanwise.documents._restructured import RESTRUCTURED

_BY_NAME: Final = {form.name: form for form in (MARKDOWN, RESTRUCTURED, HTML, PDF, PLAIN)}
_BY_SUFFIX: Final = {suffix: form for form in _BY_NAME.values() for suffix in form.suffixes}
_MARKS: Final = re.compile(rb"^(?:#{1,6}[ \t]+\S|```)", re.MULTILINE)
_HTML: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.DOTALL | re.IGNORECASE,
)
_SAMPLE: Final = 64 * 1024

FORMATS: Final = tuple(sorted(_BY_NAME))
"""The names of the formats."""

SUFFIXES: Final = tuple(sorted(_BY_SUFFIX))
"""The suffixes that are taken from a folder, in lower case."""


def is_document(name: str) -> bool:
    """Tell whether a name has one of the known suffixes."""
    return PurePath(name).suffix.lower() in _BY_SUFFIX


def form_of(name: str, data: bytes) -> str:
    """Give the format of a file: by its suffix, else PDF and HTML by their openings, else text."""
    known = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    return known.name if known is not None else _opening(data) or PLAIN.name


def guessed(data: bytes) -> str:
    """Guess the format of bytes without a name.

    PDF and HTML by their openings; Markdown where a line is a heading (`# ...`) or a
    fence (three backticks); else plain text.
    """
    marked = _MARKS.search(data[:_SAMPLE]) is not None
    return _opening(data) or (MARKDOWN.name if marked else PLAIN.name)


def format_named(name: str) -> Format:
    """Give a format by its name; raise ValueError for another one."""
    if name not in _BY_NAME:
        raise ValueError(f"form={name!r} is not known; use one of {', '.join(FORMATS)}")
    return _BY_NAME[name]


def _opening(data: bytes) -> str | None:
    if begins_as_pdf(data):
        return PDF.name
    start = data[:_SAMPLE].removeprefix(b"\xef\xbb\xbf")
    return HTML.name if _HTML.match(start) else None
