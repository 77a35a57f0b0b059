"""Slack against its definition: delay each call by it, and by one microsecond more.

The programs are run by a simulator of their own, and some by the real engine.
"""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise import Limit, Runtime, bind, fan_map, fan_out, step
from fanwise.analysis import _slack as slack_of_runs
from fanwise.analysis import critical_path, slack
from fanwise.analysis._slack import Network
from fanwise.core import CallRow, Header, RunRecord
from fanwise.testing import run_virtual
from tests.analysis.simulator import before_itself, record_of, simulate, statuses

times = st.integers(1, 30)
gaps = st.integers(0, 5)
leaves = st.tuples(st.just("leaf"), times, st.sampled_from([0, 0, 0, 2]), st.just(True))
doubtful = st.tuples(
    st.just("leaf"), times, st.sampled_from([0, 0, 3]), st.sampled_from([True, True, False])
)


def composed(inner):
    several = st.lists(inner, min_size=1, max_size=4)
    quorum = st.none() | st.integers(1, 4)
    return (
        st.tuples(st.just("row"), st.lists(st.tuples(gaps, inner), min_size=1, max_size=3), gaps)
        | st.tuples(st.just("fan"), several, quorum, quorum, st.none() | st.integers(1, 40))
        | st.tuples(st.just("race"), several)
        | st.tuples(st.just("bound"), times, st.lists(leaves, min_size=1, max_size=3))
        | st.tuples(
            st.just("graph"),
            st.lists(st.tuples(times, st.sets(st.integers(0, 4))), min_size=1, max_size=5),
        )
    )


plain = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.just("row"), st.lists(st.tuples(gaps, inner), min_size=1, max_size=3), gaps)
        | st.tuples(
            st.just("fan"), st.lists(inner, min_size=1, max_size=4), st.none(), st.none(), st.none()
        )
        | st.tuples(st.just("bound"), times, st.lists(leaves, min_size=1, max_size=3))
        | st.tuples(
            st.just("graph"),
            st.lists(st.tuples(times, st.sets(st.integers(0, 4))), min_size=1, max_size=5),
        )
    ),
    max_leaves=10,
)
decided = st.recursive(leaves | doubtful, composed, max_leaves=10)


def numbered(program):
    """Number the calls of a drawn program, and clip its quorums."""
    count = iter(range(1000))

    def walk(each):
        kind, number = each[0], next(count)
        if kind == "row":
            return ("row", number, [(gap, walk(inner)) for gap, inner in each[1]], each[2])
        if kind == "graph":
            nodes = [(next(count), time, sorted(inputs)) for time, inputs in each[1]]
            return ("graph", number, nodes)
        if kind == "bound":
            return ("bound", number, each[1], [walk(inner) for inner in each[2]])
        if kind == "leaf":
            return ("leaf", number, *each[1:])
        parts = [walk(inner) for inner in each[1]]
        if kind == "race":
            return ("race", number, parts)
        enough = None if each[3] is None else min(each[3], len(parts))
        need = len(parts) if each[2] is None else min(each[2], len(parts))
        need = need if enough is None else min(need, enough)
        return ("fan", number, parts, need, enough, each[4])

    return walk(program)


def as_recorded(program, ran):
    """Leave out the times and quorums that decided nothing: a record does not have them."""
    closed = {each.number: each.facts.get("closed") for each in before_itself(ran)}

    def walk(each):
        if each[0] in ("row", "race", "fan"):
            inner = [(p[0], walk(p[1])) if each[0] == "row" else walk(p) for p in each[2]]
            each = (*each[:2], inner, *each[3:])
            if each[0] == "fan":
                reason = closed.get(each[1])
                enough = each[4] if reason == "enough" else None
                each = (*each[:4], enough, each[5] if reason == "within" else None)
        return each

    return walk(program)


def replaceable(ran):
    """Those whose place another branch may take, which the assumptions leave aside."""
    return {
        each.number
        for fan in before_itself(ran)
        if "winner" in fan.facts or fan.facts.get("closed") in ("enough", "out of reach")
        for each in before_itself(fan)
        if each is not fan
    }


def judged(program, spare_of=slack):
    """Raise where slack is not what delays say; give the record, where it can be judged."""
    program = numbered(program)
    while program != (program := as_recorded(program, simulate(program))):
        pass
    ran = simulate(program)
    if any(each.twice for each in before_itself(ran)):
        return None
    record, numbers = record_of(ran)
    known, spare, others = statuses(ran), spare_of(record), replaceable(ran)
    assert spare.keys() == numbers.keys()
    for call, number in numbers.items():
        how = "cling" if known[number] == "cancelled" else "work"
        same = simulate(program, {number: spare[call]}, how)
        if statuses(same)[number] != known[number]:
            assert number in others, ("lost by its slack", number, spare[call])
            continue  # another took its place
        if statuses(same).keys() - known.keys():
            continue  # a loser came further before it was let go, which may take longer to stop
        assert same.end <= ran.end, ("moved by its slack", number, spare[call])
        more = simulate(program, {number: spare[call] + 1}, how)
        moved = more.end > ran.end or statuses(more) != known
        assert moved, ("moved by nothing", number, spare[call])
    return record


@settings(max_examples=150)
@given(plain)
def test_delayed_by_its_slack_the_run_ends_as_before_and_by_more_later(program):
    record = judged(program)
    spare = slack(record)
    assert all(spare[segment.call] == 0 for segment in critical_path(record).segments)


@settings(max_examples=150)
@given(decided)
def test_so_where_fan_ins_and_races_are_decided(program):
    judged(program)


def drawn(random, depth):
    """A program: Hypothesis draws the odd ones, this thousands of ordinary ones."""
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return ("leaf", random.randint(1, 9), random.choice([0, 0, 2]), random.random() < 0.85)
    inner = [drawn(random, depth - 1) for _ in range(random.randint(1, 3))]
    if kind < 0.55:
        return ("row", [(random.randint(0, 2), each) for each in inner], random.randint(0, 2))
    if kind < 0.78:
        quorum = random.choice([None, 1, 2]), random.choice([None, None, 1, 2])
        return ("fan", inner, *quorum, random.choice([None, None, 3, 6]))
    if kind < 0.9:
        return ("race", inner)
    if kind < 0.95:
        leaf = ("leaf", random.randint(1, 9), 0, True)
        return ("bound", random.randint(1, 5), [leaf, leaf])
    nodes = range(random.randint(1, 4))
    return ("graph", [(random.randint(1, 5), {random.randint(0, 3)}) for _ in nodes])


def all_judged(count, depth=3):
    """How many of so many programs could be judged."""
    random = Random(7)
    return sum(judged(drawn(random, depth)) is not None for _ in range(count))


def test_so_for_thousands_of_programs():
    assert all_judged(4000) > 3500


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (slack_of_runs, "decisions_of", lambda graph: ({}, {})),
        (Network, "_take_inputs", lambda self, row: None),
        (Network, "_until_too_late", lambda self: {}),
        (Network, "_until_the_end", lambda self: [self.graph.main.end - t for t in self.times]),
        (Network, "_until_the_end", lambda self: [0 for _ in self.times]),
    ],
    ids=["no decisions", "no inputs", "no quorum is missed", "until the end", "none"],
)
def test_a_mutant_is_refused(monkeypatch, owner, name, mutant):
    monkeypatch.setattr(owner, name, mutant)
    with pytest.raises(AssertionError):
        all_judged(4000)


# On the real engine: the same program once more, one of its calls delayed.

MICRO = 1e-6


async def record_of_run(call, limits):
    async with Runtime(limits=limits, seed=1) as runtime:
        run = runtime.start(call)
        await run.wait()
        return run.record()


def again(make, delays=None, **limits):
    """Run what `make(work)` gives on the virtual clock; `work(name, ticks)` makes a leaf."""

    def work(name, ticks):
        @step(name=name, limit="narrow" if limits else None)
        async def leaf(*_inputs):
            await asyncio.sleep((ticks * 1000 + (delays or {}).get(name, 0)) * MICRO)

        return leaf

    return run_virtual(record_of_run(make(work), limits))


def end_of(record):
    return next(row.end for row in record.calls if row.call == 0)


def diamond(work):
    a, b, c = work("a", 3)(), work("b", 5)(), work("c", 2)()
    return bind(work("last", 1), bind(work("left", 4), a, b), bind(work("right", 1), c, a))


@step
async def in_a_row(calls):
    for call in calls:
        await call


def nested(work):
    rows = [
        in_a_row([work(f"{n}{m}", 1 + (5 * n + 3 * m) % 7)() for m in range(3)]) for n in range(3)
    ]
    return in_a_row([fan_out(*rows), work("after", 2)()])


@pytest.mark.parametrize("make", [diamond, nested])
def test_so_on_the_real_engine(make):
    record = again(make)
    rows = [row for row in record.calls if row.step != "in_a_row" and row.pattern is None]
    spare = {row.step: slack(record)[row.call] for row in rows}
    assert max(spare.values()) > 0
    for name, time in spare.items():
        assert end_of(again(make, {name: time})) == end_of(record)
        assert end_of(again(make, {name: time + 1})) == end_of(record) + 1


@given(st.lists(st.integers(1, 6), min_size=2, max_size=7), st.integers(1, 3))
@settings(max_examples=40)
def test_with_a_limit_a_call_has_at_least_its_slack(ticks, width):
    def make(work):
        return fan_out(*(work(f"w{n}", each)() for n, each in enumerate(ticks)))

    limits = {"narrow": Limit(at_once=width)}
    record = again(make, **limits)
    # Steps of a name of their own never waited, perhaps: as one step they are known to compete.
    rows = tuple(
        r if r.pattern else r._replace(step="w", facts={"n": r.step}) for r in record.calls
    )
    spare = slack(record._replace(calls=rows))
    for row in record.calls:
        if row.call:
            later = again(make, {row.step: spare[row.call]}, **limits)
            assert end_of(later) <= end_of(record)


def test_what_a_fan_in_with_places_started_next_waited_for_a_place():
    def make(work):
        @step
        async def item(n):
            await work(f"i{n}", [4, 2, 3, 1][n])()

        return fan_map(item, range(4), at_once=2)

    record = again(make)
    for row in record.calls:
        if row.step.startswith("i") and row.step != "item":
            spare = slack(record)[row.call]
            assert end_of(again(make, {row.step: spare})) <= end_of(record)


def test_a_run_that_goes_on_is_judged_by_its_last_end():
    rows = (call_row(1, 0, 5), call_row(2, 0, 9))
    assert slack(RunRecord(Header("r", 0, 0), rows)) == {1: 4, 2: 0}
    assert slack(RunRecord(Header("r", 0, 0), ())) == {}


def call_row(call, start, end, **more):
    blank = {"parent": 0, "fan_in": None, "step": "s", "pattern": None, "role": "work"}
    blank |= {"key": None, "status": "ok", "attempts": 1, "load": 0}
    return CallRow(call=call, start=start, end=end, **(blank | more))


def test_twenty_thousand_calls_in_a_chain_are_no_trouble():
    n = 20_000
    rows = [call_row(i, 0, 10 * i, edges=(i - 1,) if i > 1 else ()) for i in range(1, n + 1)]
    rows.append(call_row(0, 0, 10 * n + 5, parent=None))
    found = slack(RunRecord(Header("r", 0, 0), tuple(rows)))
    assert set(found.values()) == {0}
