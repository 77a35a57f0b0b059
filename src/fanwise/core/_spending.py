"""What attempts reserve of the budgets over them, wait for and settle.

Problem: a budget must not be overshot by any number of attempts at once, under budgets within
budgets; nothing may be held by one who waits; and nobody may wait for what never comes.
Method: an attempt takes its worst case of every account over it in one instant, or of none, and
then waits at the first account that lacks it. Each account has a line, first come first served: who
stands in one keeps the number that it came with when it has to go on to another. A settlement wakes
the head of its line, which asks again. Whoever could not be served if all that is reserved flowed
back is refused, with BudgetSpent; and whoever waits for itself, since what it lacks is reserved by
one who waits for it, with BudgetHeld: so reservations are for the innermost calls. What an attempt
has reserved that waits for a limit is lent to whoever comes first at a budget meanwhile, since the
holder of the limit may wait for that one; the attempt then reserves again, with its slot.
Cost: one pass over the accounts of an attempt, each settlement the heads of as many lines.
Rejected: one lock around all accounts (a call that waits for one tenant would hold up the others),
letting small requests pass a large one at the head (that would starve), and to divide a budget
among branches beforehand (what one does not use another lacks).
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

from fanwise.core._accounts import (
    GRANTED,
    SPENT,
    WAIT,
    Left,
    Spend,
    Total,
    Turn,
    added,
    dollars_of,
    fits,
    least,
    less,
    nanodollars_of,
)
from fanwise.core._errors import BudgetHeld, BudgetSpent, BudgetUnpriced, CallSkipped
from fanwise.core._funded import Funded, Opening
from fanwise.core._funds import Funds, begin
from fanwise.core._holds import NOTHING, Ahead, Hold, in_doubt, refusal, said_nothing, was_free
from fanwise.core._protocols import PREPAID
from fanwise.core._record import add_wait, note
from fanwise.core._settlement import may_be_charged, share_of
from fanwise.core._watchers import waiting_for
from fanwise.core._worst import WorstCases, unpriced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fanwise.core._accounts import Account, BudgetStatistics
    from fanwise.core._attempts import Execution
    from fanwise.core._call import Call
    from fanwise.core._limits import LimitEvents
    from fanwise.core._protocols import Need
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Attempt, Scope
    from fanwise.core._settlement import Told


class Spending(Funds):
    """The budgets of one runtime: what attempts have reserved of them, and who waits."""

    def __init__(self, runtime: Runtime) -> None:
        """Know no budget yet."""
        super().__init__(runtime)
        self.worst = WorstCases(runtime.bills, self.unix)
        self.holds: dict[Attempt, Hold] = {}
        self.holders: dict[Call[Any], list[Hold]] = {}
        self.idle: dict[Hold, None] = {}  # of attempts that wait for a limit
        self.undeclared: set[str] = set()
        self._numbers = count(1)
        self._turns: set[Turn] = set()
        runtime.on_drain[self.drain] = None

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
        await self._admit(hold, hedge=hedge)
        return hold

    async def regain(self, hold: Hold) -> None:
        """Reserve again what others had meanwhile, in the place in line that it had."""
        hold.number = next(self._numbers)
        hold.lent = False
        await self._admit(hold)

    async def _admit(self, hold: Hold, *, hedge: bool = False) -> None:
        short = await self._take(hold)
        if short is not None:
            if hedge:
                raise refusal(hold, short)
            await self._wait(hold, short)
        self.holders.setdefault(hold.call, []).append(hold)

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
        if short is not None and verdict == WAIT:
            for idle in [each for each in self.idle if short in each.accounts][-1:]:
                self.lend(idle)  # which wakes who waits there
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
            if account.line.is_ahead_of(hold.ticket):
                return account
            if verdict == WAIT and not self._borrow(account, hold.worst.spend):
                return account
        return None

    def _borrow(self, account: Account, spend: Spend) -> bool:
        """Take what those have reserved who wait for a limit, the latest first, if that is enough.

        One who waits for a limit may wait for who asks here: whoever holds it waits for that one.
        """
        idle = [hold for hold in self.idle if account in hold.accounts]
        there = account.left()
        for hold in idle:
            there = less(there, Spend(*(-each for each in hold.worst.spend)))
        if not fits(spend, there):
            return False
        while account.judge(spend) != GRANTED:
            self.lend(idle.pop())
        return True

    def lend(self, hold: Hold) -> None:
        """Give back, for now, what one has reserved who waits for a limit."""
        hold.lent = True
        del self.idle[hold]
        self.close_hold(hold, NOTHING)

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
        turn = Turn(hold.ticket)
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
            free = said_nothing(hold.call) if error is None else was_free(error)
            return NOTHING if free else hold.worst.spend
        if error is not None and may_be_charged(error) and any(each[3] for each in told):
            return in_doubt(used, sum(each[5] for each in told), hold.worst.spend)
        return used

    def sum_of(self, told: tuple[Told, ...], hold: Hold) -> Spend:
        """Give what answers used and cost; one without a price costs what was reserved."""
        tokens = sum(each[4] + each[5] for each in told)
        if all(account.budget.dollars is None for account in hold.accounts):
            return Spend(tokens, 0)
        bills, need, money = self.runtime.bills, hold.need, 0
        for each in told:
            model = each[1] or need.model or ""
            # What has said its price is not worth that the loop waits for a table.
            said = need.dollars is not None and need is not PREPAID
            known = not said or bills.table.at_hand(model)
            cost = bills.total([each], need.model, self.unix()) if known else None
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


def spending(_address: str) -> Callable[[Runtime], Spending]:
    """Give what makes the budgets of a runtime, for the registry."""
    return Spending


__all__ = ["Spending", "spending"]
