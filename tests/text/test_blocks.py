"""Blocks and headings of the three markups."""

import pytest
from hypothesis import given

from fanwise.text import Outline, blocks
from tests.text.test_sentences import MARKUPS, TEXTS


def kinds(text, markup):
    return [block.kind for block in blocks(text, markup)]


def headings(text, markup):
    return [(b.level, b.title) for b in blocks(text, markup) if b.kind == "heading"]


def test_markdown_headings_of_both_kinds():
    text = "Top\n===\n\nUnder\n-----\n\n### Deep ###\n\n#not one\n\n# C#\n"
    assert headings(text, "markdown") == [(1, "Top"), (2, "Under"), (3, "Deep"), (1, "C#")]


def test_markdown_kinds():
    text = (
        "---\ntitle: X\n---\n\nPara one\ngoes on.\n- item\n  goes on\n- item two\n\n> quote\n\n"
        "    code\n    more\n\n***\n\n[x]: http://y\n\n<div>\nhtml\n</div>\n\n~~~\nfence\n\n# no\n~~~\n"
    )
    assert kinds(text, "markdown") == [
        "meta", "paragraph", "item", "item", "quote", "code", "rule", "links", "meta", "code",
    ]  # fmt: skip


def test_markdown_a_dash_line_under_a_table_row_is_no_heading():
    assert kinds("a | b\n--- | ---\n1 | 2\n", "markdown") == ["table"]


def test_restructured_levels_follow_first_appearance():
    text = "=====\nTitle\n=====\n\nPart\n====\n\nSub\n---\n\nPart 2\n======\n"
    assert headings(text, "restructured") == [(1, "Title"), (2, "Part"), (3, "Sub"), (2, "Part 2")]


def test_restructured_kinds():
    text = (
        "PEP: 1\nTitle: X\n\nPara::\n\n    code\n\n    code\n\nPara.\n\n- item\n  goes on\n\n"
        ".. code-block:: python\n\n   x = 1\n\n.. note::\n\n   Prose here.\n\n.. [1] foot\n"
        ".. _target: http://x\n\nterm\n    Definition here.\n\n>>> doctest\n1\n\n:field: value\n\n"
        "+---+\n| a |\n+---+\n\n==== ====\na    b\n==== ====\n1    2\n==== ====\n"
    )
    assert kinds(text, "restructured") == [
        "meta", "paragraph", "code", "paragraph", "item", "code", "meta", "quote", "links", "links",
        "term", "quote", "code", "meta", "table", "table",
    ]  # fmt: skip


def test_plain_headings_are_guessed():
    text = "INTRODUCTION\n\nSome text here.\n\n1.2 The second part\n\nMore text.\n\nTitle\n-----\nText."
    assert headings(text, "plain") == [
        (1, "INTRODUCTION"),
        (2, "1.2 The second part"),
        (2, "Title"),
    ]


def test_an_outline_gives_the_path_of_headings_over_a_place():
    text = "before\n\n# A\n\n## B\n\nunder b\n\n# C\n\nunder c\n"
    outline = Outline(blocks(text, "markdown"))
    assert outline.at(0) == ()
    assert outline.at(text.index("under b")) == ("A", "B")
    assert outline.at(text.index("under c")) == ("C",)
    assert outline.at(text.index("# C")) == ("C",)


@pytest.mark.parametrize("markup", MARKUPS)
@given(text=TEXTS)
def test_blocks_stand_in_order_and_hold_every_letter(markup, text):
    at, held = 0, []
    for block in blocks(text, markup):
        assert at <= block.start < block.end
        assert (block.level > 0) == (block.kind == "heading")
        held.append(text[block.start : block.end])
        at = block.end
    kept, given = ("".join(t.replace("\ufeff", "").split()) for t in ("".join(held), text))
    assert kept == given
