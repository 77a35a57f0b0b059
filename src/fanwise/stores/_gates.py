"""Limits that workers of many processes share: the gates of one runtime over one board."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, cast

from fanwise.core import _registry
from fanwise.stores._accounts import SharedAccount
from fanwise.stores._clerk import Manner
from fanwise.stores._gate import HELD_SHARE, SharedGate
from fanwise.stores._memory import MemoryBoard
from fanwise.stores._visit import DIMENSIONS, MICROSECONDS, Rate, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core import Budget, Gate, Limit
    from fanwise.core._accounts import Account
    from fanwise.stores._visit import Board

LEASE: Final = 64
HEARTBEAT: Final = 1.0
DELAY: Final = 0.25


class SharedLimits:
    """Limits that several workers share, as `Runtime(shared=SharedLimits(redis_board(url)))`.

    A worker shows every `heartbeat` seconds that it lives; two and a half of them after its last
    one, its slots and leases are free. `lease` is the greatest number of attempts that a worker is
    granted at once, beforehand (1: it asks for every attempt). `without` is what it may do while
    the board is gone: a share of the limit, such as 0.25 where there are four workers, or 0 for
    nothing. `delay` is how much longer, in seconds, one request may take to its provider than
    another: of a bucket that was full so much is left over. Raises ValueError for what cannot be
    meant.
    """

    def __init__(
        self,
        board: Board | None = None,
        *,
        heartbeat: float = HEARTBEAT,
        lease: int = LEASE,
        without: float = 0.0,
        delay: float = DELAY,
    ) -> None:
        """Share what stands on `board`; by default one in memory, for this process alone."""
        if board is not None and not hasattr(board, "visit"):
            raise TypeError(
                f"board is a MemoryBoard() or a redis_board(url), got a {type(board).__name__}; "
                "a URL itself goes to Runtime(shared=)"
            )
        if not heartbeat > 0:
            raise ValueError(f"heartbeat is a number of seconds above 0, got {heartbeat!r}")
        if lease < 1:
            raise ValueError(f"lease is a number of attempts of at least 1, got {lease!r}")
        if not 0 <= without <= 1:
            raise ValueError(f"without is a share of the limit from 0 to 1, got {without!r}")
        if not 0 <= delay < inf:
            raise ValueError(f"delay is a number of seconds of at least 0, got {delay!r}")
        self.board: Board = MemoryBoard() if board is None else board
        self._heartbeat = heartbeat
        self._lease = lease
        self._without = Fraction(str(without))
        self._delay = delay
        self._gates: dict[str, SharedGate] = {}
        self._accounts: dict[str, SharedAccount] = {}

    def gate(self, name: str, limit: Limit, /) -> Gate:
        """Give the gate of a limit; raise ValueError where it cannot be counted exactly."""
        gate = self._gates.get(name)
        if gate is None:
            describe = partial(self._described, name)
            terms, manner = describe(limit)
            gate = self._gates[name] = SharedGate(terms, self.board, manner, describe)
        return gate

    def _described(self, name: str, limit: Limit) -> tuple[Terms, Manner]:
        return terms_of(name, limit, self._delay), self._manner(limit)

    def _manner(self, limit: Limit) -> Manner:
        hold, early = limit.burst * HELD_SHARE, limit.charge == "admission"
        return Manner(self._heartbeat, self._lease, self._without, hold, early)

    def account(self, tenant: str, budget: Budget, /) -> Account:
        """Give the account of a tenant's budget; raise ValueError for one that is too large."""
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = SharedAccount(tenant, budget, self.board.till())
        return account

    def forget(self, tenant: str, /) -> None:
        """Let go of a tenant's account that nobody uses; what it counts stays where it stands."""
        account = self._accounts.pop(tenant, None)
        if account is not None:
            account.forget()

    async def aclose(self) -> None:
        """Give everything back, as far as the board can be reached, and close it after the last."""
        for gate in self._gates.values():
            await gate.aclose()
        self._gates.clear()
        for account in self._accounts.values():
            await account.aclose()
        self._accounts.clear()
        await self.board.aclose()

    def __repr__(self) -> str:
        """Name the limits."""
        return f"<SharedLimits {sorted(self._gates)} over {self.board!r}>"


def terms_of(name: str, limit: Limit, delay: float = 0.0) -> Terms:
    """Give a limit in whole numbers: a burst is its seconds' worth of the rate, rounded down."""
    rates = [limit.rates.get(f"{dimension}_per_minute") for dimension in DIMENSIONS]
    a, b, c, d = (
        None
        if rate is None
        else Rate.per_minute(rate, int(Fraction(str(rate)) * Fraction(str(limit.burst)) / 60))
        for rate in rates
    )
    return Terms(name, limit.at_once, (a, b, c, d), round(delay * MICROSECONDS))


def redis_board(
    url: str, *, prefix: str = "fanwise", connections: int = 4, timeout: float = 1.0
) -> Board:
    """Give a board over a Redis server, such as "redis://127.0.0.1:6379/0".

    `prefix` begins the names of its keys: those who share limits have the same one. At most
    `connections` are open for visits, and one that listens; past `timeout` seconds without an
    answer the server counts as gone. Raises ImportError without the extra, ValueError for a URL or
    a prefix that cannot be meant.
    """
    try:
        make = cast("Callable[..., Board]", _registry.load("board", "redis"))
    except ImportError as error:
        if (error.name or "").startswith("fanwise"):
            raise
        kind = url.partition(":")[0]  # not all of it: a password may stand there
        raise ImportError(f"\"{kind}:...\" needs: pip install 'fanwise[redis]'") from error
    return make(url, prefix=prefix, connections=connections, timeout=timeout)


def from_address(address: str) -> SharedLimits:
    """Make shared limits of an address: "redis://...", or "memory:" for this process alone."""
    return SharedLimits(None if address.startswith("memory") else redis_board(address))


__all__ = ["SharedLimits", "from_address", "redis_board", "terms_of"]
