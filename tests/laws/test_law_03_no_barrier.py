"""Law 3: a call starts the moment its inputs are there. On the virtual clock the bounds are exact."""

import asyncio
import contextlib
import heapq
import itertools
from math import ceil

from hypothesis import strategies as st

from fanwise.core import NotEnough, step
from fanwise.core._watch import Binding, ask, launch
from fanwise.patterns import bind, fan_map, fan_out, tree_reduce
from fanwise.patterns._flow import Flow
from fanwise.patterns._gathering import Gathering
from fanwise.patterns._tree_reduce import Node
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    rejects,
    replaced,
    ticks,
    virtually,
)


@step
async def job(index, seconds):
    await asyncio.sleep(seconds)
    return index


# Graphs of bound calls

NODE = st.tuples(ticks(), st.sets(st.integers(1, 9), max_size=3))


def graph_of(nodes):
    """Give durations and inputs: node n may depend on the nodes n - 1 to n - 9."""
    return [(seconds, sorted({n - back for back in backs if back <= n}))
            for n, (seconds, backs) in enumerate(nodes)]  # fmt: skip


def no_waiting_in_graphs(nodes, order):
    graph = graph_of(nodes)
    started = {}

    @step
    async def node(number, seconds, *inputs):
        started[number] = now()
        await asyncio.sleep(seconds)
        return number

    @step
    async def main():
        calls = []
        for number, (seconds, inputs) in enumerate(graph):
            calls.append(bind(node, number, seconds, *[calls[i] for i in inputs]))
        used = {i for _, inputs in graph for i in inputs}
        await fan_out(*[call for number, call in enumerate(calls) if number not in used])

    async def program(runtime):
        await runtime.run(main())
        due = []
        for _seconds, inputs in graph:
            due.append(max((due[i] + graph[i][0] for i in inputs), default=0.0))
        assert started == dict(enumerate(due))
        assert now() == max((s + d for s, (d, _) in zip(due, graph, strict=True)), default=0.0)

    virtually(program, order=order)


GRAPHS = {"nodes": st.lists(NODE, max_size=9), "order": ORDERS}


def test_law_3_holds_for_graphs():
    holds(no_waiting_in_graphs, **GRAPHS, examples=100)


def test_law_3_rejects_inputs_asked_one_after_the_other():
    plain = Binding.call_ended
    rest = {}

    def start(self):
        rest[self] = list(self.inputs)
        ask_next(self)
        self._count_down()

    def ask_next(self):
        while rest[self]:
            following = rest[self].pop(0)
            if not ask(following, self, self.owner.owner):
                return
            plain(self, following)

    def call_ended(self, call):
        plain(self, call)
        ask_next(self)

    mutant = changed((Binding, "start", start), (Binding, "call_ended", call_ended))
    rejects(no_waiting_in_graphs, **GRAPHS, mutant=mutant, broken=AssertionError)


def test_law_3_rejects_a_late_start():
    def late(call, context=None):
        if context is None:
            launch(call)
        else:  # a bound call
            asyncio.get_running_loop().call_later(0.125, launch, call, context)

    rejects(no_waiting_in_graphs, **GRAPHS, mutant=replaced(launch, late))


# So many at once


def makespan(delays, places):
    """The schedule without idle places: each item, in order, at the place that is free first."""
    free = [0.0] * places
    for seconds in delays:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free, default=0.0)


def no_idle_places(delays, at_once, mapped, asynchronous, order):
    async def source():
        for index in range(len(delays)):
            yield index

    @step
    async def wait(index):
        await asyncio.sleep(delays[index])

    @step
    async def main():
        if mapped:
            await fan_map(wait, source() if asynchronous else range(len(delays)), at_once=at_once)
        else:
            await fan_out(*[wait(i) for i in range(len(delays))], at_once=at_once)

    async def program(runtime):
        await runtime.run(main())
        assert now() == makespan(delays, at_once)

    virtually(program, order=order)


PLACES = {
    "delays": st.lists(ticks(), max_size=10),
    "at_once": st.integers(1, 4),
    "mapped": st.booleans(),
    "asynchronous": st.booleans(),
    "order": ORDERS,
}


def test_law_3_holds_for_places():
    holds(no_idle_places, **PLACES, examples=100)


def test_law_3_rejects_waves():
    go_on, ended = Flow.go_on, Gathering.call_ended

    def in_waves(self):
        if not self.live:
            go_on(self)

    def fan_out_in_waves(self, call):
        self.filling = self.running > 1
        ended(self, call)
        self.filling = False

    rejects(no_idle_places, **PLACES, mutant=changed((Flow, "go_on", in_waves)))
    mutant = changed((Gathering, "call_ended", fan_out_in_waves))
    rejects(no_idle_places, **PLACES, mutant=mutant)


# Trees


def tree_ends(delays, merges, arity):
    """When the root of the balanced tree is there; a lone member goes up unchanged."""
    level = list(delays)
    depth = 0
    while len(level) > 1 or depth == 0:
        depth += 1
        groups = ceil(len(level) / arity)
        cuts = [len(level) * n // groups for n in range(groups + 1)]
        level = [
            max(level[a:b]) + (merges if b - a > 1 or len(delays) == 1 else 0)
            for a, b in itertools.pairwise(cuts)
        ]
    return level[0]


def no_levels(delays, merges, arity, order):
    async def merge(parts):
        await asyncio.sleep(merges)
        return max(parts)

    @step
    async def main():
        await tree_reduce(merge, [job(i, d) for i, d in enumerate(delays)], arity=arity)

    async def program(runtime):
        await runtime.run(main())
        assert now() == tree_ends(delays, merges, arity)

    virtually(program, order=order)


TREES = {
    "delays": st.lists(ticks(), min_size=1, max_size=12),
    "merges": ticks(1, 4),
    "arity": st.integers(2, 4),
    "order": ORDERS,
}


def test_law_3_holds_for_trees():
    holds(no_levels, **TREES, examples=100)


def test_law_3_rejects_a_barrier_a_level():
    reduce = Node.reduce

    def level_of(node, level=0):
        return level if not node.members else 1 + max(level_of(it) for it in node.members)

    def barrier(self):
        waiting = waiting_in.setdefault(id(self.tree), [])
        waiting.append(self)
        mine = level_of(self)
        same = [it for it in self.tree.nodes() if it.members and level_of(it) == mine]
        if all(it.open == 0 for it in same):
            for it in [it for it in waiting if level_of(it) == mine]:
                waiting.remove(it)
                reduce(it)

    waiting_in: dict = {}
    rejects(no_levels, **TREES, mutant=changed((Node, "reduce", barrier)))


# The moment of a decision


def decided_at(branches, need, enough, within):
    """The first instant at which the matter is settled, and whether it is for good."""
    ends = sorted((seconds, not ok) for seconds, ok in branches)
    good = bad = 0
    for seconds, failed in ends:
        if within is not None and seconds >= within:
            break
        bad, good = bad + failed, good + (not failed)
        if (enough is not None and good >= enough) or len(branches) - bad < need:
            return seconds
    return within if within is not None and good + bad < len(branches) else ends[-1][0]


def decided_in_time(branches, need, enough, within, order):
    count = len(branches)
    need = min(need, count)
    enough = None if enough is None else max(need, min(enough, count))

    @step
    async def branch(seconds, ok):
        await asyncio.sleep(seconds)
        if not ok:
            raise ValueError

    @step
    async def main():
        calls = [branch(seconds, ok) for seconds, ok in branches]
        with contextlib.suppress(NotEnough):
            await fan_out(*calls, need=need, enough=enough, within=within)

    async def program(runtime):
        await runtime.run(main())
        assert now() == decided_at(branches, need, enough, within)

    virtually(program, order=order)


QUORUMS = {
    "branches": st.lists(st.tuples(ticks(1, 8), st.booleans()), min_size=1, max_size=7),
    "need": st.integers(0, 5),
    "enough": st.none() | st.integers(1, 5),
    "within": st.none() | ticks(1, 9).map(lambda seconds: seconds + 0.125),  # never a tie
    "order": ORDERS,
}


def test_law_3_holds_for_quorums():
    holds(decided_in_time, **QUORUMS, examples=120)


def test_law_3_rejects_decisions_that_come_late():
    decide = Gathering.decide

    def deaf_to(deaf):
        def only_later(self, reason):
            if reason != deaf:
                decide(self, reason)

        return only_later

    for reason in ("enough", "out of reach", "within"):
        mutant = changed((Gathering, "decide", deaf_to(reason)))
        rejects(decided_in_time, **QUORUMS, mutant=mutant)
