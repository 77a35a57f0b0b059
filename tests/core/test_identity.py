"""The identity of a call: what is in its key and what is not, and what is found again by it."""

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import (
    Hedge,
    Retry,
    Runtime,
    bind,
    current,
    fan_map,
    fan_out,
    step,
    tree_reduce,
)
from fanwise.core import digest_of
from fanwise.errors import IdentityClash, NotCanonical, NotEnough
from fanwise.stores import MemoryJournal
from tests.stores.journals import results_of


def now():
    return asyncio.get_running_loop().time()


async def recorded(call, run_id="r", journal=None):
    """Run `call` under a journal; give its value, its rows and the journal."""
    journal = MemoryJournal() if journal is None else journal
    async with Runtime(seed=1) as runtime:
        runtime.journal = journal
        value = await runtime.run(call, run_id=run_id)
        return value, runtime.runs[0].record().calls, journal


async def keys_of(call):
    _, rows, _ = await recorded(call)
    return sorted((row.step, row.key) for row in rows if row.pattern is None)


@step
async def leaf(n, after=0.0):
    await asyncio.sleep(after)
    return n


# Digests

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
DATA = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def shape(value):
    """Tell data apart that `==` does not: 1, True and 1.0, lists and tuples."""
    if isinstance(value, dict):
        return ("dict", tuple(sorted((key, shape(each)) for key, each in value.items())))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(shape(each) for each in value))
    return (type(value).__name__, repr(value))


@given(DATA, DATA)
def test_data_that_differs_has_another_digest_and_equal_data_the_same(a, b):
    assert (digest_of(a) == digest_of(b)) == (shape(a) == shape(b))


@given(DATA, DATA)
def test_parts_do_not_run_into_each_other(a, b):
    assert digest_of(a, b) != digest_of([a, b])
    assert (digest_of(a, b) == digest_of(b, a)) == (shape(a) == shape(b))


def test_the_order_of_a_dict_does_not_count():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


@dataclasses.dataclass
class Point:
    x: int
    y: int


@dataclasses.dataclass
class Other:
    x: int
    y: int


def test_dataclasses_count_by_type_and_fields():
    assert digest_of(Point(1, 2)) == digest_of(Point(1, 2))
    assert digest_of(Point(1, 2)) != digest_of(Point(2, 1))
    assert digest_of(Point(1, 2)) != digest_of(Other(1, 2))
    assert digest_of(Point(1, 2)) != digest_of({"x": 1, "y": 2})


def test_pydantic_models_count_by_type_and_fields():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", x=(int, ...))
    assert digest_of(model(x=1)) == digest_of(model(x=1))
    assert digest_of(model(x=1)) != digest_of(model(x=2))


def test_bytes_are_not_text():
    assert digest_of("a") != digest_of(b"a")


def test_a_digest_is_the_same_in_every_process():
    """It is in journals: a change needs a migration."""
    assert digest_of("text", 1.5, True, None, b"\x00", ["a", ("b",)], {"k": "v"}).hex() == (
        "86d868af71b00cee9a377f7e458744bf"
    )


@pytest.mark.parametrize("value", [object(), {1: "a"}, {1, 2}, Point, len, 1j, bytearray(b"a")])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(NotCanonical, match="has no canonical form"):
        digest_of(value)


def test_a_whole_number_of_any_size_has_a_digest():
    assert digest_of(10**6000) != digest_of(10**6000 + 1)


# Keys


@step
async def tree(order):
    found = await fan_out(*(leaf(n, delay) for n, delay in enumerate(order)))
    mapped = await fan_map(leaf, [5, 6, 5], at_once=3)
    graph = await bind(leaf, bind(leaf, leaf(7)))
    return [*found.values(), *mapped.values(), graph]


async def test_they_are_the_same_in_another_run_of_the_same_id():
    assert await keys_of(tree([0.0, 1.0, 2.0])) == await keys_of(tree([0.0, 1.0, 2.0]))


async def test_they_do_not_depend_on_the_order_of_completion():
    @step
    async def program():
        return (await fan_map(varies, [1, 2, 3, 1, 2, 3], at_once=2)).values()

    delays = {}

    @step
    async def varies(n):
        await asyncio.sleep(delays[n])
        return await leaf(n)

    delays.update({1: 3.0, 2: 2.0, 3: 1.0})
    one = await keys_of(program())
    delays.update({1: 1.0, 2: 2.0, 3: 3.0})
    assert await keys_of(program()) == one
    assert len({key for _, key in one}) == len(one)


async def test_positional_and_keyword_arguments_are_the_same():
    @step
    async def two(a, b):
        return a + b

    assert await keys_of(two(1, 2)) == await keys_of(two(b=2, a=1)) == await keys_of(two(1, b=2))
    assert await keys_of(two(1, 2)) != await keys_of(two(2, 1))


async def test_equal_calls_are_told_apart_by_their_occurrence():
    @step
    async def program():
        await fan_out(leaf(1), leaf(1), leaf(2), leaf(1))

    keys = [key for name, key in await keys_of(program()) if name == "leaf"]
    assert len(set(keys)) == 4


async def test_the_occurrence_is_numbered_when_a_call_is_made():
    """Whichever is awaited first: the key goes with the place in the program."""
    kept = []

    @step
    async def program(backwards):
        calls = [leaf(1), leaf(1)]
        for call in reversed(calls) if backwards else calls:
            await call
        kept.append([call.key for call in calls])

    await recorded(program(False))
    await recorded(program(True))
    (a, b), (c, d) = kept
    assert a != b
    assert c != d


async def test_a_new_version_and_another_name_change_the_key():
    @step(name="s", version=1)
    async def one():
        pass

    @step(name="s", version=2)
    async def two():
        pass

    @step(name="t", version=1)
    async def three():
        pass

    keys = [(await keys_of(each()))[0][1] for each in (one, two, three)]
    assert len(set(keys)) == 3


async def test_a_policy_is_not_in_the_key():
    assert await keys_of(leaf(1)) == await keys_of(leaf.using(timeout=5.0, retry=Retry())(1))


async def test_what_cannot_be_canonical_names_step_argument_and_cure():
    @step
    async def ask(client, query):
        return query

    @step
    async def program():
        return await ask(object(), "q")

    with pytest.raises(NotCanonical, match=r"ask\(client=\.\.\.\): a value of type object has no "
                       r"canonical form; say what counts with @step\(key=\.\.\.\)"):  # fmt: skip
        await recorded(program())


async def test_a_method_without_key_names_self():
    class Client:
        @step
        async def ask(self, query):
            return query

    with pytest.raises(NotCanonical, match=r"Client\.ask\(self=\.\.\.\)"):
        await recorded(Client().ask("q"))


async def test_key_says_what_counts():
    @step(key=lambda client, query: query)
    async def ask(client, query):
        return query

    assert await keys_of(ask(object(), "q")) == await keys_of(ask(object(), "q"))
    assert await keys_of(ask(object(), "q")) != await keys_of(ask(object(), "p"))


async def test_the_idempotency_key_is_the_same_for_every_attempt_and_is_the_rows_key():
    seen = []

    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def flaky():
        seen.append(current().idempotency_key)
        if len(seen) < 3:
            raise ConnectionError

    async with Runtime() as runtime:
        await flaky()
        (row,) = runtime.runs[0].record().calls
    assert len(set(seen)) == 1
    assert len(seen) == 3
    assert row.key == seen[0]
    assert len(bytes.fromhex(seen[0])) == 16


async def test_two_runs_of_other_ids_have_other_idempotency_keys():  # bug c-16
    """Else the target of tomorrow's run would take its charge for today's."""
    seen = []

    @step(effect="write", keyed=True)
    async def charge(amount):
        seen.append(current().idempotency_key)

    async with Runtime() as runtime:
        await runtime.run(charge(10), run_id="monday")
        await runtime.run(charge(10), run_id="tuesday")
        await runtime.run(charge(10), run_id="monday")
    assert seen[0] == seen[2]
    assert seen[0] != seen[1]


# A retried or hedged parent


async def test_a_retried_parent_takes_over_its_finished_children():
    ran = []

    @step
    async def child(n):
        ran.append(n)
        await asyncio.sleep(1)
        return n

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def parent():
        found = await fan_out(child(1), child(2), child(1))
        if current().attempt == 1:
            raise ConnectionError
        return found.values()

    assert await parent() == [1, 2, 1]
    assert sorted(ran) == [1, 1, 2]
    assert now() == 1.0


async def test_its_failed_child_runs_again():
    ran = []

    @step
    async def child(n):
        ran.append(n)
        if n == 2 and ran.count(2) == 1:
            raise ConnectionError
        return n

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def parent():
        return [await child(1), await child(2)]

    assert await parent() == [1, 2]
    assert ran == [1, 2, 2]


async def test_it_takes_over_through_steps_and_patterns_between():
    ran = []

    @step
    async def grandchild(n):
        ran.append(n)
        return n

    @step
    async def child(n):
        return await grandchild(n)

    @step
    async def total(values):
        return sum(values)

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def parent():
        mapped = await fan_map(child, [1, 2], at_once=1)
        reduced = await tree_reduce(total, mapped.values(), arity=2)
        bound = await bind(child, child(3))
        if current().attempt == 1:
            raise ConnectionError
        return reduced.value + bound

    assert await parent() == 6
    assert ran == [1, 2, 3, 3]


async def test_a_hedged_parent_joins_the_children_in_flight():
    ran = []

    @step
    async def child():
        ran.append(now())
        await asyncio.sleep(5)
        return "value"

    @step(hedge=Hedge(after=1.0))
    async def parent():
        return await child()

    assert await parent() == "value"
    assert ran == [0.0]
    assert now() == 5.0


async def test_what_has_no_digest_runs_again():
    ran = []

    @step
    async def child(_):
        ran.append(1)

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def parent():
        await child(object())
        if current().attempt == 1:
            raise ConnectionError

    await parent()
    assert ran == [1, 1]


async def test_a_child_of_another_attempt_has_the_same_key():
    keys = []

    @step
    async def child():
        keys.append(current().idempotency_key)
        raise ConnectionError

    @step(retry=Retry(attempts=3, shortest=0, longest=0))
    async def parent():
        await child()

    with pytest.raises(ConnectionError):
        await parent()
    assert len(keys) == 3
    assert len(set(keys)) == 1


# A journal


async def test_a_second_run_under_the_journal_makes_no_call_again():
    ran = []

    @step
    async def counted(n):
        ran.append(n)
        return n * 10

    @step
    async def program():
        found = await fan_out(counted(1), counted(2))
        mapped = await fan_map(counted, [3, 4], at_once=1)
        return [*found.values(), *mapped.values()]

    value, _, journal = await recorded(program())
    again, rows, _ = await recorded(program(), journal=journal)
    assert value == again == [10, 20, 30, 40]
    assert ran == [1, 2, 3, 4]
    assert [row.facts.get("reused") for row in rows] == [True]


async def test_a_run_that_failed_goes_on_where_it_was():
    ran = []
    broken = [True]

    @step
    async def counted(n):
        ran.append(n)
        if n == 3 and broken[0]:
            raise OSError("crash")
        return n

    @step
    async def program():
        return [await counted(n) for n in (1, 2, 3, 4)]

    journal = MemoryJournal()
    with pytest.raises(OSError, match="crash"):
        await recorded(program(), journal=journal)
    broken[0] = False
    value, rows, _ = await recorded(program(), journal=journal)
    assert value == [1, 2, 3, 4]
    assert ran == [1, 2, 3, 3, 4]
    assert [row.facts.get("reused", False) for row in rows if row.step == "counted"] == [
        True, True, False, False,
    ]  # fmt: skip


async def test_none_is_a_result_that_is_found_again():
    ran = []

    @step
    async def nothing():
        ran.append(1)

    _, _, journal = await recorded(nothing())
    await recorded(nothing(), journal=journal)
    assert ran == [1]


async def test_failures_are_not_committed():
    ran = []

    @step
    async def fails():
        ran.append(1)
        raise FileNotFoundError

    journal = MemoryJournal()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            await recorded(fails(), journal=journal)
    assert ran == [1, 1]
    assert results_of(journal) == []


async def test_equal_calls_from_two_tasks_of_one_step_are_a_clash():
    @step
    async def program():
        async def loop(delay):
            await asyncio.sleep(delay)
            await leaf("same")

        await asyncio.gather(loop(0.5), loop(1.0))

    with pytest.raises(
        IdentityClash, match=r"equal calls of leaf were made from two tasks .*@step\(key="
    ):
        await recorded(program())


async def test_a_step_around_each_loop_is_the_cure():
    @step
    async def loop(n):
        await asyncio.sleep(0.5 * n)
        return await leaf("same")

    @step
    async def program():
        return await asyncio.gather(wait(loop(1)), wait(loop(2)))

    async def wait(call):
        return await call

    value, _, _ = await recorded(program())
    assert value == ["same", "same"]


async def test_without_a_journal_such_calls_are_nobodys_business():
    @step
    async def program():
        async def loop():
            await leaf("same")

        await asyncio.gather(loop(), loop())

    await program()


async def test_equal_items_of_a_fan_map_are_no_clash():
    value, _, _ = await recorded(fan_map(leaf, [1, 1, 1, 1], at_once=2))
    assert value.values() == [1, 1, 1, 1]


async def test_a_clash_below_a_fan_out_is_the_branchs_own_failure():
    @step
    async def program():
        async def loop():
            return await leaf("same")

        return len(await fan_out(loop(), loop(), need=0))

    try:
        found, _, _ = await recorded(program())
    except (IdentityClash, NotEnough):
        return
    assert found == 2


# Randomness and time


async def test_random_and_uuid_are_the_same_for_the_same_seed_and_place():
    @step
    async def draws(_):
        here = current()
        return here.random().random(), here.random().random(), str(here.uuid()), str(here.uuid())

    async def drawn(seed):
        async with Runtime(seed=seed):
            return (await fan_map(draws, [1, 1, 2], at_once=3)).values()

    one = await drawn(1)
    assert one == await drawn(1)
    assert one != await drawn(2)
    assert len({value for each in one for value in each}) == 12


async def test_time_moves_with_the_loops_clock():
    seen = []

    @step
    async def looks():
        seen.append(current().time())
        await asyncio.sleep(2.5)
        seen.append(current().time())

    await looks()
    assert seen[1] - seen[0] == pytest.approx(2.5)


def test_outside_a_step_there_is_no_current():
    with pytest.raises(RuntimeError, match=r"current\(\) is for the inside of a step"):
        current()
