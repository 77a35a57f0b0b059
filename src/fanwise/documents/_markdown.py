"""Markdown files; the title is the front matter's, or else the first heading."""

import re
from typing import Final

from fanwise.documents._format import text_format
from fanwise.text import blocks

_TITLE: Final = re.compile(r"^title:[ \t]*(\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)


def _title(text: str) -> str:
    for block in blocks(text, "markdown"):
        if block.kind == "meta" and block.start == 0 and text.startswith("---"):
            found = _TITLE.search(text, block.start, block.end)
            if found:
                return found[1].strip().strip("\"'")
        if block.kind == "heading" and block.title:
            return block.title
    return ""


MARKDOWN: Final = text_format("markdown", (".md", ".markdown"), "markdown", _title)
