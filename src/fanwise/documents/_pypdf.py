"""PDF pages read by pypdf: slower, more patient with damage, and without places."""

import logging
from collections.abc import Callable
from io import BytesIO

import pypdf

from fanwise.documents._page import Line, Locked, Page, Unreadable

# It tells of every flaw of a damaged file; without a handler here that would reach the terminal.
logging.getLogger("pypdf").addHandler(logging.NullHandler())


def reader(_address: str) -> Callable[[bytes], list[Page]]:
    """Give the function that reads the pages of a PDF."""
    return _pages


def _pages(data: bytes) -> list[Page]:
    """Read all pages; raise Locked or Unreadable."""
    try:
        return _read(data)
    except Locked:
        raise
    except Exception as error:  # damage surfaces in it as errors of any kind
        raise Unreadable(f"pypdf: {type(error).__name__}: {error}") from error


def _read(data: bytes) -> list[Page]:
    document = pypdf.PdfReader(BytesIO(data))
    if document.is_encrypted and not document.decrypt(""):
        raise Locked
    return [_page(page) for page in document.pages]


def _page(page: pypdf.PageObject) -> Page:
    lines = tuple(Line(line) for line in page.extract_text().split("\n"))
    bare = not any(line.text.strip() for line in lines)
    return Page(lines, bare and len(page.images) > 0)
