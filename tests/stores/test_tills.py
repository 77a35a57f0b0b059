"""Budgets of tenants that processes share: the script and its twin, and runtimes over both."""

import asyncio
from functools import partial

import pytest
from hypothesis import strategies as st

from fanwise import Budget, Runtime, current, fan_map, step
from fanwise.core import Need
from fanwise.core._accounts import Spend, Total
from fanwise.errors import BudgetSpent
from fanwise.stores import MemoryBoard, SharedLimits, redis_board
from fanwise.stores._accounts import SharedAccount
from fanwise.stores._redis import RedisBoard
from fanwise.stores._redis_till import SCRIPT
from fanwise.stores._till import DAY, Book, MemoryTill, Sheet, Till, check_exact
from fanwise.testing import run_virtual
from tests.laws.proving import BROKEN, changed, holds, rejects

START = 40_000 * DAY + 5  # milliseconds: a day of the year 2079, as what has expired is not there

spends = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: Spend(*pair))
ACTS = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from("abcdef"), spends),
    st.tuples(st.just("settle"), st.sampled_from("abcdef"), spends),
    st.tuples(st.just("pass"), st.sampled_from([1, 400, 1000, DAY // 3, DAY]), st.none()),
)
SHEETS = st.builds(
    Sheet, st.just("acme"),
    st.builds(Total, st.none() | st.integers(0, 20), st.none() | st.integers(0, 20)),
    daily=st.booleans(), lapse=st.just(1000),
)  # fmt: skip
PROGRAM = {"acts": st.lists(ACTS, max_size=30), "sheet": SHEETS}


async def answers(till: Till, sheet, acts, travel):
    """Give what a till answers to questions."""
    found = []
    now = START
    await travel(now)
    for act, what, spend in acts:
        if act == "pass":
            now += what
            await travel(now)
        elif act == "reserve":
            found.append(await till.reserve(sheet, what, spend))
        else:
            found.append(await till.settle(sheet, what, spend))
    return found


def agree(acts, sheet, *, server, script=SCRIPT):
    """Both tills answer every question alike."""

    async def over_redis():
        board = RedisBoard(server.url, prefix="agree", timeout=5.0)
        try:
            till = board.till()
            seconds = script.replace("redis.call('TIME')", "{redis.call('GET', 'clock'), 0}")
            exact = seconds.replace(
                "tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)",
                "tonumber(clock[1])",
            )
            assert exact != script
            till._script = board._client.register_script(exact)
            await board._client.delete(till.key("budget/acme"))

            async def travel(now):
                await board._client.set("clock", now)

            return await answers(till, sheet, acts, travel)
        finally:
            await board.aclose()

    async def in_memory():
        clock = [0]
        till = MemoryTill(lambda: clock[0] * 1000)

        async def travel(now):
            clock[0] = now

        return await answers(till, sheet, acts, travel)

    assert asyncio.run(over_redis()) == asyncio.run(in_memory())


@pytest.mark.live("redis")
@pytest.mark.real_clock
@pytest.mark.blocking_ok
@pytest.mark.timeout(60)
class TestAgreement:
    def test_script_and_twin_agree(self, server):
        holds(lambda acts, sheet: agree(acts, sheet, server=server), **PROGRAM, examples=100)

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("if held then return answer(GRANTED, 0) end", ""),
            ("redis.call('HDEL', KEYS[1], entry)", ""),
            ("if book[1] < day then", "if false then"),
            ("+ lapse <= now then", "+ lapse <= 0 then"),
            ("book[2] + book[4], book[3] + book[5])", "book[2], book[3])"),
            ("book[4], book[5] = book[4] - tonumber(t), book[5] - tonumber(n)", ""),
            ("used_money + money <= total_money", "true"),
        ],
    )
    def test_another_script_is_found(self, server, right, wrong):
        assert right in SCRIPT
        broken = SCRIPT.replace(right, wrong)
        rejects(
            lambda acts, sheet: agree(acts, sheet, server=server, script=broken),
            **PROGRAM, mutant=changed(), examples=300,
        )  # fmt: skip


class FarTill(MemoryTill):
    """A till as on a server: each answer takes its time."""

    async def reserve(self, sheet, number, most):
        await asyncio.sleep(0.001)
        told = await super().reserve(sheet, number, most)
        await asyncio.sleep(0.001)
        return told

    async def settle(self, sheet, number, used):
        await asyncio.sleep(0.003)
        return await super().settle(sheet, number, used)

    async def listen(self, sheet, wake):
        await asyncio.sleep(0.05)
        await super().listen(sheet, wake)


class FarBoard(MemoryBoard):
    """A board with such a till."""

    def till(self):
        if not isinstance(self._till, FarTill):
            self._till = FarTill(self.clock)
        return self._till


BOARDS = {"memory": MemoryBoard, "far": FarBoard}


def over(where, server=None):
    """Give what makes the shared limits of one process after the other, over one board."""
    if where not in BOARDS:
        return lambda: SharedLimits(redis_board(server.url, prefix=where))
    board = BOARDS[where](lambda: round(asyncio.get_running_loop().time() * 1e6) + START * 1000)
    return partial(SharedLimits, board)


def counted(where):
    """Let two processes share a budget in memory: what is counted is what was used."""

    async def main():
        shared = over(where)
        used = await two_processes(shared)
        (book,) = shared.args[0].till().books.values()
        assert book.used.tokens == used
        assert not book.held

    run_virtual(main(), horizon=10_000)


async def two_processes(shared):
    """Run two runtimes of one tenant, each with forty calls at once."""
    truth = []

    @step(needs=Need(0, 0, 10, 0))
    async def ask(number):
        await asyncio.sleep(0.01)
        truth.append(2 + number % 5)
        current().usage(tokens_out=truth[-1])

    async def process():
        budget = Budget(tokens=200, per="day")
        async with Runtime(shared=shared(), budgets={"acme": budget}, limits={}) as runtime:
            mapped = fan_map(ask, range(40), at_once=40, need=0)
            return await runtime.run(mapped, tenant="acme")

    found = await asyncio.gather(process(), process())
    gaps = [gap for each in found for gap in each.outcomes if gap.status != "ok"]
    assert all(isinstance(gap.error, BudgetSpent) for gap in gaps)
    assert 190 < sum(truth) <= 200
    return sum(truth)


@pytest.mark.parametrize("where", BOARDS)
def test_processes_share_a_budget(where):
    counted(where)


@pytest.mark.live("redis")
@pytest.mark.real_clock
@pytest.mark.timeout(60)
async def test_processes_share_a_budget_over_redis(server):
    shared = over("shared", server)
    used = await two_processes(shared)
    async with Runtime(
        shared=shared(), budgets={"acme": Budget(tokens=200, per="day")}, limits={}
    ) as later:

        @step(needs=Need(0, 0, 10, 0))
        async def ask():
            raise AssertionError("it ran")

        with pytest.raises(BudgetSpent, match=f"tenant acme {200 - used} tokens are left"):
            await later.run(ask(), tenant="acme")


def rejected(*changes, where="memory"):
    with changed(*changes), pytest.raises(BROKEN):
        counted(where)


def test_a_budget_that_is_not_asked_elsewhere_is_found():
    rejected((SharedAccount, "reserve_nowait", lambda self, number, most: 0))


def test_an_answer_that_was_given_to_another_is_found():
    async def hasty(self, number, most):
        self._known = await self._till.reserve(self._sheet, self._id(number), most)
        if self._known.verdict == 1:
            await self._watch(self._known.wait / 1000)
        return self._known.verdict

    rejected((SharedAccount, "reserve", hasty), where="far")


def test_a_settlement_that_is_lost_is_found():
    rejected((SharedAccount, "settle", lambda self, number, used: None))


def test_a_till_that_wakes_nobody_is_found():
    async def deaf(self, sheet, wake):
        pass

    async def process_waits():
        assert await waits_for_another(over("memory")) < 2

    with changed((MemoryTill, "listen", deaf)), pytest.raises(AssertionError):
        run_virtual(process_waits())
    run_virtual(process_waits())


async def waits_for_another(shared):
    """Let one process wait for what another gives back; give the seconds that it took."""
    began = asyncio.get_running_loop().time()

    @step(needs=Need(0, 0, 10, 0))
    async def ask(seconds):
        await asyncio.sleep(seconds)
        current().usage(tokens_out=1)

    budgets = {"acme": Budget(tokens=12, per="day")}
    async with (
        Runtime(shared=shared(), budgets=budgets, limits={}) as one,
        Runtime(shared=shared(), budgets=budgets, limits={}) as other,
    ):
        first = one.start(ask(1.0), tenant="acme")
        await asyncio.sleep(0.1)
        await other.run(ask(0.0), tenant="acme")
        await first.wait()
    return asyncio.get_running_loop().time() - began


def test_what_a_killed_worker_had_reserved_counts_as_used():
    async def main():
        clock = [START]
        till = MemoryTill(lambda: clock[0] * 1000)
        sheet = Sheet("acme", Total(12, None))
        assert (await till.reserve(sheet, "killed", Spend(10))).verdict == 0
        waiting = await till.reserve(sheet, "other", Spend(10))
        assert (waiting.verdict, waiting.wait) == (1, sheet.lapse)
        clock[0] += sheet.lapse
        assert (await till.reserve(sheet, "other", Spend(10))).verdict == 2
        assert (await till.reserve(sheet, "small", Spend(2))).verdict == 0

    run_virtual(main())


@pytest.mark.live("redis")
@pytest.mark.real_clock
async def test_without_the_server_nothing_is_admitted(own_server):
    @step(needs=Need(0, 0, 10, 0))
    async def ask():
        current().usage(tokens_out=1)

    shared = SharedLimits(redis_board(own_server.url, timeout=0.2))
    budgets = {"acme": Budget(tokens=100)}
    async with Runtime(shared=shared, budgets=budgets, limits={}) as runtime:
        await runtime.run(ask(), tenant="acme")
        own_server.stop()
        with pytest.raises(ConnectionError, match="the budget of the tenant acme cannot be asked"):
            await runtime.run(ask(), tenant="acme")
        own_server.start()
        await runtime.run(ask(), tenant="acme")


def test_what_cannot_be_counted_exactly_is_refused():
    with pytest.raises(ValueError, match="too large to be counted exactly"):
        check_exact("acme", Total(None, 1 << 53))
    assert "used" in repr(Book(0))


def test_of_many_tenants_those_that_nobody_uses_are_forgotten(monkeypatch):
    monkeypatch.setattr("fanwise.core._funds.MOST_TENANTS", 5)

    @step(needs=Need(0, 0, 10, 0))
    async def ask(seconds):
        await asyncio.sleep(seconds)
        current().usage(tokens_out=10)

    async def main():
        shared = over("memory")()
        budgets = {"*": Budget(tokens=20, per="day")}
        async with Runtime(shared=shared, budgets=budgets, limits={}) as runtime:
            kept = runtime.start(ask(5.0), tenant="kept")
            for number in range(20):
                await runtime.run(ask(0.0), tenant=f"t{number}")
            await kept.wait()
            assert len(runtime.spending.tenants) == len(shared._accounts) <= 6
            assert "kept" in shared._accounts
            await runtime.run(ask(0.0), tenant="t0")  # which the till still knows
            with pytest.raises(BudgetSpent):
                await runtime.run(ask(0.0), tenant="t0")

    run_virtual(main())
