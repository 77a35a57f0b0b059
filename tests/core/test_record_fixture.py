"""A record of format 1, written once and kept: today's code reads it, now and in ten years.

It is never written anew. A change that cannot read it needs a new format number.
"""

import io
from pathlib import Path

import pytest

from fanwise.analysis import critical_path, summary
from fanwise.errors import RecordDamaged
from fanwise.record import AttemptRow, CallRow, Header, line_of, read_records

FIXTURE = Path(__file__).parent / "fixtures" / "record-1.jsonl"


def text():
    return FIXTURE.read_text("utf-8")


def read(content):
    return read_records(io.StringIO(content, newline="\n"))


def test_its_runs_in_the_order_of_their_headers():
    records = read(text())
    assert [record.header for record in records] == [
        Header("first", 1795166526114909883, 7, {"fanwise": "0.1.0"}),
        Header("second", 1795166526114934820, 7, {"fanwise": "0.1.0"}),
        Header("third", 1795166527000000000, 7, {"fanwise": "0.1.0"}),
    ]
    assert [len(record.calls) for record in records] == [11, 1, 2]
    assert [len(record.attempts) for record in records] == [10, 0, 0]
    assert not any(record.torn for record in records)


def test_a_row_that_has_nearly_everything():
    (row,) = (row for row in read(text())[0].calls if row.call == 3)
    assert row == CallRow(
        call=3,
        parent=0,
        fan_in=1,
        step="web",
        pattern=None,
        role="work",
        key=None,
        start=186,
        end=41593,
        status="ok",
        attempts=2,
        load=3,
        waits={"limit": 12507, "backoff": 8156},
        usage={"tokens_in": 120, "tokens_out": 30},
        facts={"name": "second", "model": "local:extractive", "estimated": True},
    )


def test_an_edge_a_key_an_error_and_a_hedge():
    first, _, third = read(text())
    rows = {row.call: row for row in first.calls}
    assert rows[5].edges == (2, 6)
    assert rows[7].facts == {"ambiguous": True}
    assert first.attempts[0] == AttemptRow(
        2, 1, hedge=False, start=248, end=10502, status="failed", error="ConnectionError: down"
    )
    assert [(each.call, each.attempt) for each in first.attempts if each.hedge] == [
        (6, 2),
        (9, 2),
        (10, 2),
    ]
    assert third.calls[0].status == "reused"
    assert third.calls[1].key == "00112233445566778899aabbccddeeff"
    assert third.calls[1].step == "chärge ✓"


def test_what_is_read_is_written_again_as_it_stands():
    """Line by line, but for the names of runs, which depend on how runs are interleaved."""
    rows = {line for record in read(text()) for line in lines_of(record)}
    for line in text().splitlines():
        if '"fanwise"' not in line:
            assert line in rows


def lines_of(record):
    for row in (*record.calls, *record.attempts):
        for run in (None, record.header.run):
            yield line_of(row, run)
            yield unescaped(line_of(row, run))


def unescaped(line):
    return line.encode("ascii", "backslashreplace").decode("unicode-escape")


def test_a_last_line_that_was_cut_is_left_out_and_said():
    whole = read(text())
    cut = read(text()[:-20])
    assert all(record.torn for record in cut)
    assert cut[2].calls == whole[2].calls[:1]
    assert cut[0].calls == whole[0].calls


def test_any_other_damage_is_refused_with_its_line():
    lines = text().splitlines(keepends=True)
    lines[4] = lines[4][:30] + "\n"
    with pytest.raises(RecordDamaged, match="line 5 is not a line of a record"):
        read("".join(lines))


def test_another_format_is_refused_by_its_number():
    with pytest.raises(RecordDamaged, match="format 2 is not known here"):
        read(text().replace('{"fanwise":1,', '{"fanwise":2,', 1))


def test_its_figures():
    path = critical_path(read(text())[0])
    assert path.microseconds == 215131 - 54
    assert sum(path.blame.values()) == path.microseconds
    assert str(path) == (
        "main > fan_out > hang (0.10 s) > news (0.03 s) > pay (0.02 s) > fan_map > news x 2 (0.06 s)"
        " (and 84 us elsewhere)"
    )
    found = summary(read(text())[0])
    assert found.gaps == {"cancelled": 1, "timed_out": 1}
    assert (found.calls, found.retries, found.hedges) == (11, 2, 3)


CALL = '{"call":1,"step":"a","role":"work","start":0,"end":1,"status":"ok","attempts":1,"load":0}'


@pytest.mark.parametrize(
    "line",
    [
        "7",
        '"a"',
        "[1]",
        "[" * 100_000,
        CALL.replace('"call":1', '"call":"1"'),
        CALL.replace('"call":1', '"call":-1'),
        CALL.replace('"end":1', '"end":-1'),
        CALL.replace('"end":1', '"end":1.5'),
        CALL.replace('"start":0', '"start":true'),
        CALL.replace('"ok"', "0"),
        CALL.replace('"a"', "7"),
        CALL.replace('"attempts":1', '"attempts":"x"'),
        CALL.replace('"load":0', '"load":0,"parent":[0]'),
        CALL.replace('"load":0', '"load":0,"edges":["x"]'),
        CALL.replace('"load":0', '"load":0,"edges":7'),
        CALL.replace('"load":0', '"load":0,"error":{}'),
        CALL.replace('"load":0', '"load":0,"waits":{"limit":"x"}'),
        CALL.replace('"load":0', '"load":0,"usage":[1]'),
        CALL.replace('"load":0', '"load":0,"facts":7'),
        CALL.replace('"load":0', '"load":0,"colour":7'),
        CALL.replace(',"load":0', ""),
        CALL + CALL,
        '{"call":1,"attempt":1,"start":0,"end":"x","status":"ok"}',
        '{"fanwise":1,"run":7,"anchor":0,"seed":0}',
    ],
)
def test_a_line_with_another_kind_of_value_is_damage(line):
    header = text().splitlines()[0]
    assert read(f"{header}\n  {CALL}  \n{CALL}\n")[0].calls
    with pytest.raises(RecordDamaged, match="line 2 is not a line of a record"):
        read(f"{header}\n{line}\n{CALL}\n")
