"""A board over Redis: one script decides each visit, on the server's clock.

Keys, for a limit "smart" and the prefix "fanwise": `fanwise:{smart}:bucket` (what is spent, as a
line of integers) and `fanwise:{smart}:holders` (a hash with a line for each worker); one hash tag,
so that a cluster keeps them together. Both expire when they say no more than their absence does.
The channel of the first key's name wakes those who wait. Connections: at most `connections` for
visits, and one that listens.
"""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from fanwise.stores._redis_till import RedisTill
from fanwise.stores._standing import standing_of
from fanwise.stores._visit import BoardLost, Reply

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

    from fanwise.stores._standing import Standing
    from fanwise.stores._till import Till
    from fanwise.stores._visit import Listener, Terms, Visit

SCRIPT: Final = files("fanwise.stores").joinpath("_visit.lua").read_text("utf-8")
LOOK: Final = files("fanwise.stores").joinpath("_look.lua").read_text("utf-8")
PREFIX: Final = "fanwise"
PATTERN_SIGNS: Final = r"([*?\[\]\\])"
APART: Final = r"\\\1"
DRIVER: Final = (
    DriverInfo()
)  # its version is read from files, else at every connection, in the loop


def numbers_of(terms: Terms, visit: Visit) -> str:
    """Give the script's integers, as a JSON list."""
    at_once = -1 if terms.at_once is None else terms.at_once
    said: list[int] = [
        visit.number, int(visit.born), visit.lapse, visit.known_until, visit.pause,
        at_once, visit.held, visit.slots, visit.more_slots,
    ]  # fmt: skip
    for d, rate in enumerate(terms.rates):
        if rate is not None:
            said += (d + 1, *rate, visit.owed[d], visit.kept[d], visit.need[d], visit.more[d])
    return f"[{','.join(map(str, said))}]"


def reply_of(line: bytes) -> Reply:
    """Read the script's answer."""
    status, now, wait, until, waiting, slots, a, b, c, d, *spent = map(int, line.split())
    e, f, g, h = spent
    return Reply(status, now, wait, until, bool(waiting), slots, (a, b, c, d), (e, f, g, h))


class RedisBoard:
    """Where buckets of shared limits stand: a Redis server, by its URL.

    `timeout` bounds every answer, in seconds; past it the server counts as gone.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = PREFIX,
        connections: int = 4,
        timeout: float = 1.0,
    ) -> None:
        """Describe the server; nothing is sent before the first visit."""
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"prefix={prefix!r} holds a brace, which would move the hash tag")
        self.url = url
        self.prefix = prefix
        once = Retry(NoBackoff(), 0)  # what is sent again is decided where visits are made
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=once,
            driver_info=DRIVER,
        )
        self._client: Redis = Redis(connection_pool=self._pool)
        self._script = self._client.register_script(SCRIPT)
        self._look = self._client.register_script(LOOK)
        self._seen: set[str] | None = None  # the limits that a look found
        self._listeners: dict[bytes, list[Listener]] = {}
        self._ear: PubSub | None = None
        self._hearing: asyncio.Task[None] | None = None

    def keys(self, name: str) -> tuple[str, str]:
        """Give the keys of a limit: its bucket, its holders."""
        tag = name.replace("{", "(").replace("}", ")")
        return f"{self.prefix}:{{{tag}}}:bucket", f"{self.prefix}:{{{tag}}}:holders"

    async def visit(self, terms: Terms, visit: Visit, /) -> Reply:
        """Decide a visit, at once and for all dimensions.

        Raises `BoardLost` where the server does not answer, and `redis.exceptions` of what it
        refuses for good: a password, a right.
        """
        try:
            said = (visit.holder, numbers_of(terms, visit))
            line = await self._script(self.keys(terms.name), said)
        except (AuthenticationError, AuthorizationError):
            raise
        except ResponseError as error:
            if str(error).startswith(("LOADING", "READONLY", "MASTERDOWN", "BUSY", "MISCONF")):
                raise BoardLost(str(error)) from error
            raise
        except (RedisError, OSError) as error:
            raise BoardLost(f"{type(error).__name__}: {error}") from error
        return reply_of(line)

    async def listen(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` what happens at a limit, from now on; what is missed is only late.

        Raises `BoardLost` where the server does not answer.
        """
        channel = self.keys(name)[0]
        try:
            if self._ear is None:
                self._ear = self._client.pubsub(ignore_subscribe_messages=True)
            await self._ear.subscribe(channel)
        except (RedisError, OSError) as error:
            raise BoardLost(f"{type(error).__name__}: {error}") from error
        self._listeners.setdefault(channel.encode(), []).append(listener)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear(self._ear), name="fanwise-redis-ear")

    async def _hear(self, ear: PubSub) -> None:
        """Hand on what is published, for as long as the connection lives; it is made anew."""
        wait = 0.0
        while True:
            try:
                message = await ear.get_message(timeout=None)
                wait = 0.0
            except (RedisError, OSError):
                wait = min(1.0, 2 * wait + 0.05)
                await asyncio.sleep(wait)  # then it connects and subscribes again
                continue
            if message is not None:
                self._tell(message["channel"], message["data"].decode().split())

    def _tell(self, channel: bytes, words: list[str]) -> None:
        for listener in self._listeners.get(channel, []):
            if words[0] == "wake":
                listener.woken(words[1], int(words[2]))
            elif words[0] == "recall":
                listener.recalled(words[1])

    async def standing(self) -> list[Standing]:
        """Give the limits that are known there, by name; writes nothing.

        The first look goes through all keys, a thousand at a time; later ones ask only for limits
        that it found, or to whose channel somebody listens. Raises `BoardLost`.
        """
        try:
            names = sorted(await self._names())
            told = [(name, await self._look(self.keys(name))) for name in names]
        except (RedisError, OSError) as error:
            raise BoardLost(f"{type(error).__name__}: {error}") from error
        return [standing_of(name, list(map(int, line.split()))) for name, line in told if line]

    async def _names(self) -> set[str]:
        """Give the names of the limits under the prefix."""
        some = f"{re.sub(PATTERN_SIGNS, APART, self.prefix)}:{{*}}:bucket"
        if self._seen is None:
            found = self._client.scan_iter(match=some, count=1000)
            self._seen = {self._name(key) async for key in found}
        self._seen |= {self._name(each) for each in await self._client.pubsub_channels(some)}
        return self._seen

    def _name(self, key: bytes | str) -> str:
        """Give the name of a limit from the key of its bucket, or its channel."""
        text = key if isinstance(key, str) else key.decode("utf-8", "replace")
        return text[len(self.prefix) + 2 : -len("}:bucket")]

    def till(self) -> Till:
        """Give where the budgets of tenants are counted, over the same connections."""
        return RedisTill(self, self._client, self.prefix)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])
        if self._ear is not None:
            await self._ear.aclose()  # type: ignore[no-untyped-call] # redis forgot it
        self._ear = self._hearing = None
        self._listeners.clear()
        await self._client.aclose()
        await self._pool.aclose()

    def __repr__(self) -> str:
        """Show the keys' prefix; a URL may hold a password."""
        return f"<RedisBoard {self.prefix}:*>"


def maker(_address: str) -> type[RedisBoard]:
    """Give the class, for the registry."""
    return RedisBoard


__all__ = ["RedisBoard"]
