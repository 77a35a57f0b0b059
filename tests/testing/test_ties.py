"""Timers of one instant: in the order in which they were set, or drawn from the seed."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.testing import VirtualLoop

instants = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def fired(loop, whens):
    """The order in which timers for these instants fire: their indices."""
    order = []
    for index, when in enumerate(whens):
        loop.call_at(when, order.append, index)
    loop.call_at(10, loop.stop)
    try:
        loop.run_forever()
    finally:
        loop.close()
    return order


def by_instant(whens):
    return sorted(range(len(whens)), key=lambda index: whens[index])


@given(instants)
def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set(whens):
    assert fired(VirtualLoop(watchdog=None), whens) == by_instant(whens)


def test_the_law_rejects_a_loop_without_the_sequence_number():
    # The mutant: asyncio's own heap, where `when` alone decides.
    loop = VirtualLoop(watchdog=None)
    loop._tie = lambda: 0.0
    whens = [0] * 3 + [1] * 20
    assert fired(loop, whens) != by_instant(whens)


def test_plain_asyncio_does_not_keep_the_order():
    # Why the loop needs a heap of its own; a version of Python that mends this is worth knowing of.
    loop = asyncio.SelectorEventLoop()
    order, when = [], loop.time() + 0.01
    for index in range(20):
        loop.call_at(when, order.append, index)
    loop.call_at(when + 0.01, loop.stop)
    loop.run_forever()
    loop.close()
    assert order != list(range(20))


@given(instants, st.integers(0, 5))
def test_shuffled_ties_keep_the_instants_and_come_back_with_the_seed(whens, seed):
    first = fired(VirtualLoop(seed=seed, order="shuffled", watchdog=None), whens)
    again = fired(VirtualLoop(seed=seed, order="shuffled", watchdog=None), whens)
    assert first == again
    assert [whens[index] for index in first] == sorted(whens)


def test_another_seed_shuffles_otherwise():
    whens = [1] * 20
    orders = {
        tuple(fired(VirtualLoop(seed=seed, order="shuffled", watchdog=None), whens))
        for seed in range(5)
    }
    assert len(orders) == 5


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'lifo'"):
        VirtualLoop(order="lifo")
