"""Frames: whatever a look holds, its lines fit the columns and rows that there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fanwise.analysis import Going, Gone, Look, StepCount
from fanwise.cli import _frame as frames
from fanwise.cli._frame import lines_of, shares
from fanwise.cli._words import counts, plain, seconds

texts = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("ab 網路🙂é\u200d\x1b[31m\n\t\r\x07\u202e"), max_size=60),
)
numbers = st.integers(0, 10**9)
times = st.floats(0, 1e6)
goings = st.builds(
    Going,
    numbers,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    times,
    st.integers(0, 9),
    st.sampled_from(["", "limit", "pool", "backoff", "loop"]),
    texts,
    st.none() | texts,
)
gones = st.builds(Gone, numbers, texts, times, st.sampled_from(["ok", "failed"]), st.none() | texts)
steps = st.builds(StepCount, texts, numbers, numbers, numbers, numbers, numbers)
looks = st.builds(
    Look,
    times,
    numbers,
    numbers,
    numbers,
    numbers,
    st.sampled_from([{}, {"tokens_in": 5, "tokens_out": 10**9}]),
    st.booleans(),
    numbers,
    st.lists(steps, max_size=12).map(tuple),
    st.lists(goings, max_size=40).map(tuple),
    st.lists(gones, max_size=40).map(tuple),
    st.lists(gones, max_size=40).map(tuple),
)


def check_frame(look, columns, rows, told):
    lines = lines_of("run", told, look, columns, rows)
    assert 1 <= len(lines) <= max(1, min(rows, 30))
    for line in lines:
        assert cell_len(line.plain) <= columns
        assert line.plain.isprintable(), "nothing may steer the terminal"


@given(looks, st.integers(1, 250), st.integers(1, 60), texts)
def test_every_frame_fits(look, columns, rows, told):
    check_frame(look, columns, rows, told)


WIDE = Look(
    1.0, 1, 1, 0, 0, {}, False, 1, (),
    (Going(1, "網路" * 20, (), 1.0, 1, "", "", "\x1b[31m網路"),), (), (),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("set_cell_size", lambda text, size: text[:size].ljust(size)),  # a Chinese one takes two
        ("plain", lambda text: text),
        ("MOST_ROWS", 31),
    ],
)
def test_the_rule_rejects_a_frame_that_measures_or_shows_otherwise(monkeypatch, name, mutant):
    check_wide()
    monkeypatch.setattr(frames, name, mutant)
    with pytest.raises(AssertionError):
        check_wide()


def check_wide():
    """A name that is too long ends where its column does, in columns."""
    many = WIDE._replace(going=WIDE.going * 40)
    check_frame(many, 200, 60, "")
    name = lines_of("run", "", many, 200, 60)[2].plain.partition("  1.0 s")[0]
    assert cell_len(name.rstrip()) <= 2 + 40


@given(st.integers(-5, 60), st.lists(st.integers(0, 40), max_size=6))
def test_lines_are_shared_out(room, wanted):
    given = shares(room, wanted)
    assert sum(given) <= max(0, room)
    assert all(has == 0 or 2 <= has <= wants for has, wants in zip(given, wanted, strict=True))
    starved = [has for has, wants in zip(given, wanted, strict=True) if has < wants and has]
    if starved:  # nothing is left over while one with a head could have more
        assert sum(given) == room
        assert max(given) - min(starved) <= 1 or max(given) <= 2


LOOK = Look(
    12.34, 1_234, 3, 7, 1, {"tokens_in": 12_345, "tokens_out": 678}, True, 9,
    (StepCount("fetch", 1_000, 9, 2, 2, 1), StepCount("answer", 0, 0, 0, 1, 0)),
    (
        Going(5, "fetch #5", ("page #2",), 9.5, 2, "", "", "ConnectionError: no route"),
        Going(6, "fetch #6", (), 3.0, 1, "backoff", "1.5", "HTTP 503"),
        Going(7, "fetch #7", (), 1.0, 0, "limit", "search", None),
        Going(8, "thread #8", (), 1.0, 0, "pool", "", None),
        Going(9, "merge #9", (), 1.0, 0, "inputs", "2", None),
        Going(10, "new #10", (), 1.0, 0, "loop", "", None),
    ),
    (Gone(3, "fetch #3", 2.0, "failed", "ValueError: wrong\nand more"),),
    (Gone(4, "fetch #4", 3_700.0, "ok", None),),
)  # fmt: skip


def test_a_frame_says_what_runs_what_failed_what_was_slow_and_the_rest_in_counts():
    shown = "\n".join(
        line.plain.rstrip() for line in lines_of("jobs:x", "half done", LOOK, 100, 40)
    )
    assert (
        shown
        == """\
jobs:x  12.3 s  1,234 calls, 3 live, 9 failed, 7 retried, 1 hedged, tokens about 12,345 in, 678 out
half done
steps                   done    failed   dropped   running   waiting
  fetch                1,000         9         2         2         1
  answer                   0         0         0         1         0
longest running
  fetch #5             9.5 s  attempt 2  after ConnectionError: no route  in page #2
  fetch #6             3.0 s  attempt 2  backs off, 1.5 s  after HTTP 503
  fetch #7             1.0 s  waits for limit search
  thread #8            1.0 s  waits for a thread
  merge #9             1.0 s  waits for 2 inputs
  new #10              1.0 s  is about to start
failed (1 of 9)
  fetch #3             2.0 s  ValueError: wrong
slowest so far
  fetch #4        1 h 01 min"""
    )


def test_a_small_terminal_shows_the_counts_and_the_longest_running():
    lines = [line.plain.rstrip() for line in lines_of("jobs:x", "", LOOK, 40, 6)]
    assert lines == [
        "jobs:x  12.3 s  1,234 calls, 3 live, 9 …",
        "steps                   done    failed …",
        "  fetch                1,000         9 …",
        "  answer                   0         0 …",
        "longest running (1 of 6)",
        "  fetch #5             9.5 s  attempt 2…",
    ]


def test_times_and_texts_for_people():
    assert [seconds(value) for value in (0.04, 99.94, 100, 3_599, 3_600)] == [
        "0.0 s", "99.9 s", "1 min 40 s", "59 min 59 s", "1 h 00 min"
    ]  # fmt: skip
    assert plain(" a\tb\x1b[2J \nsecond") == "a b\N{REPLACEMENT CHARACTER}[2J "
    assert counts(LOOK._replace(calls=1, failures=0, retries=0, hedges=0)) == "1 call, 3 live"
