"""Sentences: where they end, and that they are exact spans."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.text import sentences

MARKUPS = ("plain", "markdown", "restructured")


def cut(text, markup="plain"):
    return [text[s.start : s.end] for s in sentences(text, markup)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones.", "They spoke."]),
        ("Tools, e.g. Python, help. Good.", ["Tools, e.g. Python, help.", "Good."]),
        ("By J. R. R. Tolkien. Read it.", ["By J. R. R. Tolkien.", "Read it."]),
        ("It costs 3.5 dollars. Or 1,000.25.", ["It costs 3.5 dollars.", "Or 1,000.25."]),
        ("Wait... what? Yes... No.", ["Wait... what?", "Yes...", "No."]),
        ("Tea, milk, etc. Then bread.", ["Tea, milk, etc.", "Then bread."]),
        ("See Fig. 3 and No. 5. Done.", ["See Fig. 3 and No. 5.", "Done."]),
        ('"Why?" asked Bob. He left.', ['"Why?" asked Bob.', "He left."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("(See PEP 8.) It helps.", ["(See PEP 8.)", "It helps."]),
        ("Really?! Yes!", ["Really?!", "Yes!"]),
        ("Use file.name. It works.", ["Use file.name.", "It works."]),
        ("Call ``a. B`` once. Then stop.", ["Call ``a. B`` once.", "Then stop."]),
        ("It is so. ``x`` is small.", ["It is so.", "``x`` is small."]),
        ("これは文です。次の文です。", ["これは文です。", "次の文です。"]),
        ("No end mark", ["No end mark"]),
        ("", []),
        (" \n\t\n", []),
    ],
)
def test_a_sentence_ends_where_a_reader_says(text, expected):
    assert cut(text) == expected


def test_list_items_are_cut_apart_and_their_numbers_end_nothing():
    text = "1. First thing. More of it.\n2. Second thing.\n- Third thing."
    assert cut(text) == ["1. First thing.", "More of it.", "2. Second thing.", "- Third thing."]


def test_code_tables_and_headings_are_one_sentence_each():
    text = (
        "# A. Title\n\nText. More.\n\n```\na. B\nc. D\n```\n\n| a. | B. |\n|---|---|\n| x. | Y. |\n"
    )
    kinds = [(s.kind, text[s.start : s.end]) for s in sentences(text, "markdown")]
    assert kinds == [
        ("heading", "# A. Title"),
        ("paragraph", "Text."),
        ("paragraph", "More."),
        ("code", "```\na. B\nc. D\n```"),
        ("table", "| a. | B. |\n|---|---|\n| x. | Y. |"),
    ]


def test_a_sentence_may_span_lines_and_keeps_its_offsets():
    text = "A first\nsentence here.  A second\r\none there.\n"
    assert cut(text) == ["A first\nsentence here.", "A second\r\none there."]


TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.sampled_from(
            [
                "Word",
                "e.g.",
                "a.",
                "B.",
                "...",
                "?",
                "!",
                "\n",
                "\n\n",
                "# ",
                "- ",
                "1. ",
                "``",
                "`",
                "```\n",
                "~~~",
                "===",
                "---",
                "::\n\n",
                "    x",
                ".. note::",
                "|",
                "> ",
                "\r\n",
                "\ufeff",
                " ",
                "  ",
                "\t",
                "“Hi.”",
                "é",
                "漢。",
                ":pep:`8`",
                "<!--",
                "-->",
                "+--+",
                "PEP: 1\n",
            ]
        ),
        max_size=60,
    ).map("".join),
)


@pytest.mark.parametrize("markup", MARKUPS)
@given(text=TEXTS)
def test_sentences_cover_all_that_is_not_blank_once(markup, text):
    at = 0
    for sentence in sentences(text, markup):
        assert at <= sentence.start < sentence.end <= len(text)
        assert not text[at : sentence.start].strip().strip("\ufeff")
        assert not text[sentence.start].isspace()
        assert not text[sentence.end - 1].isspace()
        at = sentence.end
    assert not text[at:].strip().strip("\ufeff")


def test_a_markup_that_is_not_known_is_named():
    with pytest.raises(ValueError, match="markup='html' is not known"):
        sentences("x", "html")


@pytest.mark.parametrize(
    "piece",
    [
        "A. ",
        "a.",
        "`",
        "``",
        '"',
        "(",
        "word ",
        "- x\n",
        "=== ===\nx\n\n",
        "# # # ",
        "* * x\n",
        ":",
        "..",
        "[",
        "_ ",
    ],
)
@pytest.mark.parametrize("markup", MARKUPS)
def test_cost_is_linear(markup, piece):
    def seconds(size):
        text = (piece * size)[: size * 4]
        start = time.process_time()
        sentences(text, markup)
        return time.process_time() - start

    seconds(1000)
    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 40 * small + 0.05
