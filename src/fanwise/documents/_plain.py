"""Plain text files; the title is a heading that opens the text."""

from typing import Final

from fanwise.documents._format import text_format
from fanwise.text import blocks


def _title(text: str) -> str:
    first = next(iter(blocks(text, "plain")), None)
    return first.title if first is not None and first.kind == "heading" else ""


PLAIN: Final = text_format("text", (".txt", ".text"), "plain", _title)
