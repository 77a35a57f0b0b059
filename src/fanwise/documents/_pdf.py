"""PDF files: pages read by pdfium, or by pypdf where that fails, and made Markdown.

Both readers are an extra, and foreign code that may take its process down: hence one
decoding for the first process and another for the next.
"""

from collections.abc import Callable, Sequence
from typing import Final, cast

from fanwise.core import _registry
from fanwise.documents._format import Format
from fanwise.documents._page import Locked, Page, Unreadable
from fanwise.documents._pages import extract
from fanwise.documents._values import Document, Gap, Reason

_OPENING: Final = b"%PDF-"
_CLOSING: Final = b"%%EOF"
_NO_PAGES: Final = b"/Count 0"
_SEARCHED: Final = 1024
_INSTALL: Final = "PDF needs: pip install 'fanwise[pdf]'"
_READERS: Final = ("pdfium", "pypdf")


def begins_as_pdf(data: bytes) -> bool:
    """Tell whether a file calls itself a PDF, as readers do: in its first 1,024 bytes."""
    return _OPENING in data[:_SEARCHED]


def _decode_again(name: str, data: bytes) -> Document | Gap:
    """Read with pypdf alone, after pdfium took its process down."""
    return _with(_READERS[1:], name, data)


def _decode(name: str, data: bytes) -> Document | Gap:
    return _with(_READERS, name, data)


def _with(readers: Sequence[str], name: str, data: bytes) -> Document | Gap:
    """Try one reader after the other; say what is wrong in the words of the first."""
    if not begins_as_pdf(data):
        return Gap(name, Reason.NOT_A_PDF, f"begins with {data[:8]!r}")
    complaint = ""
    for reader in readers:
        try:
            pages = _pages(reader, data)
        except ImportError:
            return Gap(name, Reason.MISSING_EXTRA, _INSTALL)
        except Locked:
            return Gap(name, Reason.PASSWORD, "it opens with a password only")
        except Unreadable as error:
            complaint = complaint or str(error)
        else:
            if pages or not complaint or _NO_PAGES in data:
                return _document(name, data, pages)
    if _is_cut_off(data):
        return Gap(name, Reason.TRUNCATED, f"no end-of-file mark; {complaint}")
    return Gap(name, Reason.DAMAGED, complaint)


def _pages(reader: str, data: bytes) -> list[Page]:
    read = cast("Callable[[bytes], list[Page]]", _registry.load("document", reader))
    return read(data)


def _document(name: str, data: bytes, pages: list[Page]) -> Document | Gap:
    """Make a document of its pages; name those that are pictures only."""
    if not pages:
        return Gap(name, Reason.NO_PAGES, f"{len(data):,} bytes of PDF without a page")
    pictures = [number for number, page in enumerate(pages, 1) if page.is_picture]
    found = extract(pages)
    if not found.text.strip():
        return _without_text(name, len(pages), len(pictures))
    gaps = []
    if pictures:
        where = f"no text layer on {_listed(pictures)} of {len(pages)}"
        gaps.append(Gap(name, Reason.SCANNED, where))
    if _is_cut_off(data):
        gaps.append(Gap(name, Reason.TRUNCATED, f"no end-of-file mark; {len(pages)} pages found"))
    return Document(name, found.text, "markdown", found.title, found.origin, tuple(gaps))


def _without_text(name: str, pages: int, pictures: int) -> Gap:
    of = f"{pages} page{'' if pages == 1 else 's'}"
    if pictures:
        return Gap(name, Reason.SCANNED, f"no text layer on {of}")
    return Gap(name, Reason.NO_TEXT, f"{of} without text")


def _listed(numbers: list[int]) -> str:
    """Write numbers of pages, neighbours as a range: `pages 1, 3-5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return f"page{'' if len(numbers) == 1 else 's'} " + ", ".join(
        "-".join(map(str, ends)) for ends in ranges
    )


def _is_cut_off(data: bytes) -> bool:
    return _CLOSING not in data[-_SEARCHED:]


PDF: Final = Format("pdf", (".pdf",), _decode, apart_from=0, again=_decode_again)
