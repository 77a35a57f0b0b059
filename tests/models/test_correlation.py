"""How alike voters err: the fit, its ranges and what follows, against brute force and real votes."""

import csv
import gzip
import json
import math
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise import run, vote
from fanwise.models import Case, Correlation, Measured, ask_all, ballot, correlation
from fanwise.models._beta_binomial import LOSS, Likelihood, bisect, chances, golden, moments
from fanwise.models._correlation import same_wrong
from fanwise.models._majority import largest_below, right_with, won_by
from tests.laws.proving import changed, replaced
from tests.models.panel import saying
from tests.repository.sources import ROOT

DATA = ROOT.parent / "shared/data/advice"


def beta_binomial(mean, rho, of, right):
    """The law by its definition, with Gamma functions."""
    a, b = mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho

    def beta(x, y):
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return math.comb(of, right) * math.exp(beta(right + a, of - right + b) - beta(a, b))


def drawn(random, cases, of, mean, rho):
    """Cases of the law, by drawing each one's own chance."""
    for _ in range(cases):
        chance = mean
        if rho:
            size = (1 - rho) / rho
            chance = random.betavariate(mean * size, (1 - mean) * size)
        yield Case(sum(random.random() < chance for _ in range(of)), of)


# --- the fit ---------------------------------------------------------------------------------

MEANS = st.floats(0.05, 0.95)
RHOS = st.floats(0.02, 0.95)
COUNTS = st.integers(2, 9).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(MEANS, RHOS, st.integers(1, 30))
def test_the_chances_are_those_of_the_definition(mean, rho, of):
    found = chances(mean, rho, of)
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(
        [beta_binomial(mean, rho, of, k) for k in range(of + 1)], rel=1e-6
    )


@given(MEANS, st.integers(1, 30))
def test_without_correlation_the_law_is_binomial(mean, of):
    binomial = [math.comb(of, k) * mean**k * (1 - mean) ** (of - k) for k in range(of + 1)]
    assert chances(mean, 0.0, of) == pytest.approx(binomial)


def mixed(counts):
    return 0 < sum(k for k, _ in counts) < sum(of for _, of in counts)


@settings(max_examples=30)
@given(st.lists(COUNTS, min_size=3, max_size=12).filter(mixed))
def test_no_other_pair_is_likelier(counts):
    likelihood = Likelihood(tuple(counts))
    best = likelihood.at(*likelihood.best)

    def logs(mean, rho):
        return sum(
            math.log(beta_binomial(mean, rho, of, k)) - math.log(math.comb(of, k))
            for k, of in counts
        )

    grid = [n / 40 for n in range(1, 40)]
    assert best >= max(logs(mean, rho) for mean in grid for rho in grid) - 1e-9
    mean, rho = likelihood.best
    if 0.02 < rho < 0.98:
        assert best == pytest.approx(logs(mean, rho))


def test_a_fit_that_stops_early_is_found_out():
    def nowhere(height, low, high):
        return 0.5

    counts = tuple(Counter({(0, 6): 5, (1, 6): 2, (3, 6): 2, (6, 6): 9}).elements())
    right = Likelihood(counts).best
    with replaced(golden, nowhere):
        wrong = Likelihood(counts).best
    assert Likelihood(counts).at(*right) > Likelihood(counts).at(*wrong) + 1e-6


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("cases", "of"), [(40, 5), (150, 8)])
def test_ranges_hold_the_truth_as_often_as_they_say(rho, cases, of):
    random = Random(f"{rho} {cases}")
    found = [correlation(drawn(random, cases, of, 0.7, rho)) for _ in range(60)]
    held = sum(each.rho.low <= rho <= each.rho.high for each in found)
    assert held >= 52, "of 60, 57 are to be expected, and fewer than 52 once in a hundred"
    held = sum(each.right.low <= 0.7 <= each.right.high for each in found)
    assert held >= 52
    mean = sum(each.rho.value for each in found) / len(found)
    assert mean == pytest.approx(rho, abs=0.05)


def test_ranges_that_are_too_narrow_are_found_out():
    random = Random(1)
    with replaced_loss(LOSS / 20):
        found = [correlation(drawn(random, 40, 5, 0.7, 0.3)) for _ in range(60)]
    assert sum(each.rho.low <= 0.3 <= each.rho.high for each in found) < 52


def replaced_loss(loss):
    from fanwise.models import _beta_binomial

    return changed((_beta_binomial, "LOSS", loss))


def test_the_estimate_by_moments_is_that_of_the_analysis_of_variance():
    counts = [(5, 5), (4, 5), (0, 5), (1, 5)]  # between 0.3067 * 5, within 0.1, by hand
    mean = 0.5
    between = sum(5 * (k / 5 - mean) ** 2 for k, _ in counts) / 3
    within = (0.8 + 0.8) / 16
    assert moments(counts) == pytest.approx((between - within) / (between + 4 * within))
    assert moments([(1, 1), (0, 1)]) == 0
    assert moments([(3, 5)]) == 0


def test_bisect_finds_a_crossing():
    assert bisect(lambda x: 2 - x * x, 0, 2) == pytest.approx(math.sqrt(2))


# --- the majority ----------------------------------------------------------------------------


@lru_cache
def partitions(wrong, same):
    """Every way in which wrong votes fall into equal answers, with its chance: one by one."""
    theta = (1 - same) / same if same else math.inf
    found = Counter({(): 1.0})
    for seated in range(wrong):
        after = Counter()
        for sizes, chance in found.items():
            alone = 1.0 if not seated or math.isinf(theta) else theta / (theta + seated)
            after[tuple(sorted((*sizes, 1)))] += chance * alone
            for place, size in enumerate(sizes):
                more = tuple(sorted((*sizes[:place], size + 1, *sizes[place + 1 :])))
                joins = 0.0 if math.isinf(theta) else size / (theta + seated)
                after[more] += chance * joins
        found = after
    return found


def won_by_hand(right, wrong, same):
    total = 0.0
    for sizes, chance in partitions(wrong, same).items():
        top = max(sizes, default=0)
        if right > top:
            total += chance
        elif right == top and right:
            total += chance / (1 + sizes.count(top))
    return total


def all_partitions_agree(same):
    for votes in range(1, 13):
        by_hand = [won_by_hand(right, votes - right, same) for right in range(votes + 1)]
        assert won_by.__wrapped__(votes, same) == pytest.approx(by_hand, abs=1e-9), votes


@pytest.mark.parametrize("same", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_who_wins_is_counted_over_all_partitions(same):
    all_partitions_agree(same)


def test_a_count_that_forgets_ties_is_found_out():
    def not_above(theta, wrong, size):
        return largest_below(theta, wrong, size + 1)

    with replaced(largest_below, not_above), pytest.raises(AssertionError):
        all_partitions_agree(0.5)


def test_the_majority_of_two_answers_is_condorcets():
    independent = sum(math.comb(5, k) * 0.7**k * 0.3 ** (5 - k) for k in (3, 4, 5))
    assert right_with(0.7, 0.0, 5, 1.0) == pytest.approx(independent)
    assert right_with(0.7, 1 - 1e-9, 5, 1.0) == pytest.approx(0.7, abs=1e-4)


@pytest.mark.parametrize("same", [0.2, 0.8])
def test_the_majority_is_that_of_simulated_votes(same):
    random = Random(5)
    mean, rho, of, trials = 0.45, 0.25, 9, 20_000
    theta, won = (1 - same) / same, 0
    for case in drawn(random, trials, of, mean, rho):
        sizes = []
        for seated in range(of - case.right):
            place = random.random() * (theta + seated) - theta
            if place < 0:
                sizes.append(1)
                continue
            for n, size in enumerate(sizes):
                place -= size
                if place < 0:
                    sizes[n] += 1
                    break
        top = max(sizes, default=0)
        tied = 1 + sizes.count(case.right)
        won += case.right > top or (0 < case.right == top and random.random() < 1 / tied)
    assert right_with(mean, rho, of, same) == pytest.approx(won / trials, abs=0.012)


# --- what follows ----------------------------------------------------------------------------


def test_alike_voters_are_worth_few_independent_ones():
    found = correlation(drawn(Random(3), 300, 8, 0.7, 0.4))
    value, low, high = found.effective(10)
    assert low < value < high
    assert value == pytest.approx(10 / (1 + 9 * found.rho.value))
    assert found.effective(1) == (1, 1, 1)
    assert found.effective(1000).value < 1 / found.rho.low


def test_more_votes_help_less_where_they_err_alike():
    free = correlation(drawn(Random(3), 300, 8, 0.7, 0.0))
    alike = correlation(drawn(Random(3), 300, 8, 0.7, 0.6))
    assert free.majority(11, same=1).value > alike.majority(11, same=1).value + 0.1
    assert free.votes_that_help(same=1).value > 9
    assert alike.votes_that_help(same=1).value <= 3
    for each in (free, alike):
        value, low, high = each.votes_that_help(same=1)
        assert low <= value <= high


def test_where_most_are_wrong_together_more_votes_harm():
    found = correlation(drawn(Random(3), 300, 8, 0.3, 0.1))
    assert found.gain(1, 11, same=1).high < 0
    assert found.votes_that_help(same=1) == (1, 1, 1)
    assert found.gain(1, 11, same=0).low > 0, "wrong answers that differ lose to right ones"


def test_ranges_of_a_majority_hold_the_truth():
    random = Random(9)
    truth = right_with(0.7, 0.3, 7, 1.0)
    held = 0
    for _ in range(60):
        _, low, high = correlation(drawn(random, 60, 5, 0.7, 0.3)).majority(7, same=1)
        held += low <= truth <= high
    assert held >= 52


def test_the_likeness_of_wrong_answers_is_measured():
    random = Random(2)

    def case():  # six wrong answers, equally often: two are alike with chance 1/6
        return Case.voted(
            ["yes" if random.random() < 0.4 else random.randrange(6) for _ in "12345678"], "yes"
        )

    cases = [case() for _ in range(400)]
    found = correlation(cases).same_wrong
    assert found.low < 1 / 6 < found.high
    assert found.high - found.low < 0.05
    assert same_wrong(cases[:9]) is None
    assert same_wrong([Case(1, 4)] * 50) is None
    assert same_wrong([Case(2, 4, (2,))] * 50) == (1, 1, 1)


def test_votes_and_counts_make_cases():
    assert Case.voted(["a", "b", "B", "c"], "A", key=str.casefold) == Case(1, 4, (2, 1))
    assert Case.voted(["a"], "a") == Case(1, 1, ())
    assert Case.counted({"a": 3, "b": 2, "c": 1}, "b") == Case(2, 6, (3, 1))
    assert Case.counted({"a": 3}, "b") == Case(0, 3, (3,))


def test_votes_over_models_are_measured():
    models = [
        saying("a", [str(n % 3) for n in range(12)]),
        saying("b", [str(n % 2) for n in range(12)]),
    ]
    cases = []
    for n in range(12):
        found = run(vote(ask_all(models, f"case {n}"), key=ballot, stop_at=None))
        cases.append(Case.counted(found.counts, str(n % 2)))
    measured = correlation(cases)
    assert (measured.cases, measured.votes) == (12, 24)
    assert sum(case.right for case in cases) == 18 - 2
    assert str(measured).startswith("12 cases, 24 votes: one is right 0.667")


# --- can't tell ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([Case(1, 2)] * 9, "9 cases with two votes or more, and it takes 10"),
        ([Case(1, 1), Case(0, 1)] * 20, "no case has two votes"),
        ([Case(3, 3)] * 20, "all 60 votes are right"),
        ([Case(0, 3)] * 20, "all 60 votes are wrong"),
        ([Case(2, 2)] * 11 + [Case(1, 2)], "the correlation may be anything from 0.00 to"),
    ],
)
def test_it_cannot_tell_from_too_little(cases, why):
    found = correlation(cases)
    assert not found.can_tell
    assert found.why.startswith(why)
    assert "can't tell: " + why in str(found)
    for question in (found.effective, found.any_right, lambda n: found.majority(n, same=1)):
        with pytest.raises(ValueError, match="can't tell"):
            question(3)


def test_votes_that_are_all_right_are_not_certain():
    assert correlation([Case(3, 3)] * 20).right == (1, pytest.approx(0.95), 1)
    assert correlation([Case(0, 3)] * 20).right == (0, 0, pytest.approx(0.05))


def test_what_was_not_measured_is_not_made_up():
    found = correlation(drawn(Random(3), 50, 8, 0.7, 0.3))
    assert found.same_wrong is None
    with pytest.raises(ValueError, match="how often two wrong votes are alike was not measured"):
        found.majority(3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda c: c.majority(0, same=1), "votes is at least 1, got 0"),
        (lambda c: c.gain(True, 3, same=1), "before is a whole number"),
        (lambda c: c.majority(3, same=2), "same is a chance from 0 to 1, got 2"),
        (lambda c: c.votes_that_help(same=1, most=1000), "most is at most 101, got 1000"),
        (lambda _: correlation([]), "needs labelled cases, such as"),
        (lambda _: correlation([(1, 2)]), r"cases are such as .* got \(1, 2\)"),
        (lambda _: Case("1", 2), "right is a whole number, got '1'"),
        (lambda _: Case(3, 2), "got 3 of 2"),
        (lambda _: Case(0, 0), "got 0 of 0"),
        (lambda _: Case(1, 3, (1,)), r"wrong adds up to the 2 wrong votes, got \(1,\)"),
        (lambda _: Case(1, 1, (0,)), "wrong adds up"),
    ],
)
def test_wrong_use_names_the_argument(wrong, says):
    found = correlation(drawn(Random(3), 30, 8, 0.7, 0.3))
    with pytest.raises((TypeError, ValueError), match=says):
        wrong(found)


def test_it_says_itself_in_a_few_lines():
    found = Correlation(30, 90, Measured(0.7, 0.6, 0.8), None, None, "too few")
    assert (
        str(found) == "30 cases, 90 votes: one is right 0.700 (0.600 to 0.800)\ncan't tell: too few"
    )
    assert "10 votes are worth" in str(correlation(drawn(Random(3), 50, 8, 0.7, 0.3)))


# --- real votes ------------------------------------------------------------------------------


@pytest.fixture
def real_bits():
    """100 tasks of 100 samples each: was it right?"""
    path = DATA / "tot_game24_success_bits.json"
    if not path.exists():
        pytest.skip("the real votes are not on this machine")
    return json.loads(path.read_text("utf-8"))["standard"]


def test_samples_of_one_model_err_alike(real_bits):
    found = correlation(Case(bits.count("1"), len(bits)) for bits in real_bits)
    assert found.can_tell
    by_moments = moments([(bits.count("1"), len(bits)) for bits in real_bits])
    assert found.rho.low < by_moments < found.rho.high
    assert found.rho.low > 0.3
    assert found.effective(100).high < 3, "a hundred samples are worth less than three"


def test_what_more_samples_reach_is_foretold_from_few(real_bits):
    few = correlation(Case(bits[:10].count("1"), 10) for bits in real_bits)
    for votes in (1, 5, 20, 50, 90):
        reached = sum("1" in bits[10 : 10 + votes] for bits in real_bits) / len(real_bits)
        told = few.any_right(votes)
        assert told.low - 0.05 <= reached <= told.high + 0.05, votes


def test_the_majority_is_foretold_from_few(real_bits):
    few = correlation(Case(bits[:10].count("1"), 10) for bits in real_bits)
    for votes in (1, 11, 45):
        won = [bits[10 : 10 + votes].count("1") > votes / 2 for bits in real_bits]
        told = few.majority(votes, same=1)
        assert told.low <= sum(won) / len(won) <= told.high


def test_scores_of_one_judge_are_alike():
    path = DATA / "tot_text_judge_scores.csv.gz"
    if not path.exists():
        pytest.skip("the real scores are not on this machine")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    given = [[int(row[f"s{n}"]) for n in range(1, 6) if row[f"s{n}"]] for row in rows]
    passed = [(sum(score >= 7 for score in each), len(each)) for each in given if each]
    found = correlation(Case(*each) for each in passed)
    by_moments = moments(passed)
    assert found.rho.value == pytest.approx(by_moments, abs=0.1)
    assert found.effective(5).high < 3, "five scores by one judge are worth less than three"
    heights = [found.any_right(n).value for n in range(1, 6)]
    assert all(a < b for a, b in pairwise(heights))
