"""A board over Redis: one script decides each visit, on the server's clock.

Keys, for a limit "smart" and the prefix "fanwise": `fanwise:{smart}:bucket` (what is spent, as a
line of integers) and `fanwise:{smart}:holders` (a hash with a line for each worker); one hash tag,
so that a node of a cluster has them together; which one, the cluster itself says. Both expire when
they say no more than their absence does. The channel of the first key's name wakes those who wait.
Connections: at most `connections` for visits (to each node), and one that listens.
"""

from __future__ import annotations

import asyncio
import logging
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import MovedError, RedisError, ResponseError

from fanwise.stores._dismissed import dismissed
from fanwise.stores._redis_till import RedisTill
from fanwise.stores._refusals import failure_of
from fanwise.stores._standing import standing_of
from fanwise.stores._visit import BoardLost, Reply

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub
    from redis.commands.core import AsyncScript

    from fanwise.core import LimitUnavailable
    from fanwise.stores._standing import LimitStanding
    from fanwise.stores._till import Till
    from fanwise.stores._visit import Listener, Terms, Visit

log = logging.getLogger("fanwise")

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
        at_once, visit.held, visit.slots, visit.more_slots, terms.delay,
    ]  # fmt: skip
    for d, rate in enumerate(terms.rates):
        if rate is not None:
            left = rate.ceiling(visit.left[d])
            amounts = (visit.owed[d], visit.kept[d], visit.need[d], visit.more[d], left)
            said += (d + 1, *rate, *amounts)
    return f"[{','.join(map(str, said))}]"


def reply_of(line: bytes) -> Reply:
    """Read the script's answer."""
    status, now, wait, until, waiting, paused, slots, *amounts = map(int, line.split())
    a, b, c, d, e, f, g, h = amounts
    return Reply(status, now, wait, until, bool(waiting), paused, slots, (a, b, c, d), (e, f, g, h))


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
        if connections < 1:
            raise ValueError(f"connections is a number of at least 1, got {connections!r}")
        if not timeout > 0:
            raise ValueError(f"timeout is a number of seconds above 0, got {timeout!r}")
        self.prefix = prefix
        self._pool = pool_of(url, connections, timeout)
        self.address = without_secrets(url)
        self._client: Redis = Redis(connection_pool=self._pool)
        self._script = self._client.register_script(SCRIPT)
        self._nodes: dict[tuple[str, int], Redis] = {}  # of a cluster, beside the URL's
        self._moved: dict[str, AsyncScript] = {}  # by limit
        self._look = self._client.register_script(LOOK)
        self._seen: set[str] | None = None  # the limits that a look found
        self._listeners: dict[bytes, list[Listener]] = {}
        self._ears = Redis(connection_pool=pool_of(url, 1, timeout))
        self._ear: PubSub | None = None
        self._subscribing = asyncio.Lock()  # or each who comes first would open a connection
        self._hearing: asyncio.Task[None] | None = None

    def keys(self, name: str) -> tuple[str, str]:
        """Give the keys of a limit: its bucket, its holders."""
        tag = name.replace("{", "(").replace("}", ")")
        return f"{self.prefix}:{{{tag}}}:bucket", f"{self.prefix}:{{{tag}}}:holders"

    async def visit(self, terms: Terms, visit: Visit, /) -> Reply:
        """Decide a visit, at once and for all dimensions.

        Raises `BoardLost` where the server does not answer, or cannot write for now, and
        `LimitUnavailable` where it refuses for good: a password, a right.
        """
        keys, said = self.keys(terms.name), (visit.holder, numbers_of(terms, visit))
        try:
            try:
                line = await self._moved.get(terms.name, self._script)(keys, said)
            except MovedError as moved:
                there = self._node(moved.host, moved.port).register_script(SCRIPT)
                self._moved[terms.name] = there
                line = await there(keys, said)
        except (RedisError, OSError) as error:
            self._moved.pop(terms.name, None)  # the node of the URL knows where it is now
            raise self._failure(error) from error
        return reply_of(line)

    def _node(self, host: str, port: int) -> Redis:
        """Give another node of the cluster that the URL's node belongs to."""
        node = self._nodes.get((host, port))
        if node is None:
            pool = BlockingConnectionPool(
                self._pool.max_connections,
                self._pool.timeout,
                self._pool.connection_class,
                **{**self._pool.connection_kwargs, "host": host, "port": port},
            )
            node = self._nodes[host, port] = Redis.from_pool(pool)
        return node

    def _failure(self, error: Exception) -> BoardLost | LimitUnavailable:
        """Tell what passes from what stays."""
        return failure_of(error, self.address, self.prefix)

    async def listen(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` what happens at a limit, from now on; what is missed is only late.

        Raises `BoardLost` where the server does not answer.
        """
        channel = self.keys(name)[0]
        try:
            async with self._subscribing:
                if self._ear is None:
                    self._ear = self._ears.pubsub(ignore_subscribe_messages=True)
                await self._ear.subscribe(channel)
        except (RedisError, OSError) as error:
            raise self._failure(error) from error
        self._listeners.setdefault(channel.encode(), []).append(listener)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear(self._ear), name="fanwise-redis-ear")

    def unlisten(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` nothing more."""
        listeners = self._listeners.get(self.keys(name)[0].encode(), [])
        if listener in listeners:
            listeners.remove(listener)

    async def _hear(self, ear: PubSub) -> None:
        """Hand on what is published, for as long as the connection lives; it is made anew."""
        wait = 0.0
        while True:
            try:
                message = await ear.get_message(timeout=None)
                wait = 0.0
            except ResponseError as error:
                log.warning(
                    "who waits hears of others only at heartbeats: %s", self._failure(error)
                )
                return
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
            elif words[0] == "pause":
                listener.halted(words[1], int(words[2]))

    async def standing(self) -> list[LimitStanding]:
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
        return RedisTill(self, self._client, self.prefix, self._failure)

    async def aclose(self) -> None:
        """Close the connections, unless somebody still listens: a board may be shared."""
        if any(self._listeners.values()):
            return
        if self._hearing is not None:
            await dismissed(self._hearing)
        if self._ear is not None:
            await self._ear.aclose()  # type: ignore[no-untyped-call] # redis forgot it
        self._ear = self._hearing = None
        self._listeners.clear()
        for node in self._nodes.values():
            await node.aclose()
        self._nodes.clear()
        self._moved.clear()
        for each in (self._ears, self._client):
            await each.aclose()
            await each.connection_pool.aclose()

    def __repr__(self) -> str:
        """Show the server and the keys' prefix, without the URL's password."""
        return f"<RedisBoard {self.prefix}:* at {self.address}>"


def pool_of(url: str, connections: int, timeout: float) -> BlockingConnectionPool:
    """Give the pool of a URL; raise ValueError, without the password, for one that is none."""
    try:
        return BlockingConnectionPool.from_url(
            checked(url),
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # what is sent again is decided where visits are made
            driver_info=DRIVER,
            protocol=2,  # the newer one needs a newer server, and brings nothing here
        )
    except ValueError:
        scheme, colon, _ = url.partition(":")
        raise ValueError(
            f'"{scheme + colon if colon else ""}..." is not the URL of a Redis server, such as '
            '"redis://user:password@host:6379/0", "rediss://host:6380" or '
            '"unix:///run/redis.sock"; in a password / is written %2F, @ %40, : %3A and % %25'
        ) from None


def checked(url: str) -> str:
    """Give the URL; raise ValueError where the rest of a password would be taken for a path."""
    parts = urlsplit(url)
    if "@" in parts.path and parts.scheme != "unix":
        raise ValueError(parts.scheme)
    return url


def without_secrets(url: str) -> str:
    """Give a URL without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def maker(_address: str) -> type[RedisBoard]:
    """Give the class, for the registry."""
    return RedisBoard


__all__ = ["RedisBoard"]
