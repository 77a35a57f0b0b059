"""PDF pages read by pdfium, which is not safe in threads: one file at a time in a process."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median
from threading import Lock
from typing import Final

import pypdfium2
from pypdfium2 import raw

from fanwise.documents._page import Line, Locked, Page, Unreadable

_LOCK: Final = Lock()
_HYPHENS: Final = (0x02, 0xFFFE)
_ENDS: Final = (0x0A, *_HYPHENS)
_PICTURE: Final = (raw.FPDF_PAGEOBJ_IMAGE,)
_LOCKED: Final = b"/Encrypt"
_DEPTH: Final = 3
_COMPLAINTS: Final[dict[object, str]] = {
    raw.FPDF_ERR_FORMAT: "data format error",
    raw.FPDF_ERR_SECURITY: "unknown encryption",
    raw.FPDF_ERR_PAGE: "content error",
}


def reader(_address: str) -> Callable[[bytes], list[Page]]:
    """Give the function that reads the pages of a PDF."""
    return _pages


def _pages(data: bytes) -> list[Page]:
    """Read all pages; raise Locked or Unreadable. One at a time in a process."""
    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            # Its code may be that of an earlier file: a lock must stand in this one too.
            if error.err_code == raw.FPDF_ERR_PASSWORD and _LOCKED in data:
                raise Locked from error
            raise Unreadable(_complaint(error)) from error
        try:
            return [_page(document, number) for number in range(len(document))]
        except pypdfium2.PdfiumError as error:
            raise Unreadable(_complaint(error)) from error
        finally:
            document.close()


def _complaint(error: pypdfium2.PdfiumError) -> str:
    return f"pdfium: {_COMPLAINTS.get(error.err_code, str(error).lower())}"


def _page(document: pypdfium2.PdfDocument, number: int) -> Page:
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            lines = tuple(_lines(text))
        finally:
            text.close()
        bare = not any(line.text.strip() for line in lines)
        pictures = bare and any(page.get_objects(filter=_PICTURE, max_depth=_DEPTH))
        return Page(lines, pictures)
    finally:
        page.close()


def _lines(text: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """Give the lines of a page; pdfium ends them with CR LF, or with a mark within a word."""
    codes = [raw.FPDFText_GetUnicode(text, at) for at in range(text.count_chars())]
    ends = [at for at, code in enumerate(codes) if code in _ENDS]
    for before, end in pairwise((-1, *ends, len(codes))):
        filled = [at for at in range(before + 1, end) if not chr(codes[at]).isspace()]
        if filled:
            shown = _text(codes[filled[0] : filled[-1] + 1])
            hyphen = end < len(codes) and codes[end] in _HYPHENS
            yield _line(text, filled, shown, hyphen=hyphen)


def _text(codes: list[int]) -> str:
    """Give the text of UTF-16 units and code points; what is neither becomes U+FFFD."""
    units = "".join(map(chr, codes)).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")


def _line(text: pypdfium2.PdfTextPage, filled: list[int], shown: str, *, hyphen: bool) -> Line:
    """Measure a line at its first, middle and last character that is no blank."""
    places = (filled[0], filled[len(filled) // 2], filled[-1])
    left, base, _, _ = text.get_charbox(places[0], loose=True)
    _, _, right, _ = text.get_charbox(places[2], loose=True)
    size = median(raw.FPDFText_GetFontSize(text, place) for place in places)
    weight = int(median(raw.FPDFText_GetFontWeight(text, place) for place in places))
    return Line(shown, left, right, base, size, weight, hyphen)
