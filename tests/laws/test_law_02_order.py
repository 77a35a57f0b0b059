"""Law 2: results stand in the order of the input, never of arrival."""

import asyncio

from hypothesis import strategies as st

from fanwise.core import FanIn, step
from fanwise.patterns import fan_map, fan_out, first, tree_reduce
from fanwise.patterns._first import Race
from fanwise.patterns._flow import Flow
from fanwise.patterns._tree_reduce import Node
from tests.laws.proving import ORDERS, changed, holds, rejects, ticks, virtually

PROGRAM = {
    "delays": st.lists(ticks(), min_size=1, max_size=8),
    "at_once": st.integers(1, 4),
    "order": ORDERS,
}


@step
async def job(index, delay):
    await asyncio.sleep(delay)
    return index


def runs(make):
    """Make a law's function of one that makes a call and says what is expected of its value."""

    def law(delays, at_once, order):
        @step
        async def main():
            call, expected = make(delays, at_once)
            assert expected(await call)

        async def program(runtime):
            await runtime.run(main())

        virtually(program, order=order)

    return law


def gathered(delays, at_once):
    calls = [job(i, d) for i, d in enumerate(delays)]
    everything = list(range(len(delays)))

    def expected(found):
        return (
            found.values() == everything
            and [it.index for it in found] == everything
            and list(found.ok.values()) == everything
            and all(found[call].value == i for i, call in enumerate(calls))
        )

    return fan_out(*calls, at_once=at_once), expected


def mapped(delays, at_once):
    @step
    async def wait(index):
        await asyncio.sleep(delays[index])
        return index

    everything = list(range(len(delays)))

    def expected(found):
        return found.values() == everything and [it.item for it in found] == everything

    return fan_map(wait, iter(everything), at_once=at_once), expected


def reduced(delays, at_once):
    async def join(parts):
        return [number for part in parts for number in part]

    @step
    async def one(index, delay):
        await asyncio.sleep(delay)
        return [index]

    calls = [one(i, d) for i, d in enumerate(delays)]

    def expected(found):
        return found.value == list(range(len(delays)))

    return tree_reduce(join, calls, arity=max(2, at_once)), expected


def raced(delays, at_once):
    calls = [job(i, d) for i, d in enumerate(delays)]

    return first(*calls), lambda winner: winner == delays.index(min(delays))


def test_law_2_holds_for_fan_out():
    holds(runs(gathered), **PROGRAM)


def test_law_2_holds_for_fan_map():
    holds(runs(mapped), **PROGRAM)


def test_law_2_holds_for_tree_reduce():
    holds(runs(reduced), **PROGRAM)


def test_law_2_holds_for_first():
    holds(runs(raced), **PROGRAM)


def test_law_2_rejects_a_fan_in_by_arrival():
    plain = FanIn.outcomes.fget

    def by_arrival(self):
        return sorted(plain(self), key=lambda it: it.ended)

    rejects(runs(gathered), **PROGRAM, mutant=changed((FanIn, "outcomes", property(by_arrival))))


def test_law_2_rejects_a_map_by_arrival():
    def result(self):
        return FanIn(outcomes=[self.landed._outcome(index) for index in self.landed.values])

    rejects(runs(mapped), **PROGRAM, mutant=changed((Flow, "result", result)))


def test_law_2_rejects_a_reduction_by_arrival():
    end = Node.end
    arrivals = []

    def noting(self, *args, **kwargs):
        arrivals.append(self)
        end(self, *args, **kwargs)

    reduce = Node.reduce

    def by_arrival(self):
        self.members.sort(key=arrivals.index)
        reduce(self)

    rejects(
        runs(reduced),
        **PROGRAM,
        mutant=changed((Node, "end", noting), (Node, "reduce", by_arrival)),
    )


def test_law_2_rejects_a_race_that_the_last_wins():
    count = Race.hear

    def last_wins(self, call):
        before, self.winner = self.winner, None
        count(self, call)
        if self.winner is None:
            self.winner = before

    rejects(runs(raced), **PROGRAM, mutant=changed((Race, "hear", last_wins)))
