"""The critical path against brute force: every chain of small generated programs, and a naive walk.

The programs run on the real engine under the virtual clock, where coordination takes no time, so
that the longest of all chains is the whole run. Times are coarse, so that ties are common.
"""

import asyncio
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Limit, Runtime, bind, fan_map, fan_out, speculate, step
from fanwise.analysis import _critical_path as walking
from fanwise.analysis import critical_path, slack
from fanwise.analysis._decisions import LET_GO, decided_by_a_branch
from fanwise.analysis._graph import Graph
from fanwise.core import CallRow, Header, RunRecord
from fanwise.testing import run_virtual

TICK = 15_625  # microseconds: 1/64 s


def programs_of(leaves):
    """A program: a number of ticks, or ("row" | "at once" | "graph", programs)."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.tuples(st.sampled_from(["row", "at once"]), st.lists(inner, min_size=1, max_size=4))
            | st.tuples(
                st.just("graph"),
                st.lists(st.tuples(leaves, st.sets(st.integers(0, 5))), min_size=1, max_size=6),
            )
        ),
        max_leaves=10,
    )


leaves = st.integers(0, 4)
programs = programs_of(leaves)


class Program:
    """Builds the calls of a program, and lists its chains; every leaf has a name of its own."""

    def __init__(self):
        self.count = 0

    def leaf(self, ticks):
        self.count += 1
        name = f"leaf{self.count}"

        async def body(*_inputs):
            await asyncio.sleep(ticks * TICK / 1_000_000)

        return step(name=name)(body), ((name, ticks),)

    def build(self, program):
        """Give the call of a program and all its chains, as tuples of (leaf, ticks)."""
        if isinstance(program, int):
            made, chain = self.leaf(program)
            return made(), [chain]
        kind, inner = program
        if kind == "graph":
            return self.graph(inner)
        calls, chains = zip(*map(self.build, inner), strict=True)
        if kind == "at once":
            return fan_out(*calls), [chain for each in chains for chain in each]
        return in_a_row(calls), [sum(each, ()) for each in product(*chains)]

    def graph(self, nodes):
        """Bound calls; node n may have any earlier ones as inputs."""
        calls, chains = [], []
        for ticks, inputs in nodes:
            made, chain = self.leaf(ticks)
            before = sorted(each for each in inputs if each < len(calls))
            calls.append(bind(made, *(calls[each] for each in before)))
            ways = [way for each in before for way in chains[each]] or [()]
            chains.append([(*way, *chain) for way in ways])
        return fan_out(*calls), [way for ways in chains for way in ways]


@step(name="row")
async def in_a_row(calls):
    for call in calls:
        await call


async def record_of(call, limits=None):
    async with Runtime(limits=limits or {}) as runtime:
        run = runtime.start(call)
        await run.wait()
        return run.record()


def long_ones(chain):
    return tuple((name, ticks) for name, ticks in chain if ticks)


def total(chain):
    return sum(ticks for _, ticks in chain)


def leaves_of(path):
    found = []
    for segment in path.segments:
        assert segment.step.startswith("leaf"), "no time belongs to what only waits"
        assert segment.kind == "running"
        found.append((segment.step, segment.microseconds // TICK))
    return tuple(found)


def assert_partition(path, start, end):
    now = start
    for segment in path.segments:
        assert segment.start == now < segment.end
        now = segment.end
    assert now == end
    assert sum(path.blame.values()) == path.microseconds == end - start
    assert sum(part.microseconds for part in path.parts) == end - start


def guessed(planner, guesses, wanted, real):
    """Give the call of a speculation, and its chains: a wrong guess stands in none."""

    @step(name="leaf of the planner")
    async def plan():
        await asyncio.sleep(planner * TICK / 1_000_000)
        return wanted

    @step(name="leaf")
    async def work(number, ticks=real):
        await asyncio.sleep(ticks * TICK / 1_000_000)

    def asked(number):
        return work.using(timeout=None)(number, guesses.get(number, real))

    call = speculate(plan(), asked, guess=[asked(number) for number in guesses])
    first, last = ("leaf of the planner", planner), ("leaf", guesses.get(wanted, real))
    return call, [(first,), (last,)] if wanted in guesses and planner else [(first, last)]


@given(
    leaves,
    st.dictionaries(st.integers(0, 3), leaves, min_size=1),
    st.integers(0, 3),
    leaves,
)
def test_a_wrong_guess_stands_in_no_path(planner, guesses, wanted, real):
    call, chains = guessed(planner, guesses, wanted, real)
    record = run_virtual(record_of(call))
    path = critical_path(record)
    assert leaves_of(path) in set(map(long_ones, chains))
    assert total(leaves_of(path)) == max(map(total, chains)) == path.microseconds // TICK
    assert_partition(path, 0, path.microseconds)


def test_a_walk_that_takes_a_wrong_guess_for_another_call_is_found(monkeypatch):
    monkeypatch.setattr(walking, "decided_by_a_branch", lambda row: False)
    monkeypatch.setattr(Graph, "_is_wrong", lambda self, row: False)
    with pytest.raises(AssertionError):
        test_a_wrong_guess_stands_in_no_path()


@given(programs)
def test_the_path_is_a_longest_chain(program):
    call, chains = Program().build(program)
    record = run_virtual(record_of(call))
    path = critical_path(record)
    longest = max(map(total, chains))
    assert path.microseconds == longest * TICK
    assert leaves_of(path) in {long_ones(each) for each in chains if total(each) == longest}
    main = next(row for row in record.calls if row.call == 0)
    assert_partition(path, main.start, main.end)


@given(programs_of(st.integers(1, 4)))
def test_slack_is_what_the_longest_chain_through_a_call_leaves(program):
    call, chains = Program().build(program)
    record = run_virtual(record_of(call))
    longest = max(map(total, chains))
    spare = slack(record)
    for row in record.calls:
        if row.step.startswith("leaf"):
            through = max(total(c) for c in chains if row.step in dict(c))
            assert spare[row.call] == (longest - through) * TICK


@pytest.mark.parametrize("mutant", ["first to end", "no inputs"])
def test_a_mutant_is_refused(monkeypatch, mutant):
    if mutant == "first to end":
        monkeypatch.setattr(walking.Frame, "last_before", _first_before)
        program = ("at once", [1, 3, 2])
    else:
        monkeypatch.setattr(Graph, "_add_edges", lambda *_: None)
        program = ("graph", [(2, set()), (1, {0})])
    call, chains = Program().build(program)
    path = critical_path(run_virtual(record_of(call)))
    longest = max(map(total, chains))
    wanted = {long_ones(each) for each in chains if total(each) == longest}
    assert tuple((s.step, s.microseconds // TICK) for s in path.segments) not in wanted


def _first_before(frame, now, seen):
    """The mutant: whichever ended first."""
    for row in frame.awaited:
        if frame.row.start < row.end <= now and row.call not in seen:
            return row
    return None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 3))
def test_with_widths_every_instant_is_explained(ticks, at_once, width):
    """A free place and a free slot start the next at once, so that all time is somebody's."""

    @step(limit="narrow")
    async def item(ticks):
        await asyncio.sleep(ticks * TICK / 1_000_000)

    call = fan_map(item, ticks, at_once=at_once)
    path = critical_path(run_virtual(record_of(call, {"narrow": Limit(at_once=width)})))
    assert set(path.blame) <= {"running", "wait limit"}
    assert path.microseconds >= max(ticks) * TICK


# Any record, whether or not a program could have made it.


@st.composite
def records(draw):
    rows = []
    for call in range(draw(st.integers(1, 10))):
        start = draw(st.integers(0, 12))
        rows.append(
            CallRow(
                call=call,
                parent=draw(st.none() | st.integers(0, 10)) if call else None,
                fan_in=draw(st.none() | st.integers(0, 10)),
                step=draw(st.sampled_from("abc")),
                pattern=draw(st.sampled_from([None, None, "fan_out"])),
                role="work",
                key=None,
                start=start,
                end=start + draw(st.integers(0, 12)),
                status=draw(st.sampled_from(["ok", "skipped", "cancelled"])),
                facts=draw(
                    st.sampled_from(
                        [{}, {"closed": "enough"}, {"closed": "within"}, {"asked_by": 3}]
                    )
                ),
                attempts=draw(st.integers(0, 2)),
                load=0,
                edges=tuple(draw(st.sets(st.integers(0, 10), max_size=3))),
                waits=draw(
                    st.dictionaries(st.sampled_from(["limit", "backoff"]), st.integers(0, 9))
                ),
            )
        )
    rows.sort(key=lambda row: row.end)
    return RunRecord(Header("r", 0, 0), tuple(rows[draw(st.integers(0, 1)) :]))


def naive(record):
    """The definition, word for word, quadratic and recursive: (call, start, end), last first."""
    graph = Graph(record)
    found, seen = [], set()

    def walk(row, now, floor):
        seen.add(row.call)
        least = max(row.start, floor)
        while now > least:
            awaited = graph.awaited.get(row.call, [])
            places = [
                place
                for place, each in enumerate(awaited)
                if least < each.end <= now and each.call not in seen
            ]
            if not places:
                own(row, least, now)
                return least
            last = awaited[places[-1]]
            own(row, last.end, now)
            below = floor
            if last.status in LET_GO and decided_by_a_branch(row):
                ends = [e.end for e in awaited[: places[-1]] if e.status not in LET_GO]
                below = max(floor, *ends[-1:], floor)
            now = walk(last, last.end, below)
        return now

    def own(row, start, end):
        if start < end:
            found.append((row.call, start, end))

    walk(graph.main, graph.main.end, graph.main.start)
    return found


@given(records())
def test_any_record_is_walked_as_the_naive_walk_does_and_partitioned_exactly(record):
    path = critical_path(record)
    main = Graph(record).main
    assert_partition(path, main.start, main.end)
    joined = []
    for segment in reversed(path.segments):  # cut by kind only; the naive walk knows no kinds
        if joined and joined[-1][0] == segment.call and joined[-1][1] == segment.end:
            joined[-1] = (segment.call, segment.start, joined[-1][2])
        else:
            joined.append((segment.call, segment.start, segment.end))
    wanted = []
    for call, start, end in naive(record):
        if wanted and wanted[-1][0] == call and wanted[-1][1] == end:
            wanted[-1] = (call, start, wanted[-1][2])
        else:
            wanted.append((call, start, end))
    assert joined == wanted
    rows = {each.call: each for each in (*record.calls, main)}
    for segment in path.segments:
        assert rows[segment.call].start <= segment.start < segment.end <= rows[segment.call].end
    assert str(path)
