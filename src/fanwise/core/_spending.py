"""What attempts reserve of the budgets over them, wait for and settle.

Problem: a budget must not be overshot by any number of attempts at once, under budgets within
budgets; nothing may be held by one who waits; and nobody may wait for what never comes.
Method: an attempt takes its worst case of every account over it in one instant, or of none, and
then waits at the first account that lacks it. Each account has a line, first come first served: who
stands in one keeps the number that it came with when it has to go on to another. A settlement wakes
the head of its line, which asks again. Whoever could not be served if all that is reserved flowed
back is refused, with BudgetSpent; and whoever waits for itself, since what it lacks is reserved by
one who waits for it, with BudgetHeld: so reservations are for the innermost calls.
Cost: one pass over the accounts of an attempt, each settlement the heads of as many lines.
Rejected: one lock around all accounts (a call that waits for one tenant would hold up the others),
letting small requests pass a large one at the head (that would starve), and to divide a budget
among branches beforehand (what one does not use another lacks).
"""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from fanwise.core._accounts import (
    GRANTED,
    SPENT,
    WAIT,
    Left,
    MemoryAccount,
    Spend,
    Total,
    Turn,
    added,
    dollars_of,
    least,
    nanodollars_of,
)
from fanwise.core._errors import BudgetHeld, BudgetSpent, BudgetUnpriced, CallSkipped
from fanwise.core._funded import Funded, Opening
from fanwise.core._holds import NOTHING, Ahead, Hold, in_doubt, refusal, was_free
from fanwise.core._protocols import PREPAID
from fanwise.core._record import add_wait, note
from fanwise.core._scope import CURRENT
from fanwise.core._settlement import may_be_charged, share_of
from fanwise.core._watchers import waiting_for
from fanwise.core._worst import WorstCases, unpriced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fanwise.core._accounts import Account, BudgetStatistics
    from fanwise.core._attempts import Execution
    from fanwise.core._budget import Budget
    from fanwise.core._call import Call
    from fanwise.core._limits import LimitEvents
    from fanwise.core._protocols import Need
    from fanwise.core._run import Run
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Attempt, Scope
    from fanwise.core._settlement import Told

MOST_TENANTS = 10_000  # beyond, those whose day is over are forgotten


class Spending:
    """The budgets of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        """Know no budget yet."""
        wall, began = time.time(), runtime.time()
        self.runtime = runtime
        self._wall = wall - began
        self.worst = WorstCases(runtime.bills, self.unix)
        self.holds: dict[Attempt, Hold] = {}
        self.holders: dict[Call[Any], list[Hold]] = {}
        self.open: dict[Account, None] = {}
        self.tenants: dict[str, Account] = {}
        self.undeclared: set[str] = set()
        self._numbers = count(1)
        self._turns: set[Turn] = set()
        runtime.on_drain[self.drain] = None

    def unix(self) -> float:
        """Give the time, which moves with a virtual clock."""
        return self._wall + self.runtime.time()

    # Accounts

    def execution(self, call: Call[Any], scope: Scope) -> Execution:
        """Give what runs a call under the budgets over it, one of its own step among them."""
        budget = call.policy.budget
        if budget is None:
            return Funded(call, scope, self)
        run = call.run
        if not run.budgeted:
            begin(run)
        name = f"budget of the step {call.step.name} (call {call.id})"
        run.accounts[scope] = self.make(name, budget)
        return Opening(call, scope, self)

    def fund(self, run: Run, budget: Budget | None) -> None:
        """Put a run under its own budget, and those of its starter, its tenant, the runtime."""
        found: list[Account] = []
        if budget is not None:
            found.append(self.make(f"budget of the run {run.id}", budget))
        here = CURRENT.get()
        if here is not None and here.call is not None and here.run.runtime is self.runtime:
            found += self.over(here.call, here.call.scope)
        for account in (self._of_tenant(run.share.tenant), self._of_runtime()):
            if account is not None and account not in found:
                found.append(account)
        if found:
            begin(run)
            run.budgets = tuple(found)

    def close(self, run: Run) -> None:
        """Close what was open for a run that is over."""
        if run.budgets and run.budgets[0].name == f"budget of the run {run.id}":
            self.open.pop(run.budgets[0], None)

    def _of_runtime(self) -> Account | None:
        budget = self.runtime.budget
        if budget is None:
            return None
        account = self.tenants.get("")
        if account is None:
            account = self.tenants[""] = self.make("budget of the runtime", budget)
        return account

    def _of_tenant(self, tenant: str | None) -> Account | None:
        """Give the account of a tenant; every one that a pattern fits has one of its own."""
        if not tenant:
            return None
        account = self.tenants.get(tenant)
        if account is None:
            budget = self.runtime.budget_of(tenant)
            if budget is None:
                return None
            if len(self.tenants) >= MOST_TENANTS:
                self._forget_tenants()
            shared = getattr(self.runtime.gates, "account", None)
            if shared is None:
                account = self.make(f"budget of the tenant {tenant}", budget)
            else:
                account = shared(tenant, budget)
                self.open[account] = None
            self.tenants[tenant] = account
        return account

    def _forget_tenants(self) -> None:
        for tenant in [name for name, account in self.tenants.items() if account.is_past()]:
            self.open.pop(self.tenants.pop(tenant), None)

    def make(self, name: str, budget: Budget) -> MemoryAccount:
        """Open an account of this process."""
        account = MemoryAccount(name, budget, self.unix)
        self.open[account] = None
        return account

    def over(self, call: Call[Any], scope: Scope | None) -> tuple[Account, ...]:
        """Give the accounts over a call with its scope, innermost first."""
        run = call.run
        found: list[Account] = []
        if run.accounts:
            here = scope
            while here is not None:
                account = run.accounts.get(here)
                if account is not None:
                    found.append(account)
                above = call if here is scope else here.call
                here = None if above is None else above.owner
        return (*found, *run.budgets)

    # Reservations

    async def reserve(
        self, call: Call[Any], accounts: tuple[Account, ...], need: Need | None = None,
        *, hedge: bool = False,
    ) -> Hold:  # fmt: skip
        """Reserve the worst case of an attempt of every account, or wait; a `hedge` never waits.

        `need` is what it needs (`None`: what its step says, when its turn comes).

        Cancelled, it takes nothing. Raises BudgetSpent where enough can never be left.
        """
        hold = Hold(call, accounts, need, next(self._numbers))
        await self._have_prices(hold.need, accounts)
        short = await self._take(hold)
        if short is not None:
            if hedge:
                raise refusal(hold, short)
            await self._wait(hold, short)
        self.holders.setdefault(call, []).append(hold)
        return hold

    async def ahead(self, call: Call[Any], needs: Sequence[Need], tier: str | None) -> Ahead | None:
        """Reserve for requests that `call` makes at once; `None` where it is under no budget."""
        accounts = self.over(call, call.scope)
        if not accounts or not needs:
            return None
        await self._have_prices(needs[0], accounts)
        most = min(account.budget.most for account in accounts)
        need = self.worst.together(needs, most, tier)
        money = any(account.budget.dollars is not None for account in accounts)
        if need.dollars is None and money:
            raise BudgetUnpriced(unpriced(call.step.name, f"{needs[0].model} ({tier})"))
        return Ahead(self, await self.reserve(call, accounts, need))

    def has_room(self, call: Call[Any], accounts: tuple[Account, ...], need: Need) -> bool:
        """Say whether `reserve` would have it at once, as far as is known here."""
        spend = self.worst.of(call, need, accounts).spend
        for account in accounts:
            tokens, money = account.left()
            short = tokens is not None and spend.tokens > tokens
            if short or (money is not None and spend.nanodollars > money) or account.line.count:
                return False
        return True

    async def _have_prices(self, need: Need, accounts: tuple[Account, ...]) -> None:
        """Load the known prices, where one is asked for and nothing is known yet."""
        money = any(account.budget.dollars is not None for account in accounts)
        if not money or need.model is None or need.dollars is not None:
            return
        table = self.runtime.bills.table
        if self.runtime.threads is not None and not table.at_hand(need.model):
            await asyncio.to_thread(table.load)

    async def _take(self, hold: Hold) -> Account | None:
        """Take of every account, or of none: give the one that lacks it, for now.

        Raises BudgetSpent where one lacks it for good.
        """
        hold.worst = self.worst.of(hold.call, hold.need, hold.accounts)
        spend = hold.worst.spend
        lacking = self._lacking(hold) if any(spend) else None  # nothing waits for nobody
        if lacking is not None:
            return lacking
        taken: list[Account] = []
        short: Account | None = None
        verdict = SPENT
        try:
            for account in hold.accounts:
                short = account
                verdict = await self._take_of(account, hold.number, spend)
                if verdict != GRANTED:
                    break
                taken.append(account)
                short = None
        finally:
            if short is not None:
                for account in taken:
                    account.settle(hold.number, NOTHING)
        if short is not None and verdict == SPENT:
            known = self.worst.of(hold.call, hold.need, hold.accounts)
            if known.spend == spend:
                raise self._spent(hold, short)
            return await self._take(hold)  # who was asked elsewhere told how much is left
        return short

    def _lacking(self, hold: Hold) -> Account | None:
        """Give the first account that is known to lack it, or for which others wait."""
        for account in hold.accounts:
            verdict = account.judge(hold.worst.spend)
            if verdict == SPENT:
                raise self._spent(hold, account)
            if verdict == WAIT or account.line.is_ahead_of(hold.number):
                return account
        return None

    async def _take_of(self, account: Account, number: int, spend: Spend) -> int:
        verdict = account.reserve_nowait(number, spend)
        return await account.reserve(number, spend) if verdict is None else verdict

    async def _wait(self, hold: Hold, short: Account) -> None:
        """Wait in the line of the account that lacks it, until it has what every account has."""
        call, tell = hold.call, self.runtime.tell_limit
        began = self.runtime.time()
        at: Account | None = short
        tell("waits", short.name, 0.0, call.run, call.id)
        ended: LimitEvents = "left"
        try:
            while at is not None:
                self._refuse_held(call, at)
                at = await self._turn(hold, at)
            ended = "admitted"
        finally:
            seconds = self.runtime.time() - began
            add_wait(call, "budget", seconds)
            tell(ended, short.name, seconds, call.run, call.id)

    async def _turn(self, hold: Hold, account: Account) -> Account | None:
        """Stand in one line; give the account at which the next one is, or `None`: it is done."""
        turn = Turn(hold.number)
        waiting = self.runtime.budget_waits.setdefault(account.name, {})
        waiting[hold.call] = None
        account.line.enter(turn)
        self._turns.add(turn)
        try:
            while True:
                turn.told = False
                hold.renew()
                short = await self._take(hold)
                if short is not account:
                    return short
                if not turn.told:
                    turn.future = self.runtime.loop.create_future()
                    await turn.future
                if self.runtime.draining:
                    raise CallSkipped(f"{hold.call.name} was not started: the runtime drains")
        finally:
            self._turns.discard(turn)
            account.line.leave(turn)
            waiting.pop(hold.call, None)
            if not waiting:
                self.runtime.budget_waits.pop(account.name, None)

    def _refuse_held(self, call: Call[Any], account: Account) -> None:
        """Raise where one who waits for `call` has reserved of the account that it waits for."""
        waiting = waiting_for(call)
        above = call.owner.call
        while above is not None:
            if above not in waiting:
                waiting.append(above)
            above = above.owner.call
        for holder, name in self.keepers(waiting):
            if name == account.name and holder is not call:
                msg = (
                    f"{call.name} waits for the {account.name}, of which {holder.name} has "
                    f"reserved its most while it waits for {call.name}: give needs= to the inner "
                    "step only"
                )
                raise BudgetHeld(msg)

    def keepers(self, waiting: list[Call[Any]]) -> Iterator[tuple[Call[Any], str]]:
        """Give who has reserved of what while `waiting` wait: themselves, and streams they read."""
        for call in (*waiting, *self.runtime.blocked_streams(waiting)):
            for hold in self.holders.get(call, ()):
                for account in hold.accounts:
                    yield call, account.name

    def _spent(self, hold: Hold, account: Account) -> BudgetSpent:
        """Count a refusal, and give its error."""
        account.refused += 1
        note(hold.call, budget=account.name)
        tokens, money = account.possible()
        left = float(tokens or 0) if money is None else float(dollars_of(money) or 0)
        self.runtime.tell_limit("spent", account.name, left, hold.call.run, hold.call.id)
        return refusal(hold, account)

    async def again(self, attempt: Attempt, need: Need) -> None:
        """Settle what an attempt has used until now, and reserve what it needs to go on."""
        hold = self.holds.pop(attempt, None)
        if hold is None:
            return
        call = hold.call
        told = added(hold.before, self.settle(hold, attempt.number, None))
        again = await self.reserve(call, hold.accounts, need)
        again.before = told
        self.holds[attempt] = again

    # Settlements

    def settle(self, hold: Hold, attempt: int, error: BaseException | None) -> Spend:
        """Put what an attempt used in the place of what it had reserved; give that.

        An attempt of which nobody knows what it used counts with all of it.
        """
        used = self._used(hold, attempt, error)
        if error is None and hold.need is not PREPAID:
            self._learn(hold, attempt)
        for account in hold.accounts:
            over = used.tokens > hold.worst.spend.tokens and account.budget.tokens is not None
            dear = used.nanodollars > hold.worst.spend.nanodollars
            if hold.need is not PREPAID and (over or (dear and account.budget.dollars is not None)):
                account.over += 1
        self.close_hold(hold, used)
        return used

    def close_hold(self, hold: Hold, used: Spend) -> None:
        """Put so much in the place of what was reserved, once."""
        for account in hold.accounts:
            account.settle(hold.number, used)
        held = self.holders.get(hold.call)
        if held is not None and hold in held:
            held.remove(hold)
            if not held:
                del self.holders[hold.call]

    def _used(self, hold: Hold, attempt: int, error: BaseException | None) -> Spend:
        if not attempt:
            return NOTHING  # it was never admitted
        told = share_of(hold.call, attempt) or ()
        total = self.sum_of(told, hold)
        used = Spend(total.tokens - hold.before.tokens, total.nanodollars - hold.before.nanodollars)
        if not any(used):
            return NOTHING if error is not None and was_free(error) else hold.worst.spend
        if error is not None and may_be_charged(error) and any(each[3] for each in told):
            return in_doubt(used, sum(each[5] for each in told), hold.worst.spend)
        return used

    def sum_of(self, told: tuple[Told, ...], hold: Hold) -> Spend:
        """Give what answers used and cost; one without a price costs what was reserved."""
        tokens = sum(each[4] + each[5] for each in told)
        if all(account.budget.dollars is None for account in hold.accounts):
            return Spend(tokens, 0)
        money = 0
        for each in told:
            cost = self.runtime.bills.total([each], hold.need.model, self.unix())
            money += hold.worst.spend.nanodollars if cost is None else nanodollars_of(cost)
        return Spend(tokens, money)

    def _learn(self, hold: Hold, attempt: int) -> None:
        """Learn what the step reads, from an attempt whose provider has counted."""
        told = share_of(hold.call, attempt)
        if told and len(told) == 1 and not told[0][3]:
            self.worst.density(hold.call.step.name).learn(hold.need, told[0][4])

    def debit(self, call: Call[Any], accounts: tuple[Account, ...], attempt: int) -> bool:
        """Count what an attempt used that had reserved nothing; say whether there is anything."""
        told = share_of(call, attempt)
        if told is None:
            return False
        hold = Hold(call, accounts, PREPAID, next(self._numbers))
        for account in accounts:
            account.reserve_nowait(hold.number, NOTHING)
        used = self.sum_of(told, hold)
        for account in accounts:
            account.over += 1
            account.settle(hold.number, used)
        return True

    # What is said

    def left_of(self, call: Call[Any]) -> Left | None:
        """Give what is left of the budgets over a call; `None` where there is none."""
        accounts = self.over(call, call.scope)
        if not accounts:
            return None
        room = Total(None, None)
        for account in accounts:
            tokens, money = account.left()
            room = Total(least(room.tokens, tokens), least(room.nanodollars, money))
        return Left(room.tokens, dollars_of(room.nanodollars))

    def statistics(self) -> tuple[BudgetStatistics, ...]:
        """Give the counters of every budget that is open."""
        return tuple([account.statistics() for account in self.open])

    def drain(self) -> None:
        """Let nobody wait any more."""
        for turn in list(self._turns):
            turn.tell()

    def __repr__(self) -> str:
        """Count what is open."""
        return f"<Spending, {len(self.open)} budgets, {len(self.holders)} calls hold some>"


def begin(run: Run) -> None:
    """Let whatever begins in a run from now on look for budgets."""
    run.budgeted = True
    run.plain = False
    run.accounts = {}


def spending(_address: str) -> Callable[[Runtime], Spending]:
    """Give what makes the budgets of a runtime, for the registry."""
    return Spending


__all__ = ["Spending", "spending"]
