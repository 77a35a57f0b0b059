"""HTML files: their text with headings, paragraphs, lists, tables and code, as Markdown."""

from typing import Final

from fanwise.documents._encodings import marked_encoding, text_of
from fanwise.documents._format import Format, is_binary, not_text
from fanwise.documents._html_text import extract
from fanwise.documents._values import Document, Gap, Reason

_LARGE: Final = 128 * 1024
"""Bytes from which it takes long enough; and to a file that never closes what it opens, the
standard library's tokenizer gives time by the square of its size."""


def _decode(name: str, data: bytes) -> Document | Gap:
    if marked_encoding(data) in (None, "utf-8") and is_binary(data):
        return not_text(name, data)
    found = extract(text_of(data))
    if not found.text.strip():
        return Gap(name, Reason.NO_TEXT, f"{len(data):,} bytes of HTML without text")
    return Document(name, found.text, "markdown", found.title, found.origin)


HTML: Final = Format("html", (".html", ".htm", ".xhtml"), _decode, apart_from=_LARGE)
