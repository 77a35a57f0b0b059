"""`bind`: graphs of calls, each started the moment its own inputs are there."""

import asyncio

import pytest

from fanwise import NotEnough, Runtime, bind, fan_out, first, step, tree_reduce
from fanwise.errors import CallDropped, CallSkipped
from fanwise.testing import no_orphans
from tests.patterns.steps import all_rows, fails, gives, hangs, lingers, nothing_held, now


@step
async def add(a, b, after=1.0):
    await asyncio.sleep(after)
    return a + b


async def test_arguments_may_be_calls_and_values():
    assert await bind(add, gives(1, 2.0), 10) == 11
    assert now() == 3.0


async def test_it_starts_when_the_last_of_its_inputs_is_there():
    call = bind(add, gives(1, 1.0), gives(2, 3.0))
    assert await call == 3
    assert now() == 4.0


async def test_a_diamond_runs_its_shared_input_once():
    ran = []

    @step
    async def source():
        ran.append(now())
        await asyncio.sleep(1)
        return 1

    top = source()
    assert await bind(add, bind(add, top, 10), bind(add, top, 100)) == 112
    assert ran == [0.0]
    assert now() == 3.0


async def test_the_same_call_may_stand_in_two_arguments():
    call = gives(2, 1.0)
    assert await bind(add, call, call) == 4


async def test_inputs_that_have_ended_count_at_once():
    call = gives(1, 1.0)
    await call
    assert await bind(add, call, 1) == 2
    assert now() == 2.0


async def test_a_graph_of_a_thousand_in_a_row_needs_no_stack():
    call = gives(0)
    for _ in range(1000):
        call = bind(add, call, 1, 0)
    assert await call == 1000


async def test_awaited_alone_it_raises_the_error_of_its_input():
    broken = OSError("gone")
    call = bind(add, fails(broken, 1.0), gives(1))
    with pytest.raises(OSError, match="gone") as caught:
        await call
    assert caught.value is broken
    assert call.status == "skipped"


async def test_in_a_fan_in_it_is_skipped_with_the_error_of_its_input_as_cause():
    broken = OSError("gone")
    found = await fan_out(bind(add, fails(broken, 1.0), 1), gives("fine"), need=1)
    assert found["add"].status == "skipped"
    assert found["add"].error is broken
    assert found["add"].attempts == 0


async def test_the_skip_goes_down_the_whole_graph():
    broken = OSError("gone")
    last = bind(add, bind(add, bind(add, fails(broken), 1), 1), 1)
    with pytest.raises(OSError, match="gone"):
        await last
    async with Runtime() as runtime:
        with pytest.raises(OSError, match="gone"):
            await bind(add, bind(add, fails(broken), 1), 1)
        assert all_rows(runtime) == {"fails": ["failed"], "add": ["skipped", "skipped"]}


async def test_it_is_skipped_after_the_inputs_that_it_let_go_have_ended():
    async with no_orphans(), Runtime() as runtime:
        with pytest.raises(OSError, match="gone"):
            await bind(add, lingers(1, 100.0, 2.0), fails(OSError("gone"), 1.0))
        assert now() == 3.0
        assert all_rows(runtime)["lingers"] == ["cancelled"]
        nothing_held(runtime)


async def test_an_input_that_others_want_goes_on():
    shared = gives("still wanted", 2.0)
    found = await fan_out(bind(add, shared, fails(OSError(), 1.0)), shared, need=1)
    assert found["gives"].value == "still wanted"
    assert found["add"].status == "skipped"


async def test_a_bound_call_that_is_let_go_lets_its_inputs_go():
    async with no_orphans(), Runtime() as runtime:
        found = await fan_out(bind(add, hangs(), gives(1)), need=0, within=1.0)
        assert found["add"].status == "skipped"
        assert isinstance(found["add"].error, CallSkipped)
        assert all_rows(runtime)["hangs"] == ["cancelled"]
        nothing_held(runtime)


async def test_a_dropped_input_fails_the_bound_call_with_call_dropped():
    call = hangs()
    await fan_out(call, need=0, within=1.0)
    with pytest.raises(CallDropped):
        await bind(add, call, 1)


async def test_patterns_are_inputs_and_bound_calls_are_branches():
    @step
    async def count(found):
        return len(found.values())

    @step
    async def total(values):
        return sum(values)

    race = first(gives(1, 1.0), gives(2, 0.5))
    tree = tree_reduce(total, [gives(1), gives(2)], arity=2)
    counted = bind(count, fan_out(race, tree))
    assert await counted == 2


async def test_a_failing_pattern_skips_what_is_bound_to_it():
    @step
    async def never(_):
        raise AssertionError

    with pytest.raises(NotEnough):
        await bind(never, fan_out(fails(OSError())))


async def test_the_record_has_its_edges():
    async with Runtime() as runtime:
        left = gives(1)
        right = gives(2)
        await bind(add, left, right)
        rows = {row.call: row for row in runtime.runs[-1].record().calls}
        (bound,) = [row for row in rows.values() if row.step == "add"]
        assert [rows[edge].step for edge in bound.edges] == ["gives", "gives"]
        assert bound.start <= bound.end


async def test_inputs_below_a_list_are_refused_or_left_to_the_step():
    """Only arguments themselves are inputs: a list of calls reaches the step as it is."""

    @step
    async def takes(calls):
        return [await call for call in calls]

    assert await bind(takes, [gives(1), gives(2)]) == [1, 2]


async def test_a_plain_function_is_refused_with_an_example():
    async def plain(a):
        return a

    with pytest.raises(
        TypeError, match=r"bind takes a step and its arguments, such as bind\(merge"
    ):
        bind(plain, 1)


async def test_a_method_can_be_bound():
    class Adder:
        @step
        async def add(self, a, b):
            return a + b

    assert await bind(Adder().add, gives(1), gives(2)) == 3


async def test_its_warning_names_the_line_of_the_bind():
    call = bind(add, 1, 2)
    with pytest.warns(RuntimeWarning, match="call of 'add' was made and never awaited") as caught:
        del call
    assert caught[0].filename == __file__


async def test_two_bound_calls_in_a_circle_are_refused_when_the_second_asks():
    """A circle of bound calls cannot be written, but a body can await what waits for it."""
    later = {}

    @step
    async def awaits_its_consumer():
        await asyncio.sleep(1)
        return await later["consumer"]

    later["consumer"] = bind(add, awaits_its_consumer(), 1)
    from fanwise.errors import CircularWait

    with pytest.raises(CircularWait, match=r"awaits_its_consumer awaits add, which waits for"):
        await later["consumer"]
    assert now() == 1.0
    later.clear()


@pytest.mark.parametrize("ends", ["ok", "skipped"])
async def test_its_row_says_who_asked_for_it_where_that_is_not_who_made_it(ends):
    handed = []

    @step
    async def asks():
        await asyncio.sleep(1)
        return await asyncio.gather(handed[0], return_exceptions=True)

    @step
    async def makes():
        inner = gives(1, 1.0) if ends == "ok" else fails(OSError(), 1.0)
        handed.append(bind(add, inner, 2))
        await asks()

    async with Runtime() as runtime:
        await makes()
        rows = {row.step: row for row in runtime.runs[0].record().calls}
        assert rows["add"].status == ends
        assert rows["add"].facts["asked_by"] == rows["asks"].call
        assert rows["add"].edges == (rows["gives" if ends == "ok" else "fails"].call,)
    handed.clear()
