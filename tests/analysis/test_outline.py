"""The outline: every call has its line, or is counted where it would stand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.analysis import Fold, Line, report
from fanwise.analysis import _outline as outlining
from fanwise.core import AttemptRow, Header, RunRecord
from tests.analysis.rows import recorded, records, row


def wide(n, **more):
    """A fan-in of n branches, the n-th of n microseconds."""
    rows = [row(i, 0, i, parent=0, fan_in=1, **more) for i in range(2, n + 2)]
    fan_in = row(1, 0, n + 2, step="fan_out", pattern="fan_out")
    return recorded(row(0, 0, n + 3, step="main"), fan_in, *rows)


def check(record, most):
    found = report(record).outline(most)
    lines = [each for each in found.lines if isinstance(each, Line)]
    calls = [line.row.call for line in lines if line.row.call >= 0]
    assert len(calls) == len(set(calls))
    shown = len(calls) + sum(line.inside for line in lines)
    below_folds = len(record.calls) - shown
    folds = [each for each in found.lines if isinstance(each, Fold)]
    assert below_folds >= sum(fold.hidden for fold in folds)
    assert bool(below_folds) == bool(folds)
    depths = [each.depth for each in found.lines]
    assert depths[0] == 0
    assert all(1 <= b <= a + 1 for a, b in itertools.pairwise(depths))
    for fold in folds:
        assert sum(fold.outcomes.values()) == fold.calls == sum(fold.bins) > most
    for line in lines:
        check_spans(line)
    return found


def check_spans(line):
    now = line.row.start
    for span in line.spans:
        assert span.start == now < span.end
        now = span.end
    assert now == line.row.end


@given(records(), st.integers(1, 12))
def test_any_record_has_an_outline(record, most):
    found = check(record, most)
    critical = {segment.call for segment in report(record).path.segments}
    for line in found.lines:
        if isinstance(line, Line) and line.row.call in critical:
            assert line.critical


def test_a_fan_out_of_ten_thousand_is_folded():
    found = check(wide(10_000), 12)
    assert [type(each) for each in found.lines] == [Line] * 5 + [Fold]
    assert [line.row.end for line in found.lines[2:5]] == [9_999, 10_000, 10_001]
    fold = found.lines[5]
    assert (fold.hidden, fold.calls, fold.p50, fold.p90, fold.p99, fold.longest) == (
        9_997, 10_000, 5_001, 9_001, 9_901, 10_001,
    )  # fmt: skip
    assert max(fold.bins) - min(fold.bins) <= 1


def test_what_failed_is_named_and_what_is_critical_too():
    record = wide(100)
    rows = [r._replace(status="failed") if r.call in (7, 9) else r for r in record.calls]
    rows = [r._replace(edges=()) for r in rows]
    found = report(record._replace(calls=tuple(rows))).outline()
    named = [each.row.call for each in found.lines if isinstance(each, Line)]
    assert named == [0, 1, 7, 9, 99, 100, 101]
    # All fail: five are named, and the distribution counts the rest.
    found = report(wide(100, status="failed")).outline()
    assert len(found.lines) == 2 + 5 + 1
    assert found.lines[-1].outcomes == {"failed": 100}


def test_a_chain_of_thousands_of_critical_calls_is_folded():
    rows = [row(n, 10 * n, 10 * n + 10) for n in range(1, 3000)]
    found = check(recorded(row(0, 0, 30_000), *rows), 12)
    assert len(found.lines) == 1 + 3 + 1


def test_ten_thousand_levels_are_no_trouble_and_the_page_is_full_at_last():
    n = 10_000
    rows = [row(i, i, 3 * n - i, parent=i - 1 if i else None) for i in range(n)]
    found = check(recorded(*rows), 12)
    assert len(found.lines) == outlining.MOST_LINES + 1
    assert found.lines[-1].inside == n - outlining.MOST_LINES - 1


def test_what_a_call_did_is_painted():
    lost = AttemptRow(1, 1, hedge=False, start=0, end=10, status="failed")
    rows = [
        row(0, 0, 60),
        row(1, 0, 40, attempts=2, waits={"backoff": 10}),
        row(2, 40, 60, status="cancelled"),
        row(3, 10, 12, parent=2),
    ]
    last = AttemptRow(1, 2, hedge=False, start=20, end=40, status="ok")
    found = report(recorded(*rows, attempts=[lost, last])).outline()
    main, retried, dropped, _ = found.lines
    assert [tuple(span) for span in main.spans] == [(0, 60, "inside")]
    assert [tuple(span) for span in retried.spans] == [
        (0, 10, "retried"), (10, 20, "wait backoff"), (20, 40, "running"),
    ]  # fmt: skip
    assert [span.kind for span in dropped.spans] == ["running"]  # its call ended before it began
    (alone,) = report(recorded(row(0, 0, 9, status="cancelled"))).outline().lines
    assert [span.kind for span in alone.spans] == ["cancelled"]


def painted(tries, **more):
    """The kinds and lengths of a call from 0 to 40 with these attempts."""
    attempts = [
        AttemptRow(0, n, hedge=n > 1, start=start, end=end, status=status)
        for n, start, end, status in tries
    ]
    record = recorded(row(0, 0, 40, attempts=2, **more), attempts=attempts)
    (line,) = report(record).outline().lines
    check_spans(line)
    return [(span.kind, span.end - span.start) for span in line.spans]


def test_where_a_hedge_ran_beside_a_loser_it_ran():
    assert painted([(1, 0, 40, "cancelled"), (2, 10, 40, "ok")]) == [
        ("retried", 10),
        ("running", 30),
    ]
    assert painted([(2, 10, 40, "cancelled")]) == [("running", 40)]
    assert painted([(1, 0, 40, "failed"), (2, 9, 40, "failed")], status="failed") == [
        ("retried", 40)
    ]


def test_a_number_of_calls_is_at_least_one():
    with pytest.raises(ValueError, match="most=0 is not a number of calls"):
        report(recorded()).outline(0)


@pytest.mark.parametrize("mutant", ["no criticals", "nothing folded is counted"])
def test_a_mutant_is_refused(monkeypatch, mutant):
    if mutant == "no criticals":
        monkeypatch.setattr(outlining, "SLOWEST", 0)
        monkeypatch.setattr(outlining, "CRITICAL", 0)
    else:
        monkeypatch.setattr(outlining.Tree, "_named", lambda self, rows: rows[:2])
    with pytest.raises(AssertionError):
        test_a_fan_out_of_ten_thousand_is_folded()


def test_an_id_that_stands_twice_counts_once():
    rows = (row(0, 0, 4), row(1, 0, 3), row(0, 0, 5), row(1, 0, 4))
    found = report(RunRecord(Header("r", 0, 0), rows))
    assert [line.row.end for line in found.outline().lines] == [5, 4]
    assert dict(found.slack) == {0: 0, 1: 0}
