"""The budget of a tenant in one of several processes: asked of a till, attempt by attempt.

Nothing is known here for sure but what the till said last, so each reservation is a question to it,
and each settlement is sent in the background: one that is lost with the connection is sent again
with the next, and one that never arrives counts as used. Where the till does not answer, nothing is
admitted: a `ConnectionError`, which the step's own `Retry` may wait out. Rejected: leases as for
limits (what a worker has leased of the end of a budget would lie idle while others are refused).
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from fanwise.core._accounts import (
    DAY,
    GRANTED,
    WAIT,
    Line,
    Spend,
    Total,
    added,
    less,
    statistics_of,
    total_of,
)
from fanwise.stores._till import Count, Sheet, check_exact
from fanwise.stores._visit import BoardLost

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fanwise.core._accounts import BudgetStatistics
    from fanwise.core._budget import Budget
    from fanwise.stores._till import Till

NOTHING = Spend()


class SharedAccount:
    """The account of one tenant, which stands at a till."""

    def __init__(self, tenant: str, budget: Budget, till: Till) -> None:
        """Know nothing yet; raise ValueError for more than can be counted exactly."""
        total = total_of(budget)
        check_exact(f"the tenant {tenant}", total)
        self.name = f"budget of the tenant {tenant}"
        self.budget = budget
        self.line = Line()
        self.over = self.refused = 0
        self._till = till
        self._sheet = Sheet(tenant, total, daily=budget.per is not None)
        self._holder = os.urandom(8).hex()
        self._known = Count(GRANTED, NOTHING, NOTHING)
        self._owed: dict[str, Spend] = {}  # settlements that the till has not heard
        self._unopened: set[str] = set()  # reservations of nothing, which the till does not know
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._listening = False

    def judge(self, most: Spend) -> int:  # noqa: ARG002 - only the till knows
        """Leave it to the till."""
        return GRANTED

    def reserve_nowait(self, number: int, most: Spend) -> int | None:
        """Say that only the till knows, but for nothing, of which there is always enough."""
        if any(most):
            return None
        self._unopened.add(self._id(number))
        return GRANTED

    async def reserve(self, number: int, most: Spend) -> int:
        """Ask the till; cancelled, it takes nothing.

        Raises ConnectionError where the till does not answer.
        """
        asked = asyncio.ensure_future(self._till.reserve(self._sheet, self._id(number), most))
        try:
            told = self._known = await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._later(self._give_back(asked, number))
            raise
        except BoardLost as error:
            self._owe(number, NOTHING)  # it may have been taken
            msg = f"the {self.name} cannot be asked: {error}"
            raise ConnectionError(msg) from error
        if told.verdict == WAIT:
            await self._watch(told.wait / 1000)
        return told.verdict  # others may have asked meanwhile

    def settle(self, number: int, used: Spend) -> None:
        """Tell the till, in the background."""
        self._owe(number, used)

    def possible(self) -> Total:
        """Give what would be left if all that is reserved flowed back, as the till said last."""
        return less(self._sheet.total, self._today().used)

    def left(self) -> Total:
        """Give what is neither used nor reserved, as the till said last."""
        known = self._today()
        return less(self._sheet.total, added(known.used, known.reserved))

    def is_past(self) -> bool:
        """Say whether nobody uses it here: what it counts is at the till."""
        return not (self.line.count or self._tasks or self._owed)

    def statistics(self) -> BudgetStatistics:
        """Give the counters, as the till said last."""
        known = self._today()
        return statistics_of(self, known.used, known.reserved)

    async def aclose(self) -> None:
        """Tell the till what it has not heard, as far as it answers."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._owed:
            await self._send()
        self.forget()

    def forget(self) -> None:
        """Hear nothing more, and leave nothing on the loop."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listening:
            self._listening = False
            self._till.unlisten(self._sheet, self.line.wake)

    def _today(self) -> Count:
        """Give what the till said last, unless that was another day."""
        over = self._sheet.daily and self._known.day < int(time.time() // DAY)
        return Count(GRANTED, NOTHING, NOTHING) if over else self._known

    def _id(self, number: int) -> str:
        return f"{self._holder}-{number}"

    def _owe(self, number: int, used: Spend) -> None:
        self._owed[self._id(number)] = used
        self._later(self._send())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=self.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self) -> None:
        """Send what is owed; what the till does not hear is owed until the next time."""
        for number in list(self._owed):
            used = self._owed.pop(number, None)
            if used is None:
                continue  # another task sends it
            try:
                await self._tell(number, used)
            except BoardLost:
                self._owed[number] = used
                return
        self.line.wake()

    async def _tell(self, number: str, used: Spend) -> None:
        if number in self._unopened:
            if any(used):
                await self._till.reserve(self._sheet, number, NOTHING)
            self._unopened.discard(number)
            if not any(used):
                return
        self._known = await self._till.settle(self._sheet, number, used)

    async def _give_back(self, asked: asyncio.Future[Count], number: int) -> None:
        """Give back what a cancelled question may have taken."""
        await asyncio.wait([asked])
        if not asked.cancelled():
            asked.exception()
        self._owed[self._id(number)] = NOTHING
        await self._send()

    async def _watch(self, seconds: float) -> None:
        """Let the head of the line ask again when something flows back, or lapses."""
        if not self._listening:
            self._listening = True
            try:
                await self._till.listen(self._sheet, self.line.wake)
            except BoardLost:
                self._listening = False
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(seconds, DAY), self.line.wake)

    def __repr__(self) -> str:
        """Show name and state."""
        return f"<SharedAccount {self.name}: {self._known.used} used>"


__all__ = ["SharedAccount"]
