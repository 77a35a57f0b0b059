"""The laws of `bind` where inputs fail: who is skipped, with what cause, and when."""

import asyncio

from hypothesis import strategies as st

from fanwise.core import _watch as watch
from fanwise.core import step
from fanwise.core._watch import Binding, leave
from fanwise.patterns import bind, fan_out
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    outcome_of,
    rejects,
    ticks,
    virtually,
)

# One bound call alone: its inputs are nobody else's, so that a failure lets the others go.

INPUT = st.tuples(ticks(1, 6), st.sampled_from([True, True, False]), ticks(0, 3))
ALONE = {"drawn": st.lists(INPUT, min_size=1, max_size=5), "order": ORDERS}


def let_go_with_the_first_failure(drawn, order):
    ran = []
    # Off the grid: on one instant, it is for the loop to say which of two ends is the first.
    inputs = [(seconds + i / 64, fine, rest) for i, (seconds, fine, rest) in enumerate(drawn)]

    @step
    async def one(index):
        seconds, fine, cleaning = inputs[index]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(cleaning)
            raise
        if not fine:
            raise OSError(index)
        return index

    @step
    async def all_of(*values):
        ran.append(values)
        return values

    failures = [seconds for seconds, fine, _ in inputs if not fine]
    instant = min(failures, default=max(seconds for seconds, *_ in inputs))
    left = [cleaning for seconds, _, cleaning in inputs if seconds > instant]
    ends = instant + max(left, default=0.0)

    async def program(runtime):
        @step
        async def main():
            call = bind(all_of, *[one(index) for index in range(len(inputs))])
            value = await outcome_of(call)
            assert now() == ends
            assert runtime.running == 1, "an input outlived the call that it was made for"
            if failures:
                assert isinstance(value, OSError)
                assert inputs[value.args[0]][:2] == (instant, False)
                assert (call.status, ran) == ("skipped", [])
            else:
                assert value == tuple(range(len(inputs)))
                assert ran == [value]

        await runtime.run(main())

    virtually(program, order=order)


def alone_rejected(mutant):
    rejects(let_go_with_the_first_failure, **ALONE, mutant=mutant, broken=AssertionError)


def test_a_failed_input_lets_the_others_go():
    holds(let_go_with_the_first_failure, **ALONE, examples=200)


def test_the_law_rejects_a_call_that_starts_without_an_input():
    def deaf(self, call):
        call.result = getattr(call, "result", None)
        self._count_down()

    alone_rejected(changed((Binding, "call_ended", deaf)))


def test_the_law_rejects_a_call_that_waits_for_inputs_it_does_not_need():
    def patient(self):
        self.letting_go = True

    alone_rejected(changed((Binding, "let_go", patient)))


def test_the_law_rejects_inputs_that_are_let_go_and_not_awaited():
    def unawaited(call, watcher):
        leave(call, watcher)
        return False

    alone_rejected(changed((watch, "leave", unawaited)))


# A whole graph, of which everything is wanted: failures go down it, and nowhere else.

NODE = st.tuples(ticks(1, 4), st.sampled_from([True, True, True, False]),
                 st.sets(st.integers(1, 5), max_size=3))  # fmt: skip
GRAPH = {"nodes": st.lists(NODE, min_size=1, max_size=8), "order": ORDERS}


def skipped_below_failures(nodes, order):
    graph = [
        (seconds, fine, sorted({n - back for back in backs if back <= n}))
        for n, (seconds, fine, backs) in enumerate(nodes)
    ]
    ran = []

    @step
    async def node(number, *values):
        ran.append(number)
        seconds, fine, inputs = graph[number]
        assert values == tuple(inputs)
        await asyncio.sleep(seconds)
        if not fine:
            raise OSError(number)
        return number

    ends, causes = [], []  # of each node: when it is over, and the nodes that may have failed it
    for number, (seconds, fine, inputs) in enumerate(graph):
        lost = [i for i in inputs if causes[i]]
        if lost:
            ends.append(min(ends[i] for i in lost))
            causes.append({c for i in lost if ends[i] == ends[-1] for c in causes[i]})
        else:
            ends.append(max((ends[i] for i in inputs), default=0.0) + seconds)
            causes.append(set() if fine else {number})

    async def program(runtime):
        @step
        async def main():
            calls = []
            for number, (_, _, inputs) in enumerate(graph):
                calls.append(bind(node, number, *[calls[i] for i in inputs]))
            for number, outcome in enumerate(await fan_out(*calls, need=0)):
                below = any(causes[i] for i in graph[number][2])
                status = "ok" if not causes[number] else "skipped" if below else "failed"
                assert outcome.status == status
                assert calls[number].row[8] == ends[number]
                if status != "ok":
                    assert outcome.error.args[0] in causes[number]

        await runtime.run(main())
        healthy = [n for n in range(len(graph)) if not any(causes[i] for i in graph[n][2])]
        assert sorted(ran) == healthy, "a call runs once, and only where its inputs are there"

    virtually(program, order=order)


def test_what_depends_on_a_failure_is_skipped_and_nothing_else():
    holds(skipped_below_failures, **GRAPH, examples=200)


def test_the_law_rejects_a_graph_that_fails_as_a_whole():
    def everything(self):
        self.letting_go = True
        for call in list(self.owner.owner.live):
            if call.status == "running" and not call.step.pattern:
                call.error = self.failure[0]
                watch.drop(call)

    rejects(
        skipped_below_failures,
        **GRAPH,
        mutant=changed((Binding, "let_go", everything)),
        broken=AssertionError,
    )
