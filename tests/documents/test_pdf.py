"""PDF: sentences whole and on their page; each way of being unreadable by its own name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise.documents import (
    Document,
    Gap,
    Memory,
    Raw,
    Reason,
    _pdfium,
    decode,
    decode_again,
    runs_apart,
)
from fanwise.documents._page import Line, Page, Unreadable
from fanwise.documents._pages import extract
from tests.documents.pdfs import STORY, locked, pdf, without_pages

BOOK = pdf([["# The harbour", *STORY], ["# The lighthouse", STORY[1]]], width=90)


def read(data, name="a.pdf"):
    return Memory({name: data}).read(name)


@pytest.fixture(params=[decode, decode_again], ids=["pdfium", "pypdf"])
def reader(request):
    return lambda data: request.param(Raw("a.pdf", data, "pdf"))


def test_sentences_are_whole_and_know_their_page(reader):
    found = reader(BOOK)
    assert isinstance(found, Document)
    assert found.gaps == ()
    for page, sentence in [
        (1, "The harbour was built in 1704 by order of the council."),
        (
            1,
            "It has room for forty ships of the larger kind, and for many boats besides, so that it soon became the first of the coast.",
        ),
        (1, "Most of the trade was in timber."),
    ]:
        start = found.text.index(sentence)
        assert found.origin.named(start, start + len(sentence)) == f"page {page}"
    again = found.text.rindex(STORY[1])
    assert found.origin.at(again) == 2
    assert found == reader(BOOK)


def test_headings_paragraphs_and_title():
    found = read(BOOK)
    assert found.title == "The harbour"
    assert found.markup == "markdown"
    assert found.text == "\n\n".join(
        ["# The harbour", *STORY, "# The lighthouse", STORY[1]]
    ) + "\n"  # fmt: skip


def test_what_stands_on_each_page_and_page_numbers_are_dropped(reader):
    pages = [[f"Here stands sentence number {word}."] for word in ("one", "two", "three", "four")]
    found = reader(pdf(pages, head="Annals of the harbour", foot=True))
    assert "Annals" not in found.text
    assert "Page" not in found.text
    assert found.text.count("Here stands sentence number") == 4


FIRST, SECOND = "The ships came in the spring and left", "again before the winter storms began."


def test_a_paragraph_goes_on_over_the_page():
    found = read(pdf([[FIRST], [SECOND]], width=66))
    assert found.text == f"{FIRST} {SECOND}\n"
    assert found.origin.named(0, len(found.text) - 1) == "pages 1-2"
    assert found.origin.at(len(FIRST) + 1) == 2


@pytest.mark.parametrize("last", ["A drawing of ships", "Figure 4: Drawing of the ships that came"])
def test_a_caption_at_the_end_of_a_page_does_not_go_on(last):
    found = read(pdf([[*STORY, last], [SECOND]], width=66))
    assert f"\n\n{last}\n\n{SECOND}\n" in found.text


def lines(*texts, hyphen=False):
    return [
        Line(text, 50, 300, 700 - 12 * n, 10, 400, hyphen and n < len(texts) - 1)
        for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("texts", "hyphen", "expected"),
    [
        (("The trans", "lation was done."), True, "The translation was done."),
        (("The trans-", "lation was done."), False, "The translation was done."),
        (("A well-", "known and well-known case"), False, "A well-known and well-known case"),
        (("In the range 10-", "20 metres"), False, "In the range 10- 20 metres"),
        (("The e\ufb03cient \ufb01ction of so\xadft\xa0signs",), False, "The efficient fiction of soft signs"),
        (("Contents . . . . . . . . 7",), False, "Contents ... 7"),
    ],
)  # fmt: skip
def test_words_are_joined(texts, hyphen, expected):
    assert (
        extract([Page(tuple(lines(*texts, hyphen=hyphen)), pictures=False)]).text == f"{expected}\n"
    )


def test_columns_are_read_one_after_the_other():
    left = lines("The left column is read", "first and goes on")
    right = [
        Line(f"to the right {line.text[:3].lower()}.", 320, 560, line.base, 10, 400)
        for line in left
    ]
    text = extract([Page((*left, *right), pictures=False)]).text
    assert text.startswith("The left column is read first and goes on to the right the.")


def test_scanned_pages_within_a_book_are_named(reader):
    found = reader(pdf([[STORY[0]], [None], [None], [STORY[1]], [None]]))
    assert isinstance(found, Document)
    (gap,) = found.gaps
    assert str(gap) == "a.pdf: scanned (no text layer on pages 2-3, 5 of 5)"
    assert STORY[1] in found.text.replace("\n", " ")


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (pdf([[None], [None]]), Reason.SCANNED, "no text layer on 2 pages"),
        (pdf([[]]), Reason.NO_TEXT, "1 page without text"),
        (locked(BOOK), Reason.PASSWORD, "it opens with a password only"),
        (without_pages(), Reason.NO_PAGES, "without a page"),
        (b"Not a PDF at all.", Reason.NOT_A_PDF, "begins with b'Not a PD'"),
        (BOOK[: len(BOOK) // 3], Reason.TRUNCATED, "no end-of-file mark; "),
        (b"%PDF-1.4\nthis is all there is\n%%EOF\n", Reason.DAMAGED, ""),
        (b"", Reason.EMPTY, "0 bytes"),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else "",
)  # fmt: skip
def test_each_flaw_has_its_own_name(data, reason, detail):
    found = read(data)
    assert isinstance(found, Gap)
    assert found.reason is reason
    assert detail in found.detail


def test_a_password_that_is_empty_is_no_password(reader):
    assert isinstance(reader(locked(BOOK, password="")), Document)


def test_what_pdfium_refuses_is_read_by_pypdf(capfd):
    broken = BOOK.replace(b"1 0 obj", b"1 0 xbj", 1)
    with pytest.raises(Unreadable, match="pdfium: data format error"):
        _pdfium.reader("")(broken)
    found = read(broken)
    assert isinstance(found, Document)
    assert "Most of the trade was in timber." in found.text
    assert capfd.readouterr() == ("", "")


def test_pages_that_are_lost_are_damage_and_not_a_file_without_pages():
    found = read(BOOK.replace(b"/Kids", b"/Kinds"))
    assert isinstance(found, Gap)
    assert found.reason is Reason.DAMAGED


def test_the_reason_of_one_file_is_not_that_of_the_file_before():
    for data, reason in [
        (locked(BOOK), Reason.PASSWORD),
        (without_pages(), Reason.NO_PAGES),
        (BOOK[:400], Reason.TRUNCATED),
    ] * 2:
        assert read(data).reason is reason


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(BOOK) - 1), st.integers(0, 255)), max_size=12))
def test_whatever_bytes_are_wrong_something_is_said(changes):
    data = bytearray(BOOK)
    for at, byte in changes:
        data[at] = byte
    found = read(bytes(data))
    assert isinstance(found, Document | Gap)
    assert isinstance(found, Gap) or found == read(bytes(data))


def test_a_pdf_is_known_by_its_opening_under_another_name():
    found = read(b"\n\n" + BOOK, name="report")
    assert isinstance(found, Document)
    assert found.title == "The harbour"
    assert runs_apart(Raw("a.pdf", BOOK, "pdf"))
    assert not runs_apart(Raw("a.md", b"x", "markdown"))
