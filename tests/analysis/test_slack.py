"""Slack against its definition: delay each call by it, and by one microsecond more.

The programs are run by a simulator of their own, and some by the real engine.
"""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fanwise.analysis import critical_path, slack
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
    """Raise where slack is not what delays say; give how many calls were judged."""
    program = numbered(program)
    while program != (program := as_recorded(program, simulate(program))):
        pass
    ran = simulate(program)
    assume(not any(each.twice for each in before_itself(ran)))
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


@settings(max_examples=1500)
@given(plain)
def test_delayed_by_its_slack_the_run_ends_as_before_and_by_more_later(program):
    record = judged(program)
    spare = slack(record)
    assert all(spare[segment.call] == 0 for segment in critical_path(record).segments)


@settings(max_examples=1500)
@given(decided)
def test_so_where_fan_ins_and_races_are_decided(program):
    judged(program)
