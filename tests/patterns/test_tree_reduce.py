"""`tree_reduce`: groups by position, each as soon as its own members are there (requirement B6)."""

import asyncio
from functools import reduce
from operator import add

import pytest

from fanwise import NotEnough, Runtime, bind, fan_out, step, tree_reduce
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, fails, gives, hangs, nothing_held, now


class Merging:
    """A step that joins strings or adds numbers, and says when it began with what."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.begun = []
        self.step = step(name="merge")(self.merge)

    async def merge(self, values):
        self.begun.append((now(), list(values)))
        await asyncio.sleep(self.seconds)
        return reduce(add, values)

    @property
    def groups(self):
        return [values for _, values in self.begun]


@pytest.mark.parametrize(
    ("items", "arity", "reductions", "depth"),
    [(1000, 10, 111, 3), (1000, 100, 11, 2), (100, 10, 11, 2), (10, 10, 1, 1), (11, 10, 3, 2),
     (1, 10, 1, 1), (2, 2, 1, 1), (3, 2, 2, 2), (8, 2, 7, 3), (9, 3, 4, 2)],
)  # fmt: skip
async def test_so_many_items_at_this_arity_are_so_many_reductions(items, arity, reductions, depth):
    merging = Merging()
    reduced = await tree_reduce(merging.step, range(items), arity=arity)
    assert reduced.value == sum(range(items))
    assert len(merging.begun) == reductions
    assert reduced.depth == depth
    assert reduced.complete
    assert reduced.missing == ()


@pytest.mark.parametrize("arity", [2, 3, 4, 7])
async def test_groups_are_balanced_neighbours_and_order_is_kept(arity):
    for items in range(1, 30):
        merging = Merging()
        letters = [chr(ord("A") + n) for n in range(items)]
        reduced = await tree_reduce(merging.step, letters, arity=arity)
        assert reduced.value == "".join(letters)
        sizes = [len(group) for group in merging.groups]
        assert max(sizes) <= arity
        first = {len(group) for group in merging.groups if all(len(part) == 1 for part in group)}
        assert max(first) - min(first) <= 1


async def test_one_item_still_gets_its_reduction():
    merging = Merging()
    reduced = await tree_reduce(merging.step, ["only"], arity=5)
    assert merging.groups == [["only"]]
    assert (reduced.value, reduced.depth) == ("only", 1)


async def test_a_lone_member_goes_up_unchanged():
    merging = Merging()
    await tree_reduce(merging.step, ["a", "b", "c"], arity=2)
    assert sorted(merging.groups, key=len) == [["a", "b"], ["ab", "c"]] or sorted(
        merging.groups
    ) == [["a", "bc"], ["b", "c"]]


async def test_a_group_starts_when_its_own_members_are_there():
    merging = Merging(1.0)
    items = [gives("a", 1.0), gives("b", 1.0), gives("c", 9.0), gives("d", 1.0)]
    reduced = await tree_reduce(merging.step, items, arity=2)
    assert reduced.value == "abcd"
    assert merging.begun == [(1.0, ["a", "b"]), (9.0, ["c", "d"]), (10.0, ["ab", "cd"])]
    assert now() == 11.0


async def test_no_level_waits_for_another():
    """Eight items, of which the last is late: its siblings' whole half is merged long before."""
    merging = Merging(1.0)
    items = [gives(str(n), 20.0 if n == 7 else 0.0) for n in range(8)]
    await tree_reduce(merging.step, items, arity=2)
    assert [(when, "".join(group)) for when, group in merging.begun] == [
        (0.0, "01"), (0.0, "23"), (0.0, "45"), (1.0, "0123"),
        (20.0, "67"), (21.0, "4567"), (22.0, "01234567"),
    ]  # fmt: skip


async def test_values_and_calls_may_be_mixed():
    assert (await tree_reduce(Merging().step, ["a", gives("b"), "c"], arity=3)).value == "abc"


async def test_a_plain_function_is_taken():
    def merge(parts):
        return "".join(parts)

    assert (await tree_reduce(merge, ["a", "b", "c"], arity=2)).value == "abc"


# Gaps


async def test_a_failed_item_is_left_out_and_named():
    merging = Merging()
    items = [gives("a"), fails(OSError("gone")), gives("c"), "d"]
    reduced = await tree_reduce(merging.step, items, arity=4)
    assert merging.groups == [["a", "c", "d"]]
    assert reduced.value == "acd"
    assert not reduced.complete
    assert reduced.missing == ("fails 2",)


async def test_a_failed_reduction_is_left_out_and_named_with_its_place():
    @step
    async def merge(parts):
        if parts == ["c", "d"]:
            raise OSError("too long")
        return "".join(parts)

    reduced = await tree_reduce(merge, "abcdef", arity=2)
    assert reduced.value == "abef"
    assert not reduced.complete
    assert reduced.missing == ("merge 1.2",)


async def test_a_group_without_members_is_a_gap():
    merging = Merging()
    items = [fails(OSError()), fails(OSError()), gives("c"), gives("d")]
    reduced = await tree_reduce(merging.step, items, arity=2)
    assert reduced.value == "cd"
    assert reduced.missing == ("fails 1", "fails 2")


async def test_a_group_of_which_one_is_left_is_still_reduced():
    merging = Merging()
    await tree_reduce(merging.step, [gives("a"), fails(OSError())], arity=2)
    assert merging.groups == [["a"]]


async def test_nothing_left_is_not_enough_with_the_first_cause():
    broken = OSError("gone")
    with pytest.raises(NotEnough, match="nothing is left of 2 items") as caught:
        await tree_reduce(Merging().step, [fails(broken), fails(ValueError())], arity=2)
    assert caught.value.__cause__ is broken
    assert [outcome.status for outcome in caught.value.found] == ["failed", "failed"]
    assert [outcome.error is not None for outcome in caught.value.found] == [True, True]


async def test_a_last_reduction_that_fails_hands_over_the_items():
    @step
    async def merge(parts):
        raise OSError("no")

    with pytest.raises(NotEnough) as caught:
        await tree_reduce(merge, [gives("a"), "b"], arity=2)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.found.values() == ["a", "b"]


async def test_skipped_bound_items_are_gaps():
    items = [bind(gives, fails(OSError("gone"))), gives("b")]
    reduced = await tree_reduce(Merging().step, items, arity=2)
    assert reduced.missing == ("gives 1",)


# Keys


async def test_with_a_key_there_is_one_reduction_a_key():
    merging = Merging()
    words = ["apple", "bean", "avocado", "beet", "cress", "artichoke"]
    found = await tree_reduce(merging.step, words, arity=10, key=lambda word: word[0])
    assert list(found) == ["a", "b", "c"]
    assert found["a"].value == "appleavocadoartichoke"
    assert found["c"].value == "cress"
    assert len(merging.begun) == 3
    assert all(reduced.complete for reduced in found.values())


async def test_a_thousand_pieces_under_ten_keys_are_ten_trees():
    merging = Merging()
    found = await tree_reduce(merging.step, range(1000), arity=10, key=lambda n: n % 10)
    assert {key: reduced.depth for key, reduced in found.items()} == dict.fromkeys(range(10), 2)
    assert len(merging.begun) == 10 * 11
    assert found[3].value == sum(range(3, 1000, 10))


async def test_a_lost_item_leaves_every_key_incomplete():
    items = [gives("a"), gives("b"), fails(OSError())]
    found = await tree_reduce(Merging().step, items, arity=2, key=str)
    assert {key: reduced.complete for key, reduced in found.items()} == {"a": False, "b": False}
    assert found["a"].missing == ("fails 3",)


async def test_no_items_under_a_key_give_an_empty_dict():
    assert await tree_reduce(Merging().step, [], arity=2, key=str) == {}


async def test_a_key_that_raises_fails_the_reduction_and_leaves_nothing():
    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(ZeroDivisionError):
            await tree_reduce(Merging().step, [gives(0)], arity=2, key=lambda n: 1 // n)
        nothing_held(runtime)


async def test_one_key_that_fails_does_not_lose_the_others():
    """Nothing paid for is lost (law 4)."""

    @step
    async def merge(parts):
        if parts[0] == "bad":
            raise OSError("no")
        return "".join(parts)

    with pytest.raises(NotEnough) as caught:
        await tree_reduce(merge, ["bad", "good", "good"], arity=2, key=str)
    bad, good = caught.value.found
    assert (bad.name, bad.status, str(bad.error)) == ("bad", "failed", "no")
    assert (good.name, good.value) == ("good", "goodgood")
    assert caught.value.__cause__ is bad.error


# Leaving


async def test_a_reduction_cancelled_from_outside_leaves_nothing():
    async with no_orphans(), Runtime() as runtime:
        tree = tree_reduce(Merging(9.0).step, [gives("a"), gives("b"), hangs(), "d"], arity=2)
        await fan_out(tree, need=0, within=1.0)
        assert now() == 1.0
        assert all_rows(runtime)["hangs"] == ["cancelled"]
        assert all_rows(runtime)["merge"] == ["cancelled"]
        nothing_held(runtime)


# Wrong arguments


@pytest.mark.parametrize(
    ("arity", "kind", "text"),
    [
        (1, ValueError, "arity is at least 2, got 1"),
        (0, ValueError, "arity is at least 2, got 0"),
        (2.5, TypeError, "arity is a whole number, got 2.5"),
        ("10", TypeError, "arity is a whole number, got '10'"),
        (None, TypeError, "arity is a whole number, got None"),
    ],
)
async def test_a_wrong_arity_is_refused_and_its_calls_do_not_warn(arity, kind, text):
    with pytest.raises(kind, match=text):
        tree_reduce(Merging().step, [gives(1), gives(2)], arity=arity)


async def test_no_items_without_a_key_are_refused():
    with pytest.raises(ValueError, match="items is empty: there is nothing to reduce"):
        tree_reduce(Merging().step, [], arity=2)


async def test_the_same_call_twice_is_refused():
    call = gives(1)
    with pytest.raises(
        ValueError, match="tree_reduce got the same call of gives as branches 1 and 2"
    ):
        tree_reduce(Merging().step, [call, call], arity=2)


async def test_items_that_cannot_be_gone_through_are_refused_by_name():
    with pytest.raises(TypeError, match="items"):
        tree_reduce(Merging().step, 3, arity=2)


async def test_what_is_no_step_or_function_is_refused():
    with pytest.raises(TypeError, match="a step is made of a function, got 3"):
        tree_reduce(3, [1], arity=2)
