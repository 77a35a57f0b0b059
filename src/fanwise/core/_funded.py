"""A call under budgets: each attempt reserves, and settles when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core._attempts import Execution
from fanwise.core._clients import own_client
from fanwise.core._errors import BudgetUndeclared
from fanwise.core._watchers import excuse
from fanwise.core._worst import undeclared

if TYPE_CHECKING:
    from fanwise.core._accounts import Account
    from fanwise.core._call import Call
    from fanwise.core._scope import Attempt, Scope
    from fanwise.core._spending import Spending


class Funded(Execution):
    """One call under the budgets over it: each attempt between reservation and settlement."""

    __slots__ = ("accounts", "spending")

    accounts: tuple[Account, ...]
    spending: Spending

    def __init__(self, call: Call[Any], scope: Scope, spending: Spending) -> None:
        """Take what is over the call."""
        super().__init__(call, scope)
        self.spending = spending
        self.accounts = spending.over(call, scope)

    async def attempt(self, attempt: Attempt) -> Any:  # noqa: ANN401 - the step's value
        """Make one attempt, with what it has reserved; a hedge is not sent where it would wait."""
        if not self.accounts:
            return await super().attempt(attempt)
        call, spending = self.call, self.spending
        if self.policy.needs is None:
            return await self.unannounced(attempt)
        hold = await spending.reserve(call, self.accounts, hedge=attempt.hedge)
        spending.holds[attempt] = hold
        ended: BaseException | None = None
        try:
            return await super().attempt(attempt)
        except BaseException as error:
            ended = error
            raise
        finally:
            left = spending.holds.pop(attempt, None)  # none where it could not go on
            if left is not None:
                spending.settle(left, attempt.number, ended)
            ended = None  # this frame stands in its traceback

    async def unannounced(self, attempt: Attempt) -> Any:  # noqa: ANN401 - the step's value
        """Make an attempt of a step that says nothing of itself: most use no tokens.

        What it uses all the same is counted, and from then on the step is refused. Raises
        BudgetUndeclared where it is known, or can be seen, that it uses some.
        """
        call, spending = self.call, self.spending
        if self.uses_tokens():
            excuse(call)  # an awaitable that is not awaited
            raise BudgetUndeclared(undeclared(call))
        try:
            return await super().attempt(attempt)
        finally:
            if attempt.number and spending.debit(call, self.accounts, attempt.number):
                spending.undeclared.add(call.step.name)

    def uses_tokens(self) -> bool:
        """Say whether the step is known to use tokens: it did, its limit counts them, it asks."""
        name = self.call.step.name
        estimates = self.call.run.runtime.estimates
        known = name in self.spending.undeclared or (
            estimates is not None and estimates.knows(name)
        )
        counts = self.outfit.quota is not None and self.outfit.quota.counts_tokens
        return known or counts or own_client(self.call) is not None

    async def take_slots(self, attempt: Attempt, *, probe: bool) -> bool:
        """Wait for slots; meanwhile others may have what it has reserved.

        Where they had, it reserves again, and holds its slot meanwhile.
        """
        spending = self.spending
        hold = spending.holds.get(attempt)
        if hold is None:
            return await super().take_slots(attempt, probe=probe)
        spending.idle[hold] = None
        try:
            probes = await super().take_slots(attempt, probe=probe)
        finally:
            spending.idle.pop(hold, None)
        if hold.lent:
            try:
                await spending.regain(hold)
            except BaseException:
                self.undo_slots(attempt, probes=probes and not probe)
                raise
            attempt.started = self.call.run.time()
        return probes

    def undo_slots(self, attempt: Attempt, *, probes: bool) -> None:
        """Give back the slots of an attempt that is not to be."""
        outfit = self.outfit
        if outfit.place is not None and outfit.place.workers is not None:
            outfit.place.workers.take_back(attempt.worker)
        for width, _ in outfit.widths:
            if width is outfit.quota:
                outfit.quota.give_back(attempt.reservation)
            else:
                width.give()
        if probes and outfit.breaker is not None:
            outfit.breaker.withdrawn()

    def has_room(self) -> bool:
        """Say whether a hedge may be sent: its budgets have room, too."""
        need = self.policy.need(self.call) if self.accounts else None
        if need is not None and not self.spending.has_room(self.call, self.accounts, need):
            return False
        return super().has_room()


class Opening(Funded):
    """A call of a step with a budget of its own, for all calls below it together."""

    __slots__ = ()

    async def value(self) -> Any:  # noqa: ANN401 - the step's value
        """Do as another call does, and close the account."""
        try:
            return await super().value()
        finally:
            self.call.run.accounts.pop(self.scope, None)
            self.spending.open.pop(self.accounts[0], None)
