"""Shared limits that change while processes use them, not all of them at once."""

import asyncio

import pytest

from fanwise import Limit, Runtime, current, fan_map, step
from fanwise.core import Need
from fanwise.stores import SharedLimits
from fanwise.testing import run_virtual
from tests.stores.workers import memory_board

SMALL, LARGE = (Limit(tokens_per_minute=rate, burst=30.0) for rate in (600, 6_000))
ADMITTED = []


@step(limit="smart", needs=Need(20, 10))
async def ask(number):
    ADMITTED.append((asyncio.get_running_loop().time(), 30))
    await asyncio.sleep(1.0)
    current().usage(model="m", tokens_in=20, tokens_out=10)


def most(admitted, size, rate):
    """How much more than size + rate * t some window saw (below 0: less), by a leaky bucket."""
    level = worst = before = 0.0
    for at, tokens in sorted(admitted):
        level = max(0.0, level - rate / 60 * (at - before)) + tokens
        worst, before = max(worst, level), at
    return worst - size


async def asked(runtime, calls=4_000):
    try:
        await runtime.run(fan_map(ask, range(calls), at_once=60))
    except asyncio.CancelledError:
        return


@pytest.mark.parametrize(("first", "then"), [(SMALL, LARGE), (LARGE, SMALL)])
def test_while_workers_have_other_numbers_no_window_sees_more_than_the_larger_allows(first, then):
    async def main():
        board = memory_board()
        ADMITTED.clear()
        async with (
            Runtime(limits={"smart": first}, shared=SharedLimits(board)) as here,
            Runtime(limits={"smart": first}, shared=SharedLimits(board)) as there,
        ):
            working = [asyncio.create_task(asked(each)) for each in (here, there)]
            await asyncio.sleep(60.0)
            here.reload({"smart": then})  # and nobody told the other
            await asyncio.sleep(60.0)
            there.reload({"smart": then})
            changed = asyncio.get_running_loop().time()
            await asyncio.sleep(600.0)
            (standing,) = await board.standing()
            for each in working:
                each.cancel()
            await asyncio.wait(working)
        return changed, standing

    changed, standing = run_virtual(main())
    assert standing.sizes == {"tokens_per_minute": then.tokens_per_minute / 2}
    assert most(ADMITTED, LARGE.tokens_per_minute / 2, LARGE.tokens_per_minute) <= 1e-6
    runs_off = LARGE.tokens_per_minute * LARGE.burst / then.tokens_per_minute
    settled = [each for each in ADMITTED if each[0] > changed + runs_off]
    assert most(settled, then.tokens_per_minute / 2, then.tokens_per_minute) <= 1e-6
    used = sum(tokens for _, tokens in settled) / (then.tokens_per_minute * (600 - runs_off) / 60)
    assert used > 0.9, "both use all of it, once what was spent before has run off"


def test_what_cannot_be_counted_changes_nothing():
    async def main():
        async with Runtime(limits={"smart": LARGE}, shared=SharedLimits(memory_board())) as runtime:
            await runtime.run(ask(1))
            fine = Limit(requests_per_minute=999_983, burst=86_400)
            with pytest.raises(ValueError, match="too fine to be counted exactly"):
                runtime.reload({"smart": fine})
            assert runtime.definitions == {"smart": LARGE}
            await runtime.run(ask(1))

    run_virtual(main())


def test_a_charge_that_changes_loses_nothing():
    async def main():
        board = memory_board()
        async with Runtime(limits={"smart": SMALL}, shared=SharedLimits(board)) as runtime:
            run = runtime.start(fan_map(ask, range(8), at_once=8))
            await asyncio.sleep(0.5)
            early = Limit(tokens_per_minute=600, burst=30.0, charge="admission")
            runtime.reload({"smart": early})
            await run.wait()
            gate = runtime.widths["smart"].gate
            assert not gate._purse.held
            assert gate._purse.kept == [0, 0, 0, 0]
            runtime.reload({"smart": SMALL})
            await runtime.run(fan_map(ask, range(8), at_once=8))
            assert gate._purse.kept == [0, 0, 0, 0]

    run_virtual(main())
