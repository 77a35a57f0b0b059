"""A run as a flowchart: valid for Mermaid, whatever stands in the record."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.analysis import report
from fanwise.traces import _mermaid as drawing
from fanwise.traces import mermaid
from tests.analysis.rows import recorded, records, row

# What Mermaid's grammar takes of each line that is written here: labels hold letters and digits of
# any script, a little punctuation, and entity codes.
LABEL = r'\(?\["(?:[\w .,:+()/-]|#\d+;|#92;)*"\]\)?'
LINES = re.compile(
    rf"    (?:\w+{LABEL}(?:::\:?\w+|:::\w+)?|\w+ (?:==>|-->|-\.->) \w+"
    r"|classDef \w+ [\w:,# -]+|linkStyle \d+(?:,\d+)* stroke:#\w+)"
)


def check(text):
    first, *rest = text.splitlines()
    assert first == "flowchart LR"
    for line in rest:
        assert LINES.fullmatch(line), line
    known = set(re.findall(r"^    (\w+)\(?\[", text, re.MULTILINE))
    edges = re.findall(r"^    (\w+) (==>|-->|-\.->) (\w+)$", text, re.MULTILINE)
    assert {end for a, _, b in edges for end in (a, b)} <= known
    styled = re.findall(r"linkStyle ([\d,]+)", text)
    assert all(edges[int(n)][1] == "==>" for each in styled for n in each.split(","))
    assert len(edges) <= drawing.MOST_EDGES
    return edges


@given(records(), st.integers(1, 12))
def test_any_record_can_be_drawn(record, most):
    edges = check(mermaid(report(record), most))
    assert len(edges) >= min(1, len(record.calls) - 1)


@given(st.text())
def test_any_name_can_be_drawn(name):
    check(mermaid(report(recorded(row(0, 0, 9, step=name), row(1, 0, 4, step=name)))))


def test_dependencies_and_the_critical_path():
    record = recorded(
        row(0, 0, 90, step="main"),
        row(1, 0, 80, step="b", edges=(2, 3)),
        row(2, 0, 20, step='say "hi"\n\x1b[31m`x`'),
        row(3, 0, 50, step="slow", status="failed"),
    )
    text = mermaid(report(record))
    assert text.splitlines()[1:] == [
        '    c0["main 90 us"]:::critical',
        '    c1["b 80 us"]:::critical',
        "    c0 ==> c1",
        '    c2["say #34;hi#34;#92;n#92;x1b#91;31m#96;x#96; 20 us"]',
        "    c0 --> c2",
        '    c3["slow 50 us, failed"]:::critical',
        "    c0 ==> c3",
        "    c2 -.-> c1",
        "    c3 -.-> c1",
        "    classDef critical stroke:#d08700,stroke-width:3px",
        "    classDef gap stroke-dasharray:4 3",
        "    linkStyle 0,2 stroke:#d08700",
    ]


def test_a_wide_run_is_folded_and_stays_below_what_mermaid_draws():
    rows = [row(n, 0, n, edges=tuple(range(1, n))) for n in range(1, 40)]
    text = mermaid(report(recorded(row(0, 0, 99), *rows)), most=39)
    assert len(check(text)) == drawing.MOST_EDGES
    folded = mermaid(report(recorded(row(0, 0, 99), *rows)))
    assert "36 more of 39, p50 20 us, max 39 us" in folded


def test_names_that_are_not_escaped_are_refused(monkeypatch):
    monkeypatch.setattr(drawing, "escaped", lambda text: text)
    with pytest.raises(AssertionError):
        check(mermaid(report(recorded(row(0, 0, 9, step='"]')))))
