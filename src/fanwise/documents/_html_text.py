"""The text of an HTML page, written as Markdown, each word with its line in the source.

Problem: the reader's text without scripts, styles and navigation; headings, items, tables
and code as structure, so that chunks are cut where a reader would cut; broken pages are
read too. Algorithm: one pass over the standard library's tokens; whatever begins or ends a
block in a browser ends the current one, so that missing end tags do no harm; a stack of
open elements knows what is left out. Where a page has a `main` element (or that role) the rest is
left out, as the HTML standard defines it; where leaving out leaves nothing, all is kept.
Cost: linear. Rejected: `lxml` and `selectolax` (megabytes of foreign code, no lines of the
source in the second), readability scores (a guess that differs by page and by version).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final, NamedTuple

from fanwise.documents._assembly import Assembly
from fanwise.documents._values import Origin

_BLOCKS: Final = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li "
    "listing main menu nav ol p plaintext pre search section summary table tbody td tfoot th thead "
    "tr ul xmp".split()
)
_VOID: Final = frozenset(
    "area base br col embed frame hr img input link meta param source track wbr".split()
)
_LEFT_OUT: Final = frozenset(
    "applet audio button canvas datalist footer iframe map math nav noframes noscript object "
    "option rp script search select style svg template textarea title video".split()
)
_LEFT_OUT_ROLES: Final = frozenset(("navigation", "banner", "contentinfo", "search", "menu"))
_NEVER_SHOWN: Final = frozenset(("script", "style", "template", "title"))
_AROUND_TEXT: Final = ("td", "th", "li", "dd", "button", "object")
_AROUND: Final = {
    "li": ("ul", "ol", "menu"), "dt": ("dl",), "dd": ("dl",),
    "tr": ("table",), "td": ("tr", "table"), "th": ("tr", "table"),
}  # fmt: skip
_SAME: Final = {
    "li": ("li",), "dd": ("dt", "dd"), "dt": ("dt", "dd"),
    "tr": ("tr",), "td": ("td", "th"), "th": ("td", "th"),
}  # fmt: skip
_CODE: Final = frozenset(("pre", "listing", "xmp", "plaintext"))
_SPLITTING: Final = frozenset(" \t\n\r\f\xa0\u200b\xad")
_INVISIBLE: Final = frozenset("\u200b\xad")
_WORD: Final = re.compile(r"[^ \t\n\r\f\xa0\u200b\xad]+|\n|[ \t\r\f\xa0\u200b\xad]+")
_CODE_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_SIGNS: Final = frozenset("¶§#🔗")
_TAG_BEGINS: Final = re.compile(r"<[a-zA-Z/!?]")
_FENCE: Final = re.compile(r"`{3,}")
_LONGEST_CELL: Final = 200


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page says: its title, its text as Markdown, and the line of each word."""

    title: str
    text: str
    origin: Origin


@dataclass(slots=True)
class _Piece:
    """One block: `lead` is the mark before it; `words` are words, each with its line.

    A word that stands apart from the one before has a blank before it. Of a row of a table
    the `cells` are blocks.
    """

    kind: str
    kept: bool
    main: bool
    lead: str = ""
    words: list[tuple[str, int]] = field(default_factory=list)
    cells: list["_Piece"] = field(default_factory=list)


def extract(source: str) -> Extracted:
    """Give the text of an HTML page; never raises, whatever the page is."""
    page = _Page()
    page.feed(_finished(source))
    page.close()
    pieces = page.finished()
    kept = [piece for piece in pieces if piece.kept]
    main = [piece for piece in kept if piece.main]
    shown = next((some for some in (main, kept, pieces) if any(map(_filled, some))), [])
    assembly = Assembly("line")
    _write(shown, assembly)
    return Extracted(page.title() or _heading(shown), assembly.text(), assembly.origin())


class _Element(NamedTuple):
    """An open element, and what it and those around it say of the text inside."""

    name: str
    left_out: bool
    never_shown: bool
    main: bool
    code: bool


_ROOT: Final = _Element("", left_out=False, never_shown=False, main=False, code=False)


class _Page(HTMLParser):
    """Collects the blocks of a page from its tokens."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[_Element] = []
        self._counts: Counter[str] = Counter()
        self._pieces: list[_Piece] = []
        self._now = _Piece("paragraph", kept=True, main=False)
        self._title: list[str] = []
        self._blank = True
        self._breaks = 0
        self._item = False

    def __repr__(self) -> str:
        return f"<_Page {len(self._pieces)} blocks>"

    def title(self) -> str:
        """Give the text of the `title`, on one line."""
        return " ".join("".join(self._title).split())

    def finished(self) -> list[_Piece]:
        """Give all blocks."""
        self._put_away()
        return self._pieces

    def parse_html_declaration(self, i: int) -> int:
        """Take an unknown declaration as a comment, where the parent class would raise."""
        if self.rawdata.startswith("<![", i):
            return self.parse_bogus_comment(i)
        return super().parse_html_declaration(i)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element, and a block where it begins one."""
        if tag == "br":
            self._break()
        if tag in _BLOCKS:
            self._put_away()
        self._imply(tag)
        if tag not in _VOID:
            self._push(tag, dict(attrs))
        if tag in _BLOCKS:
            self._begin(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take `<script/>` as XHTML does: as a start and its end."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element with all that is open in it; an end without a start is ignored."""
        if tag in _BLOCKS:
            self._put_away()
        if self._counts[tag]:
            self._close(tag)
        if tag in _BLOCKS:
            self._begin("")

    def handle_data(self, data: str) -> None:
        """Add words to the block, each with its line."""
        if self._counts["title"] and not self._counts["svg"]:
            self._title.append(data)
        around = self._around()
        out_of_line = around.left_out and self._now.kept
        if out_of_line or around.never_shown or (around.name == "a" and data.strip() in _SIGNS):
            return  # the sign is that of a link to its own heading
        if self._now.kind == "code":
            self._now.words.append((data, self.getpos()[0]))
        else:
            self._add_words(data)

    def _add_words(self, data: str) -> None:
        line = self.getpos()[0]
        for found in _WORD.finditer(data):
            word = found[0]
            if word == "\n":
                line += 1
            if word[0] in _SPLITTING:
                self._blank = self._blank or not _INVISIBLE.issuperset(word)
            else:
                self._now.words.append((f" {word}" if self._blank else word, line))
                self._blank = False
                self._breaks = 0

    def _around(self) -> _Element:
        return self._open[-1] if self._open else _ROOT

    def _push(self, tag: str, given: dict[str, str | None]) -> None:
        around = self._around()
        element = _Element(
            tag,
            around.left_out or tag in _LEFT_OUT or _is_left_out(given),
            around.never_shown or tag in _NEVER_SHOWN,
            around.main or tag == "main" or given.get("role") == "main",
            around.code or tag in _CODE,
        )
        self._open.append(element)
        self._counts[tag] += 1

    def _imply(self, tag: str) -> None:
        """Close what a start tag closes by itself, such as a `p` before a `div`."""
        if tag in _BLOCKS:
            for open_, within in (("p", _AROUND_TEXT), ("title", ())):
                if self._counts[open_]:
                    self._close(open_, within)
        for same in _SAME.get(tag, ()):
            if self._counts[same]:
                self._close(same, _AROUND[tag])

    def _close(self, tag: str, within: tuple[str, ...] = ()) -> None:
        """Close elements down to the last `tag`, unless one of `within` stands before it."""
        for at in range(len(self._open) - 1, -1, -1):
            name = self._open[at].name
            if name == tag:
                for each in self._open[at:]:
                    self._counts[each.name] -= 1
                del self._open[at:]
                return
            if name in within:
                return

    def _break(self) -> None:
        self._blank = True
        self._breaks += 1
        if self._now.kind == "code":
            self._now.words.append(("\n", self.getpos()[0]))
        elif self._breaks > 1:
            self._put_away()
            self._begin("")

    def _put_away(self) -> None:
        """End the block, which counts where it has words."""
        done, self._blank, self._breaks = self._now, True, 0
        if done.words:
            if self._item and done.kind == "paragraph":
                done.lead, self._item = "- ", False
            in_row = self._counts["td"] or self._counts["th"]
            row = self._pieces[-1] if self._pieces and self._pieces[-1].kind == "row" else None
            (row.cells if row is not None and in_row else self._pieces).append(done)

    def _begin(self, tag: str) -> None:
        """Begin the block of an element that was just opened, or of what follows one."""
        around = self._around()
        kept, main = not around.left_out, around.main
        if tag == "tr":
            self._pieces.append(_Piece("row", kept=kept, main=main))
        if tag not in ("p", "div"):
            self._item = tag == "li"
        self._now = _Piece("code" if around.code else _kind(tag), kept=kept, main=main)


def _finished(source: str) -> str:
    """Drop a tag that the end of the file cuts off, as browsers do."""
    cut = _TAG_BEGINS.search(source, source.rfind(">") + 1)
    return source if cut is None else source[: cut.start()]


def _filled(piece: _Piece) -> bool:
    return bool(piece.words or piece.cells)


def _heading(pieces: list[_Piece]) -> str:
    """Give the first heading of the highest rank, on one line."""
    found = min((p for p in pieces if p.kind[0] == "h"), key=lambda p: p.kind, default=None)
    return "".join(word for word, _ in found.words).strip() if found else ""


def _kind(tag: str) -> str:
    return tag if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else "paragraph"


def _is_left_out(given: dict[str, str | None]) -> bool:
    return (
        "hidden" in given
        or given.get("aria-hidden") == "true"
        or (given.get("role") or "") in _LEFT_OUT_ROLES
    )


def _write(pieces: list[_Piece], assembly: Assembly) -> None:
    """Write blocks as Markdown, a blank line between two of them."""
    columns = 0
    for piece in pieces:
        if piece.kind == "row" and _is_row(piece):
            columns = _write_row(piece, columns, assembly)
            continue
        columns = 0
        for each in piece.cells if piece.kind == "row" else [piece]:
            assembly.glue("\n\n")
            _write_piece(each, assembly)


def _write_piece(piece: _Piece, assembly: Assembly) -> None:
    if piece.kind == "code":
        _write_code(piece, assembly)
        return
    lead = "#" * int(piece.kind[1]) + " " if piece.kind[0] == "h" else piece.lead
    if lead:
        assembly.add(lead, piece.words[0][1])
    _write_words(piece, assembly)


def _write_words(piece: _Piece, assembly: Assembly) -> None:
    first, line = piece.words[0]
    assembly.add(first.lstrip(), line)
    for word, number in piece.words[1:]:
        assembly.add(word, number)


def _write_code(piece: _Piece, assembly: Assembly) -> None:
    text = "".join(word for word, _ in piece.words)
    if not text.strip():
        return
    fence = max(["```", *(f"{found[0]}`" for found in _FENCE.finditer(text))], key=len)
    assembly.add(f"{fence}\n", piece.words[0][1])
    for line, number in _lines(piece.words):
        assembly.add(line, number)
    assembly.glue(f"{'' if text.endswith(chr(10)) else chr(10)}{fence}")


def _lines(words: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Give pieces of code line by line, each with its own line in the source."""
    for text, first in words:
        for number, line in enumerate(_CODE_LINE.findall(text)):
            yield line, first + number


def _is_row(row: _Piece) -> bool:
    """Tell whether a row is data, not layout: several cells, all of them short prose."""
    sizes = [sum(len(word) for word, _ in cell.words) for cell in row.cells]
    plain = all(cell.kind == "paragraph" and not cell.lead for cell in row.cells)
    return len(sizes) > 1 and plain and max(sizes) <= _LONGEST_CELL


def _write_row(row: _Piece, columns: int, assembly: Assembly) -> int:
    """Write a row of a table; `columns` is that of the row above it, 0 where there is none."""
    assembly.glue("\n" if columns else "\n\n")
    for cell in row.cells:
        assembly.add("| ", cell.words[0][1])
        _write_words(cell, assembly)
        assembly.glue(" ")
    assembly.glue("|")
    if not columns:
        assembly.glue("\n" + "|---" * len(row.cells) + "|")
    return columns or len(row.cells)
