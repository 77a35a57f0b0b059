"""reStructuredText files; the title is the preamble's (as in a PEP), or the first heading."""

import re
from typing import Final

from fanwise.documents._format import text_format
from fanwise.text import blocks

_TITLE: Final = re.compile(r"^:?Title:[ \t]*(\S[^\n]*(?:\n[ \t]+\S[^\n]*)*)", re.MULTILINE)
_NUMBER: Final = re.compile(r"^PEP:[ \t]*(\d+)", re.MULTILINE)


def _title(text: str) -> str:
    for block in blocks(text, "restructured"):
        if block.kind == "meta":
            found = _TITLE.search(text, block.start, block.end)
            if found:
                number = _NUMBER.search(text, block.start, block.end)
                name = " ".join(found[1].split())
                return f"PEP {number[1]}: {name}" if number else name
        if block.kind == "heading":
            return block.title
    return ""


RESTRUCTURED: Final = text_format("rst", (".rst",), "restructured", _title)
