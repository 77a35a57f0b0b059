"""Every benchmark runs, and none can print PASS without having measured what it names."""

import asyncio
import gc
import json
import random
import re

import pytest

from benchmarks import _programs as programs
from benchmarks import detectors, prefix, votes
from benchmarks.__main__ import FIGURES, QUICK, main
from benchmarks._figure import Figure, line, markdown
from benchmarks._measure import Rounds, Scale, Span, Spread, alternate
from benchmarks._record import RecordIncomplete, check_record
from fanwise import Runtime, fan_out, step
from fanwise.models._shared_prefix import _Door
from fanwise.patterns._agreement import agreed
from tests.laws.proving import changed, replaced
from tests.repository.sources import ROOT

# They run event loops of their own on the real clock, and read records where they measure.
pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]


@pytest.fixture(autouse=True)
def only_what_is_measured_is_collected():
    """Spare each measurement's collection what the tests before it left in memory."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# They start a server, and workers of which some import a provider.
SEVERAL = {it: [pytest.mark.timeout(120)] for it in ("redis_killed", "redis_quota")}


@pytest.mark.parametrize("name", [pytest.param(it, marks=SEVERAL.get(it, ())) for it in FIGURES])
def test_each_figure_runs_and_measures_something(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = list(FIGURES[name](QUICK))
    assert figures
    for figure in figures:
        assert figure.measured.low <= figure.measured.median <= figure.measured.high
        assert figure.unit in ("ms", "count") or figure.measured.low > 0
        printed = ("record=PATH", "wave=4", "4 at once", "reserve and settle")
        assert figure.bar is not None or any(each in figure.what for each in printed)
        assert figure.yardstick


def test_the_command_prints_a_table_and_a_quick_run_judges_nothing(capsys):
    assert main(["await", "diamond", "--quick", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "a step awaited in a row" in printed
    assert "| diamond 1-10-1 of bound calls |" in printed
    assert "2 figures" in printed


def test_a_miss_is_exit_code_1_and_is_named(capsys, monkeypatch):
    slow = Figure("a slow thing", Spread(3.0, 2.9, 3.1), 2.0, "by hand")
    monkeypatch.setitem(FIGURES, "slow", lambda scale: iter([slow]))
    assert main(["slow"]) == 1
    assert "MISS: a slow thing" in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as refused:
        main(["fanout"])
    assert refused.value.code == 2
    assert "'fanout'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("measured", "bar", "at_least", "verdict"),
    [
        (1.8, 1.8, False, "PASS"),
        (1.81, 1.8, False, "MISS"),
        (0.7, 0.7, True, "PASS"),
        (0.69, 0.7, True, "MISS"),
        (9.0, None, False, "-"),
    ],
)
def test_a_verdict_is_of_the_median_against_the_bar(measured, bar, at_least, verdict):
    spread = Spread(measured, 0.0, 99.0)
    figure = Figure("it", spread, bar, "by hand", at_least=at_least)
    assert figure.verdict == verdict
    assert verdict in line(figure.cells())
    assert f"| {verdict} |" in markdown([figure])


def test_a_printed_value_is_never_rounded_to_a_verdict_it_does_not_have():
    assert Figure("it", Spread(1.8049, 1.8, 1.81), 1.8, "by hand").verdict == "MISS"


def test_rounds_alternate_after_one_of_each_that_does_not_count():
    order = []

    async def measured(name):
        order.append(name)
        with Span() as span:
            pass
        return span

    rounds = asyncio.run(alternate(Scale(rounds=5), lambda: measured("y"), lambda: measured("o")))
    assert "".join(order) == "yo" * 6
    assert len(rounds.pairs) == 5


def test_the_ratio_is_taken_per_round_and_then_its_median():
    def span(seconds):
        made = Span()
        made.processor = made.wall = seconds
        return made

    # the second round fell into a slow spell, which hit both
    rounds = Rounds([(span(1.0), span(1.5)), (span(4.0), span(6.4)), (span(1.0), span(1.7))])
    assert rounds.ratio() == Spread(pytest.approx(1.6), pytest.approx(1.5), pytest.approx(1.7))
    assert rounds.rate().median == pytest.approx(1 / 1.6)
    assert rounds.over(1).median == pytest.approx(700.0)


def test_every_policy_is_armed_where_it_is_said():
    policy = programs.armed_step.policy
    armed = (policy.timeout, policy.retry, policy.hedge, policy.limit, policy.breaker)
    assert None not in armed
    assert programs.timed_step.policy.timeout is not None


def test_the_rules_own_figures_are_those_of_a_plain_simulation():
    """The exact yardstick of `vote` against ten thousand sequences of answers, without an engine."""
    chance = random.Random(1)
    asked, right = [], []
    for _ in range(10_000):
        score = [0, 0]
        while True:
            score[chance.random() < votes.RIGHT] += 1
            if sum(score) == votes.VOTERS or votes.met(max(score), min(score)):
                break
        asked.append(sum(score))
        right.append(score[1] > score[0] if score[0] != score[1] else chance.random() < 0.5)
    exact = votes.expected(wave=1)
    assert exact[0].errors(asked) < 3
    assert exact[1].errors(right) < 3


def test_the_numbers_of_the_page_are_those_of_the_rule():
    page = (ROOT / "docs" / "patterns" / "vote.md").read_text("utf-8")
    rows = re.findall(r"^\| (0\.\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for share, one_by_one, in_waves, right in rows:
        asked, accuracy = votes.expected(wave=1, share=float(share))
        waves, _ = votes.expected(wave=4, share=float(share))
        found = f"{asked.mean:.1f}", f"{waves.mean:.1f}", f"{accuracy.mean:.3f}"
        assert found == (one_by_one, in_waves, right)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda leader, runner_up, stop_at: leader >= 3,
        lambda leader, runner_up, stop_at: agreed(leader - 1, runner_up, stop_at),
        lambda leader, runner_up, stop_at: agreed(leader, 0, stop_at),
    ],
    ids=["three", "one too many", "without the runner-up"],
)
def test_a_vote_by_another_rule_misses(wrong):
    with replaced(agreed, wrong):
        figures = list(votes.rule(Scale(rounds=1, share=0.1)))
    assert figures[0].verdict == "MISS"


@pytest.fixture(scope="module")
def whole():
    """The record of a run that fans out over four calls."""

    @step
    async def program():
        await fan_out(*[programs.noop_step(i) for i in range(4)])

    async def record():
        async with Runtime() as runtime:
            await runtime.run(program())
            return runtime.runs[-1].record()

    return asyncio.run(record())


CALLS = {"program": 1, "program/fan_out": 1, "noop": 4}


def test_a_whole_record_is_accepted(whole):
    check_record(whole, CALLS)


def index_of(record, name):
    return next(i for i, row in enumerate(record.calls) if row.step == name)


@pytest.mark.parametrize(
    "change",
    [
        {"end": -1},
        {"parent": 99},
        {"parent": None},
        {"status": "failed"},
        {"call": 0},
        {"step": "x"},
    ],
    ids=json.dumps,
)
def test_a_call_that_is_not_whole_is_refused(whole, change):
    place = index_of(whole, "noop")
    calls = list(whole.calls)
    calls[place] = calls[place]._replace(**change)
    with pytest.raises(RecordIncomplete):
        check_record(whole._replace(calls=tuple(calls)), CALLS)


def test_a_missing_call_is_refused(whole):
    place = index_of(whole, "noop")
    calls = whole.calls[:place] + whole.calls[place + 1 :]
    with pytest.raises(RecordIncomplete, match="4 calls of noop ran, the record has 3"):
        check_record(whole._replace(calls=calls), CALLS)


def test_what_nothing_of_its_kind_can_reach_is_no_miss_and_no_pass():
    missed = Spread(4.0, 3.9, 4.1)
    assert Figure("it", missed, 2.0, "by hand", bound=2.7).verdict == "BOUND"
    assert Figure("it", missed, 2.0, "by hand", bound=1.9).verdict == "MISS"
    assert Figure("it", Spread(1.9, 1.9, 1.9), 2.0, "by hand", bound=2.7).verdict == "PASS"


def test_a_beginning_that_everybody_pays_for_is_a_miss():
    async def at_once(_):
        return False

    with changed((_Door, "leads", at_once)):
        (figure,) = prefix.shared(Scale(rounds=1))
    assert (figure.measured.median, figure.verdict) == (20.0, "MISS")


@pytest.mark.parametrize(("always", "verdicts"), [((), ["MISS", "PASS"]), ((1,), ["PASS", "MISS"])])
def test_a_detector_that_does_not_look_misses_its_bar(always, verdicts, monkeypatch):
    _, having, lacking = detectors.KINDS["head-of-line blocking"]
    blind = {"head-of-line blocking": (lambda _: always, having, lacking)}
    monkeypatch.setattr(detectors, "KINDS", blind)
    figures = list(detectors.found(Scale(rounds=1)))
    assert [figure.verdict for figure in figures] == verdicts
    assert {figure.measured.median for figure in figures} == {0, 20}
