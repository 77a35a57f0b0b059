"""A till over Redis: one script decides each question, on the server's clock.

The key of a tenant "acme" and the prefix "fanwise" is `fanwise:{budget/acme}:account`, a hash. That
of a daily budget expires with its day.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from fanwise.core._accounts import Spend
from fanwise.stores._till import Count, Sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from fanwise.stores._visit import Board

SCRIPT: Final = files("fanwise.stores").joinpath("_account.lua").read_text("utf-8")


class RedisTill:
    """The till of a board over Redis: its connections, its prefix, its channels."""

    def __init__(
        self, board: Board, client: Redis, prefix: str, failure: Callable[[Exception], Exception]
    ) -> None:
        """Use what the board has; `failure` says what an error of the server means."""
        self._board = board
        self._failure = failure
        self._ears: dict[tuple[str, Callable[[], None]], Ear] = {}
        self._prefix = prefix
        self._script = client.register_script(SCRIPT)

    async def reserve(self, sheet: Sheet, number: str, most: Spend, /) -> Count:
        """Take `most` under a number, or nothing."""
        return await self._ask(sheet, number, most, settles=False)

    async def settle(self, sheet: Sheet, number: str, used: Spend, /) -> Count:
        """Put what was used in the place of what was reserved, once."""
        return await self._ask(sheet, number, used, settles=True)

    async def listen(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` when something flowed back for which somebody waits."""
        ear = self._ears[sheet.name, wake] = Ear(wake)
        await self._board.listen(_name(sheet), ear)

    def unlisten(self, sheet: Sheet, wake: Callable[[], None], /) -> None:
        """Call `wake` no more."""
        self._board.unlisten(_name(sheet), self._ears.pop((sheet.name, wake)))

    def key(self, name: str) -> str:
        """Give the key of an account."""
        return f"{self._prefix}:{{{_tag(name)}}}:account"

    async def _ask(self, sheet: Sheet, number: str, spend: Spend, *, settles: bool) -> Count:
        tokens, money = (-1 if each is None else each for each in sheet.total)
        said = [int(settles), *spend, tokens, money, int(sheet.daily), sheet.lapse]
        channel = f"{self._prefix}:{{{_tag(_name(sheet))}}}:bucket"  # where the board listens
        told = (number, f"[{','.join(map(str, said))}]", channel)
        try:
            line = await self._script((self.key(_name(sheet)),), told)
        except (RedisError, OSError) as error:
            raise self._failure(error) from error
        verdict, a, b, c, d, wait, day = map(int, line.split())
        return Count(verdict, Spend(a, b), Spend(c, d), wait, day)

    def __repr__(self) -> str:
        """Show the keys' prefix."""
        return f"<RedisTill {self._prefix}:*>"


class Ear:
    """Hears of an account on the board's channels."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Call `wake` at each word."""
        self._wake = wake

    def woken(self, _holder: str, _wait: int, /) -> None:
        """Hear that something flowed back."""
        self._wake()

    def recalled(self, _holder: str, /) -> None:
        """Hear what is for limits only."""

    def halted(self, _holder: str, _wait: int, /) -> None:
        """Hear what is for limits only."""

    def __repr__(self) -> str:
        """Show who is woken."""
        return f"<Ear of {self._wake!r}>"


def _name(sheet: Sheet) -> str:
    return f"budget/{sheet.name}"


def _tag(name: str) -> str:
    return name.replace("{", "(").replace("}", ")")


__all__ = ["RedisTill"]
