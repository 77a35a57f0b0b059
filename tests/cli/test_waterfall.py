"""The waterfall, letter by letter: small runs at 80 and at 200 columns, without colour."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanwise.analysis import Span, report
from fanwise.cli._bars import PLAIN, RICH, glyphs_for, kinds_of
from fanwise.cli._colour import Paint
from fanwise.cli._show_text import show_text
from fanwise.cli._text import clipped, columns, padded, printable
from fanwise.core import AttemptRow
from tests.analysis.rows import recorded, records, row

OFF = Paint(on=False)
SEARCH = recorded(
    row(0, 0, 2_310_000, step="answer"),
    row(
        1,
        0,
        2_210_000,
        step="answer/fan_out",
        pattern="fan_out",
        facts={"gaps": 2, "closed": "within", "need": 1, "decided": 2_210_000},
    ),
    row(2, 0, 2_210_000, step="news", fan_in=1, attempts=2, waits={"backoff": 300_000}),
    row(3, 0, 1_000_000, step="web", fan_in=1, waits={"limit": 400_000}),
    row(4, 0, 90_000, step="database", fan_in=1, status="failed", error="KeyError: 'x'\nmore"),
    row(5, 0, 2_210_000, step="archive", fan_in=1, status="cancelled"),
    row(6, 2_210_000, 2_310_000, step="compose"),
    attempts=[
        AttemptRow(2, 1, hedge=False, start=0, end=300_000, status="failed"),
        AttemptRow(2, 2, hedge=False, start=600_000, end=2_210_000, status="ok"),
    ],
)


def golden(name):
    return (Path(__file__).parent / "golden" / f"{name}.txt").read_text("utf-8")


def shown(record, width=80, glyphs=RICH, paint=OFF):
    return show_text(report(record), width, glyphs, paint)


def test_a_search_at_80_columns():
    assert shown(SEARCH) == golden("search-80")


def test_a_search_at_200_columns_in_ascii():
    assert shown(SEARCH, 200, PLAIN) == golden("search-200-ascii")


def test_one_call_of_no_length():
    assert shown(recorded(row(0, 5, 5))) == golden("one")


def test_a_run_that_goes_on():
    lines = shown(recorded(row(1, 0, 400_000, step="a"), row(2, 0, 900_000, step="b"))).splitlines()
    assert lines[0] == "run r: not over, 2 calls so far"
    assert lines[1].startswith("The run is not over: 0.90 s so far; all of it was `b`; making `a`")


def test_ten_thousand_branches_are_three_and_a_line():
    rows = [row(n, 0, n, fan_in=1, status="failed" if n == 9 else "ok") for n in range(2, 10_002)]
    fan_in = row(1, 0, 10_002, step="main/fan_map", pattern="fan_map")
    page = shown(recorded(row(0, 0, 10_003, step="main"), fan_in, *rows))
    assert page == golden("folded")


def test_deep_nesting_keeps_the_columns():
    rows = [row(n, n, 4000 - n, parent=n - 1 if n else None) for n in range(200)]
    lines = shown(recorded(*rows)).split("\n\n")[1].splitlines()
    assert lines[1].startswith("* s  ")
    assert lines[13].startswith("*" + " " * 25 + "s  ")
    assert lines[200].startswith("*" + " " * 21 + "199 s  ")
    assert max(map(len, lines)) == 80


NASTY = [
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb\r\tc",
    "日本語" * 30,
    "e\u0301" * 50,
    "\u202eabc",
    "\udc80",
    "",
    "x" * 500,
]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_name_breaks_the_columns_or_reaches_the_terminal_raw(name, width):
    rows = [row(0, 0, 90, step=name, error=name, status="failed"), row(1, 0, 50, step=name)]
    for glyphs in (RICH, PLAIN._replace(encoding="ascii")):
        page = shown(recorded(*rows), width, glyphs)
        page.encode(glyphs.encoding)
        assert page.replace("\n", "").isprintable()
        assert max(map(columns, page.splitlines())) <= width


@given(records(), st.sampled_from([60, 80, 200]))
def test_any_record_fits_its_width(record, width):
    lines = shown(record, width).splitlines()
    assert max(map(columns, lines)) <= width
    painted = shown(record, width, paint=Paint(on=True))
    assert painted.count("\x1b[0m") * 2 == painted.count("\x1b[")


@given(st.text(), st.integers(1, 30))
@example("\U0001d17b\u0e5c", 1)  # a character without a width before one that does not fit
def test_clipped_text_fits_and_says_that_it_was_clipped(text, width):
    text = printable(text)
    found = clipped(text, width)
    assert columns(found) <= width
    assert found == text or found.endswith("…")
    assert columns(padded(found, 30)) == 30


def test_a_slice_shows_what_filled_most_of_it():
    spans = [Span(0, 25, "running"), Span(25, 50, "wait limit"), Span(80, 100, "running")]
    assert kinds_of(spans, 0, 100, 4) == ["running", "wait limit", "", "running"]
    assert kinds_of(spans, 0, 100, 1) == ["running"]


@pytest.mark.parametrize(
    ("encoding", "rich"),
    [("utf-8", True), ("UTF-16", True), ("ascii", False), ("latin-1", False), (None, False)],
)
def test_the_glyphs_are_those_of_the_encoding(encoding, rich):
    assert (glyphs_for(encoding).bars == RICH.bars) is rich
