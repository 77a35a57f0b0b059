"""The laws of `tree_reduce` where something fails: what is merged, what is missing, what is said."""

import asyncio
from math import ceil

from hypothesis import strategies as st

from fanwise.core import NotEnough, step
from fanwise.patterns import tree_reduce
from fanwise.patterns._tree_reduce import Node
from tests.laws.proving import ORDERS, changed, holds, outcome_of, rejects, ticks, virtually

# How long it takes, and what becomes of it: poison fails every reduction that it comes into.
ITEM = st.tuples(ticks(0, 3), st.sampled_from(["fine", "fine", "fine", "fails", "poison"]))
PROGRAM = {
    "items": st.lists(ITEM, min_size=1, max_size=12),
    "arity": st.integers(2, 4),
    "order": ORDERS,
}


def expected(kinds, arity):
    """Give what is merged (`None`: nothing), the names of what is missing, and the depth."""
    level = [
        (None, [f"item {i + 1}"]) if kind == "fails" else ([i], []) for i, kind in enumerate(kinds)
    ]
    alone, depth = len(level) == 1, 0
    while len(level) > 1 or depth == 0:
        depth += 1
        groups = ceil(len(level) / arity)
        cuts = [len(level) * n // groups for n in range(groups + 1)]
        level = [
            merged(level[cuts[n] : cuts[n + 1]], kinds, f"merge {depth}.{n + 1}", alone)
            for n in range(groups)
        ]
    value, missing = level[0]
    return value, missing, depth


def merged(members, kinds, name, alone):
    missing = [each for _, names in members for each in names]
    there = [value for value, _ in members if value is not None]
    if not there:
        return None, missing
    together = [i for value in there for i in value]
    if len(members) == 1 and not alone:
        return together, missing
    if any(kinds[i] == "poison" for i in together):
        return None, [*missing, name]
    return together, missing


def reduced(items, arity, order):
    kinds = [kind for _, kind in items]
    value, missing, depth = expected(kinds, arity)

    @step
    async def item(index):
        seconds, kind = items[index]
        await asyncio.sleep(seconds)
        if kind == "fails":
            raise OSError
        return [index]

    @step
    async def merge(parts):
        await asyncio.sleep(0.25)
        together = [index for part in parts for index in part]
        if any(kinds[index] == "poison" for index in together):
            raise OSError
        return together

    async def program(runtime):
        @step
        async def main():
            calls = [item(index) for index in range(len(items))]
            found = await outcome_of(tree_reduce(merge, calls, arity=arity))
            if isinstance(found, NotEnough):
                assert value is None
                statuses = ["failed" if kind == "fails" else "ok" for kind in kinds]
                assert [each.status for each in found.found] == statuses
            else:
                assert (found.value, found.depth) == (value, depth)
                assert [*found.missing] == missing
                assert found.complete == (not missing)
            assert runtime.running == 1

        await runtime.run(main())

    virtually(program, order=order)


def rejected(mutant):
    rejects(reduced, **PROGRAM, mutant=mutant, broken=AssertionError)


def test_gaps_are_left_out_and_named():
    holds(reduced, **PROGRAM, examples=300)


def test_the_law_rejects_gaps_that_are_not_named():
    def silent(self):
        return []

    rejected(changed((Node, "gaps", silent)))


def test_the_law_rejects_a_failed_item_that_fails_its_group():
    reduce = Node.reduce

    def strict(self):
        lost = [member for member in self.members if member.status != "ok"]
        if lost:
            self.end("gap", error=lost[0].error)
        else:
            reduce(self)

    rejected(changed((Node, "reduce", strict)))


def test_the_law_rejects_a_lone_member_that_is_reduced():
    reduce = Node.reduce

    def always(self):
        self.always = True
        reduce(self)

    rejected(changed((Node, "reduce", always)))


def test_the_law_rejects_members_that_stand_backwards():
    reduce = Node.reduce

    def backwards(self):
        self.members.reverse()
        reduce(self)

    rejected(changed((Node, "reduce", backwards)))
