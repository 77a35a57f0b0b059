"""The detectors: scripted runs, random jitter as a law, brute force, and mutants that they reject."""

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import _scripted as scripted
from benchmarks.detectors import KINDS
from fanwise.analysis import (
    _cascading_failures,
    _head_of_line,
    _rate_limit_cascades,
    _synchronised_retries,
    _tries,
    cascading_failures,
    findings,
    head_of_line_blocking,
    rate_limit_cascades,
    report,
    synchronised_retries,
)
from fanwise.analysis._cascading_failures import densest
from fanwise.analysis._chance import binomial_tail, least_share, rank_errors
from fanwise.analysis._graph import Graph
from fanwise.analysis._head_of_line import Turn, waits_for
from fanwise.analysis._rate_limit_cascades import is_refusal
from fanwise.core import AttemptRow
from tests.analysis.rows import recorded, records, row
from tests.laws.proving import changed

S = 1_000_000  # microseconds

# They make loops of their own, on the virtual clock.
pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]

EACH = [
    pytest.param(detector, program, having, id=program.__name__)
    for detector, *sides in KINDS.values()
    for having, programs in zip((True, False), sides, strict=True)
    for program in programs
]


@pytest.mark.parametrize(("detector", "program", "having"), EACH)
def test_a_scripted_run_is_told_for_what_it_is(detector, program, having):
    """With a seed that the benchmark does not use."""
    record = scripted.made(program, 1000)
    found = detector(record)
    assert bool(found) is having
    for each in found:
        assert each in findings(record)
        assert 0 <= each.start <= each.end <= max(row.end for row in record.calls)
        assert each.strength > 1
        assert set(each.steps) <= {row.step for row in record.calls}


def attempts_of(pairs, callers=None):
    """A record in which each call fails at one instant and is tried again at another (s)."""
    rows, tries = [row(0, 0, 100 * S, step="main")], []
    for number, pair in enumerate(pairs, 1):
        failed, again = (round(seconds * S) for seconds in pair)
        call = number if callers is None else callers[number - 1]
        rows.append(row(call, 0, again + 1000, attempts=2, waits={"backoff": again - failed}))
        tries.append(AttemptRow(call, 1, False, 0, failed, "failed", "ConnectionError: down"))
        tries.append(AttemptRow(call, 2, False, again, again + 1000, "ok"))
    return recorded(*rows, attempts=tries)


@pytest.mark.parametrize(("callers", "found"), [(9, 0), (10, 1), (300, 1)])
def test_ten_callers_are_the_fewest_that_make_a_herd(callers, found):
    assert len(synchronised_retries(attempts_of([(1.0, 3.0)] * callers))) == found
    assert len(synchronised_retries(attempts_of([(1.0, 1.0)] * callers))) == found


def test_a_herd_says_where_and_how_strong():
    (found,) = synchronised_retries(attempts_of([(1.0, 3.0 + n / 10_000) for n in range(40)]))
    assert (found.kind, found.steps) == ("synchronised retries", ("s",))
    assert (found.start, found.end) == (3 * S, 3 * S + 3900)
    assert (found.evidence["callers"], found.evidence["failed_again"]) == (40, 0)
    assert found.evidence["expected"] == pytest.approx(40 * 0.01 / 2.01, rel=0.01)
    assert found.strength == pytest.approx(201, rel=0.01)
    assert str(found).startswith(
        "synchronised retries: 40 callers of `s` tried again within 3.9 ms, 3.00 s into the run"
    )


def test_one_caller_that_repeats_is_no_herd():
    tries = [
        AttemptRow(1, n, False, 1000 * n, 1000 * n + 100, "failed", "ConnectionError")
        for n in range(1, 60)
    ]
    busy = row(1, 0, 60_000, attempts=59, status="failed", waits={"backoff": 58 * 900})
    assert synchronised_retries(recorded(row(0, 0, S), busy, attempts=tries)) == ()


def test_failures_that_do_not_come_together_may_be_retried_after_a_fixed_time():
    assert synchronised_retries(attempts_of([(n / 7, n / 7 + 1) for n in range(300)])) == ()


def mixed_jitter(seed):
    """Callers that fail together, under policies of their own, each with full jitter."""
    draw = random.Random(seed)
    bounds = [draw.uniform(0.1, 20) for _ in range(draw.randint(1, 4))]
    failed = draw.uniform(0, 5)
    spread = draw.choice([0, 0, 0.5, 5])
    pairs = []
    for _ in range(draw.randint(10, 400)):
        at = failed + draw.uniform(0, spread)
        pairs.append((at, at + draw.uniform(0, draw.choice(bounds))))
    return attempts_of(pairs)


def alarms(seeds):
    return sum(bool(synchronised_retries(mixed_jitter(seed))) for seed in range(seeds))


def test_any_mixture_of_full_jitter_raises_no_alarm():
    assert alarms(200) == 0


def exact_tail(successes, trials, share):
    return sum(
        comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(successes, trials + 1)
    )


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_the_bound_of_a_chance_is_never_below_it(successes, more, share):
    trials = successes + more
    bound = binomial_tail(successes, trials, share)
    assert exact_tail(successes, trials, share) * (1 - 1e-9) <= bound <= 1


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_ranks_are_those_of_every_pair(higher, lower):
    n, m = len(higher), len(lower)
    wins = sum((a > b) + (a == b) / 2 for a in higher for b in lower)
    spread = (n * m * (n + m + 1) / 12) ** 0.5
    expected = (wins - n * m / 2) / spread if spread else 0
    assert rank_errors(higher, sorted(lower)) == pytest.approx(expected)


def test_the_interval_of_wilson():
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    assert least_share(81, 263, errors=1.96) == pytest.approx(0.2553, abs=1e-4)
    assert least_share(15, 148, errors=1.96) == pytest.approx(0.0624, abs=1e-4)
    assert least_share(1, 29, errors=1.96) == pytest.approx(0.0061, abs=1e-4)


@given(st.sets(st.integers(0, 14), min_size=1))
def test_the_densest_stretch_is_that_of_all_stretches(places):
    ordered = sorted(places)

    def surplus(first, last):
        inside = ordered[first:last]
        return 2 * len(inside) - (inside[-1] - inside[0] + 1)

    best = max(
        surplus(first, last)
        for first in range(len(ordered))
        for last in range(first + 1, len(ordered) + 1)
    )
    assert surplus(*densest(ordered)) == best


def naive_bursts(retries):
    """The windows of both tests, each over all retries."""
    found = []
    for width in (10_000, 100_000):
        for offset in (0, width // 2):
            for start in {(again.start - offset) // width * width + offset for again in retries}:
                since, end = start - 3 * width, start + width
                inside = [again for again in retries if start <= again.start < end]
                if len(inside) < 10:
                    continue
                late = {again.caller for again in inside if again.failed <= since}
                near = [
                    again
                    for again in retries
                    if since <= again.start < end + 3 * width
                    and not start <= again.start < end
                    and again.failed <= since
                ]
                if len(late) >= 10 and len(late) >= 4 * len(near) / 6:
                    chance = binomial_tail(len(late), len(late) + len(near), 1 / 7)
                    found.append((chance, start, width))
                soon = {again.caller for again in inside if again.failed > since}
                failed = sum(since < again.failed < end for again in retries)
                if width == 10_000 and len(soon) >= 10 and len(soon) >= 0.4 * failed:
                    found.append((binomial_tail(len(soon), failed, 0.1), start, width))
    return {(start, width) for chance, start, width in found if chance <= 1e-4 / len(found)}


@given(st.integers(0, 10_000))
def test_bursts_are_those_of_the_definition(seed):
    draw = random.Random(seed)
    pauses = [draw.choice([0, 0.001, 0.05, 1.0]) for _ in range(3)]
    pairs = [
        (at := draw.choice([1.0, 1.003, draw.uniform(0, 2)]), at + draw.choice(pauses))
        for _ in range(draw.randint(0, 80))
    ]
    retries = _tries.tries_again(Graph(attempts_of(pairs)))
    found = {(each.start, each.width) for each in _synchronised_retries.bursts(retries)}
    assert found == naive_bursts(retries)


@given(records())
def test_any_record_can_be_asked_and_a_small_one_shows_nothing(record):
    assert findings(record) == report(record).findings == ()


def refused_record(again, vain, gap=0.2):
    """Calls refused twenty times in all, `again` of them tried once more, `vain` of these too."""
    error = "ModelHTTPError: status_code: 429, model_name: gpt-x"
    rows, tries = [row(0, 0, 100 * S, step="main")], []
    for call in range(1, max(20, again) + 1):
        tries.append(AttemptRow(call, 1, False, 0, S, "failed", error))
        start = S + round(gap * S)
        if call <= again:
            end = ("failed", error) if call <= vain else ("ok", None)
            tries.append(AttemptRow(call, 2, False, start, start + 1000, *end))
        waits = {"backoff": start - S}
        rows.append(row(call, 0, start + 1000, attempts=2, waits=waits))
    return recorded(*rows, attempts=tries)


@pytest.mark.parametrize(
    ("again", "vain", "found"),
    [(9, 9, 0), (10, 9, 0), (10, 10, 1), (20, 14, 0), (20, 16, 1), (200, 100, 0), (200, 130, 1)],
)
def test_a_rate_limit_cascade_needs_most_retries_to_be_in_vain(again, vain, found):
    assert len(rate_limit_cascades(refused_record(again, vain))) == found


def test_what_comes_back_much_later_is_no_cascade():
    assert rate_limit_cascades(refused_record(40, 40, gap=0.9))
    assert rate_limit_cascades(refused_record(40, 40, gap=30)) == ()


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        ("Refused: HTTP 429, Retry-After: 5 (a scripted fault)", True),
        ("ModelHTTPError: status_code: 429, model_name: x, body: None", True),
        ("RateLimitError: Error code: 429 - {'error': ...}", True),
        ("HTTPStatusError: Client error '429 Too Many Requests' for url", True),
        ("ClientError: 429 RESOURCE_EXHAUSTED", True),
        ("ThrottlingException: Too many requests", True),
        ("ModelHTTPError: status_code: 503, model_name: x", False),
        ("ValueError: 429 is not a page", False),
        ("HTTPError: HTTP 4291", False),
        ("KeyError: 'accurate limit'", False),
        (None, False),
    ],
)
def test_which_errors_are_refusals(error, refusal):
    assert is_refusal(error) is refusal


def fallen(victims, healthy=30, origins=None, length=2.0):
    """Calls `b` of 0.2 s, then some that fail with a call `a` that they wait for."""
    rows = [row(0, 0, 1000 * S, step="main")]
    for number in range(healthy):
        rows.append(row(len(rows), number * S, number * S + 200_000, step="b"))
    for number in range(victims):
        start = (healthy + number) * S
        call, end = len(rows), start + round(length * S)
        rows.append(row(call, start, end, step="b", status="timed_out", error="StepTimedOut"))
        if origins is None or number < origins:
            began = {"parent": call, "step": "a", "status": "cancelled", "attempts": 1}
            rows.append(row(call + 1, start, end, **began))
    return recorded(*rows)


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"victims": 10}, 1),
        ({"victims": 9}, 0),
        ({"victims": 40, "healthy": 10}, 1),
        ({"victims": 40, "healthy": 9}, 0),
        ({"victims": 40, "origins": 9}, 0),
        ({"victims": 40, "length": 0.41}, 1),
        ({"victims": 40, "length": 0.39}, 0),
        ({"victims": 40, "length": 0.01}, 0),
    ],
)
def test_a_cascade_needs_victims_of_one_origin_that_grew_slower(how, found):
    assert len(cascading_failures(fallen(**how))) == found


def test_a_failure_that_was_dealt_with_has_no_victims():
    rows = [*fallen(20).calls]
    rows += [
        row(1000 + each.call, each.end - 10, each.end - 5, parent=each.call, step="spare")
        for each in rows
        if each.step == "b" and each.status != "ok"
    ]
    early = [each._replace(end=each.end - 20) if each.step == "a" else each for each in rows]
    assert cascading_failures(recorded(*early)) == ()
    assert len(cascading_failures(recorded(*(e for e in early if e.step != "spare")))) == 1


def test_one_call_that_everybody_waited_for_is_no_cascade():
    rows = [row(0, 0, 1000 * S, step="main"), row(1, 0, 40 * S, step="a", status="failed")]
    rows += [row(call, S * call, S * call + 1000, step="b") for call in range(2, 40)]
    rows += [
        row(call, 30 * S, 41 * S, step="b", status="failed", edges=(1,)) for call in range(40, 80)
    ]
    assert cascading_failures(recorded(*rows)) == ()


def now_and_then(share, seed, calls=3000):
    """Calls of which some run out of time, here and there, for one they wait for."""
    draw = random.Random(seed)
    rows = [row(0, 0, 2 * calls * S, step="main")]
    for number in range(calls):
        bad, call = draw.random() < share, len(rows)
        start = number * S
        end = start + (2 * S if bad else 200_000)
        status = "timed_out" if bad else "ok"
        rows.append(row(call, start, end, step="b", status=status))
        if bad:
            rows.append(
                row(call + 1, start, end, parent=call, step="a", status="cancelled", attempts=1)
            )
    return recorded(*rows)


def sporadic():
    """How many of runs without any worse time than others raise an alarm."""
    shares = (0.05, 0.2, 0.3, 0.4)
    return sum(
        bool(cascading_failures(now_and_then(share, seed))) for share in shares for seed in range(5)
    )


def test_failures_now_and_then_are_no_cascade_however_many():
    assert sporadic() == 0


TURNS = st.lists(st.tuples(*[st.integers(0, 8)] * 3), min_size=1, max_size=8).map(
    lambda lengths: [Turn(since, since + a, since + a + b) for since, a, b in lengths]
)


@given(st.lists(st.booleans(), min_size=8, max_size=8), TURNS)
def test_waiting_goes_to_those_who_run_instant_by_instant(kinds, turns):
    long = [turn for turn, is_long in zip(turns, kinds, strict=False) if is_long]
    short = [turn for turn in turns if turn not in long]

    def part(instant):
        running = [turn for turn in (*long, *short) if turn.start <= instant < turn.end]
        return sum(turn in long for turn in running) / len(running) if running else 0

    expected = [sum(part(instant) for instant in range(t.since, t.start)) for t in short]
    assert waits_for(long, short) == pytest.approx(expected)


def line_of_one(count, long=20.0, others=100):
    """A single place; a long call has it, `count` more wait meanwhile, and others come later."""
    rows = [row(0, 0, 1000 * S, step="main"), row(1, 0, round(long * S))]
    for call in range(2, count + 2):
        start = round(long * S) + call * 100_000
        rows.append(row(call, S, start + 100_000, waits={"limit": start - S}))
    for call in range(count + 2, count + 2 + others):
        rows.append(row(call, call * S, call * S + 100_000))
    return recorded(*rows)


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"count": 10}, 1),
        ({"count": 9}, 0),
        ({"count": 100, "others": 0}, 1),
        ({"count": 40, "long": 0.9}, 0),
        ({"count": 300, "long": 12.0}, 0),
    ],
)
def test_a_line_is_blocked_where_most_waiting_is_for_a_few(how, found):
    assert len(head_of_line_blocking(line_of_one(**how))) == found


def one_sided(start, width, members, sides):
    return AFTER_A_PAUSE(start, width, members, [each for each in sides if each.start < start])


def told_to_wait():
    """Callers that were told to wait a second, and wait up to one more."""
    draw = random.Random(1)
    return attempts_of([(1.0, 2.0 + draw.random()) for _ in range(300)])


def a_little_slower():
    return fallen(40, length=0.3)


def run_of(program):
    return lambda: scripted.made(program, 1000)


AFTER_A_PAUSE = _synchronised_retries._after_a_pause
HERDS, CASCADES, LIMITS = _synchronised_retries, _cascading_failures, _rate_limit_cascades
LINES = _head_of_line

ALARMS = {
    "windows after are not looked at": (
        synchronised_retries, (HERDS, "_after_a_pause", one_sided), told_to_wait,
    ),
    "a limit lets in a herd": (
        synchronised_retries, (_tries, "_waited_otherwise", lambda *_: 0), run_of(scripted.SPREAD[3]),
    ),
    "items are retries": (
        synchronised_retries, (_tries, "FAILED", ("failed", "ok")), run_of(scripted.SPREAD[4]),
    ),
    "no failure has to grow": (cascading_failures, (CASCADES, "SLOWER", 0.0), a_little_slower),
    "any error is a refusal": (
        rate_limit_cascades, (LIMITS, "is_refusal", lambda error: error is not None),
        run_of(scripted.HEEDED[2]),
    ),
    "the work may be long as a rule": (
        head_of_line_blocking, (LINES, "FEW", 1.0), run_of(scripted.IN_TURN[2]),
    ),
    "a part of the waiting will do": (
        head_of_line_blocking, (LINES, "MOST", 0.0), run_of(scripted.IN_TURN[4]),
    ),
    "any share is a cascade": (
        rate_limit_cascades, (LIMITS, "least_share", lambda *_: 1.0), run_of(scripted.HEEDED[0]),
    ),
}  # fmt: skip
MISSES = {
    "attempts alone are retries": (
        synchronised_retries, (_tries, "_chains", lambda _: ()), run_of(scripted.TOGETHER[3]),
    ),
    "a herd comes after a pause": (
        synchronised_retries, (HERDS, "_at_once", lambda *_: ()), run_of(scripted.TOGETHER[0]),
    ),
    "a herd comes at once": (
        synchronised_retries, (HERDS, "_after_a_pause", lambda *_: ()), run_of(scripted.TOGETHER[1]),
    ),
    "nobody waits for a limit": (
        head_of_line_blocking, (LINES, "LINES", ("pool",)), run_of(scripted.BEHIND[0]),
    ),
    "every failure is its own": (
        cascading_failures, (CASCADES, "cause_of", lambda *_: None), run_of(scripted.FALLING[0]),
    ),
    "what is let go is no cause": (
        cascading_failures, (CASCADES, "LET_GO", ()), lambda: fallen(40),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALARMS)
def test_a_detector_with_less_to_it_raises_false_alarms(name):
    detector, change, program = ALARMS[name]
    record = program()
    assert not detector(record)
    with changed(change):
        assert detector(record)


@pytest.mark.parametrize("name", MISSES)
def test_a_detector_with_less_to_it_misses(name):
    detector, change, program = MISSES[name]
    record = program()
    assert detector(record)
    with changed(change):
        assert not detector(record)


def test_without_its_level_a_detector_is_misled_by_chance():
    with changed((CASCADES, "LEVEL", float("inf"))):
        assert sporadic() > 0
    with changed((HERDS, "LEVEL", float("inf")), (HERDS, "RATIO", 0.0)):
        assert alarms(20) > 0
