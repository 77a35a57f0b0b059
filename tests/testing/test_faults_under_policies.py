"""Whatever a script does, the engine keeps its word: rows, slots, nothing left over."""

import asyncio

from hypothesis import strategies as st

from fanwise import Hedge, Limit, Retry, fan_map, fan_out, step
from fanwise.core import _attempts, _bodies
from fanwise.testing import faults
from fanwise.testing.faults import Script
from tests.laws.proving import ORDERS, changed, holds, rejects, replaced, ticks, virtually

SECONDS = ticks(0, 8)
KIND = st.one_of(
    st.builds(lambda after: faults.fails(after=after), SECONDS),
    st.builds(lambda after: faults.fails(asyncio.CancelledError, after=after), SECONDS),
    st.builds(lambda after: faults.fails(ValueError, after=after), SECONDS),
    st.builds(lambda after: faults.gives(0, after=after), SECONDS),
    st.builds(lambda after: faults.loses_reply(after=after), SECONDS),
    st.builds(lambda wait: faults.refuses(retry_after=wait), SECONDS),
    st.builds(faults.slow, SECONDS),
    st.builds(faults.deaf, SECONDS),
    st.builds(faults.hangs),
)
CONDITION = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"attempt": st.integers(1, 2)}),
    st.fixed_dictionaries({"call": st.integers(1, 4)}),
    st.fixed_dictionaries({"most": st.integers(1, 3)}),
    st.fixed_dictionaries({"share": st.sampled_from([0.25, 0.5])}),
    st.just({"between": (0.25, 1.5)}),
)
FAULT = st.builds(lambda fault, condition: fault.only(**condition), KIND, CONDITION)
RULE = st.one_of(
    FAULT,
    st.builds(lambda one, other: one | other, FAULT, FAULT),
    st.lists(st.one_of(st.none(), FAULT), min_size=1, max_size=4),
)
POLICY = st.fixed_dictionaries(
    {
        "timeout": ticks(1, 4),
        "retry": st.sampled_from([None, Retry(attempts=3, shortest=0.25)]),
        "hedge": st.sampled_from([None, Hedge(after=0.25)]),
        "limit": st.sampled_from([None, "shared"]),
    }
)
PROGRAM = {
    "rules": st.fixed_dictionaries({"leaf": RULE, "twig": RULE}),
    "policies": st.fixed_dictionaries({"leaf": POLICY, "twig": POLICY}),
    "within": st.one_of(st.none(), ticks(1, 8)),
    "order": ORDERS,
}


def keeps_its_word(rules, policies, within, order):
    @step(**policies["leaf"])
    async def leaf(number):
        await asyncio.sleep(0.25)
        return number

    @step(**policies["twig"])
    async def twig(number):
        await asyncio.sleep(0.5)
        return number

    @step
    async def both(number):
        found = await fan_out(leaf(number), twig(number), need=1, within=within)
        return found.values()

    async def program(runtime):
        with Script(rules, allow_unused=True) as script:
            await runtime.run(fan_map(both, range(4), at_once=3, need=0))
        run = runtime.runs[-1]
        record = run.record()
        assert sorted(row.call for row in record.calls) == list(range(run.calls))
        # Every attempt asked the script, once.
        attempts = sum(row.attempts for row in record.calls if row.pattern is None)
        assert attempts == sum(script.steps.values()) >= len(script.happened)
        assert not runtime.statistics().running
        for limit in runtime.statistics().limits:
            assert (limit.in_flight, limit.waiting) == (0, 0)

    virtually(program, order=order, limits={"shared": Limit(at_once=2)})


def test_it_holds():
    holds(keeps_its_word, **PROGRAM, examples=150)


def test_an_engine_that_keeps_a_slot_after_a_failure_is_rejected():
    give = _attempts.Execution.give_slots

    def greedy(self, attempt):
        if self.call.attempts < 2:
            give(self, attempt)

    rejects(
        keeps_its_word,
        **PROGRAM,
        mutant=changed((_attempts.Execution, "give_slots", greedy)),
    )


def test_an_engine_that_asks_once_a_call_is_rejected():
    run_body = _bodies.run_body

    async def once(call, attempt):
        return await (run_body if call.attempts < 2 else _bodies._own_body)(call, attempt)

    rejects(keeps_its_word, **PROGRAM, mutant=replaced(run_body, once))
