"""Law 9 for budgets: under any fan-out and nesting no more is used than a budget holds.

Nothing that was reserved is lost, nobody is refused whom a settlement could still serve, nobody
waits for what never comes, and the line is served in its order.
"""

import asyncio

from hypothesis import strategies as st

from fanwise.core import Budget, Hedge, Limit, Need, Retry, current, step
from fanwise.core._accounts import GRANTED, SPENT, WAIT, Line, MemoryAccount, Spend, added, fits
from fanwise.core._funded import Funded
from fanwise.core._spending import Spending
from fanwise.errors import BudgetSpent
from fanwise.patterns import fan_out
from tests.laws.proving import ORDERS, changed, holds, rejects, ticks, virtually

# Seconds that it takes, the most that it writes, eighths of that which it does write, its end.
LEAF = st.tuples(
    ticks(0, 4), st.integers(1, 5).map(lambda n: 8 * n), st.integers(0, 8),
    st.sampled_from(["ok", "ok", "flaky", "silent", "slow to stop"]),
)  # fmt: skip
# Its own budget, whether it holds a slot while it waits for its leaves, whether those want one.
GROUP = st.tuples(
    st.none() | st.integers(2, 12).map(lambda n: 8 * n), st.booleans(), st.booleans(),
    st.lists(LEAF, max_size=5),
)  # fmt: skip
PROGRAM = {
    "groups": st.lists(GROUP, min_size=1, max_size=3),
    "total": st.integers(1, 24).map(lambda n: 8 * n),
    "policy": st.sampled_from([{}, {"retry": Retry(attempts=2, shortest=0, longest=0)},
                               {"hedge": Hedge(after=0.25)}, {"timeout": 0.5}]),
    "enough": st.none() | st.integers(1, 3),
    "cancel_at": st.none() | ticks(0, 8),
    "drain_at": st.none() | ticks(0, 8),
    "order": ORDERS,
}  # fmt: skip


def never_overshoots(  # noqa: C901 - one program
    groups, total, policy, enough, cancel_at, drain_at, order
):
    truth = {}  # what was really written, by the budgets over it
    overshot = []

    def write(names, tokens):
        for name, most in names:
            truth[name] = truth.get(name, 0) + tokens
            if truth[name] > most:
                overshot.append((name, truth[name], most))

    @step(needs=lambda names, seconds, most, eighths, end: Need(0, 0, most, 0), **policy)
    async def leaf(names, seconds, most, eighths, end):
        used = most * eighths // 8
        write(names, used)
        if end != "silent":
            current().usage(tokens_out=used)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5 if end == "slow to stop" else 0)
            raise
        if end == "flaky":
            raise ConnectionError

    limited = leaf.using(limit="door")

    async def group(names, wants, leaves):
        fewest = None if enough is None or not leaves else min(enough, len(leaves))
        one = limited if wants else leaf
        return await fan_out(*[one(names, *each) for each in leaves], need=0, enough=fewest)

    @step
    async def main():
        calls = []
        for index, (inner, has, wants, leaves) in enumerate(groups):
            names = [("run", total)] + ([] if inner is None else [(index, inner)])
            budget = None if inner is None else Budget(tokens=inner)
            made = step(budget=budget, limit="door" if has else None)(group)
            calls.append(made(names, wants, leaves))
        return await fan_out(*calls, need=0)

    async def program(runtime):
        task = asyncio.create_task(runtime.run(main(), budget=Budget(tokens=total)))
        loop = asyncio.get_running_loop()
        if cancel_at is not None:
            loop.call_at(cancel_at, task.cancel)
        if drain_at is not None:
            loop.call_at(drain_at, runtime.drain)
        await asyncio.wait([task])
        await asyncio.sleep(10)
        assert not overshot
        account = runtime.runs[0].budgets[0]
        assert not account.statistics().reserved_tokens, "a reservation is lost"
        assert account.statistics().used_tokens >= truth.get("run", 0)
        assert not account.line.count
        spending = runtime.spending
        assert (spending.holds, spending.holders, spending.open) == ({}, {}, {})
        assert not spending.idle
        assert not any(width.used for width in runtime.widths.values()), "a slot is lost"

    virtually(program, order=order, limits={"door": Limit(at_once=1)})


def test_law_9_holds_for_budgets():
    holds(never_overshoots, **PROGRAM, examples=120)


def rejected(*changes, **narrowed):
    rejects(never_overshoots, **PROGRAM | narrowed, mutant=changed(*changes), examples=500)


def test_budgets_reject_an_account_that_is_not_asked():
    rejected((MemoryAccount, "judge", lambda self, most: GRANTED))


def test_budgets_reject_a_take_apart_from_its_check():
    async def take(self, hold):
        hold.worst = self.worst.of(hold.call, hold.need, hold.accounts)
        for account in hold.accounts:
            if account.judge(hold.worst.spend) != GRANTED:
                return account
        await asyncio.sleep(0)
        for account in hold.accounts:
            account._held[hold.number] = hold.worst.spend
            account._reserved = added(account._reserved, hold.worst.spend)
        return None

    rejected((Spending, "_take", take))


def test_budgets_reject_an_inner_one_that_takes_nothing_from_the_outer():
    over = Spending.over
    rejected((Spending, "over", lambda self, call, scope: over(self, call, scope)[:1]))


def test_budgets_reject_an_outer_one_that_is_asked_alone():
    over = Spending.over
    rejected((Spending, "over", lambda self, call, scope: over(self, call, scope)[-1:]))


def test_budgets_reject_a_silent_end_that_counts_as_nothing():
    used = Spending._used

    def generous(self, hold, attempt, error):
        found = used(self, hold, attempt, error)
        return Spend() if found == hold.worst.spend else found

    rejected((Spending, "_used", generous))


def test_budgets_reject_a_settlement_that_forgets_what_was_used():
    def forgets(self, number, used):
        held = self._held.pop(number, None)
        if held is not None:
            self._reserved = Spend(self._reserved.tokens - held.tokens, 0)
            self.line.wake()

    rejected((MemoryAccount, "settle", forgets))


def test_budgets_reject_attempts_that_settle_late():
    settle = Spending.settle

    def late(self, hold, attempt, error):
        asyncio.get_running_loop().call_later(20, settle, self, hold, attempt, error)
        return Spend()

    rejected((Spending, "settle", late))


def test_budgets_reject_hedges_and_retries_without_a_reservation():
    attempt = Funded.attempt

    async def only_the_first(self, each):
        if each.hedge or self.call.attempts:
            self.accounts = ()
        return await attempt(self, each)

    rejected((Funded, "attempt", only_the_first), (Funded, "has_room", lambda self: True))


def test_budgets_reject_a_settlement_that_wakes_nobody():
    rejected((Line, "wake", lambda self: None))


def test_budgets_reject_a_cancel_that_leaves_its_place():
    def stays(self, turn):
        if turn.future is None or not turn.future.cancelled():
            leave(self, turn)

    leave = Line.leave
    rejected((Line, "leave", stays))


CROSSED = {  # leaves that want what a group holds, and leaves of that group
    "groups": st.lists(LEAF, min_size=1, max_size=3).flatmap(
        lambda leaves: st.just([(None, False, True, leaves), (None, True, False, leaves)])
    ),
    "cancel_at": st.none(), "drain_at": st.none(), "enough": st.none(),
}  # fmt: skip


def test_budgets_reject_a_reservation_that_waits_for_a_limit_for_itself():
    rejected((Spending, "_borrow", lambda self, account, spend: False), **CROSSED)


def test_budgets_reject_what_was_lent_and_is_used_all_the_same():
    async def forgets(self, hold):
        hold.lent = False

    rejected((Spending, "regain", forgets), **CROSSED)


TWICE = {
    "amounts": st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8),
    "total": st.integers(1, 60),
}


def counts_once(amounts, total):
    """An account by itself: settlements that are sent again, or late, change nothing."""
    account = MemoryAccount("budget", Budget(tokens=total), lambda: 0.0)
    used = 0
    for number, (most, share) in enumerate(amounts):
        if account.reserve_nowait(number, Spend(most)) == GRANTED:
            true = min(most, share)
            used += true
            account.settle(number, Spend(true))
            account.settle(number, Spend(0))
            account.settle(number - 1, Spend(0))
        counters = account.statistics()
        assert counters.used_tokens == used
        assert counters.reserved_tokens == 0
        assert used <= total


def test_accounts_count_once():
    holds(counts_once, **TWICE)


def test_accounts_reject_a_refund_that_comes_twice():
    def twice(self, number, used):
        held = self._held.get(number)
        if held is not None:
            self._reserved = Spend(self._reserved.tokens - held.tokens, 0)
            self._used = added(self._used, used)

    rejects(counts_once, **TWICE, mutant=changed((MemoryAccount, "settle", twice)))


SERVED = {
    "leaves": st.lists(
        st.tuples(ticks(1, 8), st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12
    ),
    "total": st.integers(1, 20),
    "order": ORDERS,
}


def in_order_and_not_in_vain(leaves, total, order):
    """One line: served in order, waiting as long as it may help, refused when nothing would."""
    begun = []

    @step(needs=lambda index, seconds, most, used: Need(0, 0, most, 0))
    async def leaf(index, seconds, most, used):
        begun.append(index)
        true = min(most, used)
        current().usage(tokens_out=true, tokens_in=0)
        await asyncio.sleep(seconds)

    @step
    async def main():
        return await fan_out(*[leaf(n, *each) for n, each in enumerate(leaves)], need=0)

    async def program(runtime):
        found = await runtime.run(main(), budget=Budget(tokens=total))
        account = runtime.runs[0].budgets[0]
        used = sum(min(leaves[index][1], leaves[index][2]) for index in begun)
        assert account.statistics().used_tokens == used <= total
        assert begun == sorted(begun), "somebody passed another"
        for outcome in found.outcomes:
            if outcome.status != "ok":
                assert outcome.status == "skipped"
                assert isinstance(outcome.error, BudgetSpent)
                most = leaves[outcome.index][1]
                before = [i for i in begun if i < outcome.index]
                least = sum(min(leaves[i][1], leaves[i][2]) for i in before)
                assert least + most > total, "refused, though enough would have come back"

    virtually(program, order=order)


def test_lines_of_budgets_hold():
    holds(in_order_and_not_in_vain, **SERVED, examples=150)


def served(*changes):
    rejects(in_order_and_not_in_vain, **SERVED, mutant=changed(*changes), examples=500)


def test_lines_of_budgets_reject_who_passes_another():
    served((Line, "is_ahead_of", lambda self, ticket: False))


def test_lines_of_budgets_reject_a_refusal_of_what_would_come_back():
    def hasty(self, most):
        taken = added(self._used, self._reserved)
        return GRANTED if fits(added(taken, most), self._total) else SPENT

    served((MemoryAccount, "judge", hasty))


def test_lines_of_budgets_reject_a_wait_for_what_never_comes():
    def patient(self, most):
        taken = added(self._used, self._reserved)
        return GRANTED if fits(added(taken, most), self._total) else WAIT

    served((MemoryAccount, "judge", patient))


def test_lines_of_budgets_reject_a_line_served_from_its_end():
    served((Line, "head", lambda self: max((t for t in self._turns if not t.gone), default=None)))
