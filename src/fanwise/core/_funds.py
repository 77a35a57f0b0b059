"""The accounts of one runtime: whose budgets are over a call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fanwise.core._accounts import MemoryAccount
from fanwise.core._scope import CURRENT

if TYPE_CHECKING:
    from fanwise.core._accounts import Account
    from fanwise.core._budget import Budget
    from fanwise.core._call import Call
    from fanwise.core._run import Run
    from fanwise.core._runtime import Runtime
    from fanwise.core._scope import Scope

MOST_TENANTS = 10_000  # beyond, those whose day is over are forgotten


class Funds:
    """The accounts of one runtime: its own, of tenants, of runs, of calls whose step has one."""

    def __init__(self, runtime: Runtime) -> None:
        """Know no budget yet."""
        wall, began = time.time(), runtime.time()
        self.runtime = runtime
        self._wall = wall - began
        self.open: dict[Account, None] = {}
        self.tenants: dict[str, Account] = {}

    def unix(self) -> float:
        """Give the time, which moves with a virtual clock."""
        return self._wall + self.runtime.time()

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
        """Forget whom nobody uses any more; a run that lives keeps its tenant's account."""
        used = {account for run in self.runtime.live for account in run.budgets}
        forget = getattr(self.runtime.gates, "forget", None)
        for tenant, account in list(self.tenants.items()):
            if account.is_past() and account not in used:
                self.open.pop(self.tenants.pop(tenant), None)
                if forget is not None:
                    forget(tenant)

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

    def __repr__(self) -> str:
        """Count what is open."""
        return f"<Funds, {len(self.open)} budgets>"


def begin(run: Run) -> None:
    """Let whatever begins in a run from now on look for budgets."""
    run.budgeted = True
    run.plain = False
    run.accounts = {}
